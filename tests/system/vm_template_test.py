#!/usr/bin/env python3
"""Machines with our init go on from where one of their kind was ready: disks, networks, time and randomness of their own.
Debian's cloud kernel under the translator."""

import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent / "guest")]

from lib.case import command, main, until  # noqa: E402
from vm_guest_test import VmGuestCase  # noqa: E402
from vm_linux_test import prepare  # noqa: E402


class VmTemplateTest(VmGuestCase):
    def run_in(self, *args, words, **kwargs):
        """What a machine's command said, and how the machine started."""
        ran = self.vm("run", "--rm", "--trace=summary", *self.machine(*args, **kwargs), "--", *words)
        return ran.stdout, re.search(r"^start (.*)$", ran.stderr, re.M).group(1)

    def test_the_second_of_a_kind_is_restored(self):
        self.assertEqual(self.run_in(words=["hostname"])[1], "booted and kept")
        for name in ("red", "blue"):
            self.assertEqual(self.run_in("--hostname", name, words=["hostname"]), (f"{name}\n", "restored"))
        self.assertEqual(self.run_in("--cold", words=["echo", "x"]), ("x\n", "booted"))
        self.assertEqual(self.run_in("-m", "160m", words=["true"])[1], "booted and kept")
        self.assertEqual(self.run_in("-c", "2", words=["nproc"]), ("2\n", "booted and kept"))
        self.assertEqual(self.run_in("-c", "2", words=["nproc"]), ("2\n", "restored"))
        self.initrd.touch()
        self.assertEqual(self.run_in(words=["true"])[1], "booted and kept")

    def test_time_and_randomness_are_its_own(self):
        look = ["sh", "-c", "date +%s; head -c 16 /dev/urandom | md5sum; cat /proc/sys/kernel/random/boot_id"]
        self.run_in(words=["true"])
        seen = set()
        for _ in range(3):
            time.sleep(1.2)
            before = int(time.time())
            said, how = self.run_in(words=look)
            self.assertEqual(how, "restored")
            now, *own = said.split("\n")
            self.assertTrue(before <= int(now) <= time.time() + 1, (before, now))
            seen.update(own[:2])
        self.assertEqual(len(seen), 6)

    def test_disks_are_what_they_are_now(self):
        root, data = self.image("root", "-d", self.tree), self.image("data")
        command("truncate", "-s", "48m", data)
        command("resize2fs", data)
        said = []
        for word in ("first", "second", "third"):
            # Another size and content each time, under the same names.
            said.append(self.run_in("--disk", f"{root},root", "--disk", f"{data},mount=/data", files=False, words=[
                "sh", "-c", f"mkdir -p /data; cat /data/said; echo {word} >>/data/said; cat /sys/block/vdb/size"]))
            if word == "first":
                command("e2fsck", "-fn", data)
                command("truncate", "-s", "64m", data)
        self.assertEqual(said, [(f"{(48 << 20) // 512}\n", "booted and kept"),
                                (f"first\n{(64 << 20) // 512}\n", "restored"),
                                (f"first\nsecond\n{(64 << 20) // 512}\n", "restored")])
        command("e2fsck", "-fn", data)
        command("e2fsck", "-fn", root)

    def test_two_at_once_on_one_network(self):
        self.start_network()
        self.assertIn('"restored"', (self.root / "n2/machine.json").read_text())
        macs = {self.vm("exec", name, "cat", "/sys/class/net/eth0/address").stdout for name in ("n1", "n2")}
        self.assertEqual(len(macs), 2)

    def test_many_at_once_and_killed_makers(self):
        kept = self.folder / "cache/machines"

        def names():
            return [path.name for path in kept.iterdir()] if kept.exists() else []
        killed = subprocess.Popen(self.arguments("run", "--name", "killed", *self.machine(), "--", "true"))
        until(lambda: any(name.endswith(".part") for name in names()) or killed.poll() is not None,
              "one to be made", patience=60)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        self.vm("rm", "killed")
        said = {}

        def one(number):
            said[number] = self.run_in(words=["echo", str(number)])
        for _ in range(2):
            threads = [threading.Thread(target=one, args=(number,)) for number in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual({number: text for number, (text, _) in said.items()}, {n: f"{n}\n" for n in range(4)})
        self.assertEqual({how for _, how in said.values()}, {"restored"})
        self.assertEqual([name.endswith(".part") for name in names()], [False])

    def test_a_restored_machine_can_be_saved_and_restored(self):
        self.run_in(words=["true"])
        self.start("one")
        self.vm("exec", "one", "sh", "-c", "echo kept >/root/note")
        saved = self.folder / "saved"
        self.vm("snapshot", "one", saved)
        self.vm("rm", "-f", "one")
        time.sleep(1.2)
        self.vm("restore", "-d", "--name", "two", "--engine", "translator", saved)
        self.addCleanup(lambda: self.vm("rm", "-f", "two", check=False))
        self.assertEqual(self.vm("exec", "two", "cat", "/root/note").stdout, "kept\n")
        until(lambda: abs(int(self.vm("exec", "two", "date", "+%s").stdout) - time.time()) <= 1, "the right time")

    def test_an_agent_without_a_command(self):
        sbin = self.tree / "sbin/init"
        sbin.write_text("#!/bin/busybox sh\nwhile :; do sleep 1; done\n")
        sbin.chmod(0o755)
        root = self.image("root", "-d", self.tree)
        for name, how in (("first", "booted"), ("second", "restored")):
            self.vm("run", "-d", "--name", name, *self.machine("--agent", "--disk", f"{root},root,ro"))
            self.addCleanup(lambda name=name: self.vm("rm", "-f", name, check=False))
            self.assertEqual(self.vm("exec", name, "cat", "/proc/1/comm").stdout, "init\n")
            self.assertIn(f'"{how}"', (self.root / name / "machine.json").read_text())


if __name__ == "__main__":
    prepare()
    main()
