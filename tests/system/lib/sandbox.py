"""A private machine for one test, in namespaces of its own.

What runs inside sees its own mounts, processes, network, IPC and host name, an empty /run, an empty scratch folder, and
v1 control groups whose root is a group made for it. So whatever it leaves is exactly what is found inside, other tests
on the host are never mistaken for it, and all of it is gone when the sandbox ends, however it ends. The v2 tree, which on
a hybrid host has controllers that only its real root can hand out, is shared with the host.
"""

import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from . import cgroups

GROUP_PREFIX = "proa-test."
FOLDER_PREFIX = "proa-test-"
SKIPPED = 77  # tells CTest
_INSIDE = "PROA_TEST_SANDBOX"
_PR_SET_PDEATHSIG = 1

# Process 1 of the sandbox. It stays, so that orphans are reaped as on any host.
_INIT = r"""
set -eu
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -m 1777 /run/lock /run/shm
mount -t tmpfs -o mode=1777 tmpfs "$PROA_TEST_SANDBOX"
while IFS=$'\t' read -r options target; do
  umount "$target"
  [[ $options == - ]] || mount -t cgroup -o "$options" cgroup "$target"
done <<<"$PROA_TEST_CGROUPS"
unset PROA_TEST_CGROUPS
[[ ! -e /proc/sys/net/ipv4 ]] || ip link set lo up
set +e
"$@"
exit $?
"""


@dataclass
class Outcome:
    status: int
    stdout: str
    stderr: str
    timed_out: bool
    groups_left: list = field(default_factory=list)


def scratch():
    """The sandbox's scratch folder: a tmpfs that goes with it."""
    return Path(os.environ[_INSIDE])


def require_root():
    if os.geteuid() != 0:
        print("skipped: makes namespaces, mounts and control groups, so it has to run as root")
        sys.exit(SKIPPED)


def _end(*_):
    """Ends by an exception, so that sandboxes are closed."""
    sys.exit(128 + signal.SIGTERM)


def _alive(pid):
    return pid.isdigit() and Path(f"/proc/{pid}").exists()


def _sweep_folders():
    """Removes the empty mount points of sandboxes whose maker was killed."""
    for stale in Path(tempfile.gettempdir()).glob(f"{FOLDER_PREFIX}*-*"):
        if not _alive(stale.name.split("-")[2]):
            try:
                stale.rmdir()
            except OSError:
                pass  # not empty, so not one of ours, or another sweep was faster


class Sandbox:
    """Use as a context manager; run() may be called once.

    `network=False` keeps the host's network; `cgroup2=False` unmounts the v2 tree of a hybrid host.
    """

    def __init__(self, network=True, cgroup2=True):
        require_root()
        self._network = network
        signal.signal(signal.SIGTERM, _end)
        _sweep_folders()
        self._folder = Path(tempfile.mkdtemp(prefix=f"{FOLDER_PREFIX}{os.getpid()}-"))
        self._groups = {}
        self._mounts = []
        self._shared = {}
        for h in cgroups.hierarchies():
            if h.v2:
                self._shared[h.mount] = set(cgroups.groups_below(h.mount))
                if not cgroup2:
                    self._mounts.append(("-", h.mount))
                continue
            parent = h.mount / h.own.lstrip("/")
            self._sweep(parent)
            group = parent / f"{GROUP_PREFIX}{os.getpid()}.{self._folder.name[-8:]}"
            group.mkdir()
            self._groups[h.mount] = group
            self._mounts.append((h.options, h.mount))
            for name in ("cpuset.cpus", "cpuset.mems"):
                if (group / name).exists():
                    (group / name).write_text((parent / name).read_text())

    @staticmethod
    def _sweep(parent):
        """Removes the groups of sandboxes whose maker was killed."""
        for stale in parent.glob(f"{GROUP_PREFIX}*"):
            if not _alive(stale.name.split(".")[1]):
                cgroups.remove_tree(stale)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for group in self._groups.values():
            cgroups.remove_tree(group)
        self._remove_shared()
        self._folder.rmdir()  # empty: what it held was on the tmpfs mounted inside

    def _remove_shared(self):
        """Removes new groups of the shared v2 tree, if they are empty and stay so: another test may just be filling one."""
        def inode(group):
            try:
                return group.stat().st_ino
            except FileNotFoundError:
                return None
        def empty():
            return {g: inode(g) for mount, before in self._shared.items() for g in cgroups.groups_below(mount)
                    if g not in before and not cgroups.members(g)}
        found = empty()
        if not found:
            return
        time.sleep(0.5)
        still = empty()
        for group in (g for g, inode in found.items() if still.get(g) == inode):
            try:
                group.rmdir()
            except OSError:
                pass  # in use after all

    def _enter_groups(self):
        for group in self._groups.values():
            (group / "cgroup.procs").write_text("0")
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    def _command(self, argv):
        namespaces = ["--mount", "--pid", "--ipc", "--uts", "--cgroup", *(["--net"] if self._network else [])]
        return ["unshare", *namespaces, "--fork", "--kill-child", "--mount-proc", "--propagation", "private",
                "bash", "-c", _INIT, "sandbox", *map(str, argv)]

    def _environment(self, extra):
        listed = "\n".join(f"{options}\t{mount}" for options, mount in self._mounts)
        return {**os.environ, **extra, _INSIDE: str(self._folder), "TMPDIR": str(self._folder), "PROA_TEST_CGROUPS": listed}

    def _thaw(self):
        for group in self._groups.values():
            for g in (*cgroups.groups_below(group), group):
                if (g / "freezer.state").exists():
                    (g / "freezer.state").write_text("THAWED")

    def groups_left(self):
        """Control groups that what ran inside made and did not remove, as hierarchy:path."""
        own = [(mount, top, g) for mount, top in self._groups.items() for g in cgroups.groups_below(top)]
        shared = [(mount, mount, g) for mount, before in self._shared.items() for g in cgroups.groups_below(mount)
                  if g not in before]
        return sorted(f"{mount.name}:/{g.relative_to(top)}" for mount, top, g in own + shared)

    def run(self, argv, cwd=None, env=None, timeout=None, capture=True):
        """Runs argv as the sandbox's second process and waits; everything it started is dead on return."""
        pipe = subprocess.PIPE if capture else None
        child = subprocess.Popen(self._command(argv), cwd=cwd, env=self._environment(env or {}), text=True,
                                 stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, errors="replace",
                                 preexec_fn=self._enter_groups)
        timed_out = False
        try:
            stdout, stderr = child.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            timed_out = True
            self._thaw()  # a v1-frozen process does not even die of SIGKILL
            child.kill()
            stdout, stderr = child.communicate()
        except BaseException:
            self._thaw()
            child.kill()
            child.wait()
            raise
        return Outcome(child.returncode, stdout or "", stderr or "", timed_out, self.groups_left())


def enter():
    """Call first in a test's main: carries on inside a new sandbox, and ends the outer process with the inner's status.

    PROA_TEST_CGROUP2=hidden hides a hybrid host's v2 tree, for runtimes that refuse hybrids.
    """
    if os.environ.get(_INSIDE):
        return
    with Sandbox(cgroup2=os.environ.get("PROA_TEST_CGROUP2") != "hidden") as sandbox:
        outcome = sandbox.run([sys.executable, *sys.argv], capture=False)
    sys.exit(outcome.status)
