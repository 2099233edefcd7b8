#!/usr/bin/env python3
"""Proves an OCI runtime under cgroup v2 in a Debian guest on an emulated machine.

    guest.py cgroup2 --runtime build/release/proa
    guest.py systemd --runtime /usr/sbin/runc --only 'limits*'

The guest is Debian's cloud kernel with busybox, Python and systemd from Debian packages, kept in a
cache folder. Nothing is installed, mounted or left running on this machine; root is not needed.
Exit status: 0 all checks pass, 1 a check fails, 2 the guest could not be run, 77 skipped.
"""

import argparse
import fcntl
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import image  # noqa: E402
import machine  # noqa: E402
import packages  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parents[2]
INIT = {"cgroup2": "/payload/inside/init-cgroup2", "systemd": "/lib/systemd/systemd"}


def main():
    options = parse_arguments()
    if platform.machine() != "x86_64":
        print(f"skipped: the guest is x86-64, this machine is {platform.machine()}")
        return 77
    try:
        built = prepare_image(options.cache)
        with tempfile.TemporaryDirectory(prefix="run-", dir=options.cache) as scratch:
            return run_guest(options, built, pathlib.Path(scratch))
    except (packages.PackageError, machine.MachineError, OSError) as error:
        print(f"guest: {error}", file=sys.stderr)
        return 2


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("guest", choices=sorted(INIT), help="which guest to boot")
    parser.add_argument("--runtime", type=pathlib.Path, required=True, help="the OCI runtime to prove")
    parser.add_argument("--cache", type=pathlib.Path, default=REPOSITORY / "build/guest",
                        help="where packages and images are kept (default: build/guest)")
    parser.add_argument("--only", default="*", metavar="GLOB", help="run only checks of this name")
    parser.add_argument("--timeout", type=float, default=540, help="seconds the machine may be on")
    parser.add_argument("--add", type=pathlib.Path, action="append", default=[], metavar="PROGRAM",
                        help="also put this program into the guest, at /payload/bin")
    parser.add_argument("--verbose", action="store_true", help="print the guest's console too")
    options = parser.parse_args()
    if not os.access(options.runtime, os.X_OK):
        parser.error(f"--runtime {options.runtime}: no such program")
    options.cache.mkdir(parents=True, exist_ok=True)
    options.cache = options.cache.resolve()
    return options


def prepare_image(cache):
    """Returns the folder of the guest's kernel, initrd and root disk; builds it when it is not there."""
    with open(cache / "lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            return build_image(cache, pin_packages(cache))
        except packages.PackageError:  # the pinned version may be gone from the mirror
            (cache / "packages.json").unlink(missing_ok=True)
            return build_image(cache, pin_packages(cache))


def build_image(cache, pinned):
    folder = cache / f"image-{image.key(pinned)}"
    if not folder.exists():
        print(f"building {folder.name} of {len(pinned)} Debian packages", flush=True)
        packages.download(pinned, cache / "debs")
        image.build(pinned, cache / "debs", folder)
    return folder


def pin_packages(cache):
    """Asks apt once for a list of packages and keeps the answer: a cached guest needs no apt."""
    wanted = (HERE / "packages.txt").read_text()
    kept = cache / "packages.json"
    if kept.exists():
        answer = json.loads(kept.read_text())
        if answer["wanted"] == wanted:
            return [packages.Package(*p[:3], tuple(p[3])) for p in answer["pinned"]]
    pinned = packages.resolve(packages.read_list(HERE / "packages.txt"))
    kept.write_text(json.dumps({"wanted": wanted, "pinned": [
        (p.name, p.version, p.sha256, p.keep) for p in pinned]}))
    return pinned


def run_guest(options, built, scratch):
    name = pack_payload(options, scratch)
    console = scratch / "console"
    arguments = machine.command(built, scratch / "payload.ext4", console, INIT[options.guest])
    report = Report(load_gaps(name, options.guest))
    started = time.monotonic()
    try:
        for line in machine.lines(arguments, options.timeout):
            report.take(line)
    except machine.MachineError as error:
        report.broken = str(error)
    if options.verbose or not report.good():
        print(f"--- console\n{machine.tail(console)}\n---")
    print(report.summary(options.guest, name, time.monotonic() - started))
    return 0 if report.good() else 1


def pack_payload(options, scratch):
    """Makes the disk with the runtime, its libraries and the checks; returns the runtime's name."""
    tree = scratch / "payload"
    (tree / "bin").mkdir(parents=True)
    (tree / "lib").mkdir()
    # The role of the one binary comes from its name.
    name = "proa-runtime" if options.runtime.name == "proa" else options.runtime.name
    for source, target in [(options.runtime, name)] + [(p, p.name) for p in options.add]:
        shutil.copy(source, tree / "bin" / target)
        for library in shared_libraries(source):
            shutil.copy(library, tree / "lib")
    shutil.copytree(HERE / "inside", tree / "inside", ignore=shutil.ignore_patterns("__pycache__"))
    (tree / "inside/settings.json").write_text(json.dumps(
        {"runtime": f"/payload/bin/{name}", "only": options.only}))
    image.compile_python(tree / "inside", tree)
    image.make_ext4(tree, scratch / "payload.ext4", spare_mib=4)
    shutil.rmtree(tree)
    return name


def shared_libraries(program):
    listed = subprocess.run(["ldd", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                            text=True, check=False).stdout
    return re.findall(r"=> (/\S+)", listed)


def load_gaps(name, guest):
    """What a peer is known not to do: {check: reason}. Proa has no such list."""
    return json.loads((HERE / "peer-gaps.json").read_text()).get(name, {}).get(guest, {})


class Report:
    """Collects what the guest says: one line "@word name details" for each step of a check."""

    def __init__(self, gaps):
        self._gaps = gaps
        self._counts = {"ok": 0, "fail": 0, "gap": 0}
        self._ended = False
        self._running = None
        self.broken = None

    def take(self, line):
        word, _, rest = line.partition(" ")
        name, _, details = rest.partition(" ")
        if word == "@begin":
            self._running = name
        elif word in ("@ok", "@fail"):
            self._running = None
            self._count(word[1:], name, details)
        elif word == "@end":
            self._ended = True
        elif line:
            print(f"       {line}", flush=True)

    def _count(self, kind, name, details):
        if kind == "fail" and name in self._gaps:
            kind, details = "gap", self._gaps[name]
        self._counts[kind] += 1
        text = json.loads(details) if details.startswith('"') else details
        print(f"{kind:>4}   {name}  {text}".rstrip(), flush=True)

    def good(self):
        return self._ended and not self.broken and not self._counts["fail"] and self._counts["ok"]

    def summary(self, guest, name, seconds):
        why = ""
        if self.broken or not self._ended:
            why = f"; {self.broken or 'the guest stopped before the end'}"
            why += f" while checking {self._running}" if self._running else ""
        counts = ", ".join(f"{n} {k}" for k, n in self._counts.items() if n)
        return f"{guest} with {name}: {counts or 'nothing'} in {seconds:.0f} s{why}"


if __name__ == "__main__":
    sys.exit(main())
