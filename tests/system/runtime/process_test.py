#!/usr/bin/env python3
"""What config.json says of the process: user, rights, limits, scheduling, environment."""

import json
import os
import re
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib.case import main  # noqa: E402
from lib.container import ContainerTest, is_proa, status_field  # noqa: E402

proa_only = unittest.skipUnless(is_proa(), "not in runc 1.1")
_NAMES = {"chown": 0, "kill": 5, "net_bind_service": 10, "net_raw": 13, "sys_time": 25}


def mask(*names):
    return sum(1 << _NAMES[name] for name in names)


def capabilities(*names):
    return ["CAP_" + name.upper() for name in names]


class ProcessTest(ContainerTest):
    def process(self, *args, **fields):
        bundle = self.bundle(*args)
        bundle.config["process"].update(fields)
        return bundle

    def status_of(self, **fields):
        text = self.said(self.process("cat", "/proc/self/status", **fields))
        return dict(re.findall(r"^(\w+):[ \t]*(.*)$", text, re.M))


class User(ProcessTest):
    def test_ids(self):
        status = self.status_of(user={"uid": 1000, "gid": 1001, "additionalGids": [5, 6, 70000]})
        self.assertEqual(["1000"] * 4, status["Uid"].split())
        self.assertEqual(["1001"] * 4, status["Gid"].split())
        self.assertEqual(["5", "6", "70000"], status["Groups"].split())

    def test_no_groups_are_inherited(self):
        before = os.getgroups()
        os.setgroups([3, 4])
        self.addCleanup(os.setgroups, before)
        self.assertEqual("", self.status_of()["Groups"].strip())

    @proa_only
    def test_umask(self):
        self.assertEqual("0137", self.said(self.process("sh", "-c", "umask", user={"uid": 0, "gid": 0, "umask": 0o137})))
        self.refused(self.process("true", user={"uid": 0, "gid": 0, "umask": 0o1000}), "process.user.umask")

    def test_home(self):
        show = ("sh", "-c", "echo $HOME")
        self.assertEqual("/root", self.said(self.process(*show)))
        self.assertEqual("/home", self.said(self.process(*show, user={"uid": 1000, "gid": 0})))
        self.assertEqual("/", self.said(self.process(*show, user={"uid": 4242, "gid": 0})))
        self.assertEqual("/given", self.said(self.process(*show, env=["PATH=/bin", "HOME=/given"])))

    def test_cwd_only_the_user_may_enter(self):
        """As on a root squashed NFS: root cannot enter, the user can."""
        bundle = self.process("pwd", user={"uid": 1000, "gid": 1000}, cwd="/home/own")
        (bundle.root / "home/own").mkdir(mode=0o700)
        os.chown(bundle.root / "home/own", 1000, 1000)
        bundle.config["process"]["capabilities"] = {}
        self.assertEqual("/home/own", self.said(bundle))

    def test_cwd(self):
        self.assertEqual("/usr/bin", self.said(self.process("pwd", cwd="/usr/bin")))

    @proa_only
    def test_cwd_that_is_missing(self):
        """runc makes it; the specification says nothing of that, and engines make it themselves."""
        done = self.run_container(self.process("pwd", cwd="/is/made"))
        self.assertTrue(done.stdout == "/is/made\n" or "process.cwd /is/made" in done.stderr, done)


class Environment(ProcessTest):
    def test_nothing_of_the_caller(self):
        os.environ["LEAK"] = "secret"
        self.addCleanup(os.environ.pop, "LEAK")
        text = self.said(self.process("env", env=["PATH=/bin:/usr/bin", "A=1", "EMPTY=", "B=x=y z"]))
        self.assertEqual({"PATH=/bin:/usr/bin", "A=1", "EMPTY=", "B=x=y z", "HOME=/root"}, set(text.splitlines()))

    def test_path_decides_what_runs(self):
        for place, word in (("one", "first"), ("two", "second")):
            bundle = self.process("tool", env=[f"PATH=/none:/opt/{place}:/bin"])
            for name, says in (("one", "first"), ("two", "second")):
                (bundle.root / "opt" / name).mkdir(parents=True, exist_ok=True)
                (bundle.root / "opt" / name / "tool").write_text(f"#!/bin/sh\necho {says}\n")
                (bundle.root / "opt" / name / "tool").chmod(0o755)
            self.assertEqual(word, self.said(bundle))

    def test_arguments_are_passed_as_they_are(self):
        self.assertEqual("[a b][][*][$HOME]", self.said(self.process("printf", "[%s]", "a b", "", "*", "$HOME")))

    def test_bad_values(self):
        for fields, word in (({"args": []}, "args"), ({"env": ["NOEQUALS"]}, "env"), ({"cwd": ""}, "cwd")):
            if is_proa():
                self.refused(self.process("true", **fields), word)


class Capabilities(ProcessTest):
    def test_five_sets(self):
        """Each as asked for, here for a user who is not root."""
        given = {"bounding": ["chown", "kill", "net_raw", "net_bind_service"], "permitted": ["chown", "kill", "net_bind_service"],
                 "effective": ["kill"], "inheritable": ["chown", "net_bind_service"], "ambient": ["net_bind_service"]}
        status = self.status_of(user={"uid": 1000, "gid": 0}, capabilities={k: capabilities(*v) for k, v in given.items()})
        # cat is executed by a user: it gets what is ambient, and bounding and inheritable stay.
        self.assertEqual(mask("net_bind_service"), int(status["CapPrm"], 16))
        self.assertEqual(mask("net_bind_service"), int(status["CapEff"], 16))
        self.assertEqual(mask("net_bind_service"), int(status["CapAmb"], 16))
        self.assertEqual(mask("chown", "net_bind_service"), int(status["CapInh"], 16))
        self.assertEqual(mask("chown", "kill", "net_raw", "net_bind_service"), int(status["CapBnd"], 16))

    def test_root(self):
        names = ["chown", "kill"]
        status = self.status_of(capabilities={k: capabilities(*names) for k in ("bounding", "permitted", "effective")})
        for field in ("CapPrm", "CapEff", "CapBnd"):
            self.assertEqual(mask(*names), int(status[field], 16), field)
        self.assertEqual((0, 0), (int(status["CapInh"], 16), int(status["CapAmb"], 16)))

    def test_none(self):
        status = self.status_of(capabilities={})
        self.assertEqual({0}, {int(status[f], 16) for f in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")})

    def test_ambient_that_cannot_be(self):
        """Not permitted or not inheritable: the specification has it fail silently, or with a warning."""
        given = {"bounding": ["chown"], "permitted": ["chown"], "effective": ["chown"], "ambient": ["chown"]}
        done = self.run_container(self.process("grep", "CapAmb", "/proc/self/status", capabilities={k: capabilities(*v) for k, v in given.items()}))
        if done.returncode == 0:
            self.assertEqual(0, int(done.stdout.split()[1], 16))

    def test_unknown_is_a_warning(self):
        bundle = self.process("echo", "ran", capabilities={"bounding": ["CAP_TEST"], "effective": ["CAP_TEST"], "permitted": ["CAP_TEST"]})
        bundle.config["ociVersion"] = "1.3.0"
        done = self.run_container(bundle)
        self.assertEqual("ran\n", done.stdout)
        self.assertIn("CAP_TEST", done.stderr)

    @proa_only
    def test_more_than_the_host_has(self):
        """Left out with a warning that names them."""
        bounding = int(status_field("self", "CapBnd"), 16)
        missing = next((n for n in (24, 12, 21) if not bounding >> n & 1), None)
        if missing is None:
            self.skipTest("this host lacks no capability")
        name = {24: "CAP_SYS_RESOURCE", 12: "CAP_NET_ADMIN", 21: "CAP_SYS_ADMIN"}[missing]
        done = self.run_container(self.process("echo", "ran", capabilities={k: [name] for k in ("bounding", "effective", "permitted")}))
        self.assertEqual("ran\n", done.stdout)
        self.assertIn(name, done.stderr)

    def test_no_new_privileges(self):
        for wanted in (True, False):
            self.assertEqual(str(int(wanted)), self.status_of(noNewPrivileges=wanted)["NoNewPrivs"])


class Limits(ProcessTest):
    def test_rlimits(self):
        bundle = self.process("cat", "/proc/self/limits", rlimits=[
            {"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
            {"type": "RLIMIT_STACK", "soft": 1 << 20, "hard": 1 << 23}, {"type": "RLIMIT_CPU", "soft": 1000, "hard": 2000}])
        text = self.said(bundle)
        for line in (r"Max open files\s+100\s+200", r"Max core file size\s+0\s+0", r"Max stack size\s+1048576\s+8388608", r"Max cpu time\s+1000\s+2000"):
            self.assertRegex(text, line)

    @proa_only
    def test_very_few_descriptors(self):
        self.assertEqual("3", self.said(self.process("sh", "-c", "ulimit -n", rlimits=[{"type": "RLIMIT_NOFILE", "soft": 3, "hard": 3}])))

    def test_bad_rlimits(self):
        for limit, word in (({"type": "RLIMIT_TEST", "soft": 1, "hard": 1}, "RLIMIT_TEST"), ({"type": "RLIMIT_CORE", "soft": 2, "hard": 1}, "rlimit")):
            if is_proa() or "TEST" in word:
                self.refused(self.process("true", rlimits=[limit]), word)
        if is_proa():
            self.refused(self.process("true", rlimits=[{"type": "RLIMIT_CORE", "soft": 1, "hard": 1}] * 2), "process.rlimits[1]", "twice")

    def test_oom_score(self):
        self.assertEqual("432", self.said(self.process("cat", "/proc/self/oom_score_adj", oomScoreAdj=432)))
        if is_proa():
            self.refused(self.process("true", oomScoreAdj=1001), "process.oomScoreAdj")


class Scheduling(ProcessTest):
    @proa_only
    def test_scheduler(self):
        for scheduler, policy in (({"policy": "SCHED_BATCH", "nice": 5}, "3"), ({"policy": "SCHED_IDLE"}, "5"),
                                  ({"policy": "SCHED_FIFO", "priority": 3, "flags": ["SCHED_FLAG_RESET_ON_FORK"]}, "1")):
            bundle = self.process("cat", "/proc/self/stat", scheduler=scheduler)
            done = self.run_container(bundle)
            if policy == "1" and done.returncode:  # v1 gives a new group no real time
                self.assertIn("process.scheduler", done.stderr)
                continue
            self.assertEqual(0, done.returncode, done.stderr)
            fields = done.stdout.rpartition(")")[2].split()
            self.assertEqual(policy, fields[38], scheduler)
            self.assertEqual(str(scheduler.get("nice", os.getpriority(os.PRIO_PROCESS, 0))), fields[16])

    @proa_only
    def test_bad_scheduler(self):
        for scheduler, word in (({"policy": "SCHED_NOPE"}, "policy"), ({"policy": "SCHED_OTHER", "nice": 20}, "nice"),
                                ({"policy": "SCHED_FIFO", "priority": 100}, "priority"), ({"policy": "SCHED_OTHER", "runtime": 5}, "runtime"),
                                ({"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_NOPE"]}, "flags")):
            self.refused(self.process("true", scheduler=scheduler), "process.scheduler." + word)

    @proa_only
    def test_io_priority(self):
        for io_class, priority, says in (("IOPRIO_CLASS_BE", 7, "best-effort: prio 7"), ("IOPRIO_CLASS_IDLE", 0, "idle")):
            self.assertEqual(says, self.said(self.process("ionice", ioPriority={"class": io_class, "priority": priority})).replace(": prio 0", "" if says == "idle" else ": prio 0"))
        self.refused(self.process("true", ioPriority={"class": "IOPRIO_CLASS_BE", "priority": 8}), "process.ioPriority.priority")
        self.refused(self.process("true", ioPriority={"class": "IOPRIO_CLASS_NOPE", "priority": 1}), "process.ioPriority.class")

    @proa_only
    def test_exec_cpu_affinity(self):
        last = max(os.sched_getaffinity(0))
        self.started(self.process("sleep", "1000", execCPUAffinity={"initial": "0", "final": str(last)}))
        self.assertIn(f"Cpus_allowed_list:\t{last}\n", self.inside("cat", "/proc/self/status"))
        bad = self.bundle("true", name="bad")
        bad.config["process"]["execCPUAffinity"] = {"initial": "0-"}
        self.refused(bad, "process.execCPUAffinity.initial")

    def test_personality(self):
        bundle = self.process("sh", "-c", "uname -m; cat /proc/self/personality")
        bundle.config["linux"]["personality"] = {"domain": "LINUX32"}
        if not is_proa():
            self.skipTest("not in runc 1.1")
        self.assertEqual(["i686", "00000008"], self.said(bundle).split())
        bundle.config["linux"]["personality"] = {"domain": "LINUX", "flags": ["ADDR_NO_RANDOMIZE"]}
        done = self.run_container(bundle)
        if done.returncode == 0:
            self.assertEqual(["x86_64", "00040000"], done.stdout.split())
        else:
            self.assertIn("linux.personality", done.stderr)
        bundle.config["linux"]["personality"] = {"domain": "SOLARIS"}
        self.refused(bundle, "linux.personality.domain")

    @proa_only
    def test_memory_policy(self):
        bundle = self.process("sh", "-c", "head -1 /proc/self/numa_maps")
        bundle.config["linux"]["memoryPolicy"] = {"mode": "MPOL_BIND", "nodes": "0", "flags": []}
        done = self.run_container(bundle)
        if done.returncode:
            self.assertIn("linux.memoryPolicy", done.stderr)
        elif done.stdout:
            self.assertIn("bind:0", done.stdout)
        bundle.config["linux"]["memoryPolicy"] = {"mode": "MPOL_NOPE"}
        self.refused(bundle, "linux.memoryPolicy.mode")
        bundle.config["linux"]["memoryPolicy"] = {"mode": "MPOL_BIND", "nodes": ""}
        self.refused(bundle, "linux.memoryPolicy")


class Unsupported(ProcessTest):
    """What this kernel cannot give is refused by name, not passed over."""

    def test_apparmor(self):
        if Path("/sys/kernel/security/apparmor").exists():
            self.skipTest("this host has AppArmor")
        self.refused(self.process("true", apparmorProfile="acme_secure_profile"), "apparmor")

    @proa_only
    def test_selinux(self):
        if "selinuxfs" in Path("/proc/filesystems").read_text():
            self.skipTest("this host has SELinux")
        self.refused(self.process("true", selinuxLabel="system_u:system_r:container_t:s0"), "process.selinuxLabel")

    @proa_only
    def test_mount_label_is_a_warning(self):
        """Engines set it from defaults; on a host without SELinux there is nothing it could protect."""
        if "selinuxfs" in Path("/proc/filesystems").read_text():
            self.skipTest("this host has SELinux")
        bundle = self.process("echo", "ran")
        bundle.config["linux"]["mountLabel"] = "system_u:object_r:container_file_t:s0"
        done = self.run_container(bundle)
        self.assertEqual("ran\n", done.stdout)
        self.assertIn("linux.mountLabel", done.stderr)

    @proa_only
    def test_intel_rdt(self):
        if Path("/sys/fs/resctrl/schemata").exists():
            self.skipTest("this host has resctrl")
        bundle = self.process("true")
        bundle.config["linux"]["intelRdt"] = {"closID": "group", "l3CacheSchema": "L3:0=f"}
        self.refused(bundle, "linux.intelRdt")

    def test_unknown_fields_are_ignored(self):
        bundle = self.process("echo", "ran", unknownField={"a": 1})
        bundle.config["org.example.extension"] = [1, 2]
        self.assertEqual("ran", self.said(bundle))

    @proa_only
    def test_version(self):
        bundle = self.bundle("echo", "ran")
        for version in ("2.0.0", "0.9.0", "invalid", "1.0", ""):
            bundle.config["ociVersion"] = version
            self.refused(bundle, "ociVersion")
        for version in ("1.0.0", "1.0.2-dev", "1.3.0", "1.9.0"):
            bundle.config["ociVersion"] = version
            self.assertEqual("ran", self.said(bundle))

    @proa_only
    def test_wrong_types_are_named(self):
        for path, value in (("process.args", "true"), ("process.user.uid", -1), ("process.rlimits", {}), ("linux.namespaces", "pid"), ("mounts", {"a": 1}),
                            ("linux.resources.memory.limit", "1G"), ("root.path", 5), ("process.terminal", "yes")):
            bundle = self.bundle("true", name=path)
            where = bundle.config
            *parents, last = path.split(".")
            for name in parents:
                where = where.setdefault(name, {})
            where[last] = value
            self.refused(bundle, path)


if __name__ == "__main__":
    main()
