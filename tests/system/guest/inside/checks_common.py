"""What holds under cgroup v2 whichever driver makes the cgroups."""

import errno
import json
import os
import pathlib

from harness import (CGROUP, Container, cgroup_of, check, expect, expect_equal, expect_in, expect_one_of,
                     read, read_flat, runtime, spawn_runtime, wait_for)

SLEEP = "echo ready; exec sleep 1000"
MIB = 1 << 20
CONTROLLERS = ("cpu", "cpuset", "io", "memory", "pids", "hugetlb")
DISK = (254, 0)  # the guest's root disk, virtio-blk

# cpu.shares to cpu.weight: the line all runtimes began with, and the curve through 1024 -> 100.
WEIGHT_OF_SHARES = {2: (1,), 512: (20, 59), 1024: (39, 100), 262144: (10000,)}


def limited(resources, **changes):
    """A started container that sleeps under these resources."""
    return Container(SLEEP, resources, **changes)


# --- where it is

@check
def hello():
    with Container("echo hello; exit 7") as c:
        result = c.run()
        expect_equal("output", result.out, "hello")
        expect_equal("exit status", result.code, 7)
        expect(not c.place().exists(), "its cgroup is still there after `run`")


@check
def cgroup_namespace():
    with Container("cat /proc/self/cgroup; cat /sys/fs/cgroup/memory.max; ls /sys/fs/cgroup",
                   {"memory": {"limit": 64 * MIB}}) as c:
        out = c.run().ok().out.splitlines()
        expect_equal("/proc/self/cgroup inside", out[0], "0::/")
        expect_equal("memory.max inside", out[1], str(64 * MIB))
        expect_in("/sys/fs/cgroup inside", out, "cgroup.procs")


@check
def cgroup_namespace_by_path():
    """What the mount shows ends at the root of the namespace that is joined."""
    with limited({"memory": {"limit": 64 * MIB}}) as first:
        first.start()
        joined = {"type": "cgroup", "path": f"/proc/{first.pid()}/ns/cgroup"}
        with Container("ls /sys/fs/cgroup; cat /sys/fs/cgroup/memory.max",
                       namespaces=("pid", "mount", "ipc", "uts", "network", joined)) as second:
            out = second.run().ok().out.split()
            expect_in("/sys/fs/cgroup inside", out, "cgroup.procs")
            expect_equal("memory.max inside", out[-1], str(64 * MIB))


@check
def cgroup_mount_is_read_only():
    with Container("echo 1 >/sys/fs/cgroup/pids.max || echo refused") as c:
        expect_in("output", c.run().ok().out, "refused")


@check
def owner_in_user_namespace():
    """runtime-spec, cgroup ownership: a writable cgroup mount belongs to the container's root."""
    mapping = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    container = Container("mkdir /sys/fs/cgroup/sub && echo made || echo refused; exec sleep 1000",
                          namespaces=("pid", "mount", "ipc", "uts", "network", "cgroup", "user"),
                          linux__uidMappings=mapping, linux__gidMappings=mapping)
    for mount in container.config["mounts"]:
        if mount["type"] == "cgroup":
            mount["options"] = ["nosuid", "noexec", "nodev", "relatime", "rw"]
    with container as c:
        c.start()
        wait_for("output", c.output)
        expect_equal("mkdir in the cgroup", c.output().split()[-1], "made")
        folder = c.cgroup()
        for name in (".", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"):
            expect_equal(f"owner of {name}", os.stat(folder / name).st_uid, 100000)
        expect_equal("owner of memory.max", os.stat(folder / "memory.max").st_uid, 0)
        c.delete("--force").ok()
        expect(not folder.exists(), "its cgroup is still there, with the one it made")


# --- limits

@check
def memory():
    with limited({"memory": {"limit": 64 * MIB, "reservation": 32 * MIB, "swap": 96 * MIB}}) as c:
        c.start()
        expect_equal("memory.max", c.read("memory.max"), str(64 * MIB))
        expect_equal("memory.low", c.read("memory.low"), str(32 * MIB))
        expect_equal("memory.swap.max", c.read("memory.swap.max"), str(32 * MIB))


@check
def memory_unlimited():
    with limited({"memory": {"limit": -1, "swap": -1}}) as c:
        c.start()
        expect_equal("memory.max", c.read("memory.max"), "max")
        expect_equal("memory.swap.max", c.read("memory.swap.max"), "max")


@check
def memory_swap_below_limit_is_refused():
    with limited({"memory": {"limit": 64 * MIB, "swap": 32 * MIB}}) as c:
        c.run().fails()


@check
def memory_swap_equal_to_limit():
    with limited({"memory": {"limit": 64 * MIB, "swap": 64 * MIB}}) as c:
        c.start()
        expect_equal("memory.swap.max", c.read("memory.swap.max"), "0")


@check
def cpu_quota():
    for cpu, wanted in (({"quota": 50000, "period": 100000}, "50000 100000"),
                        ({"quota": 30000}, "30000 100000"),
                        ({"period": 200000}, "max 200000"),
                        ({"quota": -1, "period": 50000}, "max 50000")):
        with limited({"cpu": cpu}) as c:
            c.start()
            expect_equal(f"cpu.max for {cpu}", c.read("cpu.max"), wanted)


@check
def cpu_burst():
    with limited({"cpu": {"quota": 50000, "period": 100000, "burst": 20000}}) as c:
        c.start()
        expect_equal("cpu.max", c.read("cpu.max"), "50000 100000")
        expect_equal("cpu.max.burst", c.read("cpu.max.burst"), "20000")


@check
def cpu_idle():
    with limited({"cpu": {"idle": 1}}) as c:
        c.start()
        expect_equal("cpu.idle", c.read("cpu.idle"), "1")


@check
def cpu_weight():
    for shares, weights in WEIGHT_OF_SHARES.items():
        with limited({"cpu": {"shares": shares}}) as c:
            c.start()
            expect_one_of(f"cpu.weight for {shares} shares", int(c.read("cpu.weight")), weights)


@check
def cpuset():
    with Container("nproc; echo ready; exec sleep 1000", {"cpu": {"cpus": "1", "mems": "0"}}) as c:
        c.start().said("ready")
        expect_equal("nproc inside", c.output().split()[0], "1")
        for name, wanted in (("cpus", "1"), ("mems", "0"), ("cpus.effective", "1")):
            expect_equal(f"cpuset.{name}", c.read(f"cpuset.{name}"), wanted)


@check
def cpuset_of_no_such_cpu_is_refused():
    with limited({"cpu": {"cpus": "77"}}) as c:
        c.run().fails()


@check
def pids():
    forks = "for i in 1 2 3 4 5 6 7 8; do sleep 1000 & done; echo all"
    with Container(f"echo ready; sh -c '{forks}'; exec sleep 1000", {"pids": {"limit": 5}}) as c:
        c.start().said("ready")
        expect_equal("pids.max", c.read("pids.max"), "5")
        wait_for("a fork that is refused", lambda: read_flat(c.cgroup() / "pids.events")["max"])
        expect("all" not in c.output(), "all processes started, the limit does not hold")


@check
def pids_unlimited():
    with limited({"pids": {"limit": -1}}) as c:
        c.start()
        expect_equal("pids.max", c.read("pids.max"), "max")


@check
def hugetlb():
    with limited({"hugepageLimits": [{"pageSize": "2MB", "limit": 4 * MIB}]}) as c:
        c.start()
        expect_equal("hugetlb.2MB.max", c.read("hugetlb.2MB.max"), str(4 * MIB))


@check
def hugetlb_of_no_such_page_size_is_refused():
    with limited({"hugepageLimits": [{"pageSize": "3MB", "limit": 4 * MIB}]}) as c:
        c.run().fails()


@check
def io_throttle():
    major, minor = DISK
    rules = {f"throttle{what}Device": [{"major": major, "minor": minor, "rate": rate}]
             for what, rate in (("ReadBps", 1048576), ("WriteBps", 2097152), ("ReadIOPS", 300),
                                ("WriteIOPS", 400))}
    with limited({"blockIO": rules}) as c:
        c.start()
        expect_equal("io.max", c.read("io.max"),
                     f"{major}:{minor} rbps=1048576 wbps=2097152 riops=300 wiops=400")


@check
def io_weight():
    """blkio weight 10..1000 becomes io.weight 1..10000, unless BFQ takes it as it is."""
    for weight, wanted in ((10, 1), (500, 4950), (1000, 10000)):
        with limited({"blockIO": {"weight": weight}}) as c:
            c.start()
            name = "io.bfq.weight" if (c.cgroup() / "io.bfq.weight").exists() else "io.weight"
            wanted = weight if name == "io.bfq.weight" else wanted
            expect_equal(f"{name} for weight {weight}", c.read(name).splitlines()[0], f"default {wanted}")


@check
def unified():
    files = {"memory.high": str(40 * MIB), "pids.max": "17", "cpu.weight": "123", "memory.oom.group": "1"}
    with limited({"unified": files}) as c:
        c.start()
        for name, wanted in files.items():
            expect_equal(name, c.read(name), wanted)


@check
def unified_wins_over_its_field():
    """runtime-spec: unified is applied after, and so overrides, the cgroup v1 style fields."""
    with limited({"pids": {"limit": 5}, "unified": {"pids.max": "99"}}) as c:
        c.start()
        expect_equal("pids.max", c.read("pids.max"), "99")


@check
def unified_refuses_bad_names():
    for name in ("nosuchcontroller.max", "../memory.max", "memory.nosuchfile"):
        with limited({"unified": {name: "1"}}) as c:
            c.run().fails()


# --- devices, by eBPF

DENY = {"allow": False, "access": "rwm"}
DENIED = "Operation not permitted"


def device(kind, **fields):
    """A rule for one device of the guest that no runtime allows by default."""
    number = os.stat("/dev/cpu_dma_latency" if kind == "c" else "/dev/vda").st_rdev
    return {"type": kind, "major": os.major(number), "minor": os.minor(number), **fields}


def open_device(kind, access="rw"):
    """Script that makes the device's node and says, for each access, whether it opens or why not."""
    number = device(kind)
    script = f"[ -e /dev/k{kind} ] || mknod /dev/k{kind} {kind} {number['major']} {number['minor']}"
    for way in access:
        redirect = {"r": "<", "w": ">>"}[way]
        script += f"; [ -e /dev/k{kind} ] && (: {redirect}/dev/k{kind}) && echo {kind}-{way}"
    return f"({script}; true) 2>&1"


@check
def devices_denied():
    """The default set stays open; anything else is refused with EPERM."""
    with Container(open_device("c") + "; : >/dev/null && : </dev/zero && echo others", {"devices": [DENY]}) as c:
        out = c.run().ok().out
        expect_in("output", out, DENIED)
        expect("c-r" not in out and "c-w" not in out, "a denied device could be opened")
        expect_in("opening /dev/null and /dev/zero", out, "others")


@check
def devices_allowed():
    with Container(open_device("c"), {"devices": [DENY, device("c", allow=True, access="rwm")]}) as c:
        expect_equal("output", c.run().ok().out.split(), ["c-r", "c-w"])


@check
def devices_by_access():
    rules = [DENY, device("c", allow=True, access="rm"), device("b", allow=True, access="rm", minor=-1)]
    del rules[2]["minor"]  # any minor
    with Container(open_device("c") + ";" + open_device("b"), {"devices": rules}) as c:
        out = c.run().out
        for word, wanted in (("c-r", True), ("c-w", False), ("b-r", True), ("b-w", False)):
            expect_equal(f"{word!r} in the output", word in out.split(), wanted)
        expect_in("output", out, DENIED)


@check
def devices_last_rule_wins():
    rules = [{"allow": True, "access": "rwm"}, device("c", allow=False, access="rw")]
    with Container(open_device("c") + ";" + open_device("b", "r"), {"devices": rules}) as c:
        out = c.run().out
        expect_in("output", out, DENIED)
        expect("c-r" not in out and "c-w" not in out, "a denied device could be opened")
        expect_in("opening one of the allowed rest", out, "b-r")


@check
def devices_all_allowed():
    with Container(open_device("c"), {"devices": [{"allow": True, "access": "rwm"}]}) as c:
        expect_equal("output", c.run().ok().out.split(), ["c-r", "c-w"])


@check
def devices_hold_for_exec_and_after_updates():
    with limited({"devices": [DENY, device("c", allow=True, access="rwm")]}) as c:
        c.start()
        for step in ("before the update", "after it"):
            expect_equal(f"open of the allowed device {step}", c.exec(open_device("c")).out.split(), ["c-r", "c-w"])
            expect_in(f"open of the denied device {step}", c.exec(open_device("b")).out, DENIED)
            runtime("update", "--pids-limit", "50", c.id).ok()


@check
def devices_updated():
    with limited({"devices": [DENY]}) as c:
        c.start()
        expect_in("open before", c.exec(open_device("c")).out, DENIED)
        rules = [DENY, device("c", allow=True, access="rwm")]
        runtime("update", "--resources", "-", c.id, stdin=json.dumps({"devices": rules})).ok()
        expect_equal("open after the rule is added", c.exec(open_device("c")).out.split(), ["c-r", "c-w"])
        runtime("update", "--resources", "-", c.id, stdin=json.dumps({"devices": [DENY]})).ok()
        expect_in("open after it is taken away", c.exec(open_device("c")).out, DENIED)


# --- life

@check
def pause_and_resume():
    with Container("i=0; while :; do i=$((i+1)); echo $i >/tmp/count; done") as c:
        c.start()
        folder = c.cgroup()
        runtime("pause", c.id).ok()
        expect_equal("status", c.status(), "paused")
        expect_equal("cgroup.freeze", read(folder / "cgroup.freeze"), "1")
        expect_equal("frozen in cgroup.events", read_flat(folder / "cgroup.events")["frozen"], 1)
        count = pathlib.Path(f"/proc/{c.pid()}/root/tmp/count")
        seen = count.read_text()
        c.exec("true").fails()
        expect_equal("the counter of the paused container", count.read_text(), seen)
        runtime("resume", c.id).ok()
        expect_equal("status", c.status(), "running")
        wait_for("the counter to go on", lambda: count.read_text() not in ("", seen))


@check
def delete_of_a_paused_container():
    with limited({}) as c:
        c.start()
        runtime("pause", c.id).ok()
        c.delete("--force").ok()
        expect(not c.place().exists(), "its cgroup is still there")


@check
def kill_of_a_paused_container():
    with limited({}) as c:
        c.start()
        runtime("pause", c.id).ok()
        runtime("kill", c.id, "KILL").ok()
        runtime("resume", c.id)
        wait_for("it to stop", lambda: c.status() == "stopped")


@check
def exec_joins_the_cgroup():
    with limited({"memory": {"limit": 64 * MIB}}) as c:
        c.start()
        pid = c.exec_in_background("sleep", "1000")
        expect_equal("cgroup of the second process", cgroup_of(pid), c.cgroup())
        expect_equal("/proc/self/cgroup inside", c.exec("cat /proc/self/cgroup").out, "0::/")
        expect_in("cgroup.procs", c.read("cgroup.procs").split(), str(pid))


@check
def exec_into_a_sub_cgroup():
    with limited({}) as c:
        c.start()
        (c.cgroup() / "sub").mkdir()
        result = runtime("exec", "--cgroup", "sub", c.id, "cat", "/proc/self/cgroup").ok()
        expect_equal("/proc/self/cgroup inside", result.out, "0::/sub")


@check
def update_by_flags():
    flags = {"--memory": str(80 * MIB), "--memory-reservation": str(20 * MIB), "--cpu-quota": "40000",
             "--cpu-period": "80000", "--cpu-share": "262144", "--cpuset-cpus": "0", "--pids-limit": "33",
             "--memory-swap": str(100 * MIB)}
    with limited({"memory": {"limit": 64 * MIB}}) as c:
        c.start()
        runtime("update", *[word for pair in flags.items() for word in pair], c.id).ok()
        for name, wanted in (("memory.max", 80 * MIB), ("memory.low", 20 * MIB),
                             ("memory.swap.max", 20 * MIB), ("cpu.max", "40000 80000"),
                             ("cpu.weight", 10000), ("cpuset.cpus", 0), ("pids.max", 33)):
            expect_equal(name, c.read(name), str(wanted))


@check
def update_by_json():
    resources = {"memory": {"limit": 90 * MIB}, "pids": {"limit": 44}, "unified": {"memory.high": "max"}}
    with limited({"pids": {"limit": 10}, "cpu": {"quota": 50000, "period": 100000}}) as c:
        c.start()
        runtime("update", "--resources", "-", c.id, stdin=json.dumps(resources)).ok()
        expect_equal("memory.max", c.read("memory.max"), str(90 * MIB))
        expect_equal("pids.max", c.read("pids.max"), "44")
        expect_equal("cpu.max, which was not to change", c.read("cpu.max"), "50000 100000")


@check
def update_below_what_is_used():
    """memory.checkBeforeUpdate: refuse a limit that would only bring the OOM killer."""
    with Container("dd if=/dev/zero of=/tmp/f bs=1M count=20 2>/dev/null; " + SLEEP,
                   {"memory": {"limit": 64 * MIB}}) as c:
        c.start().said("ready")
        limits = {"memory": {"limit": 4 * MIB, "checkBeforeUpdate": True}}
        runtime("update", "--resources", "-", c.id, stdin=json.dumps(limits)).fails()
        expect_equal("memory.max", c.read("memory.max"), str(64 * MIB))
        expect_equal("status", c.status(), "running")


@check
def events_stats():
    resources = {"memory": {"limit": 64 * MIB}, "pids": {"limit": 9}}
    with Container("i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done; " + SLEEP, resources) as c:
        c.start().said("ready")
        event = json.loads(runtime("events", "--stats", c.id).ok().out)
        expect_equal("type", event["type"], "stats")
        expect_equal("id", event["id"], c.id)
        data = event["data"]
        expect_equal("memory limit", data["memory"]["usage"]["limit"], 64 * MIB)
        expect(data["memory"]["usage"]["usage"] > 0, "memory usage is 0")
        expect(data["memory"]["raw"]["anon"] > 0, "memory.raw.anon is 0")
        expect_equal("pids current", data["pids"]["current"], 1)
        expect_equal("pids limit", data["pids"]["limit"], 9)
        expect(data["cpu"]["usage"]["total"] > 0, "cpu usage is 0")
        expect("blkio" in data and "hugetlb" in data, "no blkio or hugetlb statistics")


USE_100_MIB = "dd if=/dev/zero of=/dev/null bs=100M count=1 2>/dev/null"


@check
def oom_kill():
    with Container(f"echo ready; {USE_100_MIB}; echo dd=$?; exec sleep 1000",
                   {"memory": {"limit": 16 * MIB, "swap": 16 * MIB}}) as c:
        c.start().said("dd=")
        expect_in("output", c.output(), "dd=137")
        expect_equal("oom_kill in memory.events", read_flat(c.cgroup() / "memory.events")["oom_kill"], 1)


@check
def oom_kill_of_the_first_process():
    with Container(["dd", "if=/dev/zero", "of=/dev/null", "bs=100M", "count=1"],
                   {"memory": {"limit": 16 * MIB, "swap": 16 * MIB}}) as c:
        expect_equal("exit status", c.run().code, 137)


@check
def events_oom():
    with Container(f"until [ -e /tmp/go ]; do sleep 0.1; done; {USE_100_MIB}; " + SLEEP,
                   {"memory": {"limit": 16 * MIB, "swap": 16 * MIB}}) as c:
        c.start()
        with open(c.bundle / "events", "w+", encoding="utf-8") as seen:
            watcher = spawn_runtime("events", "--interval", "1s", c.id, stdout=seen)
            try:
                def has(kind):
                    expect(watcher.poll() is None, "`events` ends by itself")
                    return f'"{kind}"' in (c.bundle / "events").read_text()
                wait_for("the first statistics", lambda: has("stats"))
                c.exec("touch /tmp/go").ok()
                wait_for("an oom event", lambda: has("oom"))
            finally:
                watcher.kill()
                watcher.wait()


@check
def kill_all():
    """Without a PID namespace of its own, only the cgroup says what belongs to it."""
    names = ("mount", "ipc", "uts", "network", "cgroup")
    with Container("setsid sleep 1000 & setsid sleep 1000 & " + SLEEP, namespaces=names) as c:
        c.start().said("ready")
        folder = c.cgroup()
        wait_for("its three processes", lambda: len(read(folder / "cgroup.procs").split()) == 3)
        runtime("kill", "--all", c.id, "KILL").ok()

        def is_empty():
            try:
                return not (folder / "cgroup.procs").read_text()
            except OSError as error:  # it goes while it is read
                return error.errno in (errno.ENOENT, errno.ENODEV)
        wait_for("its cgroup to be empty", is_empty)
        c.delete().ok()


@check
def delete_force_kills_all():
    names = ("mount", "ipc", "uts", "network", "cgroup")
    with Container("setsid sleep 1000 & setsid sleep 1000 & " + SLEEP, namespaces=names) as c:
        c.start().said("ready")
        wait_for("its three processes", lambda: len(c.read("cgroup.procs").split()) == 3)
        pids = c.read("cgroup.procs").split()
        c.delete("--force").ok()
        alive = [p for p in pids if pathlib.Path(f"/proc/{p}/cmdline").exists()
                 and pathlib.Path(f"/proc/{p}/cmdline").read_bytes()]
        expect(not alive, f"processes {alive} are still there")


@check
def ps():
    with Container("sleep 1000 & " + SLEEP) as c:
        c.start().said("ready")
        wait_for("its two processes", lambda: len(c.read("cgroup.procs").split()) == 2)
        pids = json.loads(runtime("ps", "--format", "json", c.id).ok().out)
        expect_equal("pids", sorted(pids), sorted(map(int, c.read("cgroup.procs").split())))


@check
def ps_sees_sub_cgroups():
    with limited({}) as c:
        c.start()
        pid, folder = c.pid(), c.cgroup()
        (folder / "sub").mkdir()
        (folder / "sub/cgroup.procs").write_text(str(pid))
        expect_equal("pids", json.loads(runtime("ps", "--format", "json", c.id).ok().out), [pid])


@check
def delete_removes_sub_cgroups():
    with limited({}) as c:
        c.start()
        folder = c.cgroup()
        (folder / "a/b").mkdir(parents=True)
        runtime("kill", c.id, "KILL").ok()
        wait_for("it to stop", lambda: c.status() == "stopped")
        c.delete().ok()
        expect(not folder.exists(), "its cgroup is still there")


@check
def failed_start_leaves_nothing():
    for changes in ({"script": ["/no/such/program"]}, {"script": "true", "root__path": "/no/such/root"},
                    {"script": "true", "resources": {"unified": {"memory.max": "nonsense"}}}):
        with Container(**changes) as c:
            c.run().fails()
            expect(not c.place().exists(), f"its cgroup is still there: {changes}")
            expect("no" in runtime("state", c.id).fails().err.lower(), "the container still exists")
