"""Finds what a test left: mounts, control groups, processes, and entries in folders that should be empty again.

Meant for use inside a sandbox, where everything there is belongs to the test.
"""

import os
import time
from pathlib import Path

from . import cgroups


def _mounts():
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, right = line.split(" - ", 1)
        found.append(f"mount {left.split()[4]} ({right.split()[0]})")
    return found


def groups():
    """Control groups; of the tree that is shared with the host those that nobody outside is in."""
    found = []
    for h in cgroups.hierarchies():
        for group in cgroups.groups_below(h.mount):
            if h.v2 and _foreign(group):
                continue
            found.append(f"cgroup {group}")
    return found


def _foreign(group):
    """Whether a group of the shared v2 tree holds processes of the host, which show as 0 in here."""
    return any(0 in cgroups.members(g) for g in (group, *cgroups.groups_below(group)))


def _processes():
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) in (1, os.getpid()):
            continue
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            command = command or (entry / "comm").read_text().strip()
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            continue
        found.append(f"process {entry.name} [{state}] {command}")
    return found


def _identity(item):
    """A process is the same one whatever it does at the moment."""
    kind, name, *_ = item.split(maxsplit=2)
    return f"process {name}" if kind == "process" else item


def _entries(folder):
    if not Path(folder).exists():
        return []
    return [f"file {Path(top) / name}" for top, folders, files in os.walk(folder) for name in (*folders, *files)]


class Before:
    """What there was before; left() names what is there now and was not. `folders` are watched for new entries."""

    def __init__(self, folders=()):
        self._folders = [*map(str, folders)]
        self._then = {_identity(item) for item in self._now()}

    def _now(self):
        found = [*_mounts(), *groups(), *_processes()]
        for folder in self._folders:
            found += _entries(folder)
        return found

    def left(self, patience=5.0, ignore=lambda _: False):
        """Waits up to `patience` seconds for stragglers, as an exit is reported before the kernel has undone all."""
        end = time.monotonic() + patience
        while True:
            left = sorted(item for item in set(self._now()) if _identity(item) not in self._then and not ignore(item))
            if not left or time.monotonic() > end:
                return left
            time.sleep(0.05)
