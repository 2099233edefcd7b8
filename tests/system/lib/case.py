"""The base of every system test: runs in a sandbox, with a scratch folder, and fails if a test leaves anything."""

import shutil
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

from . import leftovers, runtime, sandbox
from .bundle import Bundle


def until(condition, what, patience=20.0):
    """Polls until `condition` gives something true, and returns it; fails naming `what` when that does not come."""
    end = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {patience:g} s in vain for {what}")
        time.sleep(0.02)


def command(*argv, timeout=120, check=True, **kwargs):
    """Runs a client and returns the completed process; a failure shows everything it said."""
    done = subprocess.run([*map(str, argv)], text=True, timeout=timeout, stdin=kwargs.pop("stdin", subprocess.DEVNULL),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, errors="replace", **kwargs)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(map(str, argv))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done


class SystemTest(unittest.TestCase):
    """`self.folder` is the test's own; `self.runtime` has its state in `self.folder`/state."""

    watched = ("/run",)

    def setUp(self):
        self.before = leftovers.Before(self.watched)
        self.folder = Path(tempfile.mkdtemp(prefix="case-", dir=sandbox.scratch()))
        (self.folder / "state").mkdir()
        self.runtime = runtime.Runtime(runtime.link_in(sandbox.scratch()), self.folder / "state")
        self.addCleanup(self._check_nothing_left)

    def bundle(self, *args, name="bundle"):
        """A busybox bundle in the test's folder that runs `args`."""
        return Bundle(self.folder / name, *args)

    def ignored_leftover(self, item):
        """Override to excuse what a client, not the runtime, keeps on purpose. The engine keeps the group of all its containers;
        facts about the host are kept until it boots."""
        return (item.startswith("cgroup ") and item.endswith("/proa")
                or item == "file /run/proa" or item.startswith("file /run/proa/facts"))

    def _check_nothing_left(self):
        left = self.before.left(ignore=self.ignored_leftover)
        left += [f"state {entry}" for entry in sorted((self.folder / "state").iterdir())]
        if not any(item.startswith("mount ") for item in left):
            shutil.rmtree(self.folder, ignore_errors=True)
        self.assertEqual([], left, "left behind")


def main():
    """The main of a test file: in a sandbox, all its tests."""
    sandbox.require_root()
    runtime.path()
    sandbox.enter()
    unittest.main(module="__main__", argv=sys.argv, verbosity=2)
