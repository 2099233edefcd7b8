#!/usr/bin/env python3
"""Hooks: when each of the six kinds runs, where, with what on its standard input, and what a failing one does."""

import json
import os
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib.case import main, until  # noqa: E402
from lib.container import ContainerTest, is_proa, namespace  # noqa: E402

proa_only = unittest.skipUnless(is_proa(), "runc 1.1 differs")
KINDS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
ON_HOST = ("prestart", "createRuntime", "poststart", "poststop")


class HookTest(ContainerTest):
    def setUp(self):
        super().setUp()
        self.log = self.folder / "log"
        self.log.touch()

    def hook(self, script, **fields):
        return {"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"], **fields}

    def hooked(self, script="true", version="1.0.2", **hooks):
        """The log is seen inside too, at /log."""
        bundle = self.sh(script)
        bundle.config["ociVersion"] = version
        bundle.config["hooks"] = hooks
        bundle.config["mounts"].append({"destination": "/log", "type": "bind", "source": str(self.log), "options": ["bind"]})
        return bundle

    def note(self, kind, what):
        """A hook that appends to the log, from where it runs."""
        return self.hook(f"{{ {what}; }} >> {'/log' if kind == 'startContainer' else self.log}")

    def lines(self):
        return self.log.read_text().splitlines()

    def states(self):
        return [json.loads(line) for line in self.lines()]


class Order(HookTest):
    @proa_only
    def test_of_a_run(self):
        hooks = {kind: [self.note(kind, f"echo {kind} {n}") for n in (1, 2)] for kind in KINDS}
        bundle = self.hooked("echo program >> /log; sleep 0.3", **hooks)
        self.said(bundle)
        expected = [f"{kind} {n}" for kind in KINDS for n in (1, 2)]
        told = self.lines()
        told.remove("program")  # as poststart hooks run beside it
        self.assertEqual(expected, told)

    def test_of_create_start_delete(self):
        hooks = {kind: [self.note(kind, f"echo {kind}")] for kind in KINDS}
        self.create(self.hooked("sleep 1000", **hooks))
        self.assertEqual(["prestart", "createRuntime", "createContainer"] if is_proa() else ["prestart", "createRuntime", "createContainer", "poststart"],
                         self.lines())
        self.runtime("start", "box")
        until(lambda: "startContainer" in self.lines(), "the hook")
        if is_proa():
            self.assertEqual(["startContainer", "poststart"], self.lines()[3:])
        self.runtime("kill", "box", "KILL")
        self.until_stopped()
        self.runtime("delete", "box")
        self.assertEqual("poststop", self.lines()[-1])

    def test_configuration_is_the_one_of_create(self):
        bundle = self.hooked("true", poststop=[self.note("poststop", "echo first")])
        self.started(bundle)
        self.until_stopped()
        bundle.config["hooks"] = {"poststop": [self.note("poststop", "echo second")]}
        bundle.save()
        self.runtime("delete", "box")
        self.assertEqual(["first"], self.lines())


class Input(HookTest):
    @proa_only
    def test_state(self):
        bundle = self.hooked("sleep 1000", **{kind: [self.note(kind, "cat; echo")] for kind in KINDS})
        bundle.config["annotations"] = {"org.example": "note"}
        pid = self.started(bundle)
        until(lambda: sum(1 for line in self.lines() if line) == 5, "five hooks")
        self.runtime("kill", "box", "KILL")
        self.until_stopped()
        self.runtime("delete", "box")
        states = [json.loads(line) for line in self.lines() if line]
        for state in states:
            self.assertEqual(("box", str(bundle.path), "1.0.2" if is_proa() else state["ociVersion"], {"org.example": "note"}),
                             (state["id"], state["bundle"], state["ociVersion"], state["annotations"]))
        statuses = [state["status"] for state in states]
        if is_proa():
            self.assertEqual(["created", "created", "created", "created", "running", "stopped"], statuses)
            self.assertEqual([pid, pid], [states[n]["pid"] for n in (0, 1)])
            self.assertEqual(pid, states[4]["pid"])
            self.assertEqual(pid, states[2]["pid"], "seen from the host")
        self.assertEqual("stopped", statuses[-1])
        self.assertEqual(0, states[-1].get("pid", 0))

    def test_pid_leads_to_the_container(self):
        """What network plugins do with it."""
        script = 'pid=$(sed -n \'s/.*"pid": *\\([0-9]*\\).*/\\1/p\'); readlink /proc/$pid/ns/net /proc/$pid/ns/uts'
        bundle = self.hooked("readlink /proc/self/ns/net; readlink /proc/self/ns/uts", createRuntime=[self.note("createRuntime", script)])
        self.assertEqual(self.said(bundle).split(), self.lines())

    def test_large_state_that_is_not_read(self):
        bundle = self.hooked("echo ran", createRuntime=[self.hook("exec true")], poststop=[self.hook("exec true")])
        bundle.config["annotations"] = {f"key{n}": "x" * 1000 for n in range(200)}
        self.assertEqual("ran", self.said(bundle))

    def test_environment_and_arguments(self):
        show = {"path": "/bin/sh", "args": ["name", "-c", f'echo "$0" "$1" "$A" "$PATH" "$LEAK" >> {self.log}', "zero", "one two"], "env": ["A=b", "PATH=/only"]}
        os.environ["LEAK"] = "leaked"
        self.addCleanup(os.environ.pop, "LEAK")
        self.said(self.hooked(createRuntime=[show]))
        self.assertEqual(["zero one two b /only "], self.lines())

    @proa_only
    def test_descriptors(self):
        """A hook gets three, and none of the runtime's."""
        bundle = self.hooked(createRuntime=[self.note("createRuntime", "ls /proc/self/fd")], createContainer=[self.note("createContainer", "ls /proc/self/fd")])
        self.said(bundle)
        self.assertEqual(["0", "1", "2", "3"] * 2, self.lines())  # 3 is the folder that ls reads


class Place(HookTest):
    def test_namespaces(self):
        """In the runtime's or in the container's, as config.md has it; paths of createContainer are the host's."""
        hooks = {kind: [self.note(kind, f"echo {kind} $(readlink /proc/self/ns/net) $(readlink /proc/self/ns/mnt)")] for kind in KINDS}
        pid = self.started(self.hooked("sleep 1000", **hooks))
        inside = {name: namespace(name, pid) for name in ("net", "mnt")}
        self.runtime("delete", "--force", "box")
        told = dict((line.split()[0], line.split()[1:]) for line in self.lines())
        for kind in KINDS:
            where = [namespace("net"), namespace("mnt")] if kind in ON_HOST else [inside["net"], inside["mnt"]]
            if kind in told:
                self.assertEqual(where, told[kind], kind)
        self.assertLessEqual({"prestart", "createRuntime", "createContainer", "poststart", "poststop"}, set(told))

    def test_create_container_sees_host_and_container(self):
        """Before the root is changed: the bundle's rootfs shows the container's mounts."""
        bundle = self.hooked()
        bundle.config["mounts"].append({"destination": "/extra", "type": "tmpfs", "source": "tmpfs"})
        bundle.config["hooks"] = {"createContainer": [self.hook(f"grep -c ' {bundle.root}/extra ' /proc/self/mountinfo >> {self.log}; touch {bundle.root}/extra/from-hook")]}
        bundle.config["process"]["args"] = ["ls", "/extra"]
        self.assertEqual("from-hook", self.said(bundle))
        self.assertEqual(["1"], self.lines())

    def test_start_container_is_inside(self):
        bundle = self.hooked(startContainer=[self.hook("test -x /bin/busybox && cat /etc/passwd >> /log; hostname >> /log")])
        self.said(bundle)
        self.assertEqual("box", self.lines()[-1])
        self.assertEqual(3, len(self.lines()))


class Failures(HookTest):
    def test_create_fails(self):
        for kind in ("prestart", "createRuntime", "createContainer"):
            bundle = self.hooked("echo ran", **{kind: [self.hook("echo because >&2; exit 3"), self.note(kind, "echo second")]})
            text = self.refused(bundle, *(["hooks." + kind + "[0]", "because", "3"] if is_proa() else []))
            self.assertNotIn("ran", text)
        self.assertEqual([], self.lines(), "hooks after the failing one do not run")

    @proa_only
    def test_start_container(self):
        bundle = self.hooked("echo ran >> /log", startContainer=[self.hook("printf %0900d 0; echo END; exit 4")])
        self.create(bundle)
        text = self.fails("start", "box")
        if is_proa():
            self.assertIn("hooks.startContainer[0]", text)
            self.assertIn("END", text, "a long error arrives whole")
        self.until_stopped()
        self.runtime("delete", "box")
        self.assertEqual([], self.lines())

    @proa_only
    def test_start_container_has_the_rights_of_the_container(self):
        """These are programs of the image."""
        bundle = self.hooked("sleep 1000", startContainer=[self.hook("grep -E 'Cap(Eff|Bnd|Prm)|Uid|NoNewPrivs' /proc/self/status >> /log")])
        bundle.config["process"]["user"] = {"uid": 1000, "gid": 1000}
        bundle.config["process"]["capabilities"] = {"bounding": ["CAP_KILL"], "permitted": ["CAP_KILL"], "effective": []}
        self.log.chmod(0o666)
        self.started(bundle)
        fields = dict(line.split(":", 1) for line in self.lines())
        self.assertEqual(["1000"] * 4, fields["Uid"].split())
        self.assertEqual((0, 0, 1 << 5, 1), tuple(int(fields[f], 16) for f in ("CapEff", "CapPrm", "CapBnd", "NoNewPrivs")))

    @proa_only
    def test_start_container_has_the_filter_of_the_container(self):
        bundle = self.hooked("sleep 1000", startContainer=[self.hook("mkdir /made 2>> /log; echo $? >> /log")])
        bundle.config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
                                             "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]}
        self.started(bundle)
        text = self.log.read_text()
        self.assertIn("Operation not permitted", text)
        self.assertTrue(text.endswith("1\n"), text)
        self.assertFalse((bundle.root / "made").exists())

    def test_run_with_failing_start_container(self):
        bundle = self.hooked("echo ran >> /log", startContainer=[self.hook("exit 4")])
        self.assertNotEqual(0, self.run_container(bundle).returncode)
        self.assertEqual([], self.lines())
        self.assertFalse(self.runtime.exists("box"))

    @proa_only
    def test_poststart_is_a_warning_before_1_3(self):
        bundle = self.hooked("sleep 1000", version="1.2.0", poststart=[self.hook("exit 5"), self.note("poststart", "echo second")])
        self.create(bundle)
        done = self.runtime.call("start", "box")
        self.assertEqual(0, done.returncode)
        self.assertIn("hooks.poststart[0]", done.stderr)
        self.assertEqual(["second"], self.lines())
        self.assertEqual("running", self.status())

    @proa_only
    def test_poststart_stops_the_container_from_1_3(self):
        bundle = self.hooked("sleep 1000", version="1.3.0", poststart=[self.hook("exit 5"), self.note("poststart", "echo second")])
        self.create(bundle)
        self.fails("start", "box", word="hooks.poststart[0]")
        self.until_stopped()
        self.assertEqual([], self.lines())
        done = self.run_container(bundle, ident="other")
        self.assertNotEqual(0, done.returncode)
        self.assertIn("hooks.poststart[0]", done.stderr)
        self.assertFalse(self.runtime.exists("other"))

    @proa_only
    def test_poststop_is_a_warning(self):
        bundle = self.hooked(poststop=[self.hook("exit 6"), self.note("poststop", "echo second")])
        self.started(bundle)
        self.until_stopped()
        done = self.runtime.call("delete", "box")
        self.assertEqual(0, done.returncode)
        self.assertIn("hooks.poststop[0]", done.stderr)
        self.assertEqual(["second"], self.lines())
        self.assertFalse(self.runtime.exists("box"))

    def test_timeout(self):
        bundle = self.hooked(createRuntime=[self.hook("exec sleep 1000", timeout=1)])
        text = self.refused(bundle, *(["hooks.createRuntime[0]", "1 s"] if is_proa() else []))
        self.assertTrue(text)

    def test_missing_program(self):
        for kind in ("createRuntime", "createContainer"):
            text = self.refused(self.hooked(**{kind: [{"path": "/no/such/hook"}]}), "/no/such/hook")
            if is_proa():
                self.assertIn(f"hooks.{kind}[0]", text)

    @proa_only
    def test_bad_hooks(self):
        self.refused(self.hooked(createRuntime=[{"path": "relative"}]), "hooks.createRuntime[0].path")
        self.refused(self.hooked(poststop=[{"path": "/bin/true", "timeout": 0}]), "hooks.poststop[0].timeout")
        self.refused(self.hooked(prestart=[{}]), "hooks.prestart[0].path")

    def test_hook_that_leaves_a_child(self):
        """A daemon that a hook starts keeps its output open; nothing waits for that."""
        bundle = self.hooked("echo ran", createRuntime=[self.hook("sleep 2 & exit 0", timeout=20)])
        self.assertEqual("ran", self.said(bundle))
        until(lambda: not [item for item in self.before.left(patience=0) if "sleep" in item], "the child to end")


if __name__ == "__main__":
    main()
