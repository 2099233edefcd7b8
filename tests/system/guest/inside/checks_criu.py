"""Checkpoint and restore with the real criu, which not every host's kernel suits. It comes in by `--add`."""

import os
import pathlib
import select
import subprocess

import harness
from harness import Container, check, cgroup_of, expect, expect_equal, expect_in, runtime, spawn_runtime

IMAGES = pathlib.Path("/tmp/images")
COUNTER = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done"
# criu locks the network of a namespace of its own with iptables, which the guest does not have.
NAMESPACES = ("pid", "mount", "ipc", "uts", "cgroup")

if os.access("/payload/bin/criu", os.X_OK):
    criu_check = check
    os.environ["PATH"] += ":/payload/bin"
    subprocess.run(["busybox", "ip", "link", "set", "lo", "up"], check=True)  # criu looks at TCP on it
else:
    def criu_check(function):
        return function


class Counting:
    """The runtime in the foreground, its container counting into a pipe."""

    def __init__(self, *arguments):
        self._process = spawn_runtime(*map(str, arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self._said = b""

    def number(self, least=0):
        """Waits for a number that is not less, and returns it."""
        while True:
            whole = self._said[:self._said.rfind(b"\n") + 1].split()
            found = next((int(n) for n in whole if int(n) >= least), None)
            if found is not None:
                return found
            if not select.select([self._process.stdout], [], [], harness.SECONDS)[0]:
                raise harness.Failed(f"the counter stopped at {whole[-1:]}")
            part = os.read(self._process.stdout.fileno(), 4096)
            if not part:
                raise harness.Failed(f"the container ended: {self._process.communicate()[1]}")
            self._said += part

    def last(self):
        """Waits for the end; the last number that came and the exit status."""
        said, _ = self._process.communicate(timeout=harness.SECONDS)
        numbers = (self._said + said.encode()).split()
        return int(numbers[-1]), self._process.returncode


def save(container, *options):
    subprocess.run(["rm", "-rf", IMAGES], check=True)
    return runtime("checkpoint", *options, "--image-path", IMAGES, container.id)


def there_and_back(container):
    """Saves a counting container and restores it; returns the number it was saved at and the new counter."""
    counting = Counting("run", "--bundle", container.bundle, container.id)
    counting.number(5)
    save(container).ok()
    last, _ = counting.last()
    expect(not container.place().exists(), "the saved container's cgroup is still there")
    return last, Counting("restore", "--image-path", IMAGES, "--bundle", container.bundle, container.id)


@criu_check
def checkpoint_and_restore():
    with Container(COUNTER, {"pids": {"limit": 77}}, namespaces=NAMESPACES) as c:
        last, counting = there_and_back(c)
        expect_equal("the first number after it", counting.number(), last + 1)
        counting.number(last + 5)
        expect_equal("status", c.status(), "running")
        expect_equal("cgroup", cgroup_of(c.pid()), c.place())
        expect_equal("pids.max", c.read("pids.max"), "77")
        expect_equal("exec", c.exec("hostname; echo $$ >/dev/null; ls /sys/fs/cgroup/pids.max").ok().out.split(),
                     ["inside", "/sys/fs/cgroup/pids.max"])
        ours = c.exec("readlink /proc/self/ns/time").ok().out
        expect_equal("exec's time namespace", ours, os.readlink(f"/proc/{c.pid()}/ns/time"))
        runtime("kill", c.id, "KILL").ok()
        expect_equal("exit status", counting.last()[1], 137)


@criu_check
def checkpoint_of_binds_and_masks():
    with Container(COUNTER, namespaces=NAMESPACES,
                   linux__maskedPaths=["/proc/keys", "/sys/firmware", "/proc/acpi"],
                   linux__readonlyPaths=["/proc/sys", "/proc/bus"]) as c:
        (c.bundle / "data").mkdir()
        (c.bundle / "data/file").write_text("kept")
        c.config["mounts"].append({"destination": "/mnt/data", "type": "bind", "source": str(c.bundle / "data"), "options": ["rbind", "ro"]})
        c.__enter__()
        last, counting = there_and_back(c)
        counting.number(last + 1)
        expect_equal("the bound file", c.exec("cat /mnt/data/file").ok().out, "kept")
        expect_equal("masked", c.exec("cat /proc/keys; ls /sys/firmware").ok().out, "")
        c.exec("echo 1 >/proc/sys/kernel/printk").fails()
        mounts = c.exec("cat /proc/mounts").ok().out
        expect_in("mounts", mounts, " /proc/sys proc ro")
        expect_in("mounts", mounts, " /mnt/data ")


@criu_check
def checkpoint_leave_running():
    with Container(COUNTER, namespaces=NAMESPACES) as c:
        counting = Counting("run", "--bundle", c.bundle, c.id)
        counting.number(3)
        save(c, "--leave-running").ok()
        expect_equal("status", c.status(), "running")
        counting.number(counting.number(3) + 5)


@criu_check
def checkpoint_twice_over():
    """A first copy of the memory while it runs, then what has changed since."""
    with Container(COUNTER, namespaces=NAMESPACES) as c:
        counting = Counting("run", "--bundle", c.bundle, c.id)
        counting.number(3)
        save(c, "--pre-dump").ok()
        expect_equal("status", c.status(), "running")
        final = IMAGES / "final"
        runtime("checkpoint", "--parent-path", "..", "--image-path", final, c.id).ok()
        last, _ = counting.last()
        back = Counting("restore", "--image-path", final, "--bundle", c.bundle, c.id)
        expect_equal("the first number after it", back.number(), last + 1)


@criu_check
def checkpoint_that_criu_refuses():
    """A file from outside the container is open: the error has criu's words and names its log."""
    with Container("exec sleep 1000", namespaces=NAMESPACES) as c:
        c.start()  # its stdout is a file of the host
        said = save(c).fails().err
        expect_in("the error", said, "Error (criu/")
        expect_in("the error", said, f"{IMAGES}/dump.log")
        expect_equal("status", c.status(), "running")
