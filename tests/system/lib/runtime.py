"""The OCI runtime under test, named by PROA_RUNTIME, and its command line."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
NAME = "proa-runtime"


def path():
    """The binary under test: $PROA_RUNTIME, or the release build."""
    named = os.environ.get("PROA_RUNTIME") or REPOSITORY / "build/release/proa"
    found = shutil.which(str(named))
    if not found:
        sys.exit(f"no runtime to test: {named} is not there or not executable (build it, or set PROA_RUNTIME)")
    return Path(found).resolve()


def link_in(folder, binary=None):
    """How clients are to call it: `proa` serves as a runtime under the name proa-runtime; any other by its own name."""
    binary = binary or path()
    if binary.name != "proa":
        return binary
    link = Path(folder) / NAME
    if not link.is_symlink():
        link.symlink_to(binary)
    return link


class Failed(AssertionError):
    pass


class Runtime:
    """Calls the runtime with its state under `root`. Each call returns stdout, or raises Failed with what it said."""

    def __init__(self, command, root):
        self.command, self.root = Path(command), Path(root)

    def argv(self, *args):
        return [str(self.command), "--root", str(self.root), *map(str, args)]

    def call(self, *args, timeout=60, **kwargs):
        """Runs it, never raising for an exit status; the completed process has text stdout and stderr."""
        kwargs = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, **kwargs}
        return subprocess.run(self.argv(*args), text=True, timeout=timeout, **kwargs)

    def __call__(self, *args, **kwargs):
        done = self.call(*args, **kwargs)
        if done.returncode:
            raise Failed(f"{self.command.name} {' '.join(map(str, args))}: exit {done.returncode}: {done.stderr or done.stdout}")
        return done.stdout

    def create(self, ident, bundle, *options, output=None):
        """Creates with the container's output going to the file `output`: a pipe would stay open until it ends."""
        with open(output or os.devnull, "a") as out, open(self.root.parent / f"{ident}.create-log", "w+") as log:
            done = self.call("create", *options, "--bundle", bundle, ident, stdout=out, stderr=log)
            if done.returncode:
                log.seek(0)
                raise Failed(f"{self.command.name} create {ident}: exit {done.returncode}: {log.read()}")

    def state(self, ident):
        return json.loads(self("state", ident))

    def exists(self, ident):
        return self.call("state", ident).returncode == 0
