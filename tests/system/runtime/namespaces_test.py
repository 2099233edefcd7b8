#!/usr/bin/env python3
"""Namespaces: new, joined by path, or the caller's own; user namespaces with their mappings; what is set inside them."""

import ctypes
import json
import os
import signal
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib.case import command, main, until  # noqa: E402
from lib.container import ContainerTest, is_proa, namespace, status_field  # noqa: E402

proa_only = unittest.skipUnless(is_proa(), "not in runc 1.1")
# Name in config.json, name in /proc/PID/ns, unshare(1)'s option.
KINDS = {"pid": ("pid", "--pid"), "network": ("net", "--net"), "ipc": ("ipc", "--ipc"), "uts": ("uts", "--uts"), "mount": ("mnt", "--mount"),
         "cgroup": ("cgroup", "--cgroup"), "user": ("user", "--user"), "time": ("time", "--time")}
MAPPING = [{"containerID": 0, "hostID": 100000, "size": 65536}]


class NamespaceTest(ContainerTest):
    def set_namespaces(self, bundle, *entries, without=()):
        kept = [n for n in bundle.config["linux"]["namespaces"] if n["type"] not in without and n["type"] not in [e["type"] for e in entries]]
        bundle.config["linux"]["namespaces"] = kept + list(entries)
        return bundle

    def in_user_namespace(self, bundle, mapping=None):
        mapping = mapping or MAPPING
        self.set_namespaces(bundle, {"type": "user"})
        bundle.config["linux"]["uidMappings"] = bundle.config["linux"]["gidMappings"] = mapping
        command("chown", "-R", "-h", f"{mapping[0]['hostID']}:{mapping[0]['hostID']}", bundle.root)
        self.folder.chmod(0o711)
        return bundle

    def holder(self, *options):
        """A process that holds new namespaces; returns a pid in them."""
        child = subprocess.Popen(["unshare", *options, "--fork", "sleep", "100000"])

        def end():
            subprocess.run(["pkill", "-9", "-P", str(child.pid)], check=False)
            child.wait()
        self.addCleanup(end)
        def inner():
            text = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()
            return text and b"sleep" in Path(f"/proc/{text[0]}/cmdline").read_bytes() and int(text[0])
        return until(inner, "the namespaces")


class Types(NamespaceTest):
    def test_new(self):
        entries = [{"type": "time"}] if is_proa() else []
        pid = self.started(self.set_namespaces(self.bundle("sleep", "1000"), *entries))
        for kind, (name, _) in KINDS.items():
            if kind == "user" or (kind == "time" and not is_proa()):
                continue
            self.assertNotEqual(namespace(name), namespace(name, pid), kind)
        self.assertEqual(namespace("user"), namespace("user", pid))

    def test_shared_with_the_caller(self):
        for kind in ("pid", "network", "ipc", "uts", "cgroup"):
            bundle = self.set_namespaces(self.bundle("sleep", "1000", name=kind), without=(kind,))
            if kind == "uts":
                del bundle.config["hostname"]
            if kind == "network":
                bundle.config["mounts"] = [m for m in bundle.config["mounts"] if m["destination"] != "/sys"]
            pid = self.started(bundle, ident=kind)
            self.assertEqual(namespace(KINDS[kind][0]), namespace(KINDS[kind][0], pid), kind)

    def test_joined_by_path(self):
        for kind in ("pid", "network", "ipc", "uts", "cgroup", *(["time"] if is_proa() else [])):
            name, option = KINDS[kind]
            other = self.holder(option)
            bundle = self.set_namespaces(self.bundle("sleep", "1000", name=kind), {"type": kind, "path": f"/proc/{other}/ns/{name}"})
            pid = self.started(bundle, ident=kind)
            self.assertEqual(namespace(name, other), namespace(name, pid), kind)
            self.assertNotEqual(namespace(name), namespace(name, pid), kind)

    def test_joined_mount_namespace(self):
        other = self.holder("--mount", "--propagation", "private")
        before = Path(f"/proc/{other}/mountinfo").read_text()
        bundle = self.set_namespaces(self.sh("ls /proc/self/ns/mnt -l; cat /etc/passwd | wc -l"), {"type": "mount", "path": f"/proc/{other}/ns/mnt"})
        done = self.run_container(bundle)
        if done.returncode == 0:
            self.assertIn("2", done.stdout.split())
        else:
            self.assertIn("mount", done.stderr)
        del before

    @proa_only
    def test_joined_user_namespace(self):
        other = self.holder("--user", "--map-root-user")
        bundle = self.set_namespaces(self.bundle("sleep", "1000"), {"type": "user", "path": f"/proc/{other}/ns/user"})
        for mount in bundle.config["mounts"]:
            mount["options"] = [o for o in mount.get("options", []) if o != "gid=5"]  # only 0 is mapped
        self.folder.chmod(0o755)
        pid = self.started(bundle)
        self.assertEqual(namespace("user", other), namespace("user", pid))

    @proa_only
    def test_mappings_of_a_joined_user_namespace(self):
        """Engines give them although the path says it all; then they must be right."""
        other = self.holder("--user", "--map-root-user")
        bundle = self.set_namespaces(self.bundle("sleep", "1000"), {"type": "user", "path": f"/proc/{other}/ns/user"})
        right = [{"containerID": 0, "hostID": 0, "size": 1}]
        for uids, gids, field in ((right, MAPPING, "gidMappings"), (MAPPING, right, "uidMappings")):
            bundle.config["linux"].update(uidMappings=uids, gidMappings=gids)
            self.refused(bundle, "mapping", *([field] if is_proa() else []))
        bundle.config["linux"].update(uidMappings=right, gidMappings=right)
        for mount in bundle.config["mounts"]:
            mount["options"] = [o for o in mount.get("options", []) if o != "gid=5"]  # only 0 is mapped
        self.folder.chmod(0o755)
        self.started(bundle)

    @proa_only
    def test_pod(self):
        """A second container in the first one's namespaces, as in a pod with everything shared."""
        first = self.sleeper(ident="first")
        entries = [{"type": kind, "path": f"/proc/{first}/ns/{KINDS[kind][0]}"} for kind in ("pid", "network", "ipc", "uts")]
        bundle = self.set_namespaces(self.bundle("sleep", "1000", name="second"), *entries)
        del bundle.config["hostname"]
        second = self.started(bundle, ident="second")
        for kind in ("pid", "network", "ipc", "uts"):
            self.assertEqual(namespace(KINDS[kind][0], first), namespace(KINDS[kind][0], second))
        self.assertIn("sleep", self.inside("cat", "/proc/1/cmdline", ident="second"))

    def test_wrong_type_of_path(self):
        for kind, (name, _) in KINDS.items():
            if kind == "time" and not is_proa():
                continue
            wrong = "uts" if kind != "uts" else "ipc"
            bundle = self.set_namespaces(self.bundle("true", name=kind), {"type": kind, "path": f"/proc/self/ns/{wrong}"})
            if kind == "uts":
                del bundle.config["hostname"]
            self.refused(bundle, *(["linux.namespaces[", kind] if is_proa() else []))

    def test_bad_path(self):
        for path in ("/no/such/ns", "/etc/passwd", "relative"):
            if is_proa() or path != "relative":
                self.refused(self.set_namespaces(self.bundle("true", name=path.replace("/", "_")), {"type": "network", "path": path}), path if is_proa() else "")

    @proa_only
    def test_bad_lists(self):
        self.refused(self.set_namespaces(self.bundle("true"), {"type": "nope"}), "linux.namespaces[", "type")
        bundle = self.bundle("true", name="twice")
        bundle.config["linux"]["namespaces"].append({"type": "pid"})
        self.refused(bundle, "linux.namespaces[6].type", "twice")

    @proa_only
    def test_names_need_a_namespace(self):
        self.refused(self.set_namespaces(self.bundle("true"), without=("uts",)), "hostname")


class Users(NamespaceTest):
    def test_mapped_root(self):
        bundle = self.in_user_namespace(self.sh("id -u; id -g; cat /proc/self/uid_map; touch /made; stat -c %u /etc/passwd; ls /dev/null /dev/pts/ptmx > /dev/null && echo x > /dev/null && echo devices"))
        lines = self.said(bundle).splitlines()
        self.assertEqual(["0", "0", ["0", "100000", "65536"], "0", "devices"], [*lines[:2], lines[2].split(), *lines[3:]])
        self.assertEqual((100000, 100000), ((bundle.root / "made").stat().st_uid, (bundle.root / "made").stat().st_gid))

    def test_from_outside(self):
        pid = self.started(self.in_user_namespace(self.bundle("sleep", "1000")))
        self.assertEqual(["100000"] * 4, status_field(pid, "Uid").split())
        self.assertNotEqual(namespace("user"), namespace("user", pid))
        for kind in ("net", "uts", "ipc", "mnt", "pid"):
            owner = subprocess.run(["nsenter", "-t", str(pid), f"--{ {'mnt': 'mount'}.get(kind, kind) }", "true"], check=False)
            self.assertEqual(0, owner.returncode)
        self.assertEqual("0", self.inside("id", "-u"))
        self.assertEqual("1000", self.inside("id", "-u", options=("--user", "1000")))

    def test_root_inside_has_no_rights_outside(self):
        bundle = self.in_user_namespace(self.sh("cat /host/secret; echo x > /proc/sys/kernel/hostname; mknod /x c 1 3; true"))
        (self.folder / "host").mkdir()
        (self.folder / "host/secret").write_text("secret")
        (self.folder / "host/secret").chmod(0o600)
        bundle.config["mounts"].append({"destination": "/host", "type": "bind", "source": str(self.folder / "host"), "options": ["rbind"]})
        done = self.run_container(bundle)
        self.assertNotIn("secret", done.stdout)
        self.assertIn("Permission denied", done.stderr)

    def test_user_and_groups_inside(self):
        bundle = self.in_user_namespace(self.sh("id -u; id -G"))
        bundle.config["process"]["user"] = {"uid": 1000, "gid": 1000, "additionalGids": [5]}
        self.assertEqual(["1000", "1000 5"], self.said(bundle).splitlines())

    def test_several_ranges(self):
        mapping = [{"containerID": 0, "hostID": 100000, "size": 10}, {"containerID": 10, "hostID": 200000, "size": 100}]
        bundle = self.in_user_namespace(self.sh("touch /tmp/x"), mapping)
        bundle.config["process"]["user"] = {"uid": 15, "gid": 15}
        self.said(bundle)
        self.assertEqual(200005, (bundle.root / "tmp/x").stat().st_uid)

    @proa_only
    def test_bad_mappings(self):
        overlapping = [{"containerID": 0, "hostID": 100000, "size": 10}, {"containerID": 5, "hostID": 200000, "size": 100}]
        for n, (uids, gids, word) in enumerate((([], MAPPING, "linux.uidMappings"), (MAPPING, [], "linux.gidMappings"), (overlapping, MAPPING, "linux.uidMappings"),
                                                ([{"containerID": 0, "hostID": 1, "size": 0}], MAPPING, "linux.uidMappings"))):
            bundle = self.in_user_namespace(self.bundle("true", name=str(n)))
            bundle.config["linux"].update(uidMappings=uids, gidMappings=gids)
            self.refused(bundle, word)
        bundle = self.set_namespaces(self.bundle("true", name="without"), without=("user",))
        bundle.config["linux"]["uidMappings"] = MAPPING
        self.refused(bundle, "linux.uidMappings", "user namespace")

    def test_unmapped_user(self):
        bundle = self.in_user_namespace(self.bundle("true"))
        bundle.config["process"]["user"] = {"uid": 70000, "gid": 0}
        text = self.refused(bundle)
        if is_proa():
            self.assertIn("process.user.uid", text)

    def test_terminal_and_devices(self):
        bundle = self.in_user_namespace(self.sh("test -t 0 && stat -c %u $(tty) && echo to > /dev/console && stat -c '%t:%T' /dev/full"))
        bundle.config["process"]["terminal"] = True
        master, slave = os.openpty()
        self.addCleanup(os.close, master)
        runner = self.background("run", "--bundle", bundle.save().path, "box", stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)
        self.assertEqual(0, runner.wait(20))
        text = os.read(master, 1000).decode()
        self.assertIn("0\r\n", text)
        self.assertIn("1:7", text)

    def test_read_only_root_and_masks(self):
        bundle = self.in_user_namespace(self.sh("touch /x; cat /proc/keys | wc -c; echo 1 > /proc/sys/net/ipv4/ip_forward; true"))
        bundle.config["root"]["readonly"] = True
        done = self.run_container(bundle)
        self.assertEqual(2, done.stderr.count("Read-only file system"), done.stderr)
        self.assertEqual("0\n", done.stdout)


class Rootless(NamespaceTest):
    """As user 1000, who may use nothing of the host but its own."""

    USER = 1000

    def as_user(self, *args, timeout=60):
        argv = ["setpriv", f"--reuid={self.USER}", f"--regid={self.USER}", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all", *self.runtime.argv(*args)]
        return subprocess.run(argv, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL,
                              env={"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": str(self.folder / "state")}, cwd="/")

    def bundle_of_user(self, script, mapping, gid_mapping=None):
        bundle = self.sh(script)
        config = bundle.config
        config["linux"]["namespaces"] = [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "user", "network")]
        config["linux"]["uidMappings"], config["linux"]["gidMappings"] = mapping, gid_mapping or mapping
        del config["linux"]["resources"], config["linux"]["cgroupsPath"]
        for mount in config["mounts"]:
            mount["options"] = [o for o in mount.get("options", []) if not o.startswith("gid=")]
        bundle.save()
        command("chown", "-R", "-h", f"{self.USER}:{self.USER}", bundle.path, self.folder / "state")
        for folder in (self.folder, self.folder.parent):
            folder.chmod(0o755)
        return bundle

    def setUp(self):
        super().setUp()
        self.addCleanup(os.chmod, self.folder.parent, self.folder.parent.stat().st_mode & 0o7777)

    def test_single_mapping(self):
        """user_namespaces(7) lets anybody map the own id, and nothing else."""
        bundle = self.bundle_of_user("id -u; cat /proc/self/setgroups; touch /made; hostname", [{"containerID": 0, "hostID": self.USER, "size": 1}])
        done = self.as_user("run", "--bundle", bundle.path, "box")
        self.assertEqual(["0", "deny", "box"], done.stdout.split(), done.stderr)
        self.assertEqual(self.USER, (bundle.root / "made").stat().st_uid)

    def test_lifecycle(self):
        bundle = self.bundle_of_user("sleep 1000", [{"containerID": 0, "hostID": self.USER, "size": 1}])
        with open(self.folder / "log", "w") as log:
            argv = ["setpriv", f"--reuid={self.USER}", f"--regid={self.USER}", "--clear-groups", *self.runtime.argv("create", "--bundle", bundle.path, "box")]
            created = subprocess.run(argv, stdout=log, stderr=log, check=False, timeout=60, env={"PATH": os.environ["PATH"]})
        self.assertEqual(0, created.returncode, (self.folder / "log").read_text())
        self.assertEqual(0, self.as_user("start", "box").returncode)
        self.assertEqual("running", json.loads(self.as_user("state", "box").stdout)["status"])
        self.assertEqual("0\n", self.as_user("exec", "box", "id", "-u").stdout)
        self.assertEqual(0, self.as_user("kill", "box", "KILL").returncode)
        until(lambda: json.loads(self.as_user("state", "box").stdout)["status"] == "stopped", "the container to stop")
        self.assertEqual(0, self.as_user("delete", "box").returncode)

    def test_subordinate_ids(self):
        """newuidmap(1) maps what /etc/subuid grants."""
        for name in ("subuid", "subgid"):
            granted = self.folder / name
            granted.write_text(f"{self.USER}:300000:65536\n")
            command("mount", "--bind", granted, f"/etc/{name}")
            self.addCleanup(command, "umount", f"/etc/{name}")
        passwd = self.folder / "passwd"
        passwd.write_text(Path("/etc/passwd").read_text() + (f"u{self.USER}:x:{self.USER}:{self.USER}::/:/bin/sh\n" if f":{self.USER}:" not in Path("/etc/passwd").read_text() else ""))
        command("mount", "--bind", passwd, "/etc/passwd")
        self.addCleanup(command, "umount", "/etc/passwd")
        mapping = [{"containerID": 0, "hostID": self.USER, "size": 1}, {"containerID": 1, "hostID": 300000, "size": 1000}]
        bundle = self.bundle_of_user("touch /tmp/x; chown 5:6 /tmp/x && stat -c '%u %g' /tmp/x", mapping)
        done = subprocess.run(["setpriv", f"--reuid={self.USER}", f"--regid={self.USER}", "--clear-groups", *self.runtime.argv("run", "--bundle", bundle.path, "box")],
                              capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, check=False)
        self.assertEqual("5 6", done.stdout.strip(), done.stderr)
        self.assertEqual((300004, 300005), ((bundle.root / "tmp/x").stat().st_uid, (bundle.root / "tmp/x").stat().st_gid))

    @proa_only
    def test_user_namespace_is_required(self):
        bundle = self.bundle_of_user("true", [{"containerID": 0, "hostID": self.USER, "size": 1}])
        del bundle.config["linux"]["uidMappings"], bundle.config["linux"]["gidMappings"]
        bundle.config["linux"]["namespaces"].remove({"type": "user"})
        bundle.save()
        done = self.as_user("run", "--bundle", bundle.path, "box")
        self.assertIn("linux.namespaces", done.stderr)


class Inside(NamespaceTest):
    def test_hostname_and_domainname(self):
        bundle = self.sh("hostname; cat /proc/sys/kernel/domainname")
        bundle.config["hostname"] = "some-host"
        bundle.config["domainname"] = "some.domain"
        text = self.said(bundle).splitlines()
        self.assertEqual("some-host", text[0])
        if is_proa():
            self.assertEqual("some.domain", text[1])

    @proa_only
    def test_time_offsets(self):
        bundle = self.set_namespaces(self.sh("cat /proc/uptime; cat /proc/self/timens_offsets"), {"type": "time"})
        bundle.config["linux"]["timeOffsets"] = {"boottime": {"secs": 864000, "nanosecs": 5}, "monotonic": {"secs": 50}}
        lines = self.said(bundle).splitlines()
        self.assertGreater(float(lines[0].split()[0]), 864000)
        self.assertEqual([["monotonic", "50", "0"], ["boottime", "864000", "5"]], [line.split() for line in lines[1:]])
        bundle.config["linux"]["timeOffsets"] = {"nope": {"secs": 1}}
        self.refused(bundle, "linux.timeOffsets")

    def test_sysctl(self):
        bundle = self.sh("cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax /proc/sys/net/ipv4/conf/lo/rp_filter")
        bundle.config["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1", "kernel.msgmax": "4242", "net/ipv4/conf/lo/rp_filter": "2"}
        self.assertEqual(["1", "4242", "2"], self.said(bundle).split())

    def test_sysctl_of_the_host(self):
        for key in ("kernel.printk", "vm.swappiness", "net.nope", "kernel.hostname"):
            bundle = self.bundle("true", name=key)
            bundle.config["linux"]["sysctl"] = {key: "1"}
            text = self.refused(bundle)
            if is_proa():
                self.assertIn("linux.sysctl", text)
                self.assertIn(key, text)
        if is_proa():
            bundle = self.set_namespaces(self.bundle("true", name="shared"), without=("network",))
            bundle.config["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1"}
            self.refused(bundle, "linux.sysctl", "network")

    def test_sysctl_of_the_host_by_path(self):
        bundle = self.set_namespaces(self.bundle("true"), {"type": "network", "path": "/proc/self/ns/net"})
        bundle.config["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1"}
        self.refused(bundle, "net.ipv4.ip_forward", "not allowed in")

    def test_loopback_is_up(self):
        self.assertIn("127.0.0.1", self.said(self.sh("ip addr show lo")))

    @proa_only
    def test_net_devices(self):
        command("ip", "link", "add", "hostside", "type", "veth", "peer", "name", "goes-in")
        self.addCleanup(subprocess.run, ["ip", "link", "del", "hostside"], check=False)
        command("ip", "addr", "add", "10.9.8.7/24", "dev", "goes-in")
        bundle = self.sh("ip addr show dev eth7; ip link show goes-in 2>&1")
        bundle.config["linux"]["netDevices"] = {"goes-in": {"name": "eth7"}}
        done = self.run_container(bundle)
        self.assertIn("10.9.8.7/24", done.stdout)
        self.assertIn("can't find device", done.stdout)

    @proa_only
    def test_net_device_keeps_its_name(self):
        command("ip", "link", "add", "hostside", "type", "veth", "peer", "name", "goes-in")
        self.addCleanup(subprocess.run, ["ip", "link", "del", "hostside"], check=False)
        bundle = self.sh("ip link show goes-in")
        bundle.config["linux"]["netDevices"] = {"goes-in": {}}
        self.assertIn("goes-in", self.said(bundle))

    @proa_only
    def test_bad_net_devices(self):
        bundle = self.bundle("true")
        bundle.config["linux"]["netDevices"] = {"nosuchdev": {}}
        self.refused(bundle, "linux.netDevices", "nosuchdev")
        bundle.config["linux"]["netDevices"] = {"eth0": {"name": "much-too-long-a-name"}}
        self.refused(bundle, "linux.netDevices", "name")
        self.set_namespaces(bundle, without=("network",))
        self.refused(bundle, "linux.netDevices", "network namespace")

    def test_session_keyring(self):
        """Its own, so that it cannot read the caller's keys."""
        if not Path("/proc/keys").exists():
            self.skipTest("this kernel has no keys")
        bundle = self.sh("cat /proc/keys")
        bundle.config["linux"]["maskedPaths"] = []
        own, none = (f"{name}-{self.folder.name}" for name in ("own", "none"))
        self.assertIn(f"_ses.{own}", self.said(bundle, ident=own))
        self.assertNotIn(f"_ses.{none}", self.said(bundle, "--no-new-keyring", ident=none))

    def test_first_process(self):
        self.assertEqual(["1", "1"], self.said(self.sh("echo $$; cut -d' ' -f6 /proc/self/stat")).split())


if __name__ == "__main__":
    main()
