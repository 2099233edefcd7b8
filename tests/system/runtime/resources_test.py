#!/usr/bin/env python3
"""linux.resources and cgroupsPath: limits as the kernel has them, where the container's groups are, and update."""

import json
import os
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib import cgroups, limits  # noqa: E402
from lib.case import main, until  # noqa: E402
from lib.container import ContainerTest, is_proa  # noqa: E402

proa_only = unittest.skipUnless(is_proa(), "runc 1.1 differs")
MIB = 1 << 20


class ResourcesTest(ContainerTest):
    def limited(self, script="sleep 1000", name="bundle", **resources):
        bundle = self.sh(script, name=name)
        bundle.config["linux"]["resources"].update(resources)
        return bundle

    def value(self, pid, controller, file):
        group = limits.group_of(pid, controller)
        if group is None or not (group / file).exists():
            self.skipTest(f"this host has no {file}")
        return (group / file).read_text().strip()


class Limits(ResourcesTest):
    def test_common(self):
        pid = self.started(self.limited(memory={"limit": 64 * MIB, "swap": 96 * MIB}, cpu={"quota": 30000, "period": 60000}, pids={"limit": 50}))
        self.assertEqual(limits.Limits(64 * MIB, 96 * MIB, 0.5, 50), limits.of(pid))

    def test_memory_is_enforced(self):
        done = self.run_container(self.limited("head -c 200000000 /dev/zero | tail | wc -c; echo end", memory={"limit": 20 * MIB, "swap": 20 * MIB}))
        self.assertNotIn("200000000", done.stdout)

    def test_processes_are_enforced(self):
        done = self.run_container(self.limited("for i in 1 2 3 4 5 6 7 8 9; do sleep 1 & done; true", pids={"limit": 5}))
        self.assertIn("fork", done.stderr)

    def test_v1_files(self):
        pid = self.started(self.limited(memory={"limit": 64 * MIB, "reservation": 32 * MIB, "swappiness": 10, "disableOOMKiller": True}, cpu={"shares": 300, "cpus": "0", "mems": "0"}))
        self.assertEqual(str(32 * MIB), self.value(pid, "memory", "memory.soft_limit_in_bytes"))
        self.assertEqual("10", self.value(pid, "memory", "memory.swappiness"))
        self.assertIn("oom_kill_disable 1", self.value(pid, "memory", "memory.oom_control"))
        self.assertEqual("300", self.value(pid, "cpu", "cpu.shares"))
        self.assertEqual("0", self.value(pid, "cpuset", "cpuset.cpus"))

    @proa_only
    def test_refused(self):
        """What this host cannot limit is refused by its field."""
        for resources, word in (({"hugepageLimits": [{"pageSize": "3MB", "limit": 1}]}, "linux.resources.hugepageLimits"),
                                ({"cpu": {"cpus": "9999"}}, "linux.resources.cpu.cpus"), ({"memory": {"limit": -5}}, "linux.resources.memory.limit"),
                                ({"devices": [{"allow": True, "type": "q"}]}, "linux.resources.devices[0].type"),
                                ({"rdma": {"mlx5_9": {"hcaHandles": 3}}}, "linux.resources.rdma"), ({"unified": {"memory/../x": "1"}}, "linux.resources.unified"),
                                ({"network": {"classID": 5}}, "linux.resources.network")):
            field = word.split(".")[2].split("[")[0]
            if field == "network" and any("net_cls" in h.options for h in cgroups.hierarchies()):
                continue
            self.refused(self.limited("true", **resources), word)

    @proa_only
    def test_device_rules_in_order(self):
        """Rules of the configuration first and in its order, then what every container gets."""
        allowed = [{"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rwm"}, {"allow": True, "type": "b", "major": 8, "minor": 20, "access": "rw"}]
        pid = self.started(self.limited(devices=[{"allow": False, "access": "rwm"}, *allowed]))
        lines = self.value(pid, "devices", "devices.list").splitlines()
        self.assertEqual(["c 10:229 rwm", "b 8:20 rw"], lines[:2])
        self.assertIn("c 1:3 rwm", lines)


class Place(ResourcesTest):
    def test_path(self):
        path = f"/{self.folder.name}.deep/below/group"
        bundle = self.limited()
        bundle.config["linux"]["cgroupsPath"] = path
        # Not the harness's own name for it.
        self.runtime.create("box", bundle.save().path)
        self.forget("box")
        pid = self.runtime.state("box")["pid"]
        for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
            self.assertTrue(line.split(":", 2)[2].endswith(path) or line.split(":", 2)[2].endswith(path.replace(".deep", ".deep")), line)
        self.runtime("delete", "--force", "box")
        if not is_proa():  # it leaves the parents
            for h in cgroups.hierarchies():
                cgroups.remove_tree(h.mount / f"{self.folder.name}.deep")

    def test_existing_parent_stays(self):
        made = []
        for h in cgroups.hierarchies():
            parent = h.mount / f"{self.folder.name}.parent"
            parent.mkdir()
            for name in ("cpuset.cpus", "cpuset.mems"):
                if (parent / name).exists() and not h.v2:
                    (parent / name).write_text((h.mount / name).read_text())
            made.append(parent)
        bundle = self.sh("echo ran")
        bundle.config["linux"]["cgroupsPath"] = f"/x/../{self.folder.name}.parent/child"
        self.assertEqual("ran", self.said(bundle))
        for parent in made:
            self.assertTrue(parent.exists())
            parent.rmdir()

    def test_every_process_is_in(self):
        pid = self.started(self.sh("sleep 1001 & sleep 1002 & wait"))
        until(lambda: len(json.loads(self.runtime("ps", "--format", "json", "box"))) == 3, "three processes")
        for child in json.loads(self.runtime("ps", "--format", "json", "box")):
            self.assertEqual(Path(f"/proc/{pid}/cgroup").read_text(), Path(f"/proc/{child}/cgroup").read_text())

    @proa_only
    def test_disabled(self):
        """--cgroup-manager=disabled leaves the container where the caller is."""
        own = Path("/proc/self/cgroup").read_text()
        bundle = self.sh("cat /proc/self/cgroup")
        bundle.config["linux"]["namespaces"] = [n for n in bundle.config["linux"]["namespaces"] if n["type"] != "cgroup"]
        done = self.runtime.call("--cgroup-manager", "disabled", "run", "--bundle", bundle.save().path, "box")
        self.assertEqual(own, done.stdout, done.stderr)


class Update(ResourcesTest):
    def test_flags(self):
        pid = self.started(self.limited(memory={"limit": 64 * MIB, "swap": 96 * MIB}, pids={"limit": 50}))
        self.runtime("update", "--memory", "32m", "--memory-swap", "64m", "--pids-limit", "20", "--cpu-quota", "50000", "--cpu-period", "100000", "box")
        self.assertEqual(limits.Limits(32 * MIB, 64 * MIB, 0.5, 20), limits.of(pid))

    def test_resources_from_a_file_and_stdin(self):
        pid = self.started(self.limited(memory={"limit": 64 * MIB, "swap": 64 * MIB}))
        self.runtime("update", "--resources", self.write_json("r.json", {"pids": {"limit": 33}}), "box")
        self.assertEqual(33, limits.of(pid).pids)
        done = self.runtime.call("update", "--resources", "-", "box", stdin=None, input=json.dumps({"memory": {"limit": 48 * MIB, "swap": 48 * MIB}}))
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertEqual((48 * MIB, 33), (limits.of(pid).memory, limits.of(pid).pids))

    def test_grow_and_shrink_with_swap(self):
        """The kernel wants memory and swap written in the right order for either way."""
        pid = self.started(self.limited(memory={"limit": 64 * MIB, "swap": 64 * MIB}))
        for size in (256, 32, 128):
            self.runtime("update", "--memory", f"{size}m", "--memory-swap", f"{size}m", "box")
            self.assertEqual((size * MIB, size * MIB), (limits.of(pid).memory, limits.of(pid).memory_swap))

    def test_errors(self):
        self.sleeper()
        self.fails("update", "--memory", "nonsense", "box")
        self.fails("update", "--cpuset-cpus", "9999", "box")
        self.fails("update", "--memory", "1g", "none", word="does not exist")
        if is_proa():
            self.fails("update", "--resources", self.write_json("bad.json", {"memory": {"limit": "x"}}), "box", word="memory.limit")

    def test_events_once(self):
        self.sleeper()
        event = json.loads(self.runtime("events", "--stats", "box"))
        self.assertEqual(("stats", "box"), (event["type"], event["id"]))
        self.assertGreaterEqual(event["data"]["pids"]["current"], 1)
        self.assertGreater(event["data"]["memory"]["usage"]["usage"], 0)


if __name__ == "__main__":
    main()
