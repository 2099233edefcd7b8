#!/usr/bin/env python3
"""A guest that breaks virtio's rules on every device, under both engines: each device goes on to work, the monitor's
memory stays bounded, and nothing of it reaches the host."""

import re
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from lib import runtime  # noqa: E402
from lib.case import SystemTest, command, main  # noqa: E402

SOURCE = Path(__file__).resolve().parent / "hostile_guest.c"
DEVICES = {1: "net", 2: "block", 3: "console", 4: "entropy", 19: "vsock"}
MEMORY = 16 << 20
# Beside guest memory: the monitor, and what devices hold while they work.
MOST = MEMORY + (64 << 20)


class VmHostileTest(SystemTest):
    def setUp(self):
        super().setUp()
        self.root = self.folder / "vm"
        self.kernel = self.folder / "hostile"
        command("clang-19", "-m32", "-O1", "-march=i686", "-mno-sse", "-mno-mmx", "-ffreestanding", "-fno-pic",
                "-fno-stack-protector", "-nostdlib", "-static", "-fuse-ld=lld-19", "-Wl,--image-base=0x100000",
                "-Wl,--build-id=none", "-Wall", "-Wextra", "-Werror",
                "-o", self.kernel, SOURCE)
        self.disk = self.folder / "disk"
        self.disk.write_bytes(b"D" * (1 << 20))
        self.metadata = self.folder / "metadata"
        self.metadata.write_text("{}")

    def peak(self, process):
        """The most memory that the process had, until it ends."""
        most = 0
        while process.poll() is None:
            try:
                text = Path(f"/proc/{process.pid}/status").read_text()
            except FileNotFoundError:
                break
            if found := re.search(r"VmHWM:\s+(\d+) kB", text):
                most = max(most, int(found[1]) * 1024)
            time.sleep(0.05)
        return most

    def run_hostile(self, engine):
        process = subprocess.Popen(
            [str(arg) for arg in (runtime.path(), "vm", "--root", self.root, "run", "--rm", "--name", engine,
                                  "--engine", engine, "--kernel", self.kernel, "-m", "16m", "--console", "virtio",
                                  "--disk", f"{self.disk},ro", "--net", "vmtap0", "--mmds", self.metadata)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace")
        said = []
        reader = threading.Thread(target=lambda: said.extend(process.communicate(timeout=240)))
        reader.start()
        most = self.peak(process)
        reader.join()
        return process.returncode, said[0], said[1], most

    def check(self, engine):
        status, out, err, most = self.run_hostile(engine)
        self.assertEqual((0, ""), (status, err), out)
        self.assertIn("done\n", out)
        for number, name in DEVICES.items():
            with self.subTest(device=name):
                held = re.search(rf"device {number} held, stopped (\d+)\n", out)
                self.assertTrue(held, out)
                # What cannot be served stops the device until its driver resets it.
                self.assertGreater(int(held[1]), 10, out)
        self.assertNotIn("broke it", out)
        self.assertGreater(most, 0)
        self.assertLess(most, MOST)
        self.assertEqual(b"D" * (1 << 20), self.disk.read_bytes())

    def test_translator(self):
        self.check("translator")

    def test_kvm(self):
        self.check("kvm")


if __name__ == "__main__":
    main()
