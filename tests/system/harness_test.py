#!/usr/bin/env python3
"""The system tests' own tools, held to their word: the sandbox isolates, and each kind of leftover is found."""

import signal
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from lib import cgroups, leftovers, sandbox  # noqa: E402
from lib.case import SystemTest, main, until  # noqa: E402


class Leftovers(SystemTest):
    def found(self, kind):
        return [item for item in self.before.left(patience=0) if item.startswith(kind)]

    def test_mount_is_found(self):
        target = self.folder / "mounted"
        target.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", target], check=True)
        try:
            self.assertEqual([f"mount {target} (tmpfs)"], self.found("mount"))
        finally:
            subprocess.run(["umount", target], check=True)

    def test_control_group_is_found(self):
        group = next(h for h in cgroups.hierarchies() if not h.v2).mount / "left"
        group.mkdir()
        try:
            self.assertEqual([f"cgroup {group}"], self.found("cgroup"))
        finally:
            group.rmdir()

    def test_process_is_found(self):
        child = subprocess.Popen(["sleep", "1000"])
        try:
            self.assertTrue(until(lambda: [i for i in self.found("process") if "sleep 1000" in i], "the process"))
        finally:
            child.kill()
            child.wait()

    def test_state_is_found(self):
        kept = Path("/run/kept")
        kept.touch()
        try:
            self.assertEqual(["file /run/kept"], self.found("file"))
        finally:
            kept.unlink()


class Isolation(SystemTest):
    def test_own_namespaces_and_groups(self):
        self.assertEqual("bash", Path("/proc/1/comm").read_text().strip())
        self.assertEqual({"/"}, {h.own for h in cgroups.hierarchies() if not h.v2})
        links = [line.split(":")[0].strip() for line in Path("/proc/self/net/dev").read_text().splitlines()[2:]]
        self.assertEqual(["lo"], links)

    def test_frozen_group_is_removed(self):
        freezer = next((h.mount for h in cgroups.hierarchies() if h.options == "freezer"), None)
        if not freezer:
            self.skipTest("this host has no v1 freezer")
        group = freezer / "frozen"
        group.mkdir()
        child = subprocess.Popen(["sleep", "1000"])
        (group / "cgroup.procs").write_text(str(child.pid))
        (group / "freezer.state").write_text("FROZEN")
        self.assertEqual([], cgroups.remove_tree(group))
        self.assertEqual(-signal.SIGKILL, child.wait())
        self.assertFalse(group.exists())

    def test_orphans_are_reaped(self):
        subprocess.run(["sh", "-c", "sleep 0.05 &"], check=True)
        until(lambda: not [i for i in self.before.left(patience=0) if i.startswith("process")], "the orphan to be reaped")


class Bundles(SystemTest):
    def test_container_runs_and_nothing_stays(self):
        bundle = self.bundle("sh", "-c", "hostname; cat /etc/passwd | wc -l")
        self.assertEqual(["box", "2"], self.runtime("run", "--bundle", bundle.path, "once").split())

    def test_lifecycle(self):
        bundle = self.bundle("sleep", "1000")
        self.runtime.create("box", bundle.path)
        self.assertEqual("created", self.runtime.state("box")["status"])
        self.runtime("start", "box")
        self.assertEqual("running", self.runtime.state("box")["status"])
        self.runtime("kill", "box", "KILL")
        until(lambda: self.runtime.state("box")["status"] == "stopped", "the container to stop")
        self.runtime("delete", "box")
        self.assertFalse(self.runtime.exists("box"))


if __name__ == "__main__":
    main()
