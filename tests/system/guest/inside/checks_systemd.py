"""What only the systemd driver does; systemd is PID 1."""

import json
import subprocess

from checks_common import DENIED, DENY, MIB, device, limited, open_device
from harness import (CGROUP, Container, check, expect, expect_equal, expect_in, expect_one_of, read,
                     runtime, wait_for)


def systemctl(*arguments):
    done = subprocess.run(["systemctl", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=20, check=False)
    return done.stdout.strip()


def unit_of(c):
    return c.place().name


def show(unit, *names):
    """Properties of a unit as systemd tells them."""
    shown = {}
    for line in systemctl("show", f"--property={','.join(names)}", unit).splitlines():
        name, _, value = line.partition("=")
        shown[name] = f"{shown[name]} {value}" if name in shown else value  # a list has a line an item
    return shown


def expect_unit(unit, **wanted):
    shown = show(unit, *wanted)
    for name, value in wanted.items():
        expect_equal(f"{name} of {unit}", shown.get(name), str(value))


def gone(unit):
    return show(unit, "LoadState")["LoadState"] == "not-found"


# --- the scope

@check
def scope():
    with limited({}) as c:
        c.start()
        expect_unit(unit_of(c), ActiveState="active", SubState="running", Slice="system.slice",
                    ControlGroup=f"/system.slice/{unit_of(c)}", Delegate="yes", Transient="yes")
        expect(str(c.cgroup()).startswith(str(c.place())), f"it runs in {c.cgroup()}")
        c.delete("--force").ok()
        wait_for("the scope to go", lambda: gone(unit_of(c)), 5)
        expect(not c.place().exists(), "its cgroup is still there")


@check
def scope_in_nested_slice():
    with limited({}, cgroups_path="proa-a-b.slice:pre:nested") as c:
        c.start()
        folder = CGROUP / "proa.slice/proa-a.slice/proa-a-b.slice/pre-nested.scope"
        expect(str(c.cgroup()).startswith(str(folder)), f"it runs in {c.cgroup()}")
        expect_unit("pre-nested.scope", Slice="proa-a-b.slice")
    systemctl("stop", "proa.slice")


@check
def scope_without_slice():
    with limited({}, cgroups_path=":pre:noslice") as c:
        c.start()
        expect_unit("pre-noslice.scope", Slice="system.slice", ActiveState="active")


@check
def scope_by_default():
    with limited({}, cgroups_path=None) as c:
        c.start()
        scopes = [part for part in c.cgroup().parts if part.endswith(".scope")]
        expect_equal(f"scopes in {c.cgroup()}", len(scopes), 1)
        expect_in("the scope's name", scopes[0], c.id)
        expect_unit(scopes[0], Slice="system.slice", ActiveState="active")


@check
def malformed_path_is_refused():
    for path in ("/absolute/path", "no-colons", "bad/slice.slice:pre:name", "noslice:pre:name"):
        with limited({}, cgroups_path=path) as c:
            c.run().fails()


@check
def scope_goes_with_the_container():
    with Container("echo hello") as c:
        expect_equal("output", c.run().ok().out, "hello")
        wait_for("the scope to go", lambda: gone(unit_of(c)), 5)


@check
def failed_start_leaves_no_scope():
    with Container(["/no/such/program"]) as c:
        c.run().fails()
        wait_for("the scope to go", lambda: gone(unit_of(c)), 5)
        expect(not c.place().exists(), "its cgroup is still there")


@check
def second_container_of_the_same_scope_is_refused():
    with limited({}) as first:
        first.start()
        with limited({}, cgroups_path=f"system.slice:proa-test:{first.id}") as second:
            second.run().fails()
        expect_equal("status of the first", first.status(), "running")
        expect_unit(unit_of(first), ActiveState="active")


@check
def failed_scope_of_the_same_name_is_replaced():
    """A failed scope keeps its name; the next container of that name must start all the same."""
    with limited({}) as c:
        subprocess.run(["systemd-run", "--scope", f"--unit={unit_of(c)}", "--property=RuntimeMaxSec=500ms",
                        "sleep", "1000"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        wait_for("the scope to fail", lambda: show(unit_of(c), "ActiveState")["ActiveState"] == "failed")
        c.start()
        expect_unit(unit_of(c), ActiveState="active")


@check
def stop_of_the_scope_stops_the_container():
    with Container("trap 'exit 0' TERM; echo ready; while :; do sleep 0.1; done") as c:
        c.start().said("ready")
        systemctl("stop", unit_of(c))
        wait_for("it to stop", lambda: c.status() == "stopped")
        c.delete().ok()


@check
def works_without_the_bus():
    """As root, systemd's own socket serves where no message bus runs."""
    try:
        systemctl("stop", "dbus.socket", "dbus.service")
        with limited({"pids": {"limit": 12}}) as c:
            c.start()
            expect_equal("pids.max", c.read("pids.max"), "12")
            expect_unit(unit_of(c), ActiveState="active", TasksMax=12)
            c.delete("--force").ok()
            wait_for("the scope to go", lambda: gone(unit_of(c)), 5)
    finally:
        systemctl("start", "dbus.socket")


# --- limits, as systemd sees them

LIMITS = {"memory": {"limit": 64 * MIB, "reservation": 32 * MIB, "swap": 96 * MIB},
          "cpu": {"quota": 50000, "period": 100000, "cpus": "1", "mems": "0", "shares": 262144},
          "pids": {"limit": 55}}


def expect_limits(c):
    for name, wanted in (("memory.max", 64 * MIB), ("memory.low", 32 * MIB), ("memory.swap.max", 32 * MIB),
                         ("cpu.max", "50000 100000"), ("cpuset.cpus", 1), ("cpu.weight", 10000),
                         ("pids.max", 55)):
        expect_equal(name, read(c.place() / name), str(wanted))


@check
def limits_of_the_unit():
    with limited(LIMITS) as c:
        c.start()
        expect_limits(c)
        expect_unit(unit_of(c), MemoryMax=64 * MIB, MemoryLow=32 * MIB, MemorySwapMax=32 * MIB,
                    TasksMax=55, CPUQuotaPerSecUSec="500ms", CPUQuotaPeriodUSec="100ms",
                    CPUWeight=10000, AllowedCPUs=1, AllowedMemoryNodes=0)


@check
def limits_outlive_a_reload():
    """What systemd does not know of, it takes away again."""
    with limited(LIMITS) as c:
        c.start()
        systemctl("daemon-reload")
        systemctl("set-property", "--runtime", unit_of(c), "IOWeight=77")
        expect_limits(c)


@check
def limits_updated():
    with limited(LIMITS) as c:
        c.start()
        runtime("update", "--memory", str(80 * MIB), "--memory-swap", str(90 * MIB), "--pids-limit", "66",
                "--cpu-quota", "30000", "--cpu-period", "60000", "--cpuset-cpus", "0", c.id).ok()
        for name, wanted in (("memory.max", 80 * MIB), ("memory.swap.max", 10 * MIB), ("pids.max", 66),
                             ("cpu.max", "30000 60000"), ("cpuset.cpus", 0)):
            expect_equal(name, read(c.place() / name), str(wanted))
        expect_unit(unit_of(c), MemoryMax=80 * MIB, MemorySwapMax=10 * MIB, TasksMax=66,
                    CPUQuotaPerSecUSec="500ms", AllowedCPUs=0)


@check
def limits_lifted():
    lifted = {"memory": {"limit": -1, "swap": -1}, "pids": {"limit": -1}, "cpu": {"quota": -1}}
    with limited(LIMITS) as c:
        c.start()
        runtime("update", "--resources", "-", c.id, stdin=json.dumps(lifted)).ok()
        for name in ("memory.max", "memory.swap.max", "pids.max"):
            expect_equal(name, read(c.place() / name), "max")
        expect_equal("cpu.max", read(c.place() / "cpu.max").split()[0], "max")
        expect_unit(unit_of(c), MemoryMax="infinity", TasksMax="infinity", CPUQuotaPerSecUSec="infinity")


@check
def limits_unified():
    files = {"memory.high": str(40 * MIB), "memory.min": str(4 * MIB), "pids.max": "17", "cpu.weight": "123"}
    with limited({"unified": files}) as c:
        c.start()
        for name, wanted in files.items():
            expect_equal(name, read(c.place() / name), wanted)
        expect_unit(unit_of(c), MemoryHigh=40 * MIB, MemoryMin=4 * MIB, TasksMax=17, CPUWeight=123)


@check
def limits_finer_than_a_percent():
    """systemd counts the quota in whole percents; the file has what was asked for, or that rounded up."""
    with limited({"cpu": {"quota": 52345, "period": 100000}}) as c:
        c.start()
        expect_one_of("cpu.max", read(c.place() / "cpu.max"), ("52345 100000", "53000 100000"))


@check
def devices_of_the_unit():
    with limited({"devices": [DENY, device("c", allow=True, access="rwm")]}) as c:
        c.start()
        for step in ("before", "after"):
            expect_equal(f"open of the allowed device {step} a reload",
                         c.exec(open_device("c")).out.split(), ["c-r", "c-w"])
            expect_in(f"open of the denied device {step} a reload", c.exec(open_device("b")).out, DENIED)
            systemctl("daemon-reload")
            systemctl("set-property", "--runtime", unit_of(c), "TasksMax=100")
        expect_unit(unit_of(c), DevicePolicy="strict")
        rule = device("c")
        expect_in("DeviceAllow", show(unit_of(c), "DeviceAllow")["DeviceAllow"],
                  f"/dev/char/{rule['major']}:{rule['minor']} rwm")


# --- annotations

@check
def annotations():
    wanted = {"org.systemd.property.TimeoutStopUSec": "uint64 12000000",
              "org.systemd.property.CollectMode": "'inactive-or-failed'",
              "org.systemd.property.SendSIGHUP": "true",
              "org.systemd.property.After": "['dbus.service', 'basic.target']"}
    with limited({}, annotations=wanted) as c:
        c.start()
        expect_unit(unit_of(c), TimeoutStopUSec="12s", CollectMode="inactive-or-failed", SendSIGHUP="yes")
        for name in ("dbus.service", "basic.target"):
            expect_in("After", show(unit_of(c), "After")["After"], name)


@check
def annotations_in_seconds():
    """NameSec with a number of seconds stands for systemd's NameUSec."""
    with limited({}, annotations={"org.systemd.property.TimeoutStopSec": "uint64 7"}) as c:
        c.start()
        expect_unit(unit_of(c), TimeoutStopUSec="7s")


@check
def annotations_that_are_wrong_are_refused():
    for name, value in (("NoSuchProperty", "'x'"), ("TimeoutStopUSec", "uint64 nonsense"),
                        ("CollectMode", "'unterminated"), ("Bad-Name", "'x'")):
        with limited({}, annotations={f"org.systemd.property.{name}": value}) as c:
            c.run().fails()
            wait_for("the scope to go", lambda c=c: gone(unit_of(c)), 5)
