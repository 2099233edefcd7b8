"""Tests of the runtime's own commands: containers are made, looked into, and taken away again."""

import json
import os
import select
import socket
import subprocess
from pathlib import Path

from . import cgroups, runtime
from .case import SystemTest, until


def is_proa():
    return runtime.path().name == "proa"


def namespace(kind, pid="self"):
    """The namespace a process is in, as "uts:[4026531838]"; None when the process is gone."""
    try:
        return os.readlink(f"/proc/{pid}/ns/{kind}")
    except FileNotFoundError:
        return None


def status_field(pid, name):
    """A field of /proc/PID/status, without the spaces around it."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.split(":", 1)[1].strip() for line in lines if line.startswith(name + ":"))


def unquoted(text):
    """A log line's message as it was before it was put in quotes."""
    return text.replace('\\"', '"')


def receive_terminal(listener):
    """The descriptor a runtime sends to a console socket."""
    listener.settimeout(20)
    peer, _ = listener.accept()
    with peer:
        _, fds, _, _ = socket.recv_fds(peer, 4096, 1)
    return fds[0]


def listen(path):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(4)
    return listener


def read_terminal(fd, *wanted):
    """Reads a terminal's master until all of `wanted` came, or its other side is closed; returns what came."""
    text = ""
    while not wanted or not all(word in text for word in wanted):
        if not select.select([fd], [], [], 20)[0]:
            raise AssertionError(f"waited in vain for {wanted or 'the end'} on a terminal; it said {text!r}")
        try:
            part = os.read(fd, 4096)
        except OSError:  # EIO: nobody has the other side any more
            break
        if not part:
            break
        text += part.decode(errors="replace")
    return text


class ContainerTest(SystemTest):
    """Containers made with create() or started() are deleted after the test.

    Their control groups are named after the test's folder, since the v2 tree may be shared with other sandboxes.
    """

    def bundle(self, *args, name="bundle"):
        return self._grouped(super().bundle(*args, name=name), name)

    def _grouped(self, bundle, name):
        path = bundle.config["linux"].get("cgroupsPath", "")
        if not path or path.startswith(f"/{self.folder.name}."):
            bundle.config["linux"]["cgroupsPath"] = f"/{self.folder.name}.{name}"
        return bundle.save()

    def ignored_leftover(self, item):
        """Groups that other sandboxes made in a shared v2 tree."""
        shared = [h.mount for h in cgroups.hierarchies() if h.v2]
        return any(item.startswith(f"cgroup {mount}/") for mount in shared) and self.folder.name not in item

    def sh(self, script, name="bundle"):
        """A bundle whose process is a shell script."""
        return self.bundle("sh", "-c", script, name=name)

    def run_container(self, bundle, *options, ident="box", **kwargs):
        """`run`, whatever it ends with."""
        return self.runtime.call("run", *options, "--bundle", self._grouped(bundle, ident).path, ident, **kwargs)

    def said(self, bundle, *options, **kwargs):
        """What a container that must succeed says."""
        done = self.run_container(bundle, *options, **kwargs)
        self.assertEqual(0, done.returncode, done.stderr)
        return done.stdout.strip()

    def refused(self, bundle, *words, options=()):
        """`create` of the bundle must fail, say each of `words`, and leave no container. Returns what it said."""
        log = self.folder / "refused.log"
        with open(log, "w") as out:
            done = self.runtime.call("create", *options, "--bundle", self._grouped(bundle, "refused").path, "refused", stdout=out, stderr=out)
        text = unquoted(log.read_text())
        if done.returncode == 0:
            self.runtime("delete", "--force", "refused")
        self.assertNotEqual(0, done.returncode, "was accepted")
        for word in words:
            self.assertIn(word.lower(), text.lower())
        self.assertFalse(self.runtime.exists("refused"))
        return text

    def forget(self, ident):
        self.addCleanup(self.runtime.call, "delete", "--force", ident)

    def create(self, bundle, *options, ident="box", output=None):
        self.runtime.create(ident, self._grouped(bundle, ident).path, *options, output=output)
        self.forget(ident)
        return self.runtime.state(ident)["pid"]

    def started(self, bundle, *options, ident="box", output=None):
        """Creates and starts; returns the first process's pid."""
        pid = self.create(bundle, *options, ident=ident, output=output)
        self.runtime("start", ident)
        return pid

    def sleeper(self, ident="box", **kwargs):
        """A running container that does nothing. Its root has all of busybox for exec."""
        return self.started(self.bundle("sleep", "100000", name=ident), ident=ident, **kwargs)

    def inside(self, *command, ident="box", options=(), **kwargs):
        """What a command run by exec says."""
        return self.runtime("exec", *options, ident, *command, **kwargs).strip()

    def status(self, ident="box"):
        return self.runtime.state(ident)["status"]

    def until_stopped(self, ident="box"):
        until(lambda: self.status(ident) == "stopped", f"container {ident} to stop")

    def fails(self, *args, word="", **kwargs):
        """A command of the runtime that must fail; returns what it said."""
        done = self.runtime.call(*args, **kwargs)
        self.assertNotEqual(0, done.returncode, f"{args}: {done.stdout}")
        self.assertIn(word.lower(), unquoted(done.stderr).lower())
        return done.stderr

    def background(self, *args, **kwargs):
        """The runtime as a process in the background, killed after the test if it still runs."""
        kwargs = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **kwargs}
        child = subprocess.Popen(self.runtime.argv(*args), **kwargs)

        def end():
            if child.poll() is None:
                child.kill()
            child.wait()
            for stream in (child.stdin, child.stdout, child.stderr):
                if stream:
                    stream.close()
        self.addCleanup(end)
        return child

    def write_json(self, name, value):
        path = self.folder / name
        path.write_text(json.dumps(value))
        return path
