#!/usr/bin/env python3
"""linux.seccomp: what a filter lets through, what it answers, and the listener that decides for it."""

import fcntl
import json
import os
import signal
import socket
import struct
import sys
import threading
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib.case import main, until  # noqa: E402
from lib.container import ContainerTest, is_proa, listen  # noqa: E402

proa_only = unittest.skipUnless(is_proa(), "runc 1.1 has other words or another answer")
NOTIF_RECV, NOTIF_SEND = 0xC0502100, 0xC0182101
EPERM, ENOANO = 1, 55


class SeccompTest(ContainerTest):
    def filtered(self, script, *rules, default="SCMP_ACT_ALLOW", name="bundle", **fields):
        bundle = self.sh(script, name=name)
        bundle.config["linux"]["seccomp"] = {"defaultAction": default, "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
                                             "syscalls": list(rules), **fields}
        return bundle

    def rule(self, *names, action="SCMP_ACT_ERRNO", **fields):
        return {"names": list(names), "action": action, **fields}


class Actions(SeccompTest):
    def test_errno(self):
        done = self.run_container(self.filtered("mkdir /x; echo $?", self.rule("mkdir", "mkdirat")))
        self.assertIn("Operation not permitted", done.stderr)
        self.assertEqual("1\n", done.stdout)

    def test_errno_of_choice(self):
        done = self.run_container(self.filtered("mkdir /x; true", self.rule("mkdir", "mkdirat", errnoRet=28)))
        self.assertIn("No space left", done.stderr)

    def test_default_errno(self):
        """An allow list, with the calls that busybox's echo needs, and ENOSYS for others."""
        allowed = Path("/usr/share/containers/seccomp.json")
        if not allowed.exists():
            self.skipTest("no profile to try is installed")
        profile = json.loads(allowed.read_text())
        bundle = self.sh("echo ran; unshare -U true 2>&1; mount -t tmpfs t /tmp 2>&1; true")
        names = sorted({n for rule in profile["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW" and not rule.get("includes") for n in rule["names"]} | {"arch_prctl"})
        bundle.config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "architectures": ["SCMP_ARCH_X86_64"],
                                             "syscalls": [{"names": names, "action": "SCMP_ACT_ALLOW"}]}
        text = self.said(bundle)
        self.assertTrue(text.startswith("ran"), text)

    def test_kill(self):
        for action, status in (("SCMP_ACT_KILL", 128 + signal.SIGSYS), ("SCMP_ACT_KILL_PROCESS", 128 + signal.SIGSYS), ("SCMP_ACT_KILL_THREAD", 128 + signal.SIGSYS)):
            done = self.run_container(self.filtered("sh -c 'mkdir /x'; echo $?", self.rule("mkdir", action=action), name=action))
            self.assertEqual(str(status), done.stdout.split()[-1], action)

    def test_log_and_trap(self):
        self.assertEqual("ran", self.said(self.filtered("mkdir /x && echo ran", self.rule("mkdir", action="SCMP_ACT_LOG"))))
        done = self.run_container(self.filtered("sh -c 'mkdir /x'; echo $?", self.rule("mkdir", action="SCMP_ACT_TRAP")))
        self.assertEqual(str(128 + signal.SIGSYS), done.stdout.split()[-1])

    def test_arguments(self):
        """kill -0 of process 1 is refused; kill -USR2 of oneself is not: the second argument is the signal."""
        rule = self.rule("kill", args=[{"index": 1, "value": 12, "op": "SCMP_CMP_EQ"}])
        done = self.run_container(self.filtered("kill -0 1 && echo zero; kill -USR2 1 || echo refused", rule))
        self.assertEqual(["zero", "refused"], done.stdout.split())
        masked = self.rule("kill", args=[{"index": 1, "value": 0xFF, "valueTwo": 12, "op": "SCMP_CMP_MASKED_EQ"}])
        self.assertEqual("refused", self.said(self.filtered("kill -USR2 1 || echo refused", masked, name="masked")))

    def test_without_no_new_privileges(self):
        """It is loaded before the rights to do so are dropped; an allow list need not have the runtime's own calls."""
        bundle = self.filtered("mkdir /x 2>&1; grep -E 'Seccomp:|NoNewPrivs' /proc/self/status", self.rule("mkdir"))
        bundle.config["process"]["noNewPrivileges"] = False
        bundle.config["process"]["user"] = {"uid": 1000, "gid": 1000}
        text = self.said(bundle)
        self.assertIn("NoNewPrivs:\t0", text)
        self.assertIn("Seccomp:\t2", text)
        self.assertIn("not permitted", text)

    def test_calls_that_the_runtime_makes(self):
        """getcwd, setuid and the like are made before, or are none of the filter's business."""
        rule = self.rule("getcwd", "setgroups", "setresuid", "setresgid", "capset", "prctl", "fchdir", "close_range", "sendto", "accept4", "umask")
        self.assertEqual("ran", self.said(self.filtered("echo ran", rule)))
        self.create(self.filtered("echo ran; sleep 1000", rule, name="made"), ident="made")
        self.runtime("start", "made")
        self.assertEqual("running", self.status("made"))

    def test_exec_is_filtered_too(self):
        bundle = self.filtered("sleep 1000", self.rule("mkdir"))
        self.started(bundle)
        done = self.runtime.call("exec", "box", "mkdir", "/x")
        self.assertIn("Operation not permitted", done.stderr)
        self.assertIn("Seccomp:\t2", self.inside("cat", "/proc/self/status"))

    @proa_only
    def test_flags(self):
        self.assertEqual("ran", self.said(self.filtered("echo ran", self.rule("mkdir"), flags=["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"])))
        self.assertEqual("ran", self.said(self.filtered("echo ran", self.rule("mkdir"), flags=[], name="none")))

    @proa_only
    def test_flags_are_logged(self):
        for name, flags, number in (("both", ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"], 6), ("none", [], 0)):
            bundle = self.filtered("echo ran", self.rule("mkdir"), flags=flags, name=name)
            bundle.save()
            done = self.runtime.call("--debug", "run", "--bundle", bundle.path, "box")
            self.assertEqual("ran\n", done.stdout)
            self.assertIn(f'"seccomp filter flags: {number}"', done.stderr)

    def test_unknown_calls_are_skipped(self):
        self.assertEqual("ran", self.said(self.filtered("echo ran", self.rule("no_such_call", "mkdir"))))

    def test_no_filter(self):
        self.assertEqual("Seccomp:\t0", self.said(self.sh("grep Seccomp: /proc/self/status")))

    @proa_only
    def test_bad_profiles(self):
        for fields, word in (({"default": "SCMP_ACT_NOPE"}, "defaultAction"), ({"architectures": ["SCMP_ARCH_NOPE"]}, "architectures[0]"), ({"flags": ["NOPE"]}, "flags[0]"),
                             ({"rules": [self.rule("mkdir", action="SCMP_ACT_NOPE")]}, "syscalls[0].action"), ({"rules": [self.rule()]}, "syscalls[0].names"),
                             ({"rules": [self.rule("kill", args=[{"index": 6, "value": 1, "op": "SCMP_CMP_EQ"}])]}, "syscalls[0].args[0].index"),
                             ({"rules": [self.rule("kill", args=[{"index": 1, "value": 1, "op": "NOPE"}])]}, "syscalls[0].args[0].op"),
                             ({"rules": [self.rule("mkdir", action="SCMP_ACT_NOTIFY")]}, "listenerPath")):
            rules = fields.pop("rules", [self.rule("mkdir")])
            self.refused(self.filtered("true", *rules, **fields), "linux.seccomp", word)


class Agent(threading.Thread):
    """A listener's agent: takes the descriptor, answers every mkdir with an error of its own."""

    def __init__(self, listener):
        super().__init__(daemon=True)
        self.listener, self.documents, self.failure = listener, [], None

    def run(self):
        try:
            self.listener.settimeout(20)
            while True:
                peer, _ = self.listener.accept()
                with peer:
                    text, fds, _, _ = socket.recv_fds(peer, 65536, 4)
                self.documents.append((json.loads(text), len(fds)))
                threading.Thread(target=self.answer, args=(fds[0],), daemon=True).start()
        except OSError:
            pass

    def answer(self, fd):
        try:
            while True:
                notification = bytearray(80)
                fcntl.ioctl(fd, NOTIF_RECV, notification)
                fcntl.ioctl(fd, NOTIF_SEND, struct.pack("QqiI", struct.unpack_from("Q", notification)[0], 0, -ENOANO, 0))
        except OSError:
            os.close(fd)


class Notify(SeccompTest):
    def listened(self, script):
        path = self.folder / "agent"
        listener = listen(path)
        self.addCleanup(listener.close)
        agent = Agent(listener)
        agent.start()
        bundle = self.filtered(script, self.rule("mkdir", "mkdirat", action="SCMP_ACT_NOTIFY"), listenerPath=str(path), listenerMetadata="some metadata")
        return bundle, agent

    def test_agent_decides(self):
        bundle, agent = self.listened("mkdir /x 2>&1; echo $?")
        text = self.said(bundle)
        self.assertIn("No anode", text)
        document, count = agent.documents[0]
        self.assertEqual((1, ["seccompFd"], "some metadata", "box"), (count, document["fds"], document["metadata"], document["state"]["id"]))
        self.assertIn(document["state"]["status"], ("creating", "created", "running"))
        self.assertGreater(document["pid"], 0)

    def test_create_and_start(self):
        bundle, agent = self.listened("mkdir /x 2>&1; sleep 1000")
        out = self.folder / "out"
        pid = self.create(bundle, output=out)
        self.assertEqual(pid, agent.documents[0][0]["pid"])
        self.runtime("start", "box")
        until(lambda: "No anode" in out.read_text(), "the agent's answer")

    def test_exec(self):
        bundle, agent = self.listened("sleep 1000")
        self.started(bundle)
        done = self.runtime.call("exec", "box", "mkdir", "/x")
        self.assertIn("No anode", done.stderr)
        until(lambda: len(agent.documents) == 2, "the second descriptor")

    def test_without_no_new_privileges(self):
        bundle, _ = self.listened("mkdir /x 2>&1; true")
        bundle.config["process"]["noNewPrivileges"] = False
        self.assertIn("No anode", self.said(bundle))

    def test_no_agent(self):
        bundle, _ = self.listened("true")
        bundle.config["linux"]["seccomp"]["listenerPath"] = str(self.folder / "none")
        self.refused(bundle, *(["linux.seccomp.listenerPath"] if is_proa() else []))


if __name__ == "__main__":
    main()
