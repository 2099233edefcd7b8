#!/usr/bin/env python3
"""Debian's cloud kernel under the translator: disk with checksums, network to the host, the socket device, two
processors, snapshot and restore."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent / "guest")]

import packages  # noqa: E402
from lib import runtime  # noqa: E402
from lib.case import SystemTest, command, main, until  # noqa: E402

CACHE = Path(__file__).resolve().parents[2] / "build" / "guest" / "cloud-kernel"
MODULES = ("drivers/virtio/virtio_ring", "drivers/virtio/virtio", "drivers/virtio/virtio_mmio",
           "drivers/block/virtio_blk", "net/core/failover", "drivers/net/net_failover", "drivers/net/virtio_net",
           "drivers/char/hw_random/virtio-rng", "net/vmw_vsock/vsock",
           "net/vmw_vsock/vmw_vsock_virtio_transport_common", "net/vmw_vsock/vmw_vsock_virtio_transport")
INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
for m in $(cat /lib/order); do insmod /lib/$m.ko; done
echo "userspace with $(nproc) processors, entropy from $(cat /sys/class/misc/hw_random/rng_current)"
read word
if [ -b /dev/vda ]; then
  echo "disk was $(md5sum </dev/vda)"
  dd if=/dev/urandom of=/dev/vda bs=4k count=256 conv=fsync 2>/dev/null
  echo "disk is $(md5sum </dev/vda)"
fi
if [ -d /sys/class/net/eth0 ]; then
  ip addr add 10.9.0.2/24 dev eth0; ip link set eth0 up
  ping -c 3 10.9.0.1 >/dev/null && echo "network works"
fi
echo "word was $word"
poweroff -f
"""


def prepare():
    """Kernel, modules and RAM disk in CACHE, downloaded once and never installed."""
    wanted = packages.resolve([("@linux-image-cloud-amd64", ("boot/vmlinuz-*", "lib/modules/*"))])
    packages.download(wanted, CACHE)
    done = CACHE / f"root-{wanted[0].version}"
    if done.exists():
        return done
    part = Path(tempfile.mkdtemp(prefix="part-", dir=CACHE))
    packages.unpack(wanted, CACHE, part)
    os.replace(part, done)
    return done


def ram_disk(root, folder):
    """An archive with busybox, the modules and INIT."""
    tree = folder / "initrd"
    for name in ("bin", "lib", "proc", "sys", "dev"):
        (tree / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", tree / "bin")
    modules = next((root / "lib/modules").iterdir()) / "kernel"
    for module in MODULES:
        shutil.copy(modules / f"{module}.ko", tree / "lib")
    (tree / "lib/order").write_text("\n".join(Path(module).name for module in MODULES))
    (tree / "init").write_text(INIT)
    (tree / "init").chmod(0o755)
    names = "\n".join(str(path.relative_to(tree)) for path in sorted(tree.rglob("*")))
    with (folder / "initrd.gz").open("wb") as out:
        archive = subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], input=names.encode(), cwd=tree, check=True,
                                 stdout=subprocess.PIPE).stdout
        subprocess.run(["gzip", "-1"], input=archive, stdout=out, check=True)
    return folder / "initrd.gz"


class VmLinuxTest(SystemTest):
    def setUp(self):
        super().setUp()
        root = prepare()
        self.kernel = next((root / "boot").glob("vmlinuz-*"))
        self.initrd = ram_disk(root, self.folder)
        self.root = self.folder / "vm"
        self.disk = self.folder / "disk"
        self.disk.write_bytes(os.urandom(4 << 20))

    def vm(self, *args, **kwargs):
        return command(runtime.path(), "vm", "--root", self.root, *args, **kwargs)

    def start(self, name, *args):
        self.vm("run", "-d", "--name", name, "--engine", "translator", "--kernel", self.kernel, "--initrd", self.initrd,
                "-m", "192m", *args)
        self.addCleanup(lambda: self.vm("rm", "-f", name, check=False))

    def log(self, name):
        return (self.root / name / "console.log").read_text(errors="replace")

    def said(self, name, text):
        def look():
            if "Kernel panic" in self.log(name):
                raise AssertionError(self.log(name)[-3000:])
            return text in self.log(name)
        until(look, text, patience=120)

    def type(self, name, text):
        """On the console; the rest of what the guest says is in the log."""
        console = subprocess.Popen([str(runtime.path()), "vm", "--root", self.root, "console", name],
                                   stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        console.stdin.write(text.encode())
        console.stdin.close()
        reaper = threading.Thread(target=console.wait)
        reaper.start()
        self.addCleanup(reaper.join)
        self.addCleanup(console.kill)

    def digest(self):
        return hashlib.md5(self.disk.read_bytes()).hexdigest()

    def test_disk_network_and_two_processors(self):
        before = self.digest()
        self.start("linux", "--cpus", "2", "--disk", self.disk, "--net", "vmtap0")
        command("ip", "addr", "add", "10.9.0.1/24", "dev", "vmtap0")
        command("ip", "link", "set", "vmtap0", "up")
        self.said("linux", "userspace with 2 processors, entropy from virtio_rng")
        self.type("linux", "hello\n")
        self.said("linux", "word was hello")
        text = self.log("linux")
        self.assertIn(f"disk was {before}", text)
        self.assertNotEqual(before, self.digest())
        self.assertIn(f"disk is {self.digest()}", text)
        self.assertIn("network works", text)
        until(lambda: "off" in self.vm("ls", "-a").stdout, "the machine to switch off")

    def test_a_snapshot_goes_on_in_two_copies(self):
        self.start("first")
        self.said("first", "userspace with 1 processors")
        saved = self.folder / "saved"
        self.vm("snapshot", "first", saved)
        self.vm("rm", "-f", "first")
        for name in ("one", "two"):
            self.vm("restore", "-d", "--name", name, "--engine", "translator", saved)
            self.addCleanup(lambda name=name: self.vm("rm", "-f", name, check=False))
        for name in ("one", "two"):
            self.type(name, f"{name}\n")
            self.said(name, f"word was {name}")


if __name__ == "__main__":
    prepare()
    main()
