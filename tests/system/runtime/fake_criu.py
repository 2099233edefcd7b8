#!/usr/bin/env python3
"""Plays criu(8) for the tests: speaks its RPC ("criu swrk FD") and makes or ends processes as it would.

$FAKE_CRIU is a folder: plan.json says how to behave (see PLAN); each request is kept as dump.json, restore.json, ...
"""

import ctypes
import json
import os
import signal
import socket
import struct
import sys
import time
from pathlib import Path

PLAN = {
    "version": [3, 17, 1],
    "features": [1, 1],          # mem_track, lazy_pages
    "notify": [],                # scripts to announce before a dump ends
    "fail": None,                # errno to refuse with, after writing `log`
    "log": "",
    "terminal": False,           # send a terminal's master on restore
    "status": 0,                 # how the restored process ends when it is told to
    "die": None,                 # end without an answer when this script is reached
    "namespaces": 0x20000 | 0x20000000 | 0x4000000 | 0x8000000 | 0x40000000,  # mount, pid, uts, ipc, net
}
DUMP, RESTORE, PRE_DUMP, NOTIFY, FEATURE_CHECK, VERSION = 1, 2, 4, 6, 9, 10
NAMES = {DUMP: "dump", RESTORE: "restore", PRE_DUMP: "pre-dump", FEATURE_CHECK: "features", VERSION: "version"}

# Fields of criu_opts in criu's rpc.proto: n number, t text, T texts, and messages of two fields.
_PAIR, _INHERIT, _SERVER = {1: ("key", "t"), 2: ("value", "t")}, {1: ("key", "t"), 2: ("fd", "n")}, {1: ("address", "t"), 2: ("port", "n")}
OPTIONS = {
    1: ("images_dir_fd", "n"), 2: ("pid", "n"), 3: ("leave_running", "n"), 4: ("ext_unix_sk", "n"), 5: ("tcp_established", "n"),
    6: ("evasive_devices", "n"), 7: ("shell_job", "n"), 8: ("file_locks", "n"), 9: ("log_level", "n"), 10: ("log_file", "t"),
    11: ("ps", _SERVER), 12: ("notify_scripts", "n"), 13: ("root", "t"), 14: ("parent_img", "t"), 15: ("track_mem", "n"),
    16: ("auto_dedup", "n"), 17: ("work_dir_fd", "n"), 18: ("link_remap", "n"), 23: ("ext_mnt", [_PAIR]), 24: ("manage_cgroups", "n"),
    25: ("cg_root", [_PAIR]), 26: ("rst_sibling", "n"), 27: ("inherit_fd", [_INHERIT]), 34: ("manage_cgroups_mode", "n"),
    37: ("external", "T"), 38: ("empty_ns", "n"), 39: ("join_ns", [_PAIR]), 44: ("freeze_cgroup", "t"), 46: ("tcp_skip_in_flight", "n"),
    48: ("lazy_pages", "n"), 49: ("status_fd", "n"), 50: ("orphan_pts_master", "n"), 51: ("config_file", "t"), 53: ("lsm_profile", "t"),
    63: ("lsm_mount_context", "t"),
}
REQUEST = {1: ("type", "n"), 2: ("opts", OPTIONS), 3: ("notify_success", "n"), 5: ("features", {1: ("mem_track", "n"), 2: ("lazy_pages", "n")})}


def varint(number):
    out = b""
    while number >= 0x80:
        out += bytes([number & 0x7f | 0x80])
        number >>= 7
    return out + bytes([number])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value if isinstance(value, bytes) else value.encode()
    return varint(number << 3 | 2) + varint(len(value)) + value


def decode(data, table):
    found, at = {}, 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7f) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        tag = number()
        value = number()
        if tag & 7 == 2:
            value, at = data[at:at + value], at + value
        name, kind = table[tag >> 3]  # a field that is not in rpc.proto is an error
        if kind == "n":
            found[name] = value
        elif kind == "t":
            found[name] = value.decode()
        elif kind == "T":
            found.setdefault(name, []).append(value.decode())
        elif isinstance(kind, list):
            found.setdefault(name, []).append(decode(value, kind[0]))
        else:
            found[name] = decode(value, kind)
    return found


class Criu:
    def __init__(self, sock):
        self.sock = sock
        self.folder = Path(os.environ["FAKE_CRIU"])
        self.plan = {**PLAN, **json.loads((self.folder / "plan.json").read_text())}
        self.client = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]

    def receive(self):
        data = self.sock.recv(1 << 20)
        if not data:
            sys.exit(1)
        return decode(data, REQUEST)

    def answer(self, kind, success, *fields, fds=()):
        socket.send_fds(self.sock, [field(1, kind) + field(2, int(success)) + b"".join(fields)], fds)

    def notify(self, script, pid=0, fds=()):
        """Whether the client agrees."""
        if self.plan["die"] == script:
            os.kill(os.getpid(), signal.SIGKILL)
        self.answer(NOTIFY, True, field(5, field(1, script) + field(2, pid)), fds=fds)
        answer = self.receive()
        assert answer["type"] == NOTIFY
        return bool(answer["notify_success"])

    def serve(self):
        request = self.receive()
        kind, options = request["type"], request.get("opts", {})
        kept = {"request": request, "client": self.client}
        if "images_dir_fd" in options:
            kept["images"] = os.readlink(f"/proc/{self.client}/fd/{options['images_dir_fd']}")
            kept["work"] = os.readlink(f"/proc/{self.client}/fd/{options.get('work_dir_fd', options['images_dir_fd'])}")
            (Path(kept["work"]) / options["log_file"]).write_text(self.plan["log"])
        if kind == RESTORE:
            kept["inherited"] = {each["key"]: os.readlink(f"/proc/self/fd/{each['fd']}") for each in options.get("inherit_fd", [])}
            kept["root"] = sorted(os.listdir(options["root"]))
            kept["root_is_mount"] = f" {options['root']} " in Path("/proc/self/mountinfo").read_text()
            kept["cgroup"] = Path("/proc/self/cgroup").read_text()
            kept["mountpoints"] = {m["value"]: os.path.exists(options["root"] + m["key"]) for m in options.get("ext_mnt", [])}
            kept["descriptors"] = sorted(map(int, os.listdir("/proc/self/fd")))
        (self.folder / f"{NAMES[kind]}.json").write_text(json.dumps(kept))
        {DUMP: self.dump, PRE_DUMP: self.pre_dump, RESTORE: self.restore, FEATURE_CHECK: self.features, VERSION: self.version}[kind](kind, options)

    def version(self, kind, _):
        major, minor, sub = self.plan["version"]
        self.answer(kind, True, field(10, field(1, major) + field(2, minor) + field(4, sub)))

    def features(self, kind, _):
        mem_track, lazy_pages = self.plan["features"]
        self.answer(kind, True, field(8, field(1, mem_track) + field(2, lazy_pages)))

    def refuse(self, kind):
        self.answer(kind, False, field(7, self.plan["fail"]))
        sys.exit(1)

    def pre_dump(self, kind, _):
        self.answer(kind, True)
        self.receive()  # until the client leaves

    def dump(self, kind, options):
        for script in ("pre-dump", "network-lock", *self.plan["notify"]):
            self.notify(script)
        if self.plan["fail"]:
            self.refuse(kind)
        if not options["leave_running"]:
            os.kill(options["pid"], signal.SIGKILL)
            while self.alive(options["pid"]):
                time.sleep(0.01)
        self.notify("post-dump")
        self.answer(kind, True, field(3, field(1, 1)))

    @staticmethod
    def alive(pid):
        try:
            return " Z " not in Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return False

    def restore(self, kind, options):
        if self.plan["fail"]:
            self.refuse(kind)
        pid = self.make_process(options)
        if not self.notify("setup-namespaces", pid):
            os.kill(pid, signal.SIGKILL)
            self.plan["fail"] = 125  # ECANCELED
            self.refuse(kind)
        if self.plan["terminal"]:
            master, slave = os.openpty()
            os.write(slave, b"restored terminal\n")
            self.notify("orphan-pts-master", pid, [master])
        if not self.notify("post-restore", pid):
            os.kill(pid, signal.SIGKILL)
            self.plan["fail"] = 125
            self.refuse(kind)
        os.close(self.hold)
        self.answer(kind, True, field(4, field(1, pid)))

    def make_process(self, options):
        """The client's child, as rst_sibling asks (clone's CLONE_PARENT); stopped until it is let go, and
        ends when `end` appears in the folder."""
        assert options["rst_sibling"]
        held, self.hold = os.pipe()
        clone_parent = 0x8000
        pid = ctypes.CDLL(None).syscall(56, clone_parent | self.plan["namespaces"], 0, 0, 0, 0)
        assert pid >= 0
        if pid == 0:
            os.close(self.hold)
            os.read(held, 1)
            os.closerange(3, 100)
            os.write(1, b"restored\n")
            os.execv("/bin/busybox", ["sh", "-c", f"while [ ! -e {self.folder}/end ]; do sleep 0.02; done; exit {self.plan['status']}"])
        return pid


if __name__ == "__main__":
    assert sys.argv[1] == "swrk"
    Criu(socket.socket(fileno=int(sys.argv[2]))).serve()
