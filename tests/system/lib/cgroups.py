"""The host's control groups as /proc tells them: the v1 hierarchies, and the v2 tree when one is mounted."""

import os
import re
import signal
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Hierarchy:
    """One mounted hierarchy. `options` selects it again in mount(8); `own` is the caller's group in it."""

    mount: Path
    options: str
    own: str
    v2: bool


_V1_FLAGS = {"rw", "ro", "noprefix", "xattr", "clone_children", "cpuset_v2_mode", "memory_recursiveprot"}


def _unescape(field):
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), field)


def hierarchies():
    """Every hierarchy mounted here, in mount order; the last mount wins where two share a path."""
    own = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        own[frozenset(controllers.split(",")) if controllers else None] = path
    found = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, right = line.split(" - ", 1)
        fstype, _, options = right.split(" ", 2)
        if fstype not in ("cgroup", "cgroup2"):
            continue
        mount = Path(_unescape(left.split()[4]))
        if fstype == "cgroup2":
            found[mount] = Hierarchy(mount, "", own.get(None, "/"), True)
            continue
        kept = [o for o in options.split(",") if o not in _V1_FLAGS and not o.startswith("release_agent=")]
        names = frozenset(kept)
        selector = ",".join((["none"] if all(k.startswith("name=") for k in kept) else []) + kept)
        found[mount] = Hierarchy(mount, selector, own.get(names, "/"), False)
    return list(found.values())


def groups_below(top):
    """All groups below `top`, deepest first."""
    found = [Path(folder) for folder, _, _ in os.walk(top)]
    return sorted((f for f in found if f != Path(top)), key=lambda f: len(f.parts), reverse=True)


def members(group):
    try:
        return [int(pid) for pid in (Path(group) / "cgroup.procs").read_text().split()]
    except (FileNotFoundError, OSError):
        return []


def _write(path, text):
    try:
        Path(path).write_text(text)
    except OSError:
        pass  # gone meanwhile, or no such file in this hierarchy


def remove_tree(top, patience=5.0):
    """Thaws, kills and removes `top` and all below it; returns the groups that would not go."""
    top = Path(top)
    end = time.monotonic() + patience
    while top.exists():
        tree = [*groups_below(top), top]
        for group in tree:
            if (group / "freezer.state").exists():
                _write(group / "freezer.state", "THAWED")
            if (group / "cgroup.freeze").exists():
                _write(group / "cgroup.freeze", "0")
        for group in tree:
            for pid in members(group):
                if pid > 0 and pid != os.getpid():
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except ProcessLookupError:
                        pass
        for group in tree:
            try:
                group.rmdir()
            except OSError:
                pass
        if not top.exists():
            break
        if time.monotonic() > end:
            return [str(g) for g in (*groups_below(top), top) if g.exists()]
        time.sleep(0.02)
    return []
