#!/usr/bin/env python3
"""The container's file system: mounts with all their options, devices, masked paths, the root itself."""

import os
import re
import stat
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib.case import command, main, until  # noqa: E402
from lib.container import ContainerTest, is_proa  # noqa: E402


class MountTest(ContainerTest):
    def mounted(self, *mounts, script="true", name="bundle", **linux):
        """Runs a script in a container with more mounts; returns what it said."""
        return self.said(self.with_mounts(*mounts, script=script, name=name, **linux))

    def with_mounts(self, *mounts, script="true", name="bundle", **linux):
        bundle = self.sh(script, name=name)
        bundle.config["mounts"] += mounts
        bundle.config["linux"].update(linux)
        return bundle

    def options_of(self, text, target):
        """Mount and superblock options of the last mount on `target` in a mountinfo text, and its propagation."""
        found = None
        for line in text.splitlines():
            left, right = line.split(" - ")
            if left.split()[4] == target:
                found = (set(left.split()[5].split(",")), set(right.split()[2].split(",")), " ".join(left.split()[6:]))
        self.assertIsNotNone(found, f"no mount on {target} in\n{text}")
        return found

    def source(self, name="source"):
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        (folder / "file").write_text("inside\n")
        return folder


def bind(source, destination, *options):
    return {"destination": destination, "type": "bind", "source": str(source), "options": ["bind", *options]}


def tmpfs(destination, *options):
    return {"destination": destination, "type": "tmpfs", "source": "tmpfs", "options": list(options)}


class Binds(MountTest):
    def test_folder_and_file(self):
        source = self.source()
        text = self.mounted(bind(source, "/new/place"), bind(source / "file", "/etc/new.conf"),
                            script="cat /new/place/file /etc/new.conf; echo changed > /new/place/file")
        self.assertEqual(["inside", "inside"], text.split())
        self.assertEqual("changed\n", (source / "file").read_text())

    def test_read_only(self):
        source = self.source()
        text = self.mounted(bind(source, "/ro", "ro"), bind(source, "/rw", "rw"),
                            script="touch /ro/x 2>&1; touch /rw/y; grep -E ' /r[ow] ' /proc/self/mountinfo")
        self.assertIn("Read-only file system", text)
        self.assertTrue((source / "y").exists())
        self.assertIn("rw", self.options_of(text.split("\n", 1)[1], "/rw")[0])

    def test_flags(self):
        source = self.source()
        flags = {"ro": "ro", "nosuid": "nosuid", "nodev": "nodev", "noexec": "noexec", "noatime": "noatime", "nodiratime": "nodiratime",
                 "relatime": "relatime"}
        if is_proa():
            flags["nosymfollow"] = "nosymfollow"
        mounts = [bind(source, f"/m/{name}", name) for name in flags]
        text = self.mounted(*mounts, script="cat /proc/self/mountinfo")
        for name, shown in flags.items():
            self.assertIn(shown, self.options_of(text, f"/m/{name}")[0], name)

    def test_flags_can_be_taken_back(self):
        """A source mounted nosuid, nodev and noexec keeps that unless the container's entry says otherwise."""
        source = self.source()
        command("mount", "-t", "tmpfs", "-o", "nosuid,nodev,noexec", "tmpfs", source)
        self.addCleanup(command, "umount", source)
        text = self.mounted(bind(source, "/kept"), bind(source, "/taken", "suid", "dev", "exec"), script="cat /proc/self/mountinfo")
        self.assertLessEqual({"nosuid", "nodev", "noexec"}, self.options_of(text, "/kept")[0])
        if is_proa():  # runc 1.1 keeps them
            self.assertTrue({"nosuid", "nodev", "noexec"}.isdisjoint(self.options_of(text, "/taken")[0]))

    def nested(self):
        source = self.source()
        below = source / "below"
        below.mkdir()
        command("mount", "-t", "tmpfs", "tmpfs", below)
        self.addCleanup(command, "umount", below)
        (below / "deep").touch()
        return source

    def test_recursion(self):
        source = self.nested()
        text = self.mounted(bind(source, "/flat"), {"destination": "/all", "type": "bind", "source": str(source), "options": ["rbind"]},
                            script="ls /flat/below /all/below")
        self.assertEqual(["/all/below:", "/flat/below:", "deep"], sorted(text.split()))

    def test_recursive_attributes(self):
        source = self.nested()
        rbind = {"type": "bind", "source": str(source)}
        shown = {"rro": "ro", "rnosuid": "nosuid", "rnodev": "nodev", "rnoexec": "noexec", "rnoatime": "noatime", "rnodiratime": "nodiratime",
                 "rnosymfollow": "nosymfollow"}
        mounts = [{**rbind, "destination": f"/m/{name}", "options": ["rbind", name]} for name in shown]
        mounts.append({**rbind, "destination": "/m/plain", "options": ["rbind", "ro"]})
        text = self.mounted(*mounts, script="cat /proc/self/mountinfo")
        for name, flag in shown.items():
            self.assertIn(flag, self.options_of(text, f"/m/{name}")[0])
            self.assertIn(flag, self.options_of(text, f"/m/{name}/below")[0], name)
        self.assertIn("ro", self.options_of(text, "/m/plain")[0])
        self.assertIn("rw", self.options_of(text, "/m/plain/below")[0], "ro is for the mount itself only")

    def test_recursive_attributes_taken_back(self):
        source = self.nested()
        command("mount", "-o", "remount,bind,ro,nosuid,noexec", source / "below")
        entry = {"type": "bind", "source": str(source), "destination": "/m", "options": ["rbind", "rrw", "rsuid", "rexec"]}
        text = self.mounted(entry, script="touch /m/below/written; cat /proc/self/mountinfo")
        self.assertTrue({"ro", "nosuid", "noexec"}.isdisjoint(self.options_of(text, "/m/below")[0]))

    def test_propagation(self):
        source = self.source()
        command("mount", "--bind", source, source)
        self.addCleanup(command, "umount", source)
        command("mount", "--make-shared", source)
        shown = {"shared": r"shared:\d+", "slave": r"master:\d+", "private": "^$", "unbindable": "unbindable"}
        mounts = [bind(source, f"/m/{name}", name) for name in shown] + [bind(source, f"/m/r{name}", "r" + name) for name in shown]
        text = self.mounted(*mounts, script="cat /proc/self/mountinfo",
                            rootfsPropagation="rshared" if is_proa() else "shared")
        for name, pattern in shown.items():
            self.assertRegex(self.options_of(text, f"/m/{name}")[2], pattern)
            self.assertRegex(self.options_of(text, f"/m/r{name}")[2], pattern)

    def test_mounts_of_the_container_stay_inside(self):
        """Even below a shared volume, unless that is asked for."""
        source = self.source()
        (source / "point").mkdir()
        command("mount", "--bind", source, source)
        self.addCleanup(command, "umount", source)
        command("mount", "--make-shared", source)
        bundle = self.with_mounts({**bind(source, "/vol"), "options": ["rbind"]}, script="mount -t tmpfs tmpfs /vol/point && grep -c /vol/point /proc/self/mountinfo")
        for kind in ("bounding", "effective", "permitted"):
            bundle.config["process"]["capabilities"][kind].append("CAP_SYS_ADMIN")
        self.assertEqual("1", self.said(bundle))
        self.assertNotIn("point", Path("/proc/self/mountinfo").read_text())

    def test_missing_source(self):
        self.refused(self.with_mounts(bind(self.folder / "none", "/m")), "none", "no such file or directory")

    def test_socket_source(self):
        import socket
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(self.folder / "sock"))
            self.assertIn("socket", self.mounted(bind(self.folder / "sock", "/run/some.sock"), script="stat -c %F /run/some.sock"))

    def test_nested_destinations(self):
        source, other = self.source(), self.source("other")
        text = self.mounted(tmpfs("/a"), bind(source, "/a/b/c"), bind(other / "file", "/a/b/c/file"), tmpfs("/a/b/d", "size=4k"), script="ls -d /a/b/*")
        self.assertEqual(["/a/b/c", "/a/b/d"], text.split())

    def test_shared_volume_hands_mounts_to_the_host(self):
        """Asked for twice, as engines do: by the volume's option and a shared root."""
        for n, options in enumerate((["rbind", "rshared"], ["rbind", "rslave"], ["rbind"])):
            source = self.source(f"source{n}")
            (source / "point").mkdir()
            command("mount", "--bind", source, source)
            command("mount", "--make-shared", source)
            bundle = self.with_mounts({**bind(source, "/vol"), "options": options}, script="mount -t tmpfs tmpfs /vol/point; echo ready; sleep 1000",
                                      name=f"box{n}", rootfsPropagation="shared")
            for kind in ("bounding", "effective", "permitted"):
                bundle.config["process"]["capabilities"][kind].append("CAP_SYS_ADMIN")
            out = self.folder / f"out{n}"
            self.started(bundle, ident=f"box{n}", output=out)
            until(lambda: "ready" in out.read_text(), "the container's mount")
            came = f"source{n}/point" in Path("/proc/self/mountinfo").read_text()
            self.runtime("delete", "--force", f"box{n}")
            command("umount", "-R", source)
            if n < 2 or is_proa():
                self.assertEqual(options[-1] == "rshared", came, options)

    def link(self):
        if not (self.folder / "link").is_symlink():
            (self.folder / "link").symlink_to("/etc/passwd")
        return self.folder / "link"

    @unittest.skipUnless(is_proa(), "options of crun")
    def test_link_as_source(self):
        bundle = self.with_mounts(bind(self.link(), "/l", "src-nofollow"), bind(self.link(), "/c", "copy-symlink"), bind(self.source() / "file", "/f", "copy-symlink"),
                                  script="readlink /l; readlink /c; cat /f")
        self.assertEqual(["/etc/passwd", "/etc/passwd", "inside"], self.said(bundle).split())
        self.assertEqual("/etc/passwd", os.readlink(bundle.root / "c"))
        bundle.config["mounts"][-2]["destination"] = "/etc/passwd"
        self.refused(bundle, "mounts[7]", "file exists")

    @unittest.skipUnless(is_proa(), "an option of crun")
    def test_link_as_destination(self):
        bundle = self.with_mounts(bind(self.link(), "/etc/l", "src-nofollow", "dest-nofollow"), bind(self.source() / "file", "/etc/m"), script="readlink /etc/l; cat /etc/target")
        (bundle.root / "etc/l").symlink_to("elsewhere")
        (bundle.root / "etc/m").symlink_to("target")
        self.assertEqual(["/etc/passwd", "inside"], self.said(bundle).split())


class IdMapped(MountTest):
    MAPPING = [{"containerID": 0, "hostID": 5000, "size": 2000}]

    def owned(self):
        source = self.source()
        os.chown(source / "file", 1000, 1000)
        return source

    def mappings(self, **mount):
        return {**mount, "uidMappings": self.MAPPING, "gidMappings": self.MAPPING}

    @unittest.skipUnless(is_proa(), "runc 1.1 knows them with a user namespace only")
    def test_mappings(self):
        """A file of user 1000 on disk belongs to 6000 through a mount that maps 0 to 5000."""
        text = self.mounted(self.mappings(**bind(self.owned(), "/m")), self.mappings(**bind(self.owned(), "/o", "idmap")),
                            script="stat -c '%u %g' /m/file /o/file; stat -c '%u %g' /m")
        self.assertEqual(["6000 6000", "6000 6000", "5000 5000"], text.splitlines())

    @unittest.skipUnless(is_proa(), "crun's option")
    def test_mappings_in_the_option(self):
        text = self.mounted(bind(self.owned(), "/m", "idmap=uids=0-7000-2000;gids=0-8000-2000"), script="stat -c '%u %g' /m/file")
        self.assertEqual("8000 9000", text)

    @unittest.skipUnless(is_proa(), "runc 1.1 does not know it")
    def test_recursive(self):
        source = self.owned()
        (source / "below").mkdir()
        command("mount", "-t", "tmpfs", "-o", "uid=1000", "tmpfs", source / "below")
        self.addCleanup(command, "umount", source / "below")
        plain = self.mappings(type="bind", source=str(source), destination="/plain", options=["rbind", "idmap"])
        deep = self.mappings(type="bind", source=str(source), destination="/deep", options=["rbind", "ridmap"])
        self.assertEqual(["1000", "6000"], self.mounted(plain, deep, script="stat -c %u /plain/below /deep/below").split())

    @unittest.skipUnless(is_proa(), "runc 1.1 does not know it")
    def test_with_the_mappings_of_the_container(self):
        bundle = self.with_mounts(bind(self.owned(), "/m", "idmap"), bind(self.owned(), "/plain"), script="stat -c %u /m/file /plain/file",
                                  uidMappings=[{"containerID": 0, "hostID": 100000, "size": 65536}],
                                  gidMappings=[{"containerID": 0, "hostID": 100000, "size": 65536}])
        bundle.config["linux"]["namespaces"].append({"type": "user"})
        self.folder.chmod(0o711)  # root in there is somebody else out here
        command("chown", "-R", "100000:100000", bundle.root)
        self.assertEqual(["1000", "65534"], self.said(bundle).split())

    @unittest.skipUnless(is_proa(), "runc 1.1 does not know it")
    def test_errors(self):
        source = self.owned()
        self.refused(self.with_mounts({**bind(source, "/m"), "uidMappings": self.MAPPING}), "mounts[6]", "gidMappings")
        self.refused(self.with_mounts(bind(source, "/m", "idmap"), name="two"), "mounts[6]", "idmap")
        self.refused(self.with_mounts(self.mappings(**tmpfs("/m")), name="three"), "mounts[6]", "idmap")
        self.refused(self.with_mounts(bind(source, "/m", "idmap=uids=x"), name="four"), "mounts[6]", "option idmap")


class Filesystems(MountTest):
    def test_tmpfs_options(self):
        text = self.mounted(tmpfs("/t", "size=128k", "mode=1711", "nosuid", "noexec", "uid=5", "gid=6"), tmpfs("/r", "ro"),
                            script="stat -c '%a %u %g' /t; df -k /t | tail -1; cat /proc/self/mountinfo")
        self.assertEqual("1711 5 6", text.splitlines()[0])
        self.assertEqual("128", text.splitlines()[1].split()[1])
        self.assertLessEqual({"nosuid", "noexec"}, self.options_of("\n".join(text.splitlines()[2:]), "/t")[0])
        self.assertIn("ro", self.options_of("\n".join(text.splitlines()[2:]), "/r")[0])

    def test_tmpfs_keeps_the_mode_of_the_folder(self):
        bundle = self.with_mounts(tmpfs("/t"), script="stat -c %a /t")
        (bundle.root / "t").mkdir(mode=0o700)
        (bundle.root / "t").chmod(0o2751)
        self.assertEqual("2751", self.said(bundle))

    def test_tmpcopyup(self):
        bundle = self.with_mounts(tmpfs("/data", "tmpcopyup"), script="cd /data; cat a sub/b; readlink l; stat -c '%a %u %g %Y' a; stat -c %a . sub; "
                                  "stat -c %F f; touch new; grep -c ' /data tmpfs\\| /data ' /proc/self/mountinfo")
        data = bundle.root / "data"
        (data / "sub").mkdir(parents=True)
        (data / "a").write_text("A\n")
        (data / "sub/b").write_text("B\n")
        (data / "l").symlink_to("a")
        if is_proa():
            os.mkfifo(data / "f")
        (data / "a").chmod(0o640)
        os.chown(data / "a", 7, 8)
        os.utime(data / "a", (1000, 2000))
        data.chmod(0o750)
        (data / "sub").chmod(0o711)
        lines = self.said(bundle).splitlines()
        self.assertEqual(["A", "B", "a", "640 7 8"], [*lines[:3], " ".join(lines[3].split()[:3])])
        self.assertEqual(["750", "711"], lines[4:6])
        if is_proa():
            self.assertEqual("2000", lines[3].split()[3])
            self.assertEqual("fifo", lines[6])
        self.assertFalse((data / "new").exists())

    @unittest.skipUnless(is_proa(), "runc 1.1 copies before the mount is made read-only, then cannot")
    def test_tmpcopyup_read_only(self):
        bundle = self.with_mounts(tmpfs("/data", "tmpcopyup", "ro"), script="cat /data/a; touch /data/b 2>&1")
        (bundle.root / "data").mkdir()
        (bundle.root / "data/a").write_text("A\n")
        done = self.run_container(bundle)
        self.assertEqual("A", done.stdout.splitlines()[0])
        self.assertIn("Read-only", done.stdout)

    def test_bad_option(self):
        text = self.refused(self.with_mounts(tmpfs("/t", "nonsense=1")))
        if is_proa():
            self.assertIn("mounts[6]", text)
            self.assertIn("nonsense", text)

    def test_unknown_type(self):
        self.refused(self.with_mounts({"destination": "/t", "type": "nofs", "source": "x"}), "no such device")

    def test_bind_is_an_option_not_a_type(self):
        for entry, field in (({"type": "bind", "source": "/"}, "options"), ({"source": "/", "options": ["ro"]}, "type")):
            bundle = self.with_mounts({"destination": "/x", **entry}, script="true")
            self.refused(bundle, *([f"mounts[{len(bundle.config['mounts']) - 1}].{field}"] if is_proa() else []))

    def test_only_proc_at_proc(self):
        """Anything else there could pass for it."""
        for entry in ({"type": "tmpfs", "source": "tmpfs"}, {"type": "bind", "source": "/etc", "options": ["rbind"]}):
            self.refused(self.with_mounts({"destination": "/proc", **entry}, script="true"), "/proc", "not of type proc")
        for name in ("self/attr", "sys/net", "net/dev"):
            self.refused(self.with_mounts({"destination": f"/proc/{name}", "type": "bind", "source": "/etc", "options": ["rbind"]}, script="true"), "/proc")

    def test_files_of_proc_that_may_be_covered(self):
        (self.folder / "uptime").write_text("1 1\n")
        self.assertEqual("1 1", self.mounted({"destination": "/proc/uptime", "type": "bind", "source": str(self.folder / "uptime"), "options": ["bind"]},
                                             script="cat /proc/uptime"))

    def test_devpts_mqueue_sysfs_proc(self):
        text = self.mounted(script="cat /proc/self/mountinfo; ls /dev/pts /dev/mqueue; cat /proc/1/comm; ls /sys/class > /dev/null")
        for target in ("/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys"):
            self.options_of("\n".join(line for line in text.splitlines() if " - " in line), target)
        mounts = "\n".join(line for line in text.splitlines() if " - " in line)
        self.assertIn("ro", self.options_of(mounts, "/sys")[0])
        self.assertLessEqual({"mode=620", "gid=5", "ptmxmode=666"}, self.options_of(mounts, "/dev/pts")[1])

    def test_overlay(self):
        for name in ("lower", "upper", "work"):
            (self.folder / name).mkdir()
        (self.folder / "lower/below").write_text("low\n")
        options = [f"{name}dir={self.folder / name}" for name in ("lower", "upper", "work")]
        text = self.mounted({"destination": "/o", "type": "overlay", "source": "overlay", "options": options}, script="cat /o/below; echo up > /o/above")
        self.assertEqual("low", text)
        self.assertEqual("up\n", (self.folder / "upper/above").read_text())

    def test_cgroup_view(self):
        bundle = self.with_mounts({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid", "noexec", "nodev", "ro"]},
                                  script="ls /sys/fs/cgroup; cat /sys/fs/cgroup/pids/cgroup.procs | wc -l; cat /proc/self/cgroup; mkdir /sys/fs/cgroup/pids/x 2>&1")
        done = self.run_container(bundle)
        self.assertIn("pids", done.stdout)
        self.assertIn("Read-only file system", done.stdout)
        self.assertRegex(done.stdout, r"pids:/\n")

    @unittest.skipUnless(is_proa(), "runc 1.1 looks for the source")
    def test_remount(self):
        source = self.source()
        text = self.mounted(bind(source, "/m"), {"destination": "/m", "type": "none", "source": "none", "options": ["remount", "bind", "ro", "nodev"]},
                            script="cat /proc/self/mountinfo")
        self.assertLessEqual({"ro", "nodev"}, self.options_of(text, "/m")[0])

    def test_relative_destination(self):
        self.assertEqual("yes", self.mounted({**tmpfs("t/u")}, script="grep -q ' /t/u ' /proc/self/mountinfo && echo yes"))


class Root(MountTest):
    def test_read_only(self):
        bundle = self.sh("touch /x 2>&1; touch /tmp/x 2>&1; touch /dev/shm/x && echo shm; grep ' / / ' /proc/self/mountinfo")
        bundle.config["root"]["readonly"] = True
        text = self.run_container(bundle).stdout
        self.assertEqual(2, text.count("Read-only file system"))
        self.assertIn("shm", text)

    def test_new_mount_points_on_a_read_only_root(self):
        """The root becomes read-only after the mounts are made."""
        bundle = self.with_mounts(tmpfs("/brand/new"), script="touch /brand/new/x && echo ok")
        bundle.config["root"]["readonly"] = True
        self.assertEqual("ok", self.said(bundle))

    @unittest.skipUnless(is_proa(), "runc sets it before the root is changed, and loses it")
    def test_propagation(self):
        shown = {"shared": r"shared:\d+", "slave": r"master:\d+", "private": "^$", "rshared": r"shared:\d+", "rprivate": "^$",
                 "unbindable": "unbindable"}
        for name, pattern in shown.items():
            bundle = self.sh("cat /proc/self/mountinfo", name=name)
            bundle.config["linux"]["rootfsPropagation"] = name
            command("mount", "--bind", bundle.path, bundle.path)
            command("mount", "--make-shared", bundle.path)
            try:
                self.assertRegex(self.options_of(self.said(bundle), "/")[2], pattern, name)
            finally:
                command("umount", bundle.path)
        bundle.config["linux"]["rootfsPropagation"] = "nonsense"
        self.refused(bundle, "rootfsPropagation")

    @unittest.skipUnless(is_proa(), "runc sets it before the root is changed, and loses it")
    def test_shared_root_passes_mounts_on_inside(self):
        bundle = self.sh("mkdir -p /view; mount --rbind / /view && mount -t tmpfs t /home && grep -c ' /view/home ' /proc/self/mountinfo")
        bundle.config["linux"]["rootfsPropagation"] = "shared"
        for kind in ("bounding", "effective", "permitted"):
            bundle.config["process"]["capabilities"][kind].append("CAP_SYS_ADMIN")
        self.assertEqual("1", self.said(bundle))

    def test_default_is_private(self):
        self.assertNotRegex(self.options_of(self.said(self.sh("cat /proc/self/mountinfo")), "/")[2], "shared")

    def test_host_sees_nothing(self):
        before = Path("/proc/self/mountinfo").read_text()
        self.sleeper()
        self.assertEqual(before, Path("/proc/self/mountinfo").read_text())

    def test_no_pivot(self):
        self.assertIn("bin", self.said(self.sh("ls /"), "--no-pivot").split())

    def test_link_as_root(self):
        bundle = self.sh("echo here")
        (bundle.path / "link").symlink_to("rootfs")
        bundle.config["root"]["path"] = "link"
        if is_proa():
            self.assertEqual("here", self.said(bundle))

    def test_no_mount_namespace(self):
        """All is mounted in the caller's mount namespace, and taken away at delete."""
        if not is_proa():
            self.skipTest("runc leaves the mounts behind")
        bundle = self.sh("ls /proc/self/exe && cat")
        bundle.config["linux"]["namespaces"] = [n for n in bundle.config["linux"]["namespaces"] if n["type"] != "mount"]
        for name in ("maskedPaths", "readonlyPaths"):
            del bundle.config["linux"][name]
        self.assertIn("/proc/self/exe", self.said(bundle))
        self.assertNotIn(str(bundle.root), Path("/proc/self/mountinfo").read_text())


class MaskedAndReadonly(MountTest):
    def test_masked(self):
        bundle = self.sh("cat /etc/secret; ls /opt; ls -d /nowhere; ls -l /run/fifo; touch /opt/x; true 2>&1")
        (bundle.root / "etc/secret").write_text("secret\n")
        (bundle.root / "opt/inner").mkdir(parents=True)
        os.mkfifo(bundle.root / "run/fifo")
        bundle.config["linux"]["maskedPaths"] = ["/etc/secret", "/opt", "/nowhere/at/all", "/run/fifo"]
        done = self.run_container(bundle)
        self.assertNotIn("secret\n", done.stdout)
        self.assertNotIn("inner", done.stdout)
        self.assertIn("Read-only file system", done.stderr)
        self.assertIn("1,   3", done.stdout)

    def test_readonly(self):
        bundle = self.sh("touch /opt/x; echo x > /etc/file; cat /etc/file; touch /opt/below/y; true")
        (bundle.root / "opt/below").mkdir(parents=True)
        (bundle.root / "etc/file").write_text("kept\n")
        bundle.config["linux"]["readonlyPaths"] = ["/opt", "/etc/file", "/nowhere"]
        done = self.run_container(bundle)
        self.assertEqual(3, done.stderr.count("Read-only file system"), done.stderr)
        self.assertIn("kept", done.stdout)

    def test_proc(self):
        done = self.run_container(self.sh("echo 1 > /proc/sys/kernel/printk; cat /proc/keys | wc -c; ls /sys/firmware | wc -l; echo b > /proc/bus/x"))
        self.assertEqual(["0", "0"], done.stdout.split())
        self.assertEqual(1, done.stderr.count("Read-only file system"), done.stderr)

    @unittest.skipUnless(is_proa(), "runc 1.1 accepts it")
    def test_relative_path_is_refused(self):
        for name in ("maskedPaths", "readonlyPaths"):
            bundle = self.bundle("true", name=name)
            bundle.config["linux"][name] = ["relative"]
            self.refused(bundle, f"linux.{name}[0]")


class Devices(MountTest):
    def test_default_devices(self):
        text = self.said(self.sh("for d in null zero full random urandom tty; do stat -c '%n %F %t:%T %a %u:%g' /dev/$d; done; "
                                 "for l in fd stdin stdout stderr ptmx; do readlink /dev/$l; done; echo x > /dev/null; head -c2 /dev/zero | wc -c; head -c1 /dev/urandom | wc -c"))
        expected = {"null": "1:3", "zero": "1:5", "full": "1:7", "random": "1:8", "urandom": "1:9", "tty": "5:0"}
        for name, numbers in expected.items():
            self.assertIn(f"/dev/{name} character special file {numbers} 666 0:0", text)
        for link in ("/proc/self/fd", "/proc/self/fd/0", "/proc/self/fd/1", "/proc/self/fd/2", "pts/ptmx"):
            self.assertIn(link, text.splitlines())

    def devices(self, *devices, script, rules=()):
        bundle = self.sh(script)
        bundle.config["linux"]["devices"] = list(devices)
        bundle.config["linux"]["resources"]["devices"] += rules
        return bundle

    def test_nodes(self):
        text = self.said(self.devices({"path": "/dev/mychar", "type": "c", "major": 1, "minor": 5, "fileMode": 0o640, "uid": 3, "gid": 4},
                                      {"path": "/dev/deep/below/block", "type": "b", "major": 7, "minor": 99, "fileMode": 0o600},
                                      {"path": "/run/fifo", "type": "p", "fileMode": 0o620, "uid": 1},
                                      {"path": "/dev/unbuffered", "type": "u", "major": 1, "minor": 3},
                                      script="stat -c '%n %F %t:%T %a %u:%g' /dev/mychar /dev/deep/below/block /run/fifo /dev/unbuffered"))
        self.assertEqual(["/dev/mychar character special file 1:5 640 3:4", "/dev/deep/below/block block special file 7:63 600 0:0",
                          "/run/fifo fifo 0:0 620 1:0", "/dev/unbuffered character special file 1:3 666 0:0"], text.splitlines())

    def test_access_rules(self):
        """A node is no right: what the rules do not allow cannot be opened, or even made."""
        allowed = {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "r"}
        bundle = self.devices({"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229}, {"path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11},
                              script="exec 2>&1; (exec 3</dev/fuse && echo fuse read); (exec 3>/dev/fuse && echo fuse write); (exec 3</dev/kmsg && echo kmsg); "
                              "mknod /dev/made c 10 200 && echo made; true", rules=[allowed])
        text = self.said(bundle)
        self.assertNotIn("fuse write", text)
        self.assertNotIn("kmsg\n", text + "\n")
        if Path("/sys/dev/char/10:229").exists():
            self.assertIn("fuse read", text)
        self.assertIn("peration not permitted", text)

    @unittest.skipUnless(is_proa(), "runc 1.1 has other rules")
    def test_existing_file_is_not_overwritten(self):
        bundle = self.devices({"path": "/etc/passwd", "type": "c", "major": 1, "minor": 3}, script="true")
        before = (bundle.root / "etc/passwd").read_text()
        self.refused(bundle, "linux.devices[0]", "file exists")
        self.assertEqual(before, (bundle.root / "etc/passwd").read_text())

    def test_bad_devices(self):
        for device, word in (({"path": "relative", "type": "c", "major": 1, "minor": 3}, "path"), ({"path": "/dev/x", "type": "z", "major": 1, "minor": 3}, "type"),
                             ({"path": "/dev/x", "type": "c", "major": -1, "minor": 3}, "major")):
            if is_proa():
                self.refused(self.devices(device, script="true"), "linux.devices[0]", word)

    def test_host_dev(self):
        """A /dev bound from the host is left as it is."""
        bundle = self.sh("ls -d /dev/null && echo ok > /dev/null")
        bundle.config["mounts"] = [m for m in bundle.config["mounts"] if not m["destination"].startswith("/dev")]
        before = sorted(os.listdir("/dev"))
        bundle.config["mounts"].append({"destination": "/dev", "type": "bind", "source": "/dev", "options": ["rbind"]})
        self.assertEqual("/dev/null", self.said(bundle))
        self.assertEqual(before, sorted(os.listdir("/dev")))


if __name__ == "__main__":
    main()
