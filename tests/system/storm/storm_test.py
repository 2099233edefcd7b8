#!/usr/bin/env python3
"""Many processes at once run, stop, remove, commit, tag and prune, while clients, helpers, shims and containers are killed
with SIGKILL at any moment. Then all that was acknowledged is there, and once all is removed by ordinary commands nothing
is left on the host.

    PROA_STORM_SEED      what happens (default 20240229)
    PROA_STORM_COUNT     commands of each worker (default 250)
    PROA_STORM_WORKERS   default 6
    PROA_STORM_KILLS     chance in percent that a command's client is killed (default 25)
"""

import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib import image, sandbox  # noqa: E402
from lib.case import SystemTest, main, until  # noqa: E402
from lib.docker_registry import Registry  # noqa: E402
from storm.world import World, processes  # noqa: E402


def setting(name, otherwise):
    return int(os.environ.get(f"PROA_STORM_{name}", otherwise))


SEED, COUNT, WORKERS, KILLS = setting("SEED", 20240229), setting("COUNT", 250), setting("WORKERS", 6), setting("KILLS", 25)
LINES = 2000  # that the containers whose logs are looked at write

# What workers that change each other's things are told in the ordinary course of events.
EXPECTED = re.compile(r"No such (container|object)|is not running|already in use|already paused|is not paused|is paused|is restarting"
                      r"|marked for removal|unpause|cannot remove container|already exists in network|is not connected|volume is in use"
                      r"|[Nn]o such volume|network \S+ not found|has active endpoints|port is already allocated|Unable to find image"
                      r"|no such image|No such image|is not here|non running container|container not running|already exists|same name as"
                      r"|sharing network namespace|did not end|[Cc]annot start a container|no such network|not connected to network|does not exist locally")


class Outcome:
    """Of one command. `killed`: we sent it SIGKILL; whether it had ended by then its status says."""

    def __init__(self, args, done, out, err, killed, begin):
        self.args, self.status, self.out, self.err, self.killed = args, done, out, err, killed
        self.begin, self.end = begin, time.monotonic()
        self.acknowledged = done == 0


class Killer(threading.Thread):
    """Kills helpers, shims and containers' first processes at moments of its own."""

    def __init__(self, world, chance):
        super().__init__(daemon=True)
        self.world, self.chance = world, chance
        self.done = threading.Event()
        self.shims, self.first, self.times = set(), set(), []  # ids of containers whose these were; when helpers were killed

    def run(self):
        while not self.done.wait(self.chance.uniform(0.005, 0.06)):
            helpers, shims, first = self._find()
            kind = self.chance.random()
            if kind < 0.5 and helpers:
                pid = self.chance.choice(sorted(helpers))
                if helpers[pid][1] == "runtime":  # it may be the first process already, or yet
                    self.first.update(word for word in helpers[pid] if re.fullmatch("[0-9a-f]{64}", word))
                self._kill(pid)
            elif kind < 0.65 and shims:
                pid = self.chance.choice(sorted(shims))
                self.shims.add(shims[pid])
                self._kill(pid)
            elif kind < 0.8 and first:
                pid = self.chance.choice(sorted(first))
                self.first.add(first[pid])
                self._kill(pid)

    def _kill(self, pid):
        self.times.append(time.monotonic())
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def _find(self):
        helpers, shims, first = {}, {}, {}
        for pid, words in processes().items():
            if words[0].endswith("proa-shim") and "--id" in words:
                shims[pid] = words[words.index("--id") + 1]
            elif words[0].endswith("/proa") and len(words) > 1 and (words[1].startswith("__") or words[1] == "runtime"):
                helpers[pid] = words
        for pid in processes():
            try:
                parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, ValueError):
                continue
            if parent in shims and pid not in helpers:
                first[pid] = shims[parent]
        return helpers, shims, first

    def near(self, outcome):
        return any(outcome.begin - 2 <= when <= outcome.end for when in self.times)


class Worker(threading.Thread):
    """A sequence of commands. It knows what it made alone (names with its number) and takes part in what all fight for."""

    def __init__(self, number, storm):
        super().__init__(daemon=True)
        self.number, self.storm, self.world = number, storm, storm.world
        self.chance = random.Random(SEED * 1000 + number)
        self.outcomes, self.broken = [], None
        # What was acknowledged: container name to id; volume to its text; image name to id; finished containers with logs.
        self.containers, self.volumes, self.images, self.logs = {}, {}, {}, {}
        self.serial = 0

    def run(self):
        try:
            for _ in range(COUNT):
                self.step()
        except BaseException as error:
            self.broken = error

    def call(self, *args, mercy=False):
        """Runs a command, that is killed now and then."""
        begin = time.monotonic()
        process = self.world.popen(*args, start_new_session=True)
        killed = False
        if not mercy and self.chance.random() * 100 < KILLS:
            delay = self.chance.expovariate(1 / 0.012)
            try:
                out, err = process.communicate(timeout=delay)
            except subprocess.TimeoutExpired:
                killed = True
                process.kill()
                out, err = self.finish(process, args)
        else:
            out, err = self.finish(process, args)
        outcome = Outcome(args, process.returncode, out, err, killed, begin)
        self.outcomes.append(outcome)
        return outcome

    def finish(self, process, args):
        try:
            return process.communicate(timeout=90)
        except subprocess.TimeoutExpired:
            state = "\n".join(f"{pid} {' '.join(words)} {self.where(pid)}" for pid, words in sorted(processes().items()))
            process.kill()
            process.communicate()
            raise AssertionError(f"hangs: {' '.join(map(str, args))}\n{state}") from None

    @staticmethod
    def where(pid):
        try:
            return Path(f"/proc/{pid}/wchan").read_text()
        except OSError:
            return ""

    def name(self, kind):
        self.serial += 1
        return f"{kind}-{self.number}-{self.serial}"

    def shared(self):
        """A name that others use too."""
        return f"shared-{self.chance.randrange(10)}"

    def step(self):
        self.chance.choice(self.STEPS)(self)

    # --- containers that are nobody's

    def run_detached(self):
        flags = []
        if self.chance.random() < 0.3:
            flags += ["--rm"]
        elif self.chance.random() < 0.4:
            flags += ["--restart", self.chance.choice(["always", "on-failure:3", "unless-stopped"])]
        network = self.chance.choice(["none", "none", "bridge", f"net-{self.chance.randrange(2)}"])
        flags += ["--network", network]
        if network != "none" and self.chance.random() < 0.5:
            flags += ["-p", f"{self.chance.randrange(9000, 9010)}:80"]
        if self.chance.random() < 0.3:
            flags += ["-v", "/anonymous"]
        if self.chance.random() < 0.3:
            flags += ["-v", f"vol-{self.chance.randrange(3)}:/data"]
        if self.chance.random() < 0.2:
            flags += ["--health-cmd", "true", "--health-interval", "100ms"]
        program = self.chance.choice([["sleep", "1000"], ["sh", "-c", "sleep 0.2; exit 1"], ["true"]])
        self.call("run", "-d", "--name", self.shared(), *flags, "box:1", *program)

    def run_attached(self):
        outcome = self.call("run", "--rm", "--network", "none", "box:1", "sh", "-c", "echo out; exit 7")
        if not outcome.killed and not self.storm.killer.near(outcome) and (outcome.status, outcome.out) != (7, "out\n"):
            raise AssertionError(f"run --rm: {outcome.status} {outcome.out} {outcome.err}")
        outcome.acknowledged = True

    def create(self):
        self.call("create", "--name", self.shared(), "--network", "none", "box:1", "sleep", "1000")

    def change(self):
        word = self.chance.choice(["start", "stop", "kill", "restart", "pause", "unpause", "rm", "rm", "logs", "inspect", "diff"])
        flags = {"stop": ["-t", "0"], "restart": ["-t", "0"], "rm": self.chance.choice([["-f"], ["-f", "-v"], []])}.get(word, [])
        outcome = self.call(word, *flags, self.shared())
        if word == "logs":
            outcome.acknowledged = True

    def execute(self):
        outcome = self.call("exec", self.shared(), "true")
        outcome.acknowledged = outcome.status in (0, 137)  # it may die with its container

    def rename(self):
        self.call("rename", self.shared(), self.shared())

    def copy(self):
        self.call("cp", "/etc/hostname", f"{self.shared()}:/tmp/copied")

    def look(self):
        self.call(*self.chance.choice([["ps", "-a"], ["volume", "ls"], ["network", "ls"], ["image", "ls"], ["stats", "--no-stream"]]))

    # --- networks, volumes and images that are nobody's

    def network(self):
        net = f"net-{self.chance.randrange(2)}"
        self.call("network", *self.chance.choice([["create", net], ["create", net], ["rm", net], ["connect", net, self.shared()],
                                                  ["disconnect", net, self.shared()]]))

    def volume(self):
        vol = f"vol-{self.chance.randrange(3)}"
        self.call("volume", *self.chance.choice([["create", vol], ["rm", vol]]))

    def image(self):
        tag = f"other:{self.chance.randrange(3)}"
        self.call("image", *self.chance.choice([["tag", "box:1", tag], ["rm", tag], ["load", "-q", "-i", self.storm.archive],
                                                ["create", "--from", "box:1", self.storm.more, tag]]))

    def remote(self):
        self.call(*self.chance.choice([["pull", "-q", self.storm.remote], ["pull", "-q", self.storm.remote], ["image", "rm", self.storm.remote],
                                       ["push", "-q", self.storm.remote]]))

    def commit(self):
        self.call("commit", self.shared(), f"other:{self.chance.randrange(3)}")

    def prune(self):
        self.call(*self.chance.choice([["container", "prune", "-f", "--filter", "label!=mine"], ["volume", "prune", "-f"],
                                       ["network", "prune", "-f"], ["image", "prune", "-f"]]))

    # --- what must not be lost: it has a name that no other worker knows

    def own_container(self):
        name = self.name("mine")
        running = self.chance.random() < 0.5
        flags = ["-l", "mine", "--network", "none", "-v", "/anonymous"]
        if running:
            outcome = self.call("run", "-d", "--name", name, *flags, "box:1", "sh", "-c", "echo kept >/anonymous/file; exec sleep 1000")
        else:
            outcome = self.call("create", "--name", name, *flags, "box:1", "true")
        if re.fullmatch(r"[0-9a-f]{64}\n", outcome.out):
            self.containers[name] = (outcome.out.strip(), running)

    def own_volume(self):
        name, text = self.name("mine"), f"text of {self.number}.{self.serial}"
        outcome = self.call("run", "--rm", "--network", "none", "-v", f"{name}:/data", "box:1", "sh", "-c", f"echo {text} >/data/file && echo done")
        if outcome.out == "done\n":
            self.volumes[name] = text

    def own_image(self):
        name = f"mine:{self.number}.{self.serial}"
        self.serial += 1
        if self.call("image", "tag", "box:1", name).status == 0:
            self.images[name] = self.storm.box
        made = f"made:{self.number}.{self.serial}"
        outcome = self.call("image", "create", "--from", "box:1", self.storm.more, made)
        if outcome.out.startswith("sha256:"):
            self.images[made] = outcome.out.strip()

    def own_logs(self):
        name = self.name("logs")
        outcome = self.call("run", "-d", "--name", name, "-l", "mine", "--network", "none", "box:1", "seq", "1", LINES)
        if outcome.out.strip():
            self.logs[name] = outcome.out.strip()
            self.call("wait", name)

    def own_removal(self):
        """Whether a killed removal was done is not known; one that is acknowledged is."""
        if not self.containers:
            return
        name = self.chance.choice(sorted(self.containers))
        self.call("rm", "-f", "-v", name)
        del self.containers[name]

    STEPS = ([run_detached] * 12 + [run_attached] * 3 + [create] * 4 + [change] * 16 + [execute] * 4 + [rename] * 2 + [copy] * 2 + [look] * 3
             + [network] * 6 + [volume] * 4 + [image] * 4 + [remote] * 4 + [commit] * 2 + [prune] * 5
             + [own_container] * 6 + [own_volume] * 4 + [own_image] * 3 + [own_logs] * 3 + [own_removal] * 3)


class Storm(SystemTest):
    def setUp(self):
        super().setUp()
        self.world = World(tempfile.mkdtemp(prefix="storm-", dir=sandbox.scratch()))
        self.addCleanup(self.world.close)
        self.box = self.world.make_image("box:1")
        self.more = self.folder / "more"
        self.more.mkdir()
        (self.more / "more").write_text("more")
        self.archive = self.folder / "box.tar"
        self.world.call("image", "save", "-o", self.archive, "box:1")
        self.registry = Registry(self.folder / "registry")
        self.addCleanup(self.registry.stop)
        self.remote = f"{self.registry.where}/big:1"
        files = self.folder / "files"
        files.mkdir()
        (files / "big").write_bytes(random.Random(SEED).randbytes(3_000_000))
        self.world.call("image", "create", files, self.remote)
        self.world.call("push", self.remote)
        self.world.call("image", "rm", self.remote)
        # All that is made once and stays.
        self.world.call("network", "create", "first")
        self.world.call("run", "--rm", "-p", "7000:80", "box:1", "true")
        self.world.call("run", "--rm", "--network", "first", "-v", "/anonymous", "box:1", "true")
        self.world.remove_all(images=False)
        self.clean = self.world.picture()

    def _check_nothing_left(self):
        pass  # world.stray() looks closer

    def test_nothing_is_lost_and_nothing_left(self):
        self.killer = Killer(self.world, random.Random(SEED))
        workers = [Worker(number, self) for number in range(WORKERS)]
        begin = time.monotonic()
        self.killer.start()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        self.killer.done.set()
        self.killer.join()
        outcomes = [outcome for worker in workers for outcome in worker.outcomes]
        killed = sum(outcome.killed for outcome in outcomes)
        print(f"({len(outcomes)} commands in {time.monotonic() - begin:.0f} s, {killed} of them and {len(self.killer.times)} of their"
              f" helpers and containers killed) ", end="", file=sys.stderr)
        if os.environ.get("PROA_STORM_TALLY"):
            self.tally(outcomes)
        self.assertEqual([], [worker.broken for worker in workers if worker.broken])
        with self.subTest("errors"):
            self.check_errors(outcomes)
        self.check_kept(workers)
        self.check_names()
        self.check_store()
        self.check_nothing_left()

    @staticmethod
    def tally(outcomes):
        """How often each command succeeded, was refused, was killed."""
        rows = {}
        for o in outcomes:
            row = rows.setdefault(" ".join(o.args[:2 if o.args[0] in ("container", "network", "volume", "image") else 1]), [0, 0, 0])
            row[2 if o.killed else 0 if o.status == 0 else 1] += 1
        for verb, row in sorted(rows.items()):
            print(f"  {verb}: {row}", file=sys.stderr)

    def check_errors(self, outcomes):
        """A command that nobody disturbed succeeds, or is refused for a reason that there is in a crowd."""
        strange = [f"{' '.join(map(str, o.args))}: {o.status} {o.err.strip()}" for o in outcomes
                   if not o.killed and not o.acknowledged and not EXPECTED.search(o.err) and not self.killer.near(o)]
        self.assertEqual([], strange)

    def check_kept(self, workers):
        there = {row["Names"]: row for row in map(json.loads, self.world.call("ps", "-a", "--no-trunc", "--format", "json").stdout.splitlines())}
        images = set(self.world.lines("image", "ls", "--format", "{{.Repository}}:{{.Tag}}"))
        for worker in workers:
            for name, (ident, running) in worker.containers.items():
                with self.subTest(container=name):
                    self.assertEqual(ident, there[name]["ID"])
                    if running and ident not in self.killer.shims | self.killer.first:
                        self.assertEqual("kept\n", self.world.call("exec", name, "cat", "/anonymous/file").stdout)
            for name, text in worker.volumes.items():
                with self.subTest(volume=name):
                    out = self.world.call("run", "--rm", "--network", "none", "-v", f"{name}:/data", "box:1", "cat", "/data/file").stdout
                    self.assertEqual(f"{text}\n", out)
            for name in worker.images:
                with self.subTest(image=name):
                    self.assertIn(name, images)
                    self.assertEqual("works\n", self.world.call("run", "--rm", "--network", "none", name, "echo", "works").stdout)
            for name, ident in worker.logs.items():
                with self.subTest(logs=name):
                    self.assertIn(name, there)
                    if ident in self.killer.shims | self.killer.first:
                        continue
                    look = lambda field, name=name: self.world.call("inspect", "-f", "{{.State." + field + "}}", name).stdout.strip()
                    until(lambda: look("Status") == "exited", "the end")
                    self.assertEqual("".join(f"{i}\n" for i in range(1, LINES + 1)), self.world.call("logs", name).stdout)

    def check_names(self):
        """One container of a name; each is found by it."""
        rows = [row.split() for row in self.world.call("ps", "-a", "--no-trunc", "--format", "{{.ID}} {{.Names}}").stdout.splitlines()]
        names = [name for _, name in rows]
        self.assertEqual(sorted(set(names)), sorted(names))
        for ident, name in rows:
            done = self.world.call("inspect", "-f", "{{.Id}}", name, check=False)
            if done.returncode == 0:
                self.assertEqual(ident, done.stdout.strip())
            else:
                self.assertIn("No such container", done.stderr)  # it removed itself meanwhile

    def check_store(self):
        """Each name leads to whole content, and each image can be read."""
        image.check_store(self.world.data / "images")
        self.world.call("image", "prune", "-f")
        image.check_index(self.world.data / "images")
        for name in self.world.lines("image", "ls", "--format", "{{.Repository}}:{{.Tag}}"):
            if not name.startswith("<none>"):
                self.world.call("image", "export", "-o", "/dev/null", name)

    def check_nothing_left(self):
        self.world.remove_all(images=False)
        for name in self.world.lines("image", "ls", "--format", "{{.Repository}}:{{.Tag}}"):
            if name != "box:1":
                self.world.call("image", "rm", name)
        self.world.drop_parts()
        left = self.world.stray(self.clean, patience=15)
        if left:
            self.fail("\n  ".join(["left behind:", *left]))
        self.world.call("image", "rm", "box:1")
        self.world.call("image", "prune", "--all", "-f")
        for folder in ("blobs/sha256", "layers", "snapshots", "leases", "trash", "refs"):
            self.assertEqual([], os.listdir(self.world.data / "images" / folder), folder)
        for folder in ("containers", "names", "trash"):
            self.assertEqual([], os.listdir(self.world.data / folder), folder)


if __name__ == "__main__":
    main()
