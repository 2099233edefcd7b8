#!/usr/bin/env python3
"""Whatever goes wrong, and whenever the runtime is killed, nothing is left behind."""

import os
import re
import shutil
import subprocess
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib import cgroups, leftovers  # noqa: E402
from lib.case import main, until  # noqa: E402
from lib.container import ContainerTest, is_proa  # noqa: E402


class Failures(ContainerTest):
    """Each breaks the creation at another step. The base class looks for what is left; here the id must be free again."""

    def broken(self, change, *words, options=()):
        before = leftovers.Before(("/run",))
        bundle = self.sh("echo must not run")
        change(bundle.config)
        text = self.refused(bundle, *words, options=options)
        self.assertNotIn("must not run\n", text)
        self.assertEqual([], before.left(ignore=self.ignored_leftover))
        self.assertEqual("ran", self.said(self.sh("echo ran", name="good"), ident="refused"))

    def test_namespaces(self):
        self.broken(lambda c: c["linux"]["namespaces"].append({"type": "user", "path": "/proc/self/ns/net"}))
        self.broken(lambda c: c["linux"]["namespaces"][1].update(path="/no/such/ns"))

    def test_cgroup(self):
        self.broken(lambda c: c["linux"]["resources"].update(cpu={"cpus": "9999"}))
        self.broken(lambda c: c["linux"]["resources"].update(memory={"limit": 1}) if not is_proa() else c["linux"]["resources"].update(hugepageLimits=[{"pageSize": "3MB", "limit": 1}]))

    def test_cgroup_in_use(self):
        self.sleeper(ident="owner")
        taken = f"/./{self.folder.name}.owner"
        before = leftovers.Before()
        bundle = self.bundle("true", name="second")
        bundle.config["linux"]["cgroupsPath"] = taken
        if is_proa():
            self.refused(bundle, "linux.cgroupsPath")
        self.assertEqual([], before.left(ignore=self.ignored_leftover))
        self.assertEqual("running", self.status("owner"))

    def test_mounts(self):
        entry = {"destination": "/m", "type": "tmpfs", "source": "tmpfs"}
        for bad in ({"type": "nofs"}, {"options": ["nonsense=1"]}, {"type": "bind", "source": "/no/such", "options": ["bind"]}, {"destination": "/etc/passwd/below"}):
            self.broken(lambda c, bad=bad: c["mounts"].append({**entry, **bad}))

    @unittest.skipUnless(is_proa(), "runc 1.1 accepts some")
    def test_details(self):
        self.broken(lambda c: c["linux"].update(devices=[{"path": "/etc/passwd", "type": "c", "major": 1, "minor": 3}]), "linux.devices[0]")
        self.broken(lambda c: c["linux"].update(sysctl={"net.ipv4.nope": "1"}), "linux.sysctl")
        self.broken(lambda c: c["linux"].update(sysctl={"net.ipv4.ip_forward": "nope"}), "linux.sysctl")
        self.broken(lambda c: c["linux"].update(netDevices={"nosuchdev": {}}), "linux.netDevices")
        self.broken(lambda c: c["process"].update(apparmorProfile="none-such"), "process.apparmorProfile")
        self.broken(lambda c: c["linux"].update(seccomp={"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/no/such.sock",
                                                         "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]}), "linux.seccomp.listenerPath")
        self.broken(lambda c: c["process"].update(cwd="/etc/passwd"), "process.cwd")
        self.broken(lambda c: c["process"].update(args=["/no/such"]), "no such file")
        self.broken(lambda c: c["process"].update(user={"uid": 0, "gid": 0, "additionalGids": list(range(1, 70000))}), "process.user.additionalGids")

    def test_hooks(self):
        for kind in ("prestart", "createRuntime", "createContainer"):
            self.broken(lambda c, kind=kind: c.update(hooks={kind: [{"path": "/bin/false"}]}))

    def test_terminal(self):
        def terminal(c):
            c["process"]["terminal"] = True
        self.broken(terminal)
        self.broken(terminal, options=("--console-socket", "/no/such.sock"))

    def test_files(self):
        self.broken(lambda c: None, options=("--pid-file", "/no/such/folder/pid"))

    def test_program_that_fails_only_at_start(self):
        bundle = self.bundle("/script")
        (bundle.root / "script").write_text("#!/no/such/shell\n")
        (bundle.root / "script").chmod(0o755)
        self.assertNotEqual(0, self.run_container(bundle).returncode)
        self.assertFalse(self.runtime.exists("box"))

    @unittest.skipUnless(is_proa(), "runc leaves the mounts behind")
    def test_without_a_mount_namespace(self):
        def change(c):
            c["linux"]["namespaces"] = [n for n in c["linux"]["namespaces"] if n["type"] != "mount"]
            del c["linux"]["maskedPaths"], c["linux"]["readonlyPaths"]
            c["mounts"].append({"destination": "/m", "type": "nofs", "source": "x"})
        self.broken(change)

    def test_container_whose_processes_moved_away(self):
        """Its processes went to another cgroup: it can be deleted, and the other cgroup stays."""
        pid = self.sleeper()
        other = next(h.mount for h in cgroups.hierarchies() if "pids" in h.options.split(",")) / f"{self.folder.name}.other"
        other.mkdir()
        (other / "cgroup.procs").write_text(str(pid))
        self.runtime("kill", "box", "KILL")
        self.until_stopped()
        self.runtime("delete", "box")
        self.assertTrue(other.exists())
        other.rmdir()

    def test_sub_cgroups_of_the_container(self):
        bundle = self.sh("mkdir -p /sys/fs/cgroup/pids/a/b /sys/fs/cgroup/memory/c; echo ready; sleep 1000")
        bundle.config["mounts"].append({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["rw"]})
        out = self.folder / "out"
        self.started(bundle, output=out)
        until(lambda: "ready" in out.read_text(), "the cgroups")
        self.runtime("delete", "--force", "box")


class Killed(ContainerTest):
    """SIGKILL at every system call the runtime makes. Then no process and no mount may be left; what else there is the next command
    takes away; and the id can be used again. A container that is already complete when its maker dies may stay, and can be deleted."""

    BUDGET = 40.0  # seconds for one command's calls; each call's turn comes when they do not all fit

    def setUp(self):
        super().setUp()
        if not is_proa():
            self.skipTest("other runtimes leave things behind")
        if not shutil.which("strace"):
            self.skipTest("strace is not installed: run scripts/bootstrap test")

    def traced(self, args, *options):
        """Runs the runtime under strace, which does not follow its children. Output goes to a file, as pipes would wait for them."""
        log = self.folder / "traced.log"
        with open(log, "w") as out:
            subprocess.run(["strace", "-qq", *options, *self.runtime.argv(*args)], stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=False, timeout=30)

    def calls(self, args):
        """The calls of one run, as (name, how many of that name so far)."""
        trace = self.folder / "trace"
        self.traced(args, "-o", trace)
        names = re.findall(r"^(\w+)\(", trace.read_text(), re.M)
        return [(name, names[:n + 1].count(name)) for n, name in enumerate(names)]

    def kill_at(self, call, args):
        name, number = call
        self.traced(args, "-o", "/dev/null", "-e", f"inject={name}:signal=KILL:when={number}")

    def items(self, *kinds):
        return [item for item in self.before.left(patience=0, ignore=self.ignored_leftover) if item.split()[0] in kinds]

    def steps(self, calls):
        """All of them. Those that time does not allow are left out evenly, and said."""
        start, done = time.monotonic(), 0
        for n in sorted(range(len(calls)), key=lambda n: (n % 4, n)):
            if time.monotonic() - start > self.BUDGET:
                print(f"(time for {done} of {len(calls)} calls) ", end="", file=sys.stderr)
                return
            done += 1
            yield calls[n]

    def settle(self, n):
        """What has to hold after a kill at call `n`; the container is gone afterwards. Says whether it was complete."""
        done = self.runtime.call("state", "box")
        complete = done.returncode == 0 and '"creating"' not in done.stdout
        if not complete:
            until(lambda: not self.items("process"), f"processes to be gone after a kill at call {n}: {self.items('process')}", 5)
            self.assertEqual([], self.items("mount"), f"call {n}")
            self.assertEqual("", self.runtime("list", "--quiet"), f"call {n}")
        else:
            self.runtime("delete", "--force", "box")
        self.assertEqual([], list((self.folder / "state").iterdir()), f"call {n}")
        until(lambda: not self.items("process", "cgroup", "mount"), f"all to be gone after a kill at call {n}: {self.items('process', 'cgroup', 'mount')}", 5)
        self.assertEqual([], self.items("file"))
        return complete

    def every_call(self, prepare, args):
        """Returns at how many calls the container was complete."""
        prepare()
        calls = self.calls(args)
        self.settle(0)
        self.assertGreater(len(calls), 30)
        complete = 0
        for n, call in enumerate(self.steps(calls)):
            prepare()
            self.kill_at(call, args)
            complete += self.settle(call)
            if n % 16 == 0:
                self.assertEqual("again", self.said(self.again))
        self.assertEqual("again", self.said(self.again))
        return complete

    def bundles(self, *args):
        self.again = self.sh("echo again", name="again")
        bundle = self.bundle(*args)
        self._grouped(bundle, "box")
        return bundle

    def test_create(self):
        bundle = self.bundles("sleep", "1000")
        complete = self.every_call(lambda: None, ["create", "--bundle", bundle.path, "box"])
        self.assertLess(complete, 40, "only what comes after the last step may leave a container")

    def test_run(self):
        bundle = self.bundles("true")
        self.every_call(lambda: None, ["run", "--bundle", bundle.path, "box"])

    def test_start(self):
        bundle = self.bundles("sleep", "1000")
        self.every_call(lambda: self.runtime.create("box", bundle.path), ["start", "box"])

    def test_delete(self):
        bundle = self.bundles("sleep", "1000")
        self.every_call(lambda: self.runtime.create("box", bundle.path), ["delete", "--force", "box"])

    def test_exec(self):
        self.sleeper(ident="host")
        held = set(self.items("process", "cgroup", "mount"))
        args = ["exec", "host", "true"]
        for n in self.steps(self.calls(args)):
            self.kill_at(n, args)
            until(lambda: set(self.items("process", "mount", "cgroup")) <= held, f"all to be gone after a kill at call {n}: {set(self.items('process')) - held}", 5)
        self.assertEqual("still works", self.inside("echo", "still works", ident="host"))

    def test_without_a_mount_namespace(self):
        """Here the mounts are made where everybody sees them."""
        bundle = self.bundles("sleep", "1000")
        bundle.config["linux"]["namespaces"] = [n for n in bundle.config["linux"]["namespaces"] if n["type"] != "mount"]
        for name in ("maskedPaths", "readonlyPaths"):
            del bundle.config["linux"][name]
        bundle.save()
        args = ["create", "--bundle", bundle.path, "box"]
        calls = self.calls(args)
        self.settle(0)
        for n in self.steps(calls[::3]):
            self.kill_at(n, args)
            self.runtime("list", "--quiet")
            if self.runtime.exists("box"):
                self.runtime("delete", "--force", "box")
            until(lambda: not self.items("process", "cgroup", "mount"), f"all to be gone after a kill at call {n}: {self.items('process', 'cgroup', 'mount')}", 5)


if __name__ == "__main__":
    main()
