#!/usr/bin/env python3
"""checkpoint and restore: the conversation with criu (a fake one keeps what it was told), and the real one where it works."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib import cgroups  # noqa: E402
from lib.case import main, until  # noqa: E402
from lib.container import ContainerTest, is_proa, listen, namespace, read_terminal, receive_terminal, unquoted  # noqa: E402

_FAKE = Path(__file__).resolve().parent / "fake_criu.py"


def pairs(options, name):
    """A list of pairs of a request as (key, value)."""
    return [(each["key"], each["value"]) for each in options.get(name, [])]


@unittest.skipUnless(is_proa(), "other runtimes take no --criu")
class WithFake(ContainerTest):
    def setUp(self):
        super().setUp()
        self.fake = self.folder / "criu"
        self.fake.mkdir()
        self.images = self.folder / "images"
        self.plan()

    def plan(self, **behaviour):
        (self.fake / "plan.json").write_text(json.dumps(behaviour))

    def call(self, *args, **kwargs):
        return self.runtime.call("--criu", _FAKE, *args, env={**os.environ, "FAKE_CRIU": str(self.fake)}, **kwargs)

    def ok(self, *args, **kwargs):
        done = self.call(*args, **kwargs)
        self.assertEqual(0, done.returncode, done.stderr)
        return done

    def heard(self, kind):
        """What the fake was told: (everything kept, the options)."""
        kept = json.loads((self.fake / f"{kind}.json").read_text())
        return kept, kept["request"].get("opts", {})

    def checkpoint(self, *options):
        self.ok("checkpoint", "--image-path", self.images, *options, "box")
        return self.heard("dump")

    def detached(self, *options, out=None):
        """Restores into the background; the process writes to the file `out`."""
        self.forget("box")
        with open(out or os.devnull, "w") as stream, open(self.folder / "restore.err", "w") as err:
            done = self.call("restore", "--detach", "--image-path", self.images, *options, "box", stdout=stream, stderr=err)
        self.assertEqual(0, done.returncode, (self.folder / "restore.err").read_text())
        return self.heard("restore")


class Checkpoint(WithFake):
    def test_saved_and_gone(self):
        bundle = self.bundle("sleep", "100000")
        log = self.folder / "poststop"
        bundle.config["hooks"] = {"poststop": [{"path": "/bin/sh", "args": ["sh", "-c", f"cat > {log}"]}]}
        pid = self.started(bundle)
        kept, options = self.checkpoint()
        self.assertEqual(pid, options["pid"])
        self.assertEqual(str(self.images), kept["images"])
        self.assertEqual(str(self.images), kept["work"])
        self.assertEqual(str(bundle.root), options["root"])
        self.assertEqual(("dump.log", 4), (options["log_file"], options["log_level"]))
        self.assertEqual(3, options["manage_cgroups_mode"])  # soft
        self.assertEqual(0x40000000, options["empty_ns"])
        for flag in ("notify_scripts", "orphan_pts_master", "manage_cgroups"):
            self.assertEqual(1, options[flag], flag)
        for flag in ("leave_running", "tcp_established", "ext_unix_sk", "shell_job", "file_locks", "link_remap", "auto_dedup",
                     "lazy_pages", "tcp_skip_in_flight"):
            self.assertEqual(0, options[flag], flag)
        self.assertFalse(self.runtime.exists("box"))
        self.assertEqual("stopped", json.loads(log.read_text())["status"])

    def test_leave_running(self):
        pid = self.sleeper()
        _, options = self.checkpoint("--leave-running")
        self.assertEqual(1, options["leave_running"])
        self.assertEqual(("running", pid), (self.status(), self.runtime.state("box")["pid"]))

    def test_flags(self):
        self.sleeper()
        (self.folder / "work").mkdir()
        kept, options = self.checkpoint(
            "--work-path", self.folder / "work", "--tcp-established", "--tcp-skip-in-flight", "--link-remap", "--ext-unix-sk", "--shell-job",
            "--file-locks", "--auto-dedup", "--manage-cgroups-mode", "strict", "--page-server", "[::1]:2077", "--empty-ns", "network")
        for flag in ("tcp_established", "tcp_skip_in_flight", "link_remap", "ext_unix_sk", "shell_job", "file_locks", "auto_dedup"):
            self.assertEqual(1, options[flag], flag)
        self.assertEqual(5, options["manage_cgroups_mode"])
        self.assertEqual({"address": "::1", "port": 2077}, options["ps"])
        self.assertEqual(str(self.folder / "work"), kept["work"])

    def test_mounts_from_outside(self):
        """Bind mounts and masked files are named by where they are with links followed."""
        bundle = self.bundle("sleep", "100000")
        (self.folder / "data").mkdir()
        (bundle.root / "srv").mkdir()
        (bundle.root / "link").symlink_to("/srv")
        bundle.config["mounts"].append({"destination": "/link/data", "type": "bind", "source": str(self.folder / "data"), "options": ["rbind"]})
        self.started(bundle)
        _, options = self.checkpoint()
        mounts = dict(pairs(options, "ext_mnt"))
        self.assertEqual("/link/data", mounts["/srv/data"])
        masked = next(path for path in bundle.config["linux"]["maskedPaths"] if Path(path).is_file())
        self.assertEqual("/dev/null", mounts[masked])
        self.assertNotIn("/sys/firmware", mounts)  # a folder: a tmpfs of the container's own
        self.assertNotIn("/proc", mounts)

    def test_freezer(self):
        pid = self.sleeper()
        line = next((line for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines() if ":freezer:" in line), None)
        _, options = self.checkpoint()
        if line:
            self.assertTrue(options["freeze_cgroup"].endswith(line.split(":", 2)[2]), options["freeze_cgroup"])
        else:
            self.assertTrue(options["freeze_cgroup"])

    def test_namespaces_from_outside(self):
        holder = subprocess.Popen(["unshare", "--net", "sleep", "1000"])
        self.addCleanup(holder.wait)
        self.addCleanup(holder.kill)
        until(lambda: namespace("net", holder.pid) != namespace("net"), "a network namespace")
        bundle = self.bundle("sleep", "100000")
        entry = next(each for each in bundle.config["linux"]["namespaces"] if each["type"] == "network")
        entry["path"] = f"/proc/{holder.pid}/ns/net"
        pid = self.started(bundle)
        inode = namespace("net", pid).strip("net:")
        _, options = self.checkpoint()
        self.assertEqual([f"net{inode}:extRootNetNS"], options["external"])
        self.forget("box")
        kept, options = self.detached("--bundle", bundle.path)
        self.assertEqual(f"net:{inode}", kept["inherited"]["extRootNetNS"])

    def test_pre_dump(self):
        pid = self.sleeper()
        self.ok("checkpoint", "--pre-dump", "--image-path", self.images, "box")
        _, options = self.heard("pre-dump")
        self.assertEqual((pid, 1), (options["pid"], options["track_mem"]))
        self.assertEqual("running", self.status())
        self.assertTrue((self.fake / "features.json").exists())
        final = self.folder / "final"
        self.ok("checkpoint", "--parent-path", "../images", "--image-path", final, "box")
        self.assertEqual(("../images", 1), (self.heard("dump")[1]["parent_img"], self.heard("dump")[1]["track_mem"]))

    def test_features_that_are_missing(self):
        self.sleeper()
        self.plan(features=[0, 0])
        for flag, word in (("--pre-dump", "mem_track"), ("--lazy-pages", "lazy_pages")):
            done = self.call("checkpoint", flag, "--image-path", self.images, "box")
            self.assertEqual(1, done.returncode)
            self.assertIn(word, done.stderr)
        self.assertEqual("running", self.status())

    def test_status_fd(self):
        self.sleeper()
        self.plan(notify=["status-ready"])
        read, write = os.pipe()
        self.ok("checkpoint", "--lazy-pages", "--status-fd", write, "--image-path", self.images, "box", pass_fds=[write])
        os.close(write)
        self.assertEqual(b"\0", os.read(read, 10))
        os.close(read)

    def test_standard_streams_are_told(self):
        out = self.folder / "out"
        self.sleeper(output=out)
        self.checkpoint()
        self.assertEqual(["/dev/null", str(out), "/dev/null"][1], json.loads((self.images / "descriptors.json").read_text())[1])

    def test_criu_settings_by_annotation(self):
        bundle = self.bundle("sleep", "100000")
        bundle.config["annotations"] = {"org.criu.config": "/etc/mine"}
        self.started(bundle)
        self.assertEqual("/etc/mine", self.checkpoint()[1]["config_file"])

    def test_refused_by_criu(self):
        """The error has the reason and criu's own words, and names its log."""
        self.sleeper()
        self.plan(fail=22, log="(00.1) fine\n(00.2) Error (criu/x.c:7): cannot dump the thing\n(00.3) Error (criu/y.c:8): Dumping FAILED.\n")
        done = self.call("checkpoint", "--image-path", self.images, "box")
        self.assertEqual(1, done.returncode)
        for words in ("Invalid argument", "cannot dump the thing", "Dumping FAILED", str(self.images / "dump.log")):
            self.assertIn(words.lower(), done.stderr.lower())
        self.assertEqual("running", self.status())

    def test_criu_dies(self):
        self.sleeper()
        self.plan(die="network-lock")
        done = self.call("checkpoint", "--image-path", self.images, "box")
        self.assertEqual(1, done.returncode)
        self.assertIn("ended without an answer", done.stderr)

    def test_no_criu(self):
        self.sleeper()
        done = self.runtime.call("--criu", "/no/such/criu", "checkpoint", "--image-path", self.images, "box")
        self.assertEqual(1, done.returncode)
        self.assertIn("/no/such/criu", done.stderr)
        self.assertIn("apt install criu", done.stderr)

    def test_what_cannot_be_saved(self):
        self.create(self.bundle("sleep", "100000"))
        self.assertIn("created", self.call("checkpoint", "--image-path", self.images, "box").stderr)
        self.assertIn("does not exist", self.call("checkpoint", "--image-path", self.images, "nobox").stderr)
        self.runtime("start", "box")
        for options, word in ((("--parent-path", "nowhere"), "--parent-path"), (("--status-fd", "77", "--lazy-pages"), "--status-fd"),
                              (("--empty-ns", "pid"), "pid"), (("--page-server", "here"), "page-server"), (("--manage-cgroups-mode", "maybe"), "maybe")):
            done = self.call("checkpoint", *options, "--image-path", self.images, "box")
            self.assertEqual(1, done.returncode, options)
            self.assertIn(word, done.stderr)
        self.assertEqual("running", self.status())


class Restore(WithFake):
    def saved(self, change=None, *options):
        bundle = self.bundle("sleep", "100000")
        if change:
            change(bundle)
        self.started(bundle)
        self.checkpoint(*options)
        return bundle

    def test_detached(self):
        bundle = self.saved()
        out, pid_file = self.folder / "restored", self.folder / "pid"
        kept, options = self.detached("--bundle", bundle.path, "--pid-file", pid_file, out=out)
        state = self.runtime.state("box")
        self.assertEqual(("running", str(bundle.path)), (state["status"], state["bundle"]))
        self.assertEqual(str(state["pid"]), pid_file.read_text())
        self.assertEqual("restored\n", out.read_text())
        self.assertEqual("restore.log", options["log_file"])
        self.assertEqual((1, 1, 1), (options["rst_sibling"], options["evasive_devices"], options["orphan_pts_master"]))
        self.assertEqual(sorted(os.listdir(bundle.root)), kept["root"])
        self.assertTrue(kept["root_is_mount"])
        self.assertNotIn("criu-root", Path("/proc/self/mountinfo").read_text())
        self.runtime("kill", "box", "KILL")
        self.until_stopped()
        self.runtime("delete", "box")

    def test_only_what_is_meant_is_inherited(self):
        bundle = self.saved()
        kept, _ = self.detached("--bundle", bundle.path)
        self.assertLessEqual(len(kept["descriptors"]), 6, kept["descriptors"])  # 0-3, the images, and what is being read

    def test_cgroups(self):
        """criu runs in the container's cgroups, with its limits on, and is told of them."""
        def limit(bundle):
            bundle.config["linux"]["resources"]["pids"] = {"limit": 77}
        bundle = self.saved(limit)
        kept, options = self.detached("--bundle", bundle.path)
        roots = dict(pairs(options, "cg_root"))
        own = [line.split(":", 2) for line in kept["cgroup"].splitlines()]
        self.assertEqual({name: path for _, names, path in own for name in names.split(",")}, roots)
        self.assertTrue(roots["pids"].endswith("box"), roots)
        self.assertIn(77, json.loads(self.runtime("events", "--stats", "box"))["data"]["pids"].values())
        for hierarchy in cgroups.hierarchies():
            if not hierarchy.v2:
                self.assertTrue(any(group.name.endswith("box") for group in cgroups.groups_below(hierarchy.mount)), hierarchy.mount)

    def test_cgroups_that_are_bound(self):
        """Without a cgroup namespace the container sees the host's folders: its new ones take their place."""
        def share(bundle):
            bundle.config["linux"]["namespaces"] = [n for n in bundle.config["linux"]["namespaces"] if n["type"] != "cgroup"]
            bundle.config["mounts"].append({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"]})
        if all(hierarchy.v2 for hierarchy in cgroups.hierarchies()):
            self.skipTest("the unified hierarchy is mounted whole")
        bundle = self.saved(share)
        told = dict(pairs(self.heard("dump")[1], "ext_mnt"))
        self.assertEqual("/sys/fs/cgroup/pids", told["/sys/fs/cgroup/pids"])
        _, options = self.detached("--bundle", bundle.path)
        self.assertTrue(dict(pairs(options, "ext_mnt"))["/sys/fs/cgroup/pids"].endswith("box"))

    def test_mounts(self):
        """Names from the checkpoint lead to this bundle's sources; missing mount points are made."""
        (self.folder / "data/deep").mkdir(parents=True)
        (self.folder / "file").write_text("x")

        def mounts(bundle):
            bundle.config["mounts"] += [
                {"destination": "/new/data", "type": "bind", "source": str(self.folder / "data"), "options": ["bind"]},
                {"destination": "/new/data/inner/file", "type": "none", "source": str(self.folder / "file"), "options": ["bind", "ro"]},
                {"destination": "/dev/shm/there", "type": "bind", "source": str(self.folder / "data"), "options": ["rbind"]}]
        bundle = self.saved(mounts)
        shutil.rmtree(bundle.root / "new")
        shutil.rmtree(self.folder / "data/inner")
        kept, options = self.detached("--bundle", bundle.path)
        told = dict(pairs(options, "ext_mnt"))
        self.assertEqual(str(self.folder / "data"), told["/new/data"])
        self.assertEqual(str(self.folder / "file"), told["/new/data/inner/file"])
        self.assertEqual("/dev/null", told["/dev/null"])
        self.assertTrue((bundle.root / "new/data").is_dir())
        self.assertTrue((self.folder / "data/inner/file").is_file())
        self.assertFalse((bundle.root / "dev/shm").exists() and any((bundle.root / "dev/shm").iterdir()))

    def test_pipes_are_taken_over(self):
        bundle = self.bundle("sleep", "100000")
        self.forget("box")
        child = self.background("run", "--bundle", bundle.path, "box")
        until(lambda: self.runtime.exists("box") and self.status() == "running", "the container to run")
        pipe = os.readlink(f"/proc/{self.runtime.state('box')['pid']}/fd/1")
        self.checkpoint()
        self.assertNotEqual(0, child.wait(20))
        self.assertTrue(pipe.startswith("pipe:"))
        (self.fake / "end").touch()
        done = self.call("restore", "--image-path", self.images, "--bundle", bundle.path, "box")
        self.assertEqual("restored\n", done.stdout)
        kept, options = self.heard("restore")
        self.assertIn({"key": pipe, "fd": 1}, options["inherit_fd"])
        self.assertTrue(kept["inherited"][pipe].startswith("pipe:"))

    def test_foreground(self):
        """Waits, ends as the process ends, and leaves no container."""
        bundle = self.saved()
        self.plan(status=7)
        (self.fake / "end").touch()
        done = self.call("restore", "--image-path", self.images, "--bundle", bundle.path, "box")
        self.assertEqual((7, "restored\n"), (done.returncode, done.stdout), done.stderr)
        self.assertFalse(self.runtime.exists("box"))

    def test_other_commands_go_on_while_it_waits(self):
        bundle = self.saved()
        self.forget("box")
        child = subprocess.Popen(self.runtime.argv("--criu", _FAKE, "restore", "--image-path", self.images, "--bundle", bundle.path, "box"),
                                 env={**os.environ, "FAKE_CRIU": str(self.fake)}, stdout=subprocess.DEVNULL)
        until(lambda: self.runtime.exists("box") and self.status() == "running", "the container to be back")
        self.runtime("pause", "box")
        self.assertEqual("paused", self.status())
        self.runtime("resume", "box")
        self.runtime("kill", "box", "KILL")
        self.assertEqual(128 + 9, child.wait(20))

    def test_hooks(self):
        """Those that set namespaces up run between criu's making them and filling them."""
        def hooks(bundle):
            for name in ("prestart", "createRuntime", "poststart"):
                bundle.config.setdefault("hooks", {})[name] = [
                    {"path": "/bin/sh", "args": ["sh", "-c", f"cat > {self.folder}/hook.{name}"]}]
        bundle = self.saved(hooks)
        for each in self.folder.glob("hook.*"):
            each.unlink()
        self.detached("--bundle", bundle.path)
        for name in ("prestart", "createRuntime"):
            state = json.loads((self.folder / f"hook.{name}").read_text())
            self.assertEqual(("box", self.runtime.state("box")["pid"]), (state["id"], state["pid"]))
        self.assertFalse((self.folder / "hook.poststart").exists())  # no program was started

    def test_hook_that_fails(self):
        bundle = self.saved()
        bundle.config["hooks"] = {"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", "echo no luck; exit 3"]}]}
        bundle.save()
        done = self.call("restore", "--detach", "--image-path", self.images, "--bundle", bundle.path, "box")
        self.assertEqual(1, done.returncode)
        self.assertIn("no luck", done.stderr)
        self.assertFalse(self.runtime.exists("box"))

    def test_console(self):
        def terminal(bundle):
            bundle.config["process"]["terminal"] = True
        bundle = self.bundle("sleep", "100000")
        terminal(bundle)
        bundle.save()
        path = self.folder / "console"
        self.forget("box")
        with listen(path) as listener:
            self.runtime("run", "--detach", "--console-socket", path, "--bundle", bundle.path, "box", stdout=None, stderr=None)
            os.close(receive_terminal(listener))
            self.checkpoint()
            self.plan(terminal=True)
            self.detached("--bundle", bundle.path, "--console-socket", path)
            master = receive_terminal(listener)
        self.addCleanup(os.close, master)
        self.assertIn("restored terminal", read_terminal(master, "restored terminal"))
        refused = self.call("restore", "--detach", "--image-path", self.images, "--bundle", bundle.path, "other")
        self.assertIn("--console-socket", refused.stderr)

    def test_labels_and_flags(self):
        bundle = self.saved()
        _, options = self.detached("--bundle", bundle.path, "--lsm-profile", "apparmor:mine", "--lsm-mount-context", "a:b:c", "--tcp-established",
                                   "--ext-unix-sk", "--shell-job", "--file-locks", "--auto-dedup", "--lazy-pages", "--manage-cgroups-mode", "ignore")
        self.assertEqual(("apparmor:mine", "a:b:c"), (options["lsm_profile"], options["lsm_mount_context"]))
        for flag in ("tcp_established", "ext_unix_sk", "shell_job", "file_locks", "auto_dedup", "lazy_pages"):
            self.assertEqual(1, options[flag], flag)
        self.assertEqual(0, options["manage_cgroups_mode"])

    def test_labels_need_a_criu_that_honours_them(self):
        bundle = self.saved()
        self.plan(version=[3, 15, 0])
        done = self.call("restore", "--detach", "--lsm-profile", "apparmor:mine", "--image-path", self.images, "--bundle", bundle.path, "box")
        self.assertIn("criu 3.16", done.stderr)
        self.assertFalse(self.runtime.exists("box"))

    def test_refused_by_criu(self):
        bundle = self.saved()
        self.plan(fail=17, log="(00.1) Error (criu/z.c:1): pid is taken\n")
        done = self.call("restore", "--detach", "--image-path", self.images, "--bundle", bundle.path, "box")
        self.assertEqual(1, done.returncode)
        for words in ("File exists", "pid is taken", str(self.images / "restore.log")):
            self.assertIn(words.lower(), done.stderr.lower())
        self.assertFalse(self.runtime.exists("box"))

    def test_criu_dies(self):
        bundle = self.saved()
        for script in ("setup-namespaces", "post-restore"):
            self.plan(die=script)
            done = self.call("restore", "--detach", "--image-path", self.images, "--bundle", bundle.path, "box")
            self.assertEqual(1, done.returncode, script)
            self.assertFalse(self.runtime.exists("box"))

    def test_killed_on_the_way(self):
        """A runtime killed in the middle leaves nothing that the next command would not take away."""
        bundle = self.bundle("sleep", "100000")
        self.started(bundle)
        self.checkpoint()
        bundle.config["hooks"] = {"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", f"touch {self.folder}/reached; exec sleep 1000"]}]}
        bundle.save()
        child = subprocess.Popen(self.runtime.argv("--criu", _FAKE, "restore", "--detach", "--image-path", self.images, "--bundle", bundle.path, "box"),
                                 env={**os.environ, "FAKE_CRIU": str(self.fake)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until((self.folder / "reached").exists, "the hook to run")
        hook = [int(p) for p in Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()]
        child.send_signal(signal.SIGKILL)
        child.wait()
        for pid in hook:
            if b"sleep 1000" in Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" "):
                os.kill(pid, signal.SIGKILL)
        self.assertNotIn("box", self.runtime("list", "-q"))

    def test_id_that_is_taken(self):
        bundle = self.saved()
        self.detached("--bundle", bundle.path)
        done = self.call("restore", "--detach", "--image-path", self.images, "--bundle", bundle.path, "box")
        self.assertIn("already exists", done.stderr)
        self.assertEqual("running", self.status())

    def test_images_that_are_not_there(self):
        bundle = self.bundle("true")
        done = self.call("restore", "--detach", "--image-path", self.folder / "none", "--bundle", bundle.path, "box")
        self.assertIn("--image-path", done.stderr)
        (self.folder / "none").mkdir()
        done = self.call("restore", "--detach", "--image-path", self.folder / "none", "--bundle", bundle.path, "box")
        self.assertIn("descriptors.json", done.stderr)
        (self.folder / "none/descriptors.json").write_text('{"a": 1}')
        done = self.call("restore", "--detach", "--image-path", self.folder / "none", "--bundle", bundle.path, "box")
        self.assertIn("descriptors.json", done.stderr)


def criu_trouble():
    """Why criu cannot be used here, or None."""
    found = shutil.which("criu", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if not found:
        return "criu is not installed"
    check = subprocess.run([found, "check"], capture_output=True, text=True)
    if check.returncode == 0:
        return None
    return f"criu cannot work on this kernel: {(check.stderr or check.stdout).strip().splitlines()[0]}"


class WithCriu(ContainerTest):
    """A counter goes on where it was stopped."""

    def setUp(self):
        super().setUp()
        trouble = criu_trouble()
        if trouble:
            self.skipTest(trouble)

    def test_there_and_back(self):
        count = self.folder / "count"
        bundle = self.sh("i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done")
        self.started(bundle, output=count)
        until(lambda: len(count.read_text().split()) > 5, "the counter to count")
        images = self.folder / "images"
        self.runtime("checkpoint", "--image-path", images, "box")
        before = int(count.read_text().split()[-1])
        self.forget("box")
        with open(self.folder / "restore.err", "w") as err:
            done = self.runtime.call("restore", "--detach", "--image-path", images, "--bundle", bundle.path, "box", stdout=err, stderr=err)
        self.assertEqual(0, done.returncode, (self.folder / "restore.err").read_text())
        until(lambda: int(count.read_text().split()[-1]) > before + 3, "the counter to go on")
        self.assertEqual("running", self.status())
        self.assertEqual("inside", self.inside("echo", "inside"))

    def test_leave_running(self):
        self.sleeper()
        self.runtime("checkpoint", "--leave-running", "--image-path", self.folder / "images", "box")
        self.assertEqual("running", self.status())


if __name__ == "__main__":
    main()
