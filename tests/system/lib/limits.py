"""The limits the kernel holds a process to, read from its control groups, v1 or v2."""

from dataclasses import dataclass
from pathlib import Path

from . import cgroups


@dataclass(frozen=True)
class Limits:
    """Bytes of memory, bytes of memory and swap, CPUs (1.5 = one and a half), processes; None is no limit."""

    memory: int | None
    memory_swap: int | None
    cpus: float | None
    pids: int | None


def group_of(pid, controller):
    """The folder of the process's group for a controller, in whichever hierarchy has it."""
    mounts = {h.v2 or h.options: h.mount for h in cgroups.hierarchies()}
    unified = None
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        if controller in names.split(","):
            mount = next(m for options, m in mounts.items() if isinstance(options, str) and controller in options.split(","))
            return mount / path.lstrip("/")
        if not names and True in mounts:
            unified = mounts[True] / path.lstrip("/")
    return unified


def _number(path):
    text = path.read_text().strip() if path.exists() else "max"
    return None if text in ("max", "-1") or int(text) >= 1 << 60 else int(text)


def of(pid):
    memory, cpu, pids = (group_of(pid, controller) for controller in ("memory", "cpu", "pids"))
    if (memory / "memory.limit_in_bytes").exists():
        limit, swap = _number(memory / "memory.limit_in_bytes"), _number(memory / "memory.memsw.limit_in_bytes")
    else:
        limit, swap = _number(memory / "memory.max"), _number(memory / "memory.swap.max")
        swap = None if limit is None or swap is None else limit + swap
    if (cpu / "cpu.cfs_quota_us").exists():
        quota, period = _number(cpu / "cpu.cfs_quota_us"), _number(cpu / "cpu.cfs_period_us")
    else:
        quota, period = (None if n == "max" else int(n) for n in (cpu / "cpu.max").read_text().split())
    return Limits(limit, swap, quota / period if quota else None, _number(pids / "pids.max"))


def frozen(pid):
    """Whether the process's group is frozen: what `pause` means to the kernel."""
    group = group_of(pid, "freezer")
    if (group / "freezer.state").exists():
        return (group / "freezer.state").read_text().strip() == "FROZEN"
    return "frozen 1" in (group / "cgroup.events").read_text()
