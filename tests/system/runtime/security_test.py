#!/usr/bin/env python3
"""Hostile images, configurations and containers, by the holes that runtimes have had. The host must come out unharmed."""

import ctypes
import hashlib
import os
import shutil
import stat
import subprocess
import sys
import threading
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib.bundle import busybox  # noqa: E402
from lib.case import command, main, until  # noqa: E402
from lib.container import ContainerTest, is_proa, read_terminal, status_field  # noqa: E402

proa_only = unittest.skipUnless(is_proa(), "runc 1.1 has this hole or another answer")
RENAME_EXCHANGE = 2


def exchange(a, b):
    if ctypes.CDLL(None, use_errno=True).renameat2(-100, str(a).encode(), -100, str(b).encode(), RENAME_EXCHANGE) != 0:
        raise OSError(ctypes.get_errno(), "renameat2")


class Swapper(threading.Thread):
    """Exchanges two paths as fast as it can, until stopped."""

    def __init__(self, a, b):
        super().__init__(daemon=True)
        self.pair, self.end, self.count = (a, b), False, 0

    def run(self):
        while not self.end:
            exchange(*self.pair)
            self.count += 1

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.end = True
        self.join()


class SecurityTest(ContainerTest):
    def setUp(self):
        super().setUp()
        self.secret = self.folder / "secret"
        self.secret.write_text("the host's secret\n")

    def host_mounts(self):
        return Path("/proc/self/mountinfo").read_text()

    def without(self, bundle, *destinations):
        bundle.config["mounts"] = [m for m in bundle.config["mounts"] if m["destination"] not in destinations]
        return bundle

    def harmless(self, bundle, *options):
        """Runs it, whatever it answers: quickly, without the secret, without a new mount on the host. Returns its output."""
        before = self.host_mounts()
        done = self.run_container(bundle, *options, timeout=20)
        self.assertNotIn("the host's secret", done.stdout)
        self.assertEqual(before, self.host_mounts())
        self.assertEqual("the host's secret\n", self.secret.read_text())
        return done


class HostBinary(SecurityTest):
    """CVE-2019-5736: the container gets hold of the runtime's program and overwrites it."""

    ATTACK = r"""
    trap '' HUP
    echo ready
    while :; do
      for p in /proc/[0-9]*; do
        exe=$(readlink $p/exe 2>/dev/null) || continue
        case $exe in */busybox|'') continue ;; esac
        (
          exec 9<$p/exe
          size=$(head -c 100000000 <&9 | wc -c)
          echo "opened $exe $size"
          for i in 1 2 3 4 5 6 7 8; do (echo overwritten > /proc/self/fd/9) && echo "WROTE $exe $size"; done
          (echo overwritten >> $p/exe) && echo "WROTE $exe $size"
        )
      done 2>/dev/null
    done
    """

    def setUp(self):
        super().setUp()
        # A copy: should the attack work, it is the copy that breaks.
        if is_proa():
            self.binary = self.folder / "proa-runtime"
            shutil.copy2(self.runtime.command.resolve(), self.binary)
            self.runtime.command = self.binary
        else:
            self.binary = Path(shutil.which(self.runtime.command))
        self.hash = hashlib.sha256(self.binary.read_bytes()).digest()

    def check(self, out, readable=False):
        """Reading what every host has does no harm; that is left to those who may trace."""
        text = out.read_text()
        self.assertEqual(self.hash, hashlib.sha256(self.binary.read_bytes()).digest(), "the runtime's program was changed")
        if is_proa():
            # Between the look and the opening a process may have become busybox, which is the containers' own to spoil.
            own = (Path(busybox()).stat().st_size, len("overwritten\n"))
            wrote = [line.split() for line in text.splitlines() if line.startswith("WROTE")]
            self.assertEqual([], [line for line in wrote if int(line[-1]) not in own], "a program of the host was written to")
            opened = [line.split() for line in text.splitlines() if line.startswith("opened")]
            # The stage may be seen, its own few KiB, and what it became meanwhile.
            if not readable:
                self.assertEqual([], [line for line in opened if int(line[-1]) == self.binary.stat().st_size], "the container could read the host's program")

    def attacked(self, *more_capabilities):
        bundle = self.sh(self.ATTACK)
        bundle.config["linux"]["maskedPaths"] = []
        for kind in ("bounding", "effective", "permitted"):
            bundle.config["process"]["capabilities"][kind] += more_capabilities
        (bundle.root / "evil").write_text("#!/proc/self/exe\n")
        (bundle.root / "evil").chmod(0o755)
        (bundle.root / "selfexe").symlink_to("/proc/self/exe")
        out = self.folder / "out"
        self.started(bundle, output=out)
        until(lambda: "ready" in out.read_text(), "the attacker")
        return out

    def test_exec_while_watched(self):
        out = self.attacked()
        for program in ("/evil", "/selfexe", "/proc/self/exe", "true") * 8:
            self.runtime.call("exec", "box", program, timeout=20)
        self.check(out)

    @proa_only
    def test_exec_while_watched_by_a_debugger(self):
        """With CAP_SYS_PTRACE other processes' programs may be opened."""
        out = self.attacked("CAP_SYS_PTRACE")
        for program in ("/evil", "/selfexe", "true") * 8:
            self.runtime.call("exec", "box", program, timeout=20)
        self.assertEqual("works", self.inside("echo", "works"))
        self.check(out, readable=True)

    @proa_only
    def test_debugger_that_exec_started(self):
        out = self.attacked()
        self.runtime("exec", "--detach", "--cap", "CAP_SYS_PTRACE", "box", "sh", "-c", self.ATTACK, stdout=None, stderr=None)
        for program in ("/evil", "/selfexe", "true") * 8:
            self.runtime.call("exec", "box", program, timeout=20)
        self.check(out, readable=True)

    def test_as_first_process(self):
        for args in (["/proc/self/exe"], ["/evil"], ["/selfexe"], ["/proc/self/exe", "--help"], ["/proc/self/exe", "3"], ["/proc/self/exe", "-1"]):
            bundle = self.bundle(*args, name="first")
            for name, target in (("selfexe", None), ("evil", "#!/proc/self/exe\n")):
                path = bundle.root / name
                if not os.path.lexists(path):
                    if target:
                        path.write_text(target)
                        path.chmod(0o755)
                    else:
                        path.symlink_to("/proc/self/exe")
            done = self.run_container(bundle, ident="first", timeout=20)
            self.assertNotIn("usage", done.stdout.lower())
        self.assertEqual(self.hash, hashlib.sha256(self.binary.read_bytes()).digest())

    @proa_only
    def test_created_container_is_not_the_host_program(self):
        pid = self.create(self.bundle("sleep", "1000"))
        self.assertNotIn("proa-runtime", os.readlink(f"/proc/{pid}/exe"))
        self.assertNotIn(str(self.binary), Path(f"/proc/{pid}/maps").read_text())

    @proa_only
    def test_pod_with_shared_processes(self):
        """Another container that shares the pid namespace watches a create."""
        out = self.attacked("CAP_SYS_PTRACE")
        pid = self.runtime.state("box")["pid"]
        for n in range(8):
            bundle = self.bundle("true", name=f"pod{n}")
            for entry in bundle.config["linux"]["namespaces"]:
                if entry["type"] == "pid":
                    entry["path"] = f"/proc/{pid}/ns/pid"
            self.run_container(bundle, ident=f"pod{n}", timeout=20)
        self.check(out, readable=True)


class Descriptors(SecurityTest):
    """CVE-2024-21626: a descriptor of the host that is left open is a way out."""

    def escapes(self):
        return ["/proc/self/fd/" + str(n) for n in range(3, 16)]

    def test_cwd_of_run(self):
        for cwd in (*self.escapes(), "/link"):
            bundle = self.sh(f"cat ../../../../../../../..{self.secret} {self.secret.name} ../{self.secret.name}; pwd", name="b")
            if not os.path.lexists(bundle.root / "link"):
                (bundle.root / "link").symlink_to("/proc/self/fd/7")
            bundle.config["process"]["cwd"] = cwd
            self.harmless(bundle)

    def test_cwd_of_exec(self):
        self.sleeper()
        for cwd in self.escapes():
            done = self.runtime.call("exec", "--cwd", cwd, "box", "cat", f"../../../../../../../..{self.secret}", timeout=20)
            self.assertNotIn("the host's secret", done.stdout)

    def inherited(self, *args):
        folder = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
        try:
            return self.runtime.call(*args, timeout=20, close_fds=False, preexec_fn=lambda: [os.dup2(folder, n) for n in (3, 7, 12, 40)])
        finally:
            os.close(folder)

    def test_inherited_by_the_runtime(self):
        listing = "ls -l /proc/self/fd | grep -e '->'"
        done = self.inherited("run", "--bundle", self.sh(listing).path, "box")
        self.assertEqual(3, len(done.stdout.splitlines()), done.stdout)
        for cwd in ("/proc/self/fd/3", "/proc/self/fd/7", "/proc/self/fd/12"):
            bundle = self.sh(f"cat {str(self.secret)[1:]}", name="cwd")
            bundle.config["process"]["cwd"] = cwd
            self.assertNotIn("the host's secret", self.inherited("run", "--bundle", bundle.save().path, "box").stdout)
        self.sleeper()
        self.assertEqual(3, len(self.inherited("exec", "box", "sh", "-c", listing).stdout.splitlines()))
        self.assertNotIn("the host's secret", self.inherited("exec", "--cwd", "/proc/self/fd/7", "box", "cat", str(self.secret)[1:]).stdout)

    def test_of_a_created_container(self):
        """What waits for start holds no file or folder of the host."""
        out = self.folder / "out"
        pid = self.create(self.bundle("true"), output=out)
        links = {n: os.readlink(f"/proc/{pid}/fd/{n}") for n in os.listdir(f"/proc/{pid}/fd")}
        strange = [link for link in links.values() if link.startswith("/") and link not in ("/dev/null", str(out), str(self.folder / "box.create-log")) and "memfd:" not in link]
        if is_proa():
            self.assertEqual([], strange)

    @proa_only
    def test_preserved_folder_is_no_working_folder(self):
        bundle = self.sh(f"cat {str(self.secret)[1:]}; pwd")
        bundle.config["process"]["cwd"] = "/proc/self/fd/3"
        folder = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
        done = self.runtime.call("run", "--preserve-fds", 1, "--bundle", bundle.save().path, "box", timeout=20, close_fds=False,
                                 preexec_fn=lambda: os.dup2(folder, 3))
        os.close(folder)
        self.assertNotIn("the host's secret", done.stdout)
        self.assertNotEqual(0, done.returncode)


class MountRaces(SecurityTest):
    ROUNDS = 25

    def test_destination_becomes_a_link(self):
        """CVE-2021-30465: a shared volume's folder is swapped for a link to the host while mounts are made in it."""
        volume = self.folder / "volume"
        (volume / "dir").mkdir(parents=True)
        outside = self.folder / "outside"
        outside.mkdir()
        (volume / "link").symlink_to(outside)
        bundle = self.sh("cat /proc/self/mountinfo; ls /")
        bundle.config["mounts"] += [{"destination": "/vol", "type": "bind", "source": str(volume), "options": ["rbind"]},
                                    {"destination": "/vol/dir/deep", "type": "tmpfs", "source": "racer1", "options": []},
                                    {"destination": "/vol/dir", "type": "tmpfs", "source": "racer2", "options": []}]
        before = self.host_mounts()
        with Swapper(volume / "dir", volume / "link") as swapper:
            for _ in range(self.ROUNDS):
                done = self.run_container(bundle, timeout=20)
                self.assertNotIn("secret", done.stdout)
                if done.returncode == 0:
                    self.assertIn("bin", done.stdout.split(), "the container lost its own root")
        self.assertGreater(swapper.count, self.ROUNDS)
        self.assertEqual(before, self.host_mounts())
        if is_proa():
            self.assertEqual([], list(outside.iterdir()), "made outside the root (CVE-2024-45310)")

    @proa_only
    def test_null_device_is_swapped(self):
        """CVE-2025-31133: what masks a path is the real null device, or nothing is run."""
        device = self.folder / "dev"
        device.mkdir()
        os.mknod(device / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        (device / "link").symlink_to("/proc/sys/kernel/core_pattern")
        bundle = self.without(self.sh("grep ' /etc/masked ' /proc/self/mountinfo; stat -c '%F %t:%T' /etc/masked"), "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue")
        (bundle.root / "etc/masked").write_text("masked\n")
        bundle.config["mounts"].append({"destination": "/dev", "type": "bind", "source": str(device), "options": ["rbind"]})
        bundle.config["linux"]["maskedPaths"] = ["/etc/masked"]
        with Swapper(device / "null", device / "link"):
            for _ in range(self.ROUNDS):
                done = self.run_container(bundle, timeout=20)
                if done.returncode == 0:
                    self.assertIn("character special file 1:3", done.stdout)

    @proa_only
    def test_image_with_a_link_as_null_device(self):
        bundle = self.without(self.sh("stat -c '%F %t:%T' /etc/masked; cat /etc/passwd | wc -l"), "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue")
        (bundle.root / "etc/masked").write_text("masked\n")
        (bundle.root / "dev/null").symlink_to("/etc/passwd")
        bundle.config["linux"]["maskedPaths"] = ["/etc/masked"]
        done = self.harmless(bundle)
        if done.returncode == 0:
            self.assertEqual(["character special file 1:3", "2"], done.stdout.splitlines())
        self.assertIn("root:x", (bundle.root / "etc/passwd").read_text())

    @proa_only
    def test_console_is_swapped(self):
        """CVE-2025-52565: /dev/console and /dev/pts/N of the image lead elsewhere."""
        for place, target in (("dev/console", "/proc/sys/kernel/core_pattern"), ("dev/console", "/etc/passwd"), ("dev/pts", "/etc"), ("dev/pts", "/proc/self/fd")):
            bundle = self.without(self.sh("cat /proc/self/mountinfo", name=f"{place}{target}".replace("/", "_")), "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue")
            (bundle.root / place).symlink_to(target)
            if place == "dev/console":
                bundle.config["mounts"].append({"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance", "ptmxmode=0666"]})
            bundle.config["process"]["terminal"] = True
            master, slave = os.openpty()
            runner = self.background("run", "--bundle", bundle.save().path, "box", stdin=slave, stdout=slave, stderr=slave)
            os.close(slave)
            text = read_terminal(master)
            runner.wait(20)
            os.close(master)
            for line in text.splitlines():
                if " - devpts" in line:
                    self.assertTrue(line.split()[4].startswith("/dev/"), line)
            self.assertTrue((bundle.root / "etc/passwd").read_text().startswith("root:"))


class Proc(SecurityTest):
    def procless(self, script):
        return self.without(self.sh(script), "/proc")

    def test_proc_is_a_link(self):
        """CVE-2019-19921, CVE-2023-27561: then what is mounted, masked and written to is the image's."""
        for target in ("/tmp/elsewhere", "../../../../../tmp", "/"):
            bundle = self.sh("readlink /proc", name=target.replace("/", "_"))
            (bundle.root / "tmp/elsewhere").mkdir()
            (bundle.root / "proc").rmdir()
            (bundle.root / "proc").symlink_to(target)
            done = self.harmless(bundle)
            self.assertNotEqual(0, done.returncode)
            if is_proa():
                self.assertIn("/proc", done.stderr)

    def test_sys_is_a_link(self):
        bundle = self.sh("true")
        (bundle.root / "sys").rmdir()
        (bundle.root / "sys").symlink_to("/tmp")
        self.assertNotEqual(0, self.harmless(bundle).returncode)

    def test_mounts_over_proc(self):
        """CVE-2019-16884: a volume over a part of /proc would hide what protects the container."""
        source = self.folder / "fake"
        source.mkdir()
        (source / "file").touch()
        for destination in ("/proc/self", "/proc/self/attr", "/proc/sys", "/proc/1/exe", "/proc/sys/kernel/core_pattern", "/proc/../proc/self/attr"):
            bundle = self.sh("true", name=destination.replace("/", "_"))
            kind = source if destination.endswith(("self", "attr", "sys")) else source / "file"
            bundle.config["mounts"].append({"destination": destination, "type": "bind", "source": str(kind), "options": ["rbind"]})
            text = self.refused(bundle)
            if is_proa():
                self.assertIn("mounts[6]", text)
        bundle = self.sh("cat /proc/uptime", name="allowed")
        (source / "file").write_text("12 34\n")
        bundle.config["mounts"].append({"destination": "/proc/uptime", "type": "bind", "source": str(source / "file"), "options": ["bind"]})
        self.assertEqual("12 34", self.said(bundle))

    @proa_only
    def test_proc_over_proc_through_a_link(self):
        source = self.folder / "fake"
        source.mkdir()
        bundle = self.sh("true")
        (bundle.root / "innocent").symlink_to("/proc/self/attr")
        bundle.config["mounts"].append({"destination": "/innocent", "type": "bind", "source": str(source), "options": ["rbind"]})
        self.refused(bundle, "mounts[6]")

    def test_no_filesystem_over_proc(self):
        for kind in ("tmpfs", "cgroup", "sysfs", "mqueue"):
            bundle = self.sh("true", name=kind)
            (bundle.root / "innocent").symlink_to("/proc")
            for destination in ("/proc", "/innocent"):
                bundle.config["mounts"][6:] = [{"destination": destination, "type": kind, "source": kind}]
                self.refused(bundle, *(["mounts[6]"] if is_proa() else []))

    @proa_only
    def test_writes_are_not_misdirected(self):
        """CVE-2025-52881: the container's /proc is a volume full of traps; sysctls still reach the kernel."""
        fake = self.folder / "fakeproc"
        (fake / "sys/net/ipv4").mkdir(parents=True)
        (fake / "self/attr").mkdir(parents=True)
        trap = self.folder / "trap"
        trap.write_text("untouched")
        (fake / "sys/net/ipv4/ip_forward").symlink_to(trap)
        for kind in ({"type": "bind", "source": str(fake), "options": ["rbind"]}, {"type": "tmpfs", "source": "tmpfs", "options": []}):
            bundle = self.procless("mkdir -p /real && mount -t proc proc /real && cat /real/sys/net/ipv4/ip_forward")
            for names in ("bounding", "effective", "permitted"):
                bundle.config["process"]["capabilities"][names].append("CAP_SYS_ADMIN")
            bundle.config["mounts"].insert(0, {"destination": "/proc", **kind})
            bundle.config["linux"].update(sysctl={"net.ipv4.ip_forward": "1"}, maskedPaths=[], readonlyPaths=[])
            done = self.harmless(bundle)
            self.assertEqual("untouched", trap.read_text())
            if done.returncode == 0:
                self.assertEqual("1", done.stdout.strip())

    @proa_only
    def test_sysctl_names_that_wander(self):
        for key in ("net/../kernel/core_pattern", "net.ipv4.../../kernel.core_pattern", "/kernel/core_pattern", "net//../kernel/core_pattern"):
            bundle = self.sh("true", name="x")
            bundle.config["linux"]["sysctl"] = {key: "pwned"}
            self.refused(bundle, "linux.sysctl")
        self.assertNotIn("pwned", Path("/proc/sys/kernel/core_pattern").read_text())

    @proa_only
    def test_masks_through_links(self):
        """A masked path may be a link of the image; what is covered is inside the root all the same."""
        bundle = self.sh("cat /target/file; ls -la /link/; true")
        (bundle.root / "target").mkdir()
        (bundle.root / "target/file").write_text("inside\n")
        (bundle.root / "link").symlink_to("/target")
        (bundle.root / "out").symlink_to(f"../../../../../..{self.folder}")
        bundle.config["linux"]["maskedPaths"] = ["/link", "/out", "/out/secret"]
        done = self.harmless(bundle)
        self.assertNotIn("inside", done.stdout)
        self.assertTrue(self.secret.exists())


class Destinations(SecurityTest):
    def mount_at(self, destination, name="d", prepare=None, script="true", kind="tmpfs"):
        bundle = self.sh(script, name=name)
        if prepare:
            prepare(bundle.root)
        entry = {"destination": destination, "type": "tmpfs", "source": "probe", "options": []}
        if kind == "bind":
            entry = {"destination": destination, "type": "bind", "source": str(self.secret), "options": ["bind"]}
        bundle.config["mounts"].append(entry)
        return bundle

    def test_dots(self):
        done = self.harmless(self.mount_at("/../../../../etc/probe", script="grep -c ' /etc/probe ' /proc/self/mountinfo"))
        self.assertEqual("1", done.stdout.strip(), done.stderr)
        self.assertFalse(Path("/etc/probe").exists())

    def test_links_are_taken_inside(self):
        host = self.folder / "made-by-the-runtime"
        for n, target in enumerate((str(host), f"../../../../../../../../..{host}", "//" + str(host))):
            bundle = self.mount_at("/link/below", name=f"d{n}", prepare=lambda root, t=target: (root / "link").symlink_to(t))
            self.harmless(bundle)
            self.assertFalse(host.exists())

    def test_dangling_file_link(self):
        host = self.folder / "made-by-the-runtime"
        self.harmless(self.mount_at("/link", prepare=lambda root: (root / "link").symlink_to(host), kind="bind", script="true"))
        self.assertFalse(host.exists())

    def test_magic_links(self):
        """/proc/self/fd and /proc/1/root lead out of any root."""
        for n, target in enumerate(("/proc/self/fd/3", "/proc/self/root", "/proc/1/root", "/proc/self/cwd", "/proc/thread-self/fd/4")):
            bundle = self.mount_at("/link/probe", name=f"d{n}", prepare=lambda root, t=target: (root / "link").symlink_to(t))
            done = self.harmless(bundle)
            if is_proa():
                self.assertNotEqual(0, done.returncode)
                self.assertIn("mounts[6]", done.stderr)
        self.assertFalse(Path("/probe").exists())

    def test_loops(self):
        def loop(root):
            (root / "a").symlink_to("b")
            (root / "b").symlink_to("a")
        self.assertNotEqual(0, self.harmless(self.mount_at("/a", prepare=loop)).returncode)
        self.assertNotEqual(0, self.harmless(self.mount_at("/a/below", name="e", prepare=loop)).returncode)

    def test_long_chains(self):
        def chain(root):
            for n in range(60):
                (root / f"l{n}").symlink_to(f"l{n + 1}")
        self.harmless(self.mount_at("/l0", prepare=chain))

    def test_file_in_the_way(self):
        done = self.harmless(self.mount_at("/etc/passwd/below"))
        self.assertNotEqual(0, done.returncode)

    def test_over_the_root(self):
        """Odd, but it must not end anywhere else."""
        self.harmless(self.mount_at("/"))


class HostileImages(SecurityTest):
    def test_passwd(self):
        """Read for $HOME: a FIFO, a loop, a folder, something huge, garbage."""
        def prepare(kind, path):
            path.unlink()
            if kind == "fifo":
                os.mkfifo(path)
            elif kind == "loop":
                path.symlink_to("passwd")
            elif kind == "folder":
                path.mkdir()
            elif kind == "huge":
                with open(path, "w") as file:
                    file.truncate(1 << 33)
            elif kind == "device":
                os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 5))
            elif kind == "outside":
                path.symlink_to("../../../../../../../etc/passwd")
            elif kind == "garbage":
                path.write_bytes(b"root:x:0:0:r:relative/home:/bin/sh\n" + b"\0\xff:" * 1000 + b"\nroot:x:99999999999999:0::/x:\n:::::::\n")
        for kind in ("fifo", "loop", "folder", "huge", "device", "garbage", "outside"):
            bundle = self.sh("echo $HOME", name=kind)
            prepare(kind, bundle.root / "etc/passwd")
            if not is_proa() and kind != "garbage":
                continue
            done = self.harmless(bundle)
            self.assertEqual("/\n" if is_proa() else "relative/home\n", done.stdout, f"{kind}: {done.stderr}")

    def test_group_file(self):
        bundle = self.sh("echo ran")
        (bundle.root / "etc/group").unlink()
        os.mkfifo(bundle.root / "etc/group")
        if is_proa():
            self.assertEqual("ran", self.said(bundle))

    @proa_only
    def test_dev(self):
        def file(root):
            (root / "dev").rmdir()
            (root / "dev").write_text("")

        def link_out(root):
            (root / "dev").rmdir()
            (root / "dev").symlink_to(self.folder / "hostdev")

        def null_folder(root):
            (root / "dev/null").mkdir()

        def null_fifo(root):
            os.mkfifo(root / "dev/null")

        def magic(root):
            (root / "dev").rmdir()
            (root / "dev").symlink_to("/proc/1/root/tmp")
        for n, prepare in enumerate((file, link_out, null_folder, null_fifo, magic)):
            bundle = self.without(self.sh("true", name=f"d{n}"), "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue")
            prepare(bundle.root)
            self.harmless(bundle)
            self.assertFalse((self.folder / "hostdev").exists())
            self.assertFalse(Path("/tmp/full").exists())

    def test_dev_links_of_the_image(self):
        """/dev/fd and the like are made where the image has a link to the host's files."""
        target = self.folder / "target"
        target.write_text("host")
        bundle = self.without(self.sh("true"), "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue")
        for name in ("stdin", "ptmx", "core", "zero"):
            (bundle.root / "dev" / name).symlink_to(f"../../../../../../..{target}")
        self.harmless(bundle)
        self.assertEqual("host", target.read_text())

    def test_working_folder_that_leads_out(self):
        bundle = self.sh(f"pwd; cat {self.secret.name}; ls")
        (bundle.root / "out").symlink_to(f"../../../../../../..{self.folder}")
        bundle.config["process"]["cwd"] = "/out"
        self.harmless(bundle)

    def test_program_that_leads_out(self):
        """A link to a program outside is a link to nowhere."""
        bundle = self.bundle("/tool")
        script = self.folder / "hosttool"
        script.write_text("#!/bin/sh\necho the host ran\n")
        script.chmod(0o755)
        (bundle.root / "tool").symlink_to(script)
        done = self.harmless(bundle)
        self.assertNotEqual(0, done.returncode)
        self.assertNotIn("the host ran", done.stdout)

    def test_rights(self):
        """CVE-2022-29162: no inheritable capabilities by default. And nothing else of the runtime's own."""
        text = self.said(self.sh("cat /proc/self/status; cat /proc/self/cgroup; cat /proc/self/environ"))
        self.assertIn("CapInh:\t0000000000000000", text)
        self.assertIn("CapAmb:\t0000000000000000", text)
        self.assertIn("NoNewPrivs:\t1", text)

    def test_memory_of_the_runtime_is_gone(self):
        """The plan and the stage are no part of the program any more."""
        text = self.said(self.sh("cat /proc/self/maps"))
        self.assertNotIn("memfd", text)
        self.assertNotIn("proa", text)


class Configurations(SecurityTest):
    @proa_only
    def test_hostile_documents(self):
        bundle = self.bundle("true")
        for text in ("", "{", "[]", "null", "[" * 100000, '{"ociVersion":"1.0.0","root":' + '{"path":' * 50000, '{"a":"' + "x" * 1000 + '\x00"}', "\xff\xfe"):
            (bundle.path / "config.json").write_text(text, encoding="latin-1")
            done = self.runtime.call("create", "--bundle", bundle.path, "box", timeout=20)
            self.assertEqual(1, done.returncode, text[:20])
            self.assertIn("config.json", done.stderr)

    @proa_only
    def test_id_cannot_leave_the_state_folder(self):
        outside = self.folder / "outside"
        outside.mkdir()
        (outside / "record").write_text("{}")
        for ident in ("../outside", "..", "./x", "a/../../outside", "/etc"):
            for sub in (["state"], ["delete", "--force"], ["kill"], ["exec"]):
                self.fails(*sub, ident, *(["true"] if sub == ["exec"] else []))
        self.assertTrue((outside / "record").exists())

    @proa_only
    def test_state_folder_that_is_a_link(self):
        outside = self.folder / "outside"
        outside.mkdir()
        (outside / "keep").touch()
        (self.folder / "state/linked").symlink_to(outside)
        for args in (["state", "linked"], ["delete", "--force", "linked"], ["list"], ["create", "--bundle", self.bundle("true").path, "linked"]):
            self.runtime.call(*args, timeout=20)
        self.assertTrue((outside / "keep").exists())
        (self.folder / "state/linked").unlink()


if __name__ == "__main__":
    main()
