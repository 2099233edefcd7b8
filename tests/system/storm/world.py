"""A whole engine of its own: store, containers, volumes and networks in folders of the test, and a look at all that they
leave on the host."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

from lib import bundle, leftovers, runtime
from lib.case import command


def _names(folder):
    """Every file and folder below, from it; what comes and goes while we look is left out."""
    return {str((Path(top) / name).relative_to(folder)) for top, folders, files in os.walk(folder) for name in (*folders, *files)}


def processes():
    """Pid to words of the command line, of all but the sandbox's own."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) in (1, os.getpid()):
            continue
        try:
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
            found[int(entry.name)] = words or [(entry / "comm").read_text().strip()]
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def _namespaces():
    found = set()
    for pid in processes():
        try:
            found.add(os.readlink(f"/proc/{pid}/ns/net"))
        except OSError:
            pass
    return found


def _rules():
    """Tables, chains, sets with their elements, and rules; without what is counted."""
    def plain(value):
        if isinstance(value, dict):
            return {key: plain(part) for key, part in value.items() if key not in ("handle", "packets", "bytes", "expires")}
        return [plain(part) for part in value] if isinstance(value, list) else value
    done = command("nft", "-j", "list", "ruleset", check=False).stdout
    return {json.dumps(plain(item), sort_keys=True) for item in json.loads(done or '{"nftables": []}')["nftables"]}


def _mounts():
    return {line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()}


class World:
    """`call` runs a command to its end; `argv` is for those who run it otherwise."""

    def __init__(self, folder):
        self.folder, self.program = Path(folder), runtime.path()
        self.data, self.run = self.folder / "data", self.folder / "run/engine"
        self.root = bundle.make_root(self.folder / "root")
        self.env = os.environ | {"PROA_ROOT": str(self.data), "PROA_RUN": str(self.run)}

    def argv(self, *args):
        return [str(self.program), *map(str, args)]

    def call(self, *args, check=True, timeout=60, **kwargs):
        return command(*self.argv(*args), env=self.env, check=check, timeout=timeout, **kwargs)

    def popen(self, *args, **kwargs):
        kwargs = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **kwargs}
        return subprocess.Popen(self.argv(*args), env=self.env, text=True, **kwargs)

    def lines(self, *args):
        return self.call(*args).stdout.split()

    def make_image(self, name, *flags):
        return self.call("image", "create", "--cmd", '["sh"]', *flags, self.root, name).stdout.strip()

    def containers(self):
        """Name to state, of all."""
        rows = [line.split("\t") for line in self.call("ps", "-a", "--format", "{{.Names}}\t{{.State}}").stdout.splitlines()]
        return dict(rows)

    def remove_all(self, images=True):
        """Takes everything away, by the commands that users have for it."""
        for _ in range(3):
            ids = self.lines("ps", "-aq", "--no-trunc")
            if not ids:
                break
            self.call("rm", "-f", "-v", *ids, check=False)
        self.call("container", "prune", "-f")
        self.call("network", "prune", "-f")
        self.call("network", "repair")  # takes bridge and rules away when nothing is connected
        self.call("volume", "prune", "-a", "-f")
        self.call("image", "prune", *(["--all"] if images else []), "-f")

    def drop_parts(self):
        """What was on its way in when it was killed is kept for a day, to be gone on with; here the day is over."""
        folder = self.data / "images/ingest"
        for part in folder.iterdir():
            assert part.name.startswith(("sha256-", "sha512-")), part
            os.utime(part, (0, 0))
        self.call("image", "prune", "-f")
        assert not [*folder.iterdir()], [*folder.iterdir()]

    def picture(self):
        """Kind to what there is of it on this host."""
        links = {link["ifname"] for link in json.loads(command("ip", "-j", "link").stdout)}
        return {"mount": _mounts(), "cgroup": {group.split(maxsplit=1)[1] for group in leftovers.groups()}, "namespace": _namespaces(), "device": links, "rule": _rules(),
                "process": {f"{pid} {' '.join(words)}" for pid, words in processes().items()},
                "file": _names(self.folder / "data") | {f"run/{name}" for name in _names(self.folder / "run")}}

    def stray(self, before, patience=5.0):
        """What is there and was not, as readable lines. Ends are told before the kernel has undone all: waits for that."""
        end = time.monotonic() + patience
        while True:
            now = self.picture()
            # The group that all containers are in stays.
            left = sorted(f"{kind} {item}" for kind in now for item in now[kind] - before[kind] if kind != "cgroup" or not item.endswith("/proa"))
            if not left or time.monotonic() > end:
                return left
            time.sleep(0.02)

    def close(self):
        shutil.rmtree(self.folder, ignore_errors=True)
