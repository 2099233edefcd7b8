"""The checks' frame: registration, expectations, containers, and a look for what was left behind."""

import contextlib
import fnmatch
import json
import os
import pathlib
import subprocess
import time

CGROUP = pathlib.Path("/sys/fs/cgroup")
STATE = pathlib.Path("/run/state")
BUNDLES = pathlib.Path("/run/bundles")
ROOTFS = "/var/lib/rootfs"
SECONDS = 20  # for any one call of the runtime, or any one thing waited for

_checks = []
_settings = {}


class Failed(Exception):
    """What a user sees is not what it should be."""


def configure(runtime, systemd):
    _settings.update(runtime=runtime, systemd=systemd)


def check(function):
    """Registers a check; its name is the function's with dashes."""
    _checks.append((function.__name__.replace("_", "-"), function))
    return function


def run_all(only, say):
    for name, function in _checks:
        if not fnmatch.fnmatch(name, only):
            continue
        say(f"@begin {name}")
        before, started = left_overs(), time.monotonic()
        try:
            function()
            left = left_overs() - before
            if left:
                raise Failed(f"left behind: {', '.join(sorted(left))}")
            say(f"@ok {name} {time.monotonic() - started:.2f} s")
        except Failed as reason:
            say(f"@fail {name} {json.dumps(str(reason))}")
        except Exception as error:  # a check that cannot even be made has failed
            say(f"@fail {name} {json.dumps(f'{type(error).__name__}: {error}')}")
        clean(left_overs() - before)
    say("@end")


def left_overs():
    """Everything a container could leave: cgroups, mounts, state, processes."""
    found = {f"cgroup {path}" for path, _, _ in os.walk(CGROUP)
             if "proa-test" in path or path.endswith(".scope")}
    found |= {f"state {path}" for path in STATE.glob("*") if not path.name.startswith(".")}
    with open("/proc/self/mountinfo", encoding="utf-8") as mounts:
        found |= {f"mount {line.split()[4]}" for line in mounts}
    return found


def clean(left):
    """Takes away what a failed check left, so that the next one starts afresh."""
    for kind, path in sorted((entry.split(" ", 1) for entry in left), reverse=True):
        with contextlib.suppress(OSError):
            if kind == "cgroup":
                pathlib.Path(path, "cgroup.kill").write_text("1")
                wait_for("an empty cgroup", lambda p=path: not read(f"{p}/cgroup.procs"), 5)
                os.rmdir(path)
            elif kind == "mount":
                subprocess.run(["umount", "-l", path], check=False)


# --- expectations

def expect(condition, what):
    if not condition:
        raise Failed(what)


def expect_equal(what, actual, wanted):
    if actual != wanted:
        raise Failed(f"{what} is {actual!r}, should be {wanted!r}")


def expect_one_of(what, actual, wanted):
    if actual not in wanted:
        raise Failed(f"{what} is {actual!r}, should be one of {wanted!r}")


def expect_in(what, text, part):
    if part not in text:
        raise Failed(f"{what} has no {part!r}: {text!r}")


def wait_for(what, condition, seconds=SECONDS):
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failed(f"waited {seconds} s for {what}")
        time.sleep(0.02)


# --- the runtime

class Result:
    def __init__(self, command, done):
        self.command, self.code = command, done.returncode
        self.out, self.err = done.stdout.strip(), done.stderr.strip()

    def ok(self):
        if self.code:
            raise Failed(f"`{self.command}` exits {self.code}: {self.err or self.out}")
        return self

    def fails(self):
        if not self.code:
            raise Failed(f"`{self.command}` succeeds, should fail")
        return self


def runtime(*arguments, stdin=None, **streams):
    """Calls the runtime and waits for it."""
    options = ["--root", str(STATE)] + (["--systemd-cgroup"] if _settings["systemd"] else [])
    command = [_settings["runtime"], *options, *map(str, arguments)]
    shown = " ".join([os.path.basename(command[0]), *map(str, arguments)])
    streams = streams or {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    source = {"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}
    try:
        done = subprocess.run(command, text=True, timeout=SECONDS, check=False, **source, **streams)
    except subprocess.TimeoutExpired:
        raise Failed(f"`{shown}` is not done after {SECONDS} s") from None
    done.stdout, done.stderr = done.stdout or "", done.stderr or ""
    return Result(shown, done)


def spawn_runtime(*arguments, **streams):
    """Starts the runtime beside the check; the caller waits for it."""
    options = ["--root", str(STATE)] + (["--systemd-cgroup"] if _settings["systemd"] else [])
    return subprocess.Popen([_settings["runtime"], *options, *arguments], text=True,
                            stdin=subprocess.DEVNULL, **streams)


# --- containers

NAMESPACES = ("pid", "mount", "ipc", "uts", "network", "cgroup")
CAPABILITIES = ["CAP_" + name for name in
                ("CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "MKNOD", "SETGID", "SETUID", "SYS_CHROOT")]


def make_config(args, resources=None, cgroups_path=None, namespaces=NAMESPACES, **changes):
    config = {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0}, "args": args, "cwd": "/",
            "env": ["PATH=/bin", "HOME=/"],
            "capabilities": {k: CAPABILITIES for k in ("bounding", "effective", "permitted")},
        },
        "root": {"path": ROOTFS},
        "hostname": "inside",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
             "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs",
             "options": ["nosuid", "noexec", "nodev", "ro"]},
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
             "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]},
            {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["mode=1777"]},
        ],
        "linux": {"namespaces": [n if isinstance(n, dict) else {"type": n} for n in namespaces],
                  "resources": resources or {}},
    }
    if "uts" not in namespaces:
        del config["hostname"]
    if cgroups_path is not None:
        config["linux"]["cgroupsPath"] = cgroups_path
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = config
        for name in parents:
            place = place.setdefault(name, {})
        place[last] = value
    return config


class Container:
    """A bundle and, once run, its container; whatever is left of it goes with the context."""

    _count = 0

    def __init__(self, script, resources=None, cgroups_path=True, **changes):
        Container._count += 1
        self.id = f"c{Container._count}"
        self.bundle = BUNDLES / self.id
        self.bundle.mkdir(parents=True)
        self.log = self.bundle / "log"
        args = ["sh", "-c", script] if isinstance(script, str) else script
        if cgroups_path is True:
            cgroups_path = f"system.slice:proa-test:{self.id}" if _settings["systemd"] else f"/proa-test/{self.id}"
        self.config = make_config(args, resources, cgroups_path, **changes)

    def __enter__(self):
        (self.bundle / "config.json").write_text(json.dumps(self.config))
        return self

    def __exit__(self, *_):
        runtime("delete", "--force", self.id)
        with contextlib.suppress(OSError):
            (CGROUP / "proa-test").rmdir()

    def run(self):
        """Runs it in the foreground."""
        return runtime("run", "--bundle", self.bundle, self.id)

    def create(self):
        with open(self.log, "w", encoding="utf-8") as log, \
                open(self.bundle / "errors", "w+", encoding="utf-8") as errors:
            result = runtime("create", "--bundle", self.bundle, self.id, stdout=log, stderr=errors)
            errors.seek(0)
            result.err = errors.read().strip()
        return result

    def start(self):
        """Creates and starts it, in the background."""
        self.create().ok()
        runtime("start", self.id).ok()
        return self

    def exec_in_background(self, *args):
        """Starts a second process and returns its pid, as this namespace counts."""
        with open(self.log, "a", encoding="utf-8") as log:
            runtime("exec", "--detach", "--pid-file", self.bundle / "exec.pid", self.id, *args,
                    stdout=log, stderr=log).ok()
        return int((self.bundle / "exec.pid").read_text())

    def exec(self, script, *options):
        return runtime("exec", *options, self.id, "sh", "-c", script)

    def state(self):
        return json.loads(runtime("state", self.id).ok().out)

    def status(self):
        return self.state()["status"]

    def pid(self):
        return self.state()["pid"]

    def place(self):
        """The folder that its cgroupsPath asks for, when the check asks for no other."""
        scope = f"system.slice/proa-test-{self.id}.scope"
        return CGROUP / (scope if _settings["systemd"] else f"proa-test/{self.id}")

    def cgroup(self):
        """The folder of the cgroup that its first process is in."""
        return cgroup_of(self.pid())

    def said(self, text):
        """Waits until its output has the text."""
        return wait_for(f"{text!r} from the container", lambda: text in self.output() and self.output())

    def output(self):
        return self.log.read_text() if self.log.exists() else ""

    def read(self, name):
        return read(self.cgroup() / name)

    def delete(self, *options):
        return runtime("delete", *options, self.id)


def cgroup_of(pid):
    text = pathlib.Path(f"/proc/{pid}/cgroup").read_text()
    return CGROUP / text.strip().removeprefix("0::/")


def read(path):
    try:
        return pathlib.Path(path).read_text().strip()
    except FileNotFoundError:
        raise Failed(f"there is no {path}") from None


def read_flat(path):
    """A flat keyed file: {key: number}."""
    return {key: int(value) for key, value in (line.split() for line in read(path).splitlines())}
