"""What only the cgroupfs driver does."""

import pathlib

from checks_common import CONTROLLERS, MIB, limited
from harness import (CGROUP, Container, check, expect, expect_equal, expect_in, read, spawn_runtime)


@check
def placement():
    with limited({}) as c:
        c.start()
        expect_equal("its cgroup", str(c.cgroup()), f"{CGROUP}/proa-test/{c.id}")
        enabled = c.read("cgroup.controllers").split()
        for controller in CONTROLLERS:
            expect_in("cgroup.controllers", enabled, controller)


@check
def placement_by_default():
    with limited({}, cgroups_path=None) as c:
        c.start()
        folder = c.cgroup()
        expect(folder != CGROUP, "without cgroupsPath it runs in the root cgroup")
        expect_in("the cgroup made up for it", str(folder), c.id)
        c.delete("--force").ok()
        expect(not folder.exists(), f"{folder} is still there after `delete`")


@check
def relative_path():
    with limited({}, cgroups_path="proa-test/relative") as c:
        c.start()
        expect(str(c.cgroup()).endswith("proa-test/relative"), f"it runs in {c.cgroup()}")


@check
def host_cgroup_namespace():
    """Then the mount shows either the whole hierarchy or the container's part of it."""
    names = ("pid", "mount", "ipc", "uts", "network")
    with Container("path=$(sed s/0::// /proc/self/cgroup); echo $path; cd /sys/fs/cgroup; "
                   "cat .$path/memory.max 2>/dev/null || cat memory.max",
                   {"memory": {"limit": 48 * MIB}}, namespaces=names) as c:
        out = c.run().ok().out.splitlines()
        expect_equal("/proc/self/cgroup inside", out[0], f"/proa-test/{c.id}")
        expect_equal("memory.max inside", out[1], str(48 * MIB))


@check
def hooks_see_the_limits():
    """The cgroup is ready before createRuntime hooks run."""
    container = Container("true", {"memory": {"limit": 64 * MIB}})
    script = f"cat /sys/fs/cgroup/proa-test/{container.id}/memory.max >/run/hook"
    container.config["hooks"] = {"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", script]}]}
    with container as c:
        c.run().ok()
        expect_equal("memory.max when the hook ran", read("/run/hook"), str(64 * MIB))


@check
def many_at_once():
    """The parents' cgroup.subtree_control is shared; starts and removals must not trip each other."""
    containers = [Container("echo done") for _ in range(4)]
    for c in containers:
        c.__enter__()
    started = [spawn_runtime("run", "--bundle", str(c.bundle), c.id, stdout=-1, stderr=-1) for c in containers]
    for process in started:
        out, err = process.communicate(timeout=60)
        expect_equal(f"output ({err.strip()})", out.strip(), "done")
    for c in containers:
        c.__exit__()


@check
def kernel_has_what_is_tested():
    """A guest without these would prove nothing."""
    controllers = read(CGROUP / "cgroup.controllers").split()
    for name in CONTROLLERS:
        expect_in("cgroup.controllers", controllers, name)
    for line in pathlib.Path("/proc/mounts").read_text().splitlines():
        expect(line.split()[2] != "cgroup", f"a v1 hierarchy is mounted: {line}")
