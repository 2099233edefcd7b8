#!/usr/bin/env python3
"""SIGKILL at each step of each command: afterwards names can be used again or what has them is seen and can be removed,
and once all is removed by ordinary commands nothing is left.

A step is a system call that changes something; between two of them a kill makes no difference. PROA_CRASH_STEPS says how
many of each command's steps it is killed at, "all" for every one; PROA_CRASH_SEED which."""

import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib import image, runtime, sandbox  # noqa: E402
from lib.case import SystemTest, main, until  # noqa: E402
from lib.docker_registry import Registry  # noqa: E402
from storm.world import World, processes  # noqa: E402

STEPS = os.environ.get("PROA_CRASH_STEPS", "12")
SEED = int(os.environ.get("PROA_CRASH_SEED", "20240229"))

# Calls that change what others see, or let go of what they wait for.
CHANGES = re.compile(r"^(openat2?\(.*O_(CREAT|TRUNC)|mkdir|rename|unlink|rmdir|symlink|link|write|pwrite|copy_file|sendto|sendmsg"
                     r"|mount|umount|fsopen|fsmount|fsconfig|move_mount|open_tree|clone|fork|vfork|unshare|setns|ftruncate"
                     r"|fallocate|bind|listen|connect|kill|pidfd_send|execve|exit_group|flock|chmod|fchmod|chown|fchown"
                     r"|mknod|wait4|waitid|poll|ppoll)")


def calls_in(trace):
    seen, found = {}, []
    for line in trace.splitlines():
        call = re.match(r"^(\d+ +)?(\w+)\(", line)
        if not call:
            continue
        seen[call.groups()] = seen.get(call.groups(), 0) + 1
        step = (call[2], seen[call.groups()])
        if CHANGES.match(line[len(call[1] or ""):]) and step not in [known[:2] for known in found]:
            found.append((*step, line[:90]))
    return found


class CrashTest(SystemTest):
    def setUp(self):
        super().setUp()
        self.world = World(tempfile.mkdtemp(prefix="crash-", dir=sandbox.scratch()))
        self.addCleanup(self.world.close)
        self.world.make_image("box:1")
        # All that is made once and stays: folders, locks, the bridge's record.
        self.world.call("network", "create", "first")
        self.world.call("run", "--rm", "-p", "7000:80", "box:1", "true")
        self.world.call("run", "--rm", "--network", "first", "-p", "7000:80", "-v", "first:/data", "-v", "/anonymous", "box:1", "true")
        self.world.call("run", "--name", "first", "--network", "none", "box:1", "touch", "/new")
        self.world.call("commit", "first", "first:1")
        self.world.call("image", "rm", "first:1")
        self.world.call("system", "boot")
        self.world.remove_all(images=False)
        self.clean = self.world.picture()

    def _check_nothing_left(self):
        pass  # world.stray() looks closer

    def trace(self, args, *options):
        with open(self.folder / "said", "w") as out:
            return subprocess.run(["strace", "-qq", *options, *self.world.argv(*args)], env=self.world.env, stdin=subprocess.DEVNULL,
                                  stdout=out, stderr=out, check=False, timeout=60).returncode

    def steps(self, args, follow=()):
        """(call, which of that name in its thread, what strace says of it) of a run."""
        out = self.folder / "trace"
        self.assertEqual(0, self.trace(args, *follow, "-s", "16", "-o", out), (self.folder / "said").read_text())
        return calls_in(out.read_text())

    def order(self, steps):
        """All of them, and how many are to be met. Runs differ, in what each thread does above all: a step may not be met."""
        if STEPS == "all":
            return steps, len(steps)
        return random.Random(SEED ^ len(steps)).sample(steps, len(steps)), min(int(STEPS), len(steps))

    def at_every_step(self, args, prepare=lambda: None, check=lambda: None, threads=False):
        """`prepare` makes what `args` work on, `check` looks at what is there after the kill. `threads`: it has some, and
        starts no process that stays."""
        follow = ["-f"] if threads else []
        self.world.remove_all(images=False)
        prepare()
        steps = self.steps(args, follow)
        self.tidy("none")
        steps, wanted = self.order(steps)
        kills = 0
        for name, number, line in steps:
            if kills == wanted:
                break
            if self.world.containers():
                self.world.remove_all(images=False)  # after a failure
            prepare()
            killed = self.trace(args, *follow, "-o", "/dev/null", "-e", f"trace={name}", "-e", f"inject={name}:signal=KILL:when={number}") != 0
            kills += killed
            with self.subTest(step=f"{number}. {name}", call=line):
                check()
                self.tidy(line)
        self.assertGreater(kills, 0)

    def tidy(self, step):
        self.world.remove_all(images=False)
        for name in self.world.lines("image", "ls", "--format", "{{.Repository}}:{{.Tag}}"):
            if name != "box:1":
                self.world.call("image", "rm", name)
        self.world.drop_parts()
        left = self.world.stray(self.clean)
        if left:
            self.clean = self.world.picture()  # the next one is to find its own
            self.fail("\n  ".join([f"left behind by a kill at {step}:", *left]))

    # --- what holds after each kill

    def usable(self, name="box"):
        """The name is free, or its owner is seen and can be removed; then the name is free."""
        if name in self.world.containers():
            self.world.call("inspect", name)
            self.world.call("rm", "-f", "-v", name)
        self.assertEqual("works\n", self.world.call("run", "--rm", "--name", name, "--network", "none", "box:1", "echo", "works").stdout)

    def runs(self, name="box"):
        """The container is there, and can be started and stopped."""
        self.assertIn(name, self.world.containers())
        self.world.call("start", name)
        self.assertEqual("running", self.world.call("inspect", "-f", "{{.State.Status}}", name).stdout.strip())
        self.assertEqual("in\n", self.world.call("exec", name, "echo", "in").stdout)
        self.world.call("stop", "-t", "0", name)
        self.assertEqual("exited", self.world.call("inspect", "-f", "{{.State.Status}}", name).stdout.strip())

    def make(self, *flags):
        self.world.call("create", "--name", "box", "--network", "none", *flags, "box:1", "sleep", "1000")

    def start(self, *flags):
        self.world.call("run", "-d", "--name", "box", "--network", "none", *flags, "box:1", "sleep", "1000")


class Containers(CrashTest):
    def test_create(self):
        self.at_every_step(["create", "--name", "box", "-v", "data:/data", "-v", "/anonymous", "box:1", "true"], check=self.usable, threads=True)

    def test_run(self):
        self.at_every_step(["run", "-d", "--name", "box", "-p", "8080:80", "box:1", "sleep", "1000"], check=self.usable)

    def test_run_that_removes_itself(self):
        """Whatever had begun ends and removes itself, or never was."""
        def check():
            until(lambda: self.world.containers().get("box") in (None, "created"), "the container to go")
            self.usable()
        self.at_every_step(["run", "--rm", "--name", "box", "-v", "/anonymous", "box:1", "true"], check=check)

    def test_start(self):
        self.at_every_step(["start", "box"], prepare=self.make, check=self.runs)

    def test_stop(self):
        self.at_every_step(["stop", "-t", "0", "box"], prepare=self.start, check=self.runs)

    def test_kill(self):
        self.at_every_step(["kill", "box"], prepare=self.start, check=self.runs)

    def test_restart(self):
        self.at_every_step(["restart", "-t", "0", "box"], prepare=self.start, check=self.runs)

    def test_pause(self):
        def check():
            if self.world.containers()["box"] == "paused":
                self.world.call("unpause", "box")
            self.runs()
        self.at_every_step(["pause", "box"], prepare=self.start, check=check)

    def test_unpause(self):
        def prepare():
            self.start()
            self.world.call("pause", "box")
        def check():
            if self.world.containers()["box"] == "paused":
                self.world.call("unpause", "box")
            self.runs()
        self.at_every_step(["unpause", "box"], prepare=prepare, check=check)

    def test_rm(self):
        self.at_every_step(["rm", "-v", "box"], prepare=lambda: self.make("-v", "/anonymous"), check=self.usable)

    def test_rm_of_one_that_runs(self):
        self.at_every_step(["rm", "-f", "-v", "box"], prepare=lambda: self.start("--restart", "always", "-v", "/anonymous"), check=self.usable)

    def test_rename(self):
        def check():
            names = self.world.containers()
            self.assertEqual(1, len(names))
            if "box" in names:
                self.world.call("rename", "box", "other")
            self.assertEqual(["other"], [*self.world.containers()])
            self.usable()  # the old name is free
            self.runs("other")
        self.at_every_step(["rename", "box", "other"], prepare=self.make, check=check)

    def test_exec(self):
        self.at_every_step(["exec", "box", "touch", "/made"], prepare=self.start, check=self.runs)

    def test_commit(self):
        def check():
            self.assertEqual("running", self.world.containers()["box"])
            self.world.call("commit", "box", "made:1")
            self.assertEqual("made", self.world.call("run", "--rm", "--network", "none", "made:1", "cat", "/kept").stdout.strip())
        def prepare():
            self.start()
            self.world.call("exec", "box", "sh", "-c", "echo made >/kept")
        self.at_every_step(["commit", "box", "made:1"], prepare=prepare, check=check, threads=True)

    def test_prune(self):
        self.at_every_step(["container", "prune", "-f"], prepare=self.make, check=self.usable)


class Copies(CrashTest):
    """A copy that was killed may have left a part; the next one is whole, and the container works as ever."""

    def setUp(self):
        super().setUp()
        self.source = self.folder / "source"
        (self.source / "sub").mkdir(parents=True)
        for name in ("one", "sub/two"):
            (self.source / name).write_bytes(random.Random(name).randbytes(100_000))
        (self.source / "link").symlink_to("sub/two")
        self.target = self.folder / "target"

    def same(self, folder):
        done = subprocess.run(["diff", "-r", self.source, folder], capture_output=True, text=True)
        self.assertEqual((0, ""), (done.returncode, done.stdout + done.stderr))

    def check_in(self):
        self.world.call("cp", f"{self.source}/.", "box:/in")
        shutil.rmtree(self.target, ignore_errors=True)
        self.world.call("cp", "box:/in", self.target)
        self.same(self.target)
        shutil.rmtree(self.target)
        self.runs()

    def test_into_one_that_runs(self):
        self.at_every_step(["cp", f"{self.source}/.", "box:/in"], prepare=self.start, check=self.check_in)

    def test_into_one_with_users_of_its_own(self):
        for folder in (sandbox.scratch(), self.world.folder, self.folder):
            Path(folder).chmod(0o711)  # the container's users pass through them
        self.world.call("run", "--rm", "--network", "none", "--userns", "auto", "box:1", "true")
        self.clean = self.world.picture()  # the folder of leases stays
        self.at_every_step(["cp", "-a", f"{self.source}/.", "box:/in"], prepare=lambda: self.start("--userns", "auto"), check=self.check_in)

    def test_into_one_that_does_not_run(self):
        self.at_every_step(["cp", f"{self.source}/.", "box:/in"], prepare=self.make, check=self.check_in)

    def test_out(self):
        def prepare():
            self.make()
            self.world.call("cp", f"{self.source}/.", "box:/in")
        def check():
            shutil.rmtree(self.target, ignore_errors=True)
            self.world.call("cp", "box:/in", self.target)
            self.same(self.target)
            shutil.rmtree(self.target)
            self.runs()
        self.at_every_step(["cp", "box:/in", self.target], prepare=prepare, check=check)


class Images(CrashTest):
    """No name leads to what is not there, whole blobs alone count, and the next try does all."""

    def setUp(self):
        super().setUp()
        files = self.folder / "files"
        files.mkdir()
        for layer in ("one", "two"):
            (files / layer).write_bytes(random.Random(layer).randbytes(300_000))
            self.world.call("image", "create", "--compression", "none", *(["--from", "big:1"] if layer == "two" else []), files, "big:1")
        self.archive, self.folder_archive = self.folder / "big.tar", self.folder / "layout.tar"
        self.world.call("image", "save", "-o", self.archive, "big:1")
        self.world.call("image", "save", "--format", "oci-archive", "-o", self.folder_archive, "big:1")
        self.world.call("image", "rm", "big:1")
        self.world.remove_all(images=False)
        self.clean = self.world.picture()

    def store(self):
        return image.check_store(self.world.data / "images")

    def whole(self, name="big:1"):
        self.assertIn(name, self.world.lines("image", "ls", "--format", "{{.Repository}}:{{.Tag}}"))
        self.world.call("image", "export", "-o", "/dev/null", name)
        self.world.call("create", "--name", "made", "--network", "none", name, "/one")
        self.world.call("rm", "made")

    def load(self):
        self.world.call("image", "load", "-i", self.archive)

    def test_load(self):
        for archive in (self.archive, self.folder_archive):
            def check(archive=archive):
                self.store()
                self.world.call("image", "load", "-i", archive)
                self.store()
                self.whole()
            with self.subTest(archive=archive.name):
                self.at_every_step(["image", "load", "-q", "-i", archive], check=check, threads=True)

    def test_tag(self):
        def check():
            self.store()
            self.world.call("image", "tag", "big:1", "other:2")
            self.whole("other:2")
            self.whole()
        self.at_every_step(["image", "tag", "big:1", "other:2"], prepare=self.load, check=check, threads=True)

    def test_tag_of_another(self):
        """A name that moves leads to the one or the other at any time."""
        def prepare():
            self.load()
            self.world.call("image", "tag", "box:1", "moved:1")
        def check():
            self.store()
            self.whole_or_box("moved:1")
            self.world.call("image", "tag", "big:1", "moved:1")
            self.whole("moved:1")
        self.at_every_step(["image", "tag", "big:1", "moved:1"], prepare=prepare, check=check, threads=True)

    def whole_or_box(self, name):
        ids = {ref: self.world.call("image", "inspect", "-f", "{{.Id}}", ref).stdout for ref in (name, "box:1", "big:1")}
        self.assertIn(ids[name], (ids["box:1"], ids["big:1"]))

    def test_rm(self):
        def check():
            self.store()
            if "big:1" in self.world.lines("image", "ls", "--format", "{{.Repository}}:{{.Tag}}"):
                self.whole()
                self.world.call("image", "rm", "big:1")
            self.store()
            self.load()
            self.whole()
        self.at_every_step(["image", "rm", "big:1"], prepare=self.load, check=check, threads=True)

    def test_prune(self):
        """What a container has stays, whenever the prune is killed."""
        def prepare():
            self.load()
            self.world.call("create", "--name", "box", "--network", "none", "box:1", "sleep", "1000")
        def check():
            self.store()
            self.runs()
            self.world.call("image", "prune", "-a", "-f")
            self.assertEqual(["box:1"], self.world.lines("image", "ls", "--format", "{{.Repository}}:{{.Tag}}"))
            self.load()
            self.whole()
        self.at_every_step(["image", "prune", "-a", "-f"], prepare=prepare, check=check, threads=True)


class Sandboxes(CrashTest):
    def pods(self):
        return {pod["Name"] if "Name" in pod else pod["Names"] for pod in map(json.loads, self.world.call("sandbox", "ls", "--format", "json").stdout.splitlines())}

    def usable_pod(self):
        """The name is free, or what has it can be removed; then one with a container can be made."""
        if "pod" in self.pods():
            self.world.call("sandbox", "inspect", "pod")
            self.world.call("sandbox", "rm", "-f", "pod")
        self.make_pod()
        self.assertEqual("in\n", self.world.call("run", "--rm", "--sandbox", "pod", "box:1", "echo", "in").stdout)
        self.world.call("sandbox", "rm", "-f", "pod")

    def make_pod(self):
        self.world.call("sandbox", "create", "-p", "8080:80", "pod")

    def with_member(self):
        self.make_pod()
        self.world.call("run", "-d", "--name", "box", "--sandbox", "pod", "box:1", "sleep", "1000")

    def test_create(self):
        self.at_every_step(["sandbox", "create", "-p", "8080:80", "pod"], check=self.usable_pod)

    def test_run_in_one(self):
        def check():
            self.usable_pod()
            self.usable()
        self.at_every_step(["run", "-d", "--name", "box", "--sandbox", "pod", "box:1", "sleep", "1000"], prepare=self.make_pod, check=check)

    def test_stop(self):
        def check():
            self.world.call("sandbox", "stop", "-t", "0", "pod")
            self.assertEqual("exited", self.world.containers()["box"])
            self.world.call("sandbox", "start", "pod")
            self.runs()
        self.at_every_step(["sandbox", "stop", "-t", "0", "pod"], prepare=self.with_member, check=check)

    def test_start(self):
        def prepare():
            self.with_member()
            self.world.call("sandbox", "stop", "-t", "0", "pod")
        def check():
            self.world.call("sandbox", "start", "pod")
            self.runs()
        self.at_every_step(["sandbox", "start", "pod"], prepare=prepare, check=check)

    def test_rm(self):
        self.at_every_step(["sandbox", "rm", "-f", "pod"], prepare=self.with_member, check=self.usable_pod)


class Host(CrashTest):
    def test_shutdown(self):
        """Who was to be stopped is, at the second try; and what is to come back does, with the first boot after it."""
        def prepare():
            self.start("--restart", "always", "--stop-timeout", "0")
            self.world.call("run", "-d", "--name", "other", "--network", "none", "--stop-timeout", "0", "box:1", "sleep", "1000")
        def check():
            self.world.call("system", "shutdown")
            self.assertEqual({"box": "exited", "other": "exited"}, self.world.containers())
            self.assertEqual(["box"], self.world.lines("system", "boot"))
            self.runs()
        self.at_every_step(["system", "shutdown"], prepare=prepare, check=check)


class Helpers(CrashTest):
    """The same for what a command starts: the shim, the runtime that creates, the container's first process, the command
    that records its end."""

    SHIM = """#!/bin/sh
exec strace -D -f -qq -o {trace} {options} {shim} "$@"
"""

    def setUp(self):
        super().setUp()
        # The program takes the shim that lies beside it.
        self.programs = self.folder / "programs"
        self.programs.mkdir()
        shutil.copy2(runtime.path(), self.programs / "proa")
        self.world.program = self.programs / "proa"
        self.shim(self.folder / "trace")

    def shim(self, trace, *options):
        shim = self.programs / "proa-shim"
        shim.write_text(self.SHIM.format(trace=trace, options=" ".join(options), shim=os.environ.get("PROA_SHIM") or runtime.path().with_name("proa-shim")))
        shim.chmod(0o755)

    def at_every_call(self, args, check):
        self.shim(self.folder / "trace", "-s", "16")
        self.world.call(*args)
        self.world.call("rm", "-f", "-v", "box")
        self.settled()
        steps = calls_in((self.folder / "trace").read_text())
        self.tidy("none")
        steps, wanted = self.order(steps)
        for name, number, line in steps[:wanted]:
            if self.world.containers():
                self.world.remove_all(images=False)  # after a failure
            self.shim("/dev/null", f"-e trace={name}", f"-e inject={name}:signal=KILL:when={number}")
            self.patiently(args)
            self.shim("/dev/null", "-e trace=none")
            with self.subTest(step=f"{number}. {name}", call=line):
                check()
                self.tidy(line)

    def settled(self):
        until(lambda: not processes(), "helpers to end")

    def patiently(self, args):
        """Where the shim was killed strace still holds the pipe by which its starter would learn that: that one is killed too."""
        client = self.world.popen(*args)
        try:
            client.communicate(timeout=3)
        except subprocess.TimeoutExpired:
            client.kill()
            client.communicate()

    def test_run(self):
        self.at_every_call(["run", "-d", "--name", "box", "-p", "8080:80", "-v", "/anonymous", "box:1", "sleep", "1000"], self.usable)

    def test_run_that_removes_itself(self):
        def check():
            until(lambda: "box" not in self.world.containers(), "the container to go")
            self.usable()
        self.at_every_call(["run", "-d", "--rm", "--name", "box", "-p", "8080:80", "-v", "/anonymous", "box:1", "true"], check)

    def test_run_whose_log_is_sent(self):
        """Whoever of those that send it is killed: nothing stays."""
        receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        receiver.bind(str(self.folder / "receiver"))
        receiver.setblocking(False)
        self.addCleanup(receiver.close)
        def check():
            until(lambda: "box" not in self.world.containers(), "the container to go")
            self.usable()
            try:
                while receiver.recv(1 << 16):
                    pass
            except BlockingIOError:
                pass
        self.at_every_call(["run", "-d", "--rm", "--name", "box", "--network", "none", "--log-driver", "syslog", "--log-opt",
                            f"syslog-address=unixgram://{self.folder}/receiver", "box:1", "echo", "sent"], check)

    def test_restarts(self):
        self.at_every_call(["run", "-d", "--restart", "always", "--name", "box", "--network", "none", "box:1", "true"], self.usable)


class Networks(CrashTest):
    def networks(self):
        return [network["Name"] for network in json.loads(self.world.call("network", "ls", "-o", "json").stdout)]

    def prepare(self):
        self.world.call("network", "create", "net")
        self.start()

    def test_create(self):
        def check():
            if "net" not in self.networks():
                self.world.call("network", "create", "net")
            self.assertEqual("up\n", self.world.call("run", "--rm", "--network", "net", "-p", "8080:80", "box:1", "echo", "up").stdout)
            self.world.call("network", "rm", "net")
        self.at_every_step(["network", "create", "--ipv6", "net"], check=check)

    def test_rm(self):
        def check():
            if "net" in self.networks():
                self.world.call("network", "rm", "net")
            self.world.call("network", "create", "net")
        def prepare():
            self.world.call("network", "create", "net")
            self.world.call("run", "--rm", "--network", "net", "box:1", "true")
        self.at_every_step(["network", "rm", "net"], prepare=prepare, check=check)

    def test_connect(self):
        """It is connected or can be connected."""
        def check():
            if "net" not in self.world.call("inspect", "-f", "{{json .NetworkSettings.Networks}}", "box").stdout:
                self.world.call("network", "connect", "net", "box")
            self.assertIn("eth0", self.world.call("exec", "box", "ip", "addr").stdout)
            self.world.call("network", "disconnect", "net", "box")
            self.assertNotIn("eth0", self.world.call("exec", "box", "ip", "addr").stdout)
        self.at_every_step(["network", "connect", "net", "box"], prepare=self.prepare, check=check)

    def test_disconnect(self):
        def prepare():
            self.prepare()
            self.world.call("network", "connect", "net", "box")
        def check():
            if "net" in self.world.call("inspect", "-f", "{{json .NetworkSettings.Networks}}", "box").stdout:
                self.world.call("network", "disconnect", "net", "box")
            self.assertNotIn("eth0", self.world.call("exec", "box", "ip", "addr").stdout)
            self.world.call("network", "rm", "net")
        self.at_every_step(["network", "disconnect", "net", "box"], prepare=prepare, check=check)


class Registries(CrashTest):
    def setUp(self):
        super().setUp()
        self.registry = Registry(self.folder / "registry")
        self.addCleanup(self.registry.stop)
        self.name = f"{self.registry.where}/big:1"
        files = self.folder / "files"
        files.mkdir()
        for layer in ("one", "two"):
            (files / layer).write_bytes(random.Random(layer).randbytes(700_000))
            self.world.call("image", "create", "--compression", "none", *(["--from", self.name] if layer == "two" else []), files, self.name)
        self.world.call("push", self.name)
        self.world.remove_all(images=False)
        self.world.call("image", "rm", self.name)
        self.world.remove_all(images=False)
        self.clean = self.world.picture()

    def test_pull(self):
        """No name leads to what is not there, and the next pull goes on."""
        def check():
            image.check_store(self.world.data / "images")
            self.world.call("pull", self.name)
            self.assertIn(self.name, image.check_store(self.world.data / "images"))
            self.world.call("image", "export", "-o", "/dev/null", self.name)
        self.at_every_step(["pull", "-q", self.name], check=check, threads=True)

    def test_run_that_pulls(self):
        self.at_every_step(["create", "--name", "box", "--network", "none", self.name, "true"], check=self.usable, threads=True)

    def test_push(self):
        def prepare():
            self.world.call("image", "tag", "box:1", f"{self.registry.where}/other:1")
        def check():
            self.world.call("push", f"{self.registry.where}/other:1")
        self.at_every_step(["push", "-q", f"{self.registry.where}/other:1"], prepare=prepare, check=check, threads=True)


class Volumes(CrashTest):
    def test_create(self):
        def check():
            self.world.call("volume", "create", "data")
            self.world.call("run", "--rm", "--network", "none", "-v", "data:/data", "box:1", "touch", "/data/file")
        self.at_every_step(["volume", "create", "data"], check=check)

    def test_rm(self):
        def check():
            if "data" in self.world.lines("volume", "ls", "-q"):
                self.assertEqual("file\n", self.world.call("run", "--rm", "--network", "none", "-v", "data:/data", "box:1", "ls", "/data").stdout)
                self.world.call("volume", "rm", "data")
            self.world.call("volume", "create", "data")
        def prepare():
            self.world.call("run", "--rm", "--network", "none", "-v", "data:/data", "box:1", "touch", "/data/file")
        self.at_every_step(["volume", "rm", "data"], prepare=prepare, check=check)

    def test_prune(self):
        def prepare():
            self.world.call("volume", "create", "data")
            self.world.call("run", "--rm", "--network", "none", "-v", "kept:/data", "box:1", "touch", "/data/file")
            self.make("-v", "kept:/data")
        def check():
            self.assertIn("kept", self.world.lines("volume", "ls", "-q"))
            self.assertEqual("file\n", self.world.call("run", "--rm", "--network", "none", "-v", "kept:/data", "box:1", "ls", "/data").stdout)
        self.at_every_step(["volume", "prune", "-a", "-f"], prepare=prepare, check=check)


if __name__ == "__main__":
    if not shutil.which("strace"):
        print("skipped: strace is not installed: run scripts/bootstrap test")
        sys.exit(sandbox.SKIPPED)
    main()
