"""The base of tests that run containers: an engine of the test's own, with busybox as a root file system."""

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from . import bundle, runtime, sandbox
from .case import SystemTest, command, until


class EngineTest(SystemTest):
    @classmethod
    def setUpClass(cls):
        cls.home = Path(tempfile.mkdtemp(prefix="engine-", dir=sandbox.scratch()))
        cls.root = bundle.make_root(cls.home / "root")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.home, ignore_errors=True)

    def setUp(self):
        super().setUp()
        self.data, self.run_folder = self.folder / "data", self.folder / "run"
        self.env = os.environ | {"PROA_ROOT": str(self.data), "PROA_RUN": str(self.run_folder)}
        self.addCleanup(self.remove_all)

    def remove_all(self):
        # Twice: the exit command of one that ended just now may be at work.
        for _ in range(2):
            ids = self.proa("ps", "-aq", check=False).stdout.split()
            if ids:
                self.proa("rm", "-f", "-v", *ids, check=False)
        until(lambda: not [p for p in Path("/proc").iterdir() if p.name.isdigit() and self.is_ours(p)], "shims to end")
        # The next test has records of its own, which know nothing of this bridge.
        command("ip", "link", "del", "proa0", check=False)

    def is_ours(self, process):
        try:
            words = (process / "cmdline").read_bytes()
        except OSError:
            return False
        return str(self.run_folder).encode() in words or b"\0__exited\0" in words or b"\0__logs\0" in words

    def ignored_leftover(self, item):
        return super().ignored_leftover(item) or item.startswith("state ")

    def proa(self, *args, **kwargs):
        kwargs.setdefault("env", self.env)
        return command(runtime.path(), *args, **kwargs)

    def popen(self, *args, **kwargs):
        return subprocess.Popen([str(runtime.path()), *map(str, args)], env=self.env, text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, **kwargs)

    def start(self, name, *args, flags=()):
        """A container in the background."""
        return self.proa("run", "-d", "--network", "none", "--name", name, *flags, "--rootfs", self.root, *args).stdout.strip()

    def once(self, *args, flags=(), **kwargs):
        """A container in the foreground that removes itself."""
        return self.proa("run", "--rm", "--network", "none", *flags, "--rootfs", self.root, *args, **kwargs)

    def look(self, name, template):
        return self.proa("inspect", "-f", template, name).stdout.strip()

    def status(self, name):
        return self.look(name, "{{.State.Status}}")

    def ready(self, name):
        """Waits until the container's program catches SIGTERM."""
        def catches():
            status = Path(f"/proc/{self.look(name, '{{.State.Pid}}')}/status").read_text()
            return int(status.split("SigCgt:")[1].split()[0], 16) >> (signal.SIGTERM - 1) & 1
        until(catches, f"{name} to set its trap")

    def settle(self, name, status):
        until(lambda: self.status(name) == status, f"{name} to be {status}")
