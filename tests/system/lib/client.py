"""What the tests of container clients share: their daemon, their image, and what they keep on purpose."""

import re
import shlex
import subprocess
import tempfile
from pathlib import Path

from . import bundle, leftovers, runtime, sandbox
from .case import SystemTest, command, until

# Counts to standard output until TERM, which it answers with its own status.
SERVICE = 'echo started; trap "echo ending; exit 3" TERM; while :; do sleep 0.05; done'
DEAF = 'trap "" TERM; echo started; while :; do sleep 0.05; done'
OUTPUTS = 'echo to-stdout; echo to-stderr >&2'


def terminal(*argv, **kwargs):
    """Runs a client on a terminal of its own."""
    return command("script", "-qec", shlex.join(map(str, argv)), "/dev/null", **kwargs)


def tool(name):
    """Debian's build of a client, whatever else the PATH finds first."""
    for folder in ("/usr/bin", "/usr/sbin"):
        if (Path(folder) / name).exists():
            return f"{folder}/{name}"
    raise AssertionError(f"{name} is not installed: run scripts/bootstrap test")


class ClientTest(SystemTest):
    """Its class has `home` (the client's own folder), `root` (busybox) and `binary` (the runtime, as clients call it)."""

    kept = ()  # patterns of what the client keeps on purpose

    @classmethod
    def setUpClass(cls):
        cls.home = Path(tempfile.mkdtemp(prefix="client-", dir=sandbox.scratch()))
        cls.root = bundle.make_root(cls.home / "root")
        cls.binary = runtime.link_in(sandbox.scratch())

    @classmethod
    def keeps(cls, item):
        # A program's own folders in /run are for good; what is in them is looked at.
        return bool(re.fullmatch(r"file /run/([^/]+|proa/runtime)", item)) or any(re.search(pattern, item) for pattern in cls.kept)

    def ignored_leftover(self, item):
        return self.keeps(item)


class DaemonTest(ClientTest):
    """Starts the class's daemon() before the first test and stops it after the last, and then nothing may be left."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls._without_daemon = leftovers.Before(cls.watched)
        cls._log = open(cls.home / "daemon.log", "w+")
        cls.process = subprocess.Popen([*map(str, cls.daemon())], stdin=subprocess.DEVNULL, stdout=cls._log,
                                       stderr=subprocess.STDOUT, cwd=cls.home)
        cls.addClassCleanup(cls._stop)
        try:
            until(cls._ready, f"{Path(cls.process.args[0]).name} to answer", patience=60)
        except AssertionError as error:
            raise AssertionError(f"{error}; its log ends:\n{cls.log_tail()}") from None
        cls.prepare()

    @classmethod
    def _ready(cls):
        if cls.process.poll() is not None:
            raise AssertionError(f"it ended with status {cls.process.returncode}")
        return cls.answers()

    @classmethod
    def log_tail(cls, lines=15):
        return "\n".join((cls.home / "daemon.log").read_text(errors="replace").splitlines()[-lines:])

    @classmethod
    def _stop(cls):
        cls.process.terminate()
        try:
            cls.process.wait(60)
        except subprocess.TimeoutExpired:
            cls.process.kill()
            cls.process.wait()
            raise AssertionError(f"the daemon did not stop; its log ends:\n{cls.log_tail()}") from None
        finally:
            cls._log.close()
        left = cls._without_daemon.left(ignore=cls.keeps)
        if left:
            raise AssertionError(f"left behind by the daemon and its containers: {left}")
