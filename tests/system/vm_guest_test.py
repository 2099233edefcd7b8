#!/usr/bin/env python3
"""Commands in guests with our init: streams, status, signals, terminal, exec, cp, disks, and two machines on one
network. Debian's cloud kernel under the translator."""

import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent / "guest")]

from lib import runtime  # noqa: E402
from lib.case import SystemTest, command, main, until  # noqa: E402
from vm_linux_test import prepare  # noqa: E402


class VmGuestCase(SystemTest):
    def setUp(self):
        super().setUp()
        self.kernel = next((prepare() / "boot").glob("vmlinuz-*"))
        self.tree = self.folder / "tree"
        for name in ("bin", "etc", "root", "tmp", "proc", "sys", "dev", "run", "sbin"):
            (self.tree / name).mkdir(parents=True)
        shutil.copy("/bin/busybox", self.tree / "bin")
        for name in command("/bin/busybox", "--list").stdout.split():
            if name != "busybox":
                (self.tree / "bin" / name).symlink_to("busybox")
        (self.tree / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nann:x:1000:100::/tmp:/bin/sh\n")
        (self.tree / "etc/group").write_text("root:x:0:\nusers:x:100:\nstaff:x:50:\n")
        names = "\n".join(str(path.relative_to(self.tree)) for path in sorted(self.tree.rglob("*")))
        self.initrd = self.folder / "initrd"
        with self.initrd.open("wb") as out:
            subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], input=names.encode(), cwd=self.tree, check=True,
                           stdout=out)
        self.root = self.folder / "vm"

    def arguments(self, *args):
        return [str(arg) for arg in (runtime.path(), "vm", "--root", self.root, *args)]

    def vm(self, *args, **kwargs):
        return command(*self.arguments(*args), **kwargs)

    def machine(self, *args, files=True):
        return ("--engine", "translator", "--cache", self.folder / "cache", "--kernel", self.kernel, "-m", "192m",
                *(("--initrd", self.initrd) if files else ()), *args)

    def start(self, name, *args, **kwargs):
        """In the background, up and waiting for commands."""
        self.vm("run", "-d", "--name", name, *self.machine(*args, **kwargs), "--", "sleep", "1000")
        self.addCleanup(lambda: self.vm("rm", "-f", name, check=False))

    def start_network(self):
        """Machines n1 and n2, 10.9.1.1 and .2, on a bridge, in sight of each other."""
        command("ip", "link", "add", "vmbr0", "type", "bridge")
        self.addCleanup(lambda: command("ip", "link", "del", "vmbr0"))
        command("ip", "link", "set", "vmbr0", "up")
        for number in (1, 2):
            self.start(f"n{number}", "--net", f"vmtap{number},ip=10.9.1.{number}/24")
            command("ip", "link", "set", f"vmtap{number}", "master", "vmbr0", "up")
        until(lambda: self.vm("exec", "n1", "ping", "-c", "1", "-w", "1", "10.9.1.2", check=False).returncode == 0,
              "ping")

    def image(self, name, *options):
        """A disk with an ext4 of the tree."""
        disk = self.folder / name
        command("mke2fs", "-q", "-t", "ext4", *options, disk, "32m")
        return disk


class VmGuestTest(VmGuestCase):
    def test_streams_status_and_surroundings(self):
        (self.folder / "typed").write_text("typed\n")
        with (self.folder / "typed").open() as typed:
            ran = self.vm("run", "--rm", "-i", "-e", "COLOUR=green", "-w", "/tmp", "-u", "ann:staff", "--hostname", "box",
                          *self.machine(), "--", "sh", "-c", "cat; echo $COLOUR; pwd; id; hostname; echo $HOME; "
                          "echo wrong >&2; exit 7", check=False, stdin=typed)
        self.assertEqual(ran.stdout, "typed\ngreen\n/tmp\nuid=1000(ann) gid=50(staff) groups=50(staff)\nbox\n/tmp\n")
        self.assertEqual((ran.stderr, ran.returncode), ("wrong\n", 7))
        self.assertEqual(self.vm("ls", "-aq").stdout, "")

    def test_what_cannot_run_is_told(self):
        ran = self.vm("run", "--rm", *self.machine(), "--", "nothing", check=False)
        self.assertEqual(ran.returncode, 127)
        self.assertIn("nothing: no such file or directory", ran.stderr)
        ran = self.vm("run", "--rm", "-u", "bob", *self.machine(), "--", "true", check=False)
        self.assertIn("the guest has no bob", ran.stderr)
        ran = self.vm("run", "--rm", *self.machine(files=False), "--", "true", check=False)
        self.assertIn("the guest has no files", ran.stderr)

    def test_the_translators_blocks_can_be_listed(self):
        ran = self.vm("run", "--rm", "--trace=blocks", *self.machine(), "--", "true")
        self.assertRegex(ran.stderr, r"block ffffffff8[0-9a-f]{7} ring0 guest \d+ host \d+ instructions \d+")
        self.assertRegex(ran.stderr, r"block [0-9a-f]{16} ring3 ")

    def test_signals_reach_the_command(self):
        process = subprocess.Popen(self.arguments("run", "--rm", *self.machine(), "--", "sh", "-c",
                                                  "trap 'echo asked; exit 5' TERM; echo ready; "
                                                  "while :; do sleep 0.1; done"),
                                   stdout=subprocess.PIPE, text=True)
        self.assertEqual(process.stdout.readline(), "ready\n")
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.communicate(timeout=60)[0], "asked\n")
        self.assertEqual(process.returncode, 5)

    def test_a_terminal(self):
        self.start("one")
        process, terminal = pty.fork()
        if process == 0:
            words = self.arguments("exec", "-it", "one", "sh")
            os.execv(words[0], words)
        os.set_blocking(terminal, False)
        seen = b""

        def sees(text):
            nonlocal seen
            deadline = time.monotonic() + 30
            while text not in seen and time.monotonic() < deadline:
                select.select([terminal], [], [], 0.2)
                try:
                    seen += os.read(terminal, 4096)
                except (BlockingIOError, OSError):
                    pass
            self.assertIn(text, seen)
        sees(b"# ")
        os.write(terminal, b"tty; echo in$((1+1)); sleep 1000\n")
        sees(b"/dev/pts/0")
        sees(b"in2")
        os.write(terminal, b"\x03")
        os.write(terminal, b"exit 3\n")
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), 3)
        os.close(terminal)

    def test_files_both_ways(self):
        self.start("one")
        source = self.folder / "source"
        (source / "below").mkdir(parents=True)
        (source / "below/data").write_bytes(os.urandom(300_000))
        (source / "below/data").chmod(0o640)
        (source / "link").symlink_to("below/data")
        self.vm("cp", source, "one:/root")
        digest = self.vm("exec", "one", "md5sum", "/root/source/link").stdout.split()[0]
        self.assertEqual(digest, command("md5sum", source / "below/data").stdout.split()[0])
        back = self.folder / "back"
        self.vm("cp", "one:/root/source", back)
        self.assertEqual((back / "below/data").read_bytes(), (source / "below/data").read_bytes())
        self.assertEqual((back / "below/data").stat().st_mode & 0o777, 0o640)
        self.assertEqual(os.readlink(back / "link"), "below/data")
        self.vm("cp", f"{source}/.", "one:/tmp")
        self.vm("exec", "one", "cmp", "/tmp/below/data", "/root/source/below/data")
        failed = self.vm("cp", "one:/missing", back, check=False)
        self.assertIn("/missing: no such file or directory", failed.stderr)
        failed = self.vm("cp", source, "one:/none/", check=False)
        self.assertIn("there is no such folder", failed.stderr)

    def test_a_root_disk_and_another(self):
        root = self.image("root", "-d", self.tree)
        data = self.image("data")
        for word in ("first", "second"):
            ran = self.vm("run", "--rm", *self.machine("--disk", f"{data},mount=/data", "--disk", f"{root},root",
                                                       files=False),
                          "--", "sh", "-c", f"mkdir -p /data; cat /data/said; echo {word} >>/data/said; ls -d /proa",
                          check=False)
            self.assertEqual(ran.stdout, "" if word == "first" else "first\n", ran.stderr)
        command("e2fsck", "-fn", data)
        command("e2fsck", "-fn", root)

    def test_two_machines_on_one_network(self):
        self.start_network()
        content = self.folder / "content"
        content.write_bytes(os.urandom(2_000_000))
        self.vm("cp", content, "n1:/content")
        self.vm("exec", "n2", "sh", "-c", "sleep 1000 | nc -l -p 80 >/got & true")
        self.vm("exec", "n1", "sh", "-c", "nc 10.9.1.2 80 </content")
        digest = command("md5sum", content).stdout.split()[0]
        until(lambda: digest in self.vm("exec", "n2", "md5sum", "/got").stdout, "the whole content")

    def fetch(self, name, path, *headers, method="GET"):
        """What busybox gets from the metadata service: headers and body."""
        request = "\\r\\n".join([f"{method} {path} HTTP/1.1", "Host: metadata", "Connection: close", *headers, "", ""])
        done = self.vm("exec", name, "sh", "-c", f"printf '{request}' | nc 169.254.169.254 80")
        head, _, body = done.stdout.replace("\r", "").partition("\n\n")
        return head, body

    def test_metadata(self):
        document = self.folder / "metadata.json"
        big = "b" * 40000
        document.write_text(json.dumps({"latest": {"meta-data": {"ami-id": "ami-1", "big": big}}}))
        self.start("one", "--net", "vmtap0,ip=10.9.1.2/24,gateway=10.9.1.1", "--mmds", document)
        self.vm("exec", "one", "ip", "route", "add", "169.254.169.254", "dev", "eth0")
        head, body = self.fetch("one", "/latest/meta-data/ami-id")
        self.assertIn("401 Unauthorized", head)
        head, token = self.fetch("one", "/latest/api/token", "X-metadata-token-ttl-seconds: 60", method="PUT")
        self.assertIn("200 OK", head, token)
        with_token = f"X-metadata-token: {token.strip()}"
        self.assertEqual("ami-1", self.fetch("one", "/latest/meta-data/ami-id", with_token)[1])
        self.assertEqual("ami-id\nbig", self.fetch("one", "/latest/meta-data/", with_token)[1])
        head, body = self.fetch("one", "/latest/meta-data/big", with_token, "Accept: application/json")
        self.assertIn("application/json", head)
        self.assertEqual(json.dumps(big), body)
        api = ["curl", "-s", "--unix-socket", self.root / "one/api.sock"]
        command(*api, "-X", "PATCH", "-d", '{"latest":{"meta-data":{"ami-id":"ami-2"}}}', "http://localhost/mmds")
        self.assertEqual("ami-2", self.fetch("one", "/latest/meta-data/ami-id", with_token)[1])
        counts = json.loads(self.vm("stats", "-o", "json", "one").stdout)["mmds"]
        self.assertEqual((1, 0), (counts["rx_no_token"], counts["rx_invalid_token"]))
        # Clients of the same image elsewhere: wget as it comes with busybox, version 1.
        self.vm("rm", "-f", "one")
        self.start("old", "--net", "vmtap0,ip=10.9.1.2/24", "--mmds", f"{document},v1,address=169.254.170.2")
        self.vm("exec", "old", "ip", "route", "add", "169.254.170.2", "dev", "eth0")
        got = self.vm("exec", "old", "wget", "-q", "-O", "-", "http://169.254.170.2/latest/meta-data/ami-id").stdout
        self.assertEqual("ami-1", got)

    def test_a_virtio_console(self):
        ran = self.vm("run", "-d", "--name", "one", "--console", "virtio", *self.machine(), "--", "sh", "-c",
                      "read word; echo said $word on $(cat /sys/class/tty/console/active)")
        self.assertEqual("one\n", ran.stdout)
        self.addCleanup(lambda: self.vm("rm", "-f", "one", check=False))
        typist = subprocess.Popen(self.arguments("console", "one"), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        typist.stdin.write(b"hello\n")
        typist.stdin.flush()
        log = self.root / "one/console.log"
        until(lambda: "said hello on hvc0" in log.read_text(errors="replace"), "the command's answer", patience=60)
        typist.communicate()

    def test_a_guest_that_never_comes_up_is_told(self):
        ran = self.vm("run", "-d", "--name", "stuck", "--wait", "2",
                      *self.machine("--cmdline", "console=ttyS0 rdinit=/bin/nothing panic=0 init=/bin/nothing"),
                      "--", "true", check=False)
        self.addCleanup(lambda: self.vm("rm", "-f", "stuck", check=False))
        self.assertEqual(1, ran.returncode)
        self.assertIn("machine stuck: its guest is not up after 2 s", ran.stderr)
        self.assertIn("stuck", self.vm("ls").stdout)

    def test_a_restored_guest_still_serves(self):
        self.start("one")
        saved = self.folder / "saved"
        self.vm("snapshot", "one", saved)
        self.vm("rm", "-f", "one")
        self.vm("restore", "-d", "--name", "two", "--engine", "translator", saved)
        self.addCleanup(lambda: self.vm("rm", "-f", "two", check=False))
        self.assertEqual(self.vm("exec", "two", "echo", "here").stdout, "here\n")
        self.vm("exec", "two", "kill", "1", check=False)
        until(lambda: "off" in self.vm("ls", "-a").stdout, "the machine to switch off")


if __name__ == "__main__":
    prepare()
    main()
