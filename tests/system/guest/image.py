"""The guest's kernel, initrd and disks, built from unpacked packages without mounting anything."""

import hashlib
import os
import pathlib
import shutil
import stat
import subprocess

import packages

HERE = pathlib.Path(__file__).resolve().parent

# In the order insmod needs them.
MODULES = ("drivers/virtio/virtio_ring.ko", "drivers/virtio/virtio.ko",
           "drivers/virtio/virtio_pci_legacy_dev.ko", "drivers/virtio/virtio_pci_modern_dev.ko",
           "drivers/virtio/virtio_pci.ko", "drivers/block/virtio_blk.ko", "fs/overlayfs/overlay.ko",
           # criu asks the kernel about sockets by these.
           "net/unix/unix_diag.ko", "net/ipv4/inet_diag.ko", "net/ipv4/tcp_diag.ko", "net/ipv4/udp_diag.ko",
           "net/ipv4/raw_diag.ko", "net/netlink/netlink_diag.ko", "net/packet/af_packet_diag.ko",
           "lib/libcrc32c.ko", "net/netfilter/nfnetlink.ko", "net/netfilter/nf_tables.ko",
           "drivers/net/veth.ko", "drivers/net/tun.ko")

# The kernel and the system under test need no more of busybox than this.
APPLETS = ("sh cat chmod chown cp cut date dd dmesg echo env false grep head hostname id insmod kill "
           "ln ls mkdir mknod mount mv nproc pidof ps pwd readlink reboot rm rmdir sed setsid sleep "
           "sort stat stty switch_root sync tail test touch tr true umount uname wc yes").split()

ETC = {
    "passwd": "root:x:0:0:root:/root:/bin/sh\n"
              "messagebus:x:100:100::/nonexistent:/bin/false\n"
              "nobody:x:65534:65534::/nonexistent:/bin/false\n",
    "group": "root:x:0:\ntty:x:5:\nkmem:x:15:\nmessagebus:x:100:\nnogroup:x:65534:\n",
    "subuid": "root:100000:65536\n",
    "subgid": "root:100000:65536\n",
    "machine-id": "0123456789abcdef0123456789abcdef\n",
    "hostname": "guest\n",
    "fstab": "",
}

# Units that a machine without network, users and real disks does not need.
MASKED = ("systemd-journald.service", "systemd-journald.socket", "systemd-journald-dev-log.socket",
          "systemd-journald-audit.socket", "systemd-journal-flush.service",
          "systemd-logind.service", "systemd-udevd.service", "systemd-random-seed.service",
          "systemd-remount-fs.service", "systemd-tmpfiles-setup.service",
          "systemd-tmpfiles-setup-dev.service", "systemd-sysctl.service", "systemd-sysusers.service",
          "systemd-update-utmp.service", "systemd-binfmt.service", "systemd-pstore.service",
          "systemd-modules-load.service", "systemd-user-sessions.service", "systemd-timesyncd.service",
          "systemd-ask-password-wall.path", "systemd-ask-password-console.path",
          "kmod-static-nodes.service", "modprobe@.service", "getty.target",
          "sys-kernel-debug.mount", "sys-kernel-tracing.mount", "dev-mqueue.mount",
          "proc-sys-fs-binfmt_misc.automount", "sys-fs-fuse-connections.mount")

UNITS = {
    "guest-test.service": """[Unit]
Description=Checks of the runtime under test
After=dbus.socket basic.target
Wants=dbus.socket

[Service]
Type=exec
ExecStart=/bin/sh /payload/inside/run-checks systemd
StandardInput=null
StandardOutput=file:/dev/console
StandardError=file:/dev/console
KillMode=process
Delegate=yes
""",
    "guest-test.target": """[Unit]
Description=Everything the checks need
Requires=guest-test.service
""",
}


def key(pinned):
    """Names an image by everything that goes into it."""
    digest = hashlib.sha256()
    for text in [p.pin() for p in pinned] + [pathlib.Path(__file__).read_text(),
                                             (HERE / "initramfs-init").read_text()]:
        digest.update(text.encode() + b"\0")
    return digest.hexdigest()[:16]


def build(pinned, debs, out):
    """Writes vmlinuz, initrd and root.ext4 into the folder out; all of it or nothing."""
    work = out.with_name(out.name + ".new")
    shutil.rmtree(work, ignore_errors=True)
    root, kernel, done = work / "root", work / "kernel", work / "done"
    for folder in (root, kernel, done):
        folder.mkdir(parents=True)
    _merged_usr(root)
    packages.unpack([p for p in pinned if p.name.startswith("linux-image-")], debs, kernel)
    packages.unpack([p for p in pinned if not p.name.startswith("linux-image-")], debs, root)
    _configure(root)
    _container_root(root)
    compile_python(root / "usr/lib/python3.11", root)
    shutil.copy(next((kernel / "boot").glob("vmlinuz-*")), done / "vmlinuz")
    _initrd(kernel, root, done / "initrd")
    make_ext4(root, done / "root.ext4", spare_mib=64)
    (done / "packages.lock").write_text("".join(p.pin() + "\n" for p in pinned))
    done.rename(out)
    shutil.rmtree(work)


def _merged_usr(root):
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    for name in ("dev", "proc", "sys", "run", "tmp", "var/lib", "etc", "root", "payload"):
        (root / name).mkdir(parents=True)
    (root / "var/run").symlink_to("/run")


def _busybox_links(folder):
    for name in APPLETS:
        if not (folder / name).exists():
            (folder / name).symlink_to("busybox")


def _configure(root):
    _busybox_links(root / "usr/bin")
    for name, text in ETC.items():
        (root / "etc" / name).write_text(text)
    units = root / "etc/systemd/system"
    units.mkdir(parents=True, exist_ok=True)
    for name in MASKED:
        (units / name).symlink_to("/dev/null")
    for name, text in UNITS.items():
        (units / name).write_text(text)


def _container_root(root):
    """The root file system of the containers: busybox and the mount points they use."""
    tree = root / "var/lib/rootfs"
    for name in ("bin", "dev", "proc", "sys", "tmp", "etc", "run", "mnt"):
        (tree / name).mkdir(parents=True)
    shutil.copy(root / "bin/busybox", tree / "bin/busybox")
    _busybox_links(tree / "bin")


def compile_python(tree, root):
    """Byte-compiles Python for the guest, whose emulated CPU should not; needs the same Python here."""
    python = "/usr/bin/python3.11"
    if os.access(python, os.X_OK):
        subprocess.run([python, "-m", "compileall", "-q", "-s", str(root), "--invalidation-mode",
                        "unchecked-hash", str(tree)], stdout=subprocess.DEVNULL, check=False)


def make_ext4(tree, path, spare_mib):
    """Makes an ext4 file system from a folder tree."""
    used = sum(4096 + (f.lstat().st_size if f.is_file() and not f.is_symlink() else 0)
               for f in tree.rglob("*"))
    size = used * 115 // 100 // 2**20 + spare_mib
    path.unlink(missing_ok=True)
    done = subprocess.run(["mke2fs", "-q", "-t", "ext4", "-m", "0", "-O", "^has_journal",
                           "-E", "root_owner=0:0,lazy_itable_init=1", "-d", str(tree), str(path),
                           f"{size}M"], env={**os.environ, "PATH": os.environ["PATH"] + ":/sbin:/usr/sbin"},
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise packages.PackageError(f"mke2fs {path.name}: {done.stdout.strip()}")


def _initrd(kernel, root, path):
    modules = next((kernel / "lib/modules").iterdir()) / "kernel"
    with open(path, "wb") as file:
        archive = Cpio(file)
        for name in ("bin", "dev", "modules", "newroot", "proc", "sys"):
            archive.add(name, stat.S_IFDIR | 0o755)
        archive.add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
        archive.add("bin/busybox", stat.S_IFREG | 0o755, (root / "bin/busybox").read_bytes())
        archive.add("init", stat.S_IFREG | 0o755, (HERE / "initramfs-init").read_bytes())
        for index, name in enumerate(MODULES):
            archive.add(f"modules/{index:02}-{pathlib.Path(name).name}", stat.S_IFREG | 0o644,
                        (modules / name).read_bytes())
        archive.close()


class Cpio:
    """Writes a "newc" cpio archive, the kernel's initramfs format."""

    def __init__(self, file):
        self._file = file
        self._inode = 0

    def add(self, name, mode, data=b"", device=(0, 0)):
        self._inode += 1
        encoded = name.encode() + b"\0"
        fields = (self._inode, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(encoded), 0)
        self._padded(b"070701" + b"".join(b"%08x" % f for f in fields) + encoded)
        self._padded(data)

    def close(self):
        self.add("TRAILER!!!", 0)

    def _padded(self, data):
        self._file.write(data + b"\0" * (-len(data) % 4))
