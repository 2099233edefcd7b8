#!/usr/bin/env python3
"""containerd's shim runs its containers with the runtime under test, driven by ctr."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib import image, limits  # noqa: E402
from lib.bundle import default_config  # noqa: E402
from lib.case import command, main, until  # noqa: E402
from lib.client import DEAF, OUTPUTS, SERVICE, DaemonTest, terminal, tool  # noqa: E402

MIB = 1 << 20
SETTINGS = """version = 2
root = "{home}/lib"
state = "{home}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs"]
[grpc]
  address = "{home}/containerd.sock"
[ttrpc]
  address = "{home}/containerd.sock.ttrpc"
"""


class Containerd(DaemonTest):
    # The parent group of a namespace's containers and the shims' folders stay for the next container; ctr forgets the
    # pipes of a detached exec.
    kept = (r"^cgroup /.*/default$", r"^file /run/containerd/(s|fifo|runc|runc/default)$", r"^file /run/containerd/fifo/")

    @classmethod
    def daemon(cls):
        (cls.home / "config.toml").write_text(SETTINGS.format(home=cls.home))
        return [tool("containerd"), "--config", cls.home / "config.toml"]

    @classmethod
    def answers(cls):
        return cls.ctr("version", check=False).returncode == 0

    @classmethod
    def prepare(cls):
        cls.ctr("images", "import", image.oci_archive(cls.root, cls.home / "image.tar"))

    @classmethod
    def argv(cls, *args):
        return [tool("ctr"), "--address", cls.home / "containerd.sock", *args]

    @classmethod
    def ctr(cls, *args, **kwargs):
        return command(*cls.argv(*args), **kwargs)

    def run_argv(self, *args):
        return self.argv("run", "--runtime", "io.containerd.runc.v2", "--runc-binary", self.binary, *args)

    def run_box(self, *args, **kwargs):
        self.addCleanup(self.discard, "one")
        return command(*self.run_argv("--rm", *args), **kwargs)

    def start(self, name, script, *options, what=(image.NAME,)):
        """A task in the background that has begun to run its script; its output goes to a file of the test."""
        log = self.folder / f"{name}.log"
        process = ("sh", "-c", script) if what else ()
        command(*self.run_argv("-d", "--log-uri", f"file://{log}", *options, *what, name, *process))
        self.addCleanup(self.discard, name)
        until(lambda: log.exists() and "started" in log.read_text(), "the task's first line")
        return log

    def discard(self, name):
        self.ctr("task", "rm", "-f", name, check=False)
        self.ctr("container", "rm", name, check=False)

    def task(self, name):
        """(pid, status), or None."""
        for line in self.ctr("task", "ls").stdout.splitlines()[1:]:
            ident, pid, status = line.split()
            if ident == name:
                return int(pid), status
        return None

    # run

    def test_run_shows_output_and_status(self):
        done = self.run_box(image.NAME, "one", "sh", "-c", f"{OUTPUTS}; exit 7", check=False)
        self.assertEqual((7, "to-stdout\n"), (done.returncode, done.stdout))
        self.assertTrue(done.stderr.startswith("to-stderr\n"), done.stderr)

    def test_run_reads_input(self):
        source = self.folder / "input"
        source.write_text("one\ntwo\n")
        with open(source) as file:
            # Not to the end of the input: ctr tells the task of that only if it comes after the start.
            self.assertEqual("one\ntwo\n", self.run_box(image.NAME, "one", "head", "-n", "2", stdin=file).stdout)

    def test_run_on_a_terminal(self):
        self.addCleanup(self.discard, "one")
        done = terminal(*self.run_argv("--rm", "-t", image.NAME, "one", "sh", "-c", "test -t 0 && tty"))
        self.assertIn("/dev/pts/0", done.stdout)

    def test_run_is_confined(self):
        done = self.run_box("--read-only", "--seccomp", "--env", "COLOR=blue", "--cwd", "/tmp", image.NAME, "one", "sh", "-c",
                            "grep -E '^(Seccomp|NoNewPrivs):' /proc/self/status; echo $COLOR; pwd; touch /made || echo refused")
        self.assertEqual({"NoNewPrivs:\t1", "Seccomp:\t2", "blue", "/tmp", "refused"}, set(done.stdout.strip().splitlines()))

    def test_run_with_a_mount(self):
        (self.folder / "shared").mkdir()
        done = self.run_box("--mount", f"type=bind,src={self.folder}/shared,dst=/given,options=rbind:ro", image.NAME, "one",
                            "sh", "-c", "grep -c ' /given ro,' /proc/self/mountinfo; touch /given/x || echo refused")
        self.assertEqual(["1", "refused"], done.stdout.split())

    def test_run_names_a_missing_program(self):
        done = self.run_box(image.NAME, "one", "/no/such/program", check=False)
        self.assertNotEqual(0, done.returncode)
        self.assertIn("/no/such/program", done.stderr)

    def test_run_joins_a_namespace(self):
        self.start("web", SERVICE)
        pid, _ = self.task("web")
        done = self.run_box("--with-ns", f"network:/proc/{pid}/ns/net", image.NAME, "one", "readlink", "/proc/self/ns/net")
        self.assertEqual(Path(f"/proc/{pid}/ns/net").readlink().name, done.stdout.strip())

    # exec

    def exec_in(self, name, *args):
        """Runs another process in a task; `args` are ctr's options, then the command."""
        self.executed = getattr(self, "executed", 0) + 1
        return self.ctr("task", "exec", "--exec-id", f"exec-{self.executed}", *args[:-1], name, *args[-1], check=False)

    def exec_until(self, name, *args, gives):
        """The same until it gives (status, stdout, stderr): ctr may end before it has passed all output on."""
        def once():
            done = self.exec_in(name, *args)
            last[:] = [(done.returncode, done.stdout, done.stderr)]
            return last[0] == gives
        last = []
        try:
            until(once, "the whole output")
        except AssertionError:
            self.assertEqual(gives, last[0])

    def test_exec(self):
        self.start("web", SERVICE)
        self.exec_until("web", ["sh", "-c", OUTPUTS], gives=(0, "to-stdout\n", "to-stderr\n"))
        self.exec_until("web", "--user", "1000", "--cwd", "/tmp", ["sh", "-c", "id -u; pwd"], gives=(0, "1000\n/tmp\n", ""))
        self.assertEqual(4, self.exec_in("web", ["sh", "-c", "exit 4"]).returncode)
        terminals = []
        until(lambda: terminals.append(1) or "/dev/pts/0" in terminal(
            *self.argv("task", "exec", "-t", "--exec-id", f"terminal-{len(terminals)}", "web", "tty")).stdout, "the terminal's name")

    def test_exec_detached(self):
        self.start("web", SERVICE)
        self.ctr("task", "exec", "-d", "--exec-id", "first", "web", "sh", "-c", "echo done > /tmp/file")
        self.exec_until("web", ["cat", "/tmp/file"], gives=(0, "done\n", ""))

    # limit

    def test_limits_are_set(self):
        config = default_config("sh", "-c", SERVICE)
        config["root"]["path"] = str(self.root)
        config["linux"]["cgroupsPath"] = "/default/web"
        config["linux"]["resources"] |= {"memory": {"limit": 64 * MIB, "swap": 96 * MIB}, "pids": {"limit": 50},
                                         "cpu": {"quota": 50000, "period": 100000}}
        (self.folder / "config.json").write_text(json.dumps(config))
        self.start("web", SERVICE, "--config", self.folder / "config.json", what=())
        self.assertEqual(limits.Limits(64 * MIB, 96 * MIB, 0.5, 50), limits.of(self.task("web")[0]))

    def test_limits_from_the_command_line(self):
        self.start("web", SERVICE, "--memory-limit", str(64 * MIB), "--cpus", "0.5")
        now = limits.of(self.task("web")[0])
        self.assertEqual((64 * MIB, 0.5), (now.memory, now.cpus))
        metrics = dict(line.split(None, 1) for line in self.ctr("task", "metrics", "web").stdout.splitlines() if line.strip())
        self.assertEqual(str(64 * MIB), metrics["memory.limit_in_bytes"].strip())

    # pause

    def test_pause_and_resume(self):
        self.start("web", SERVICE)
        pid, _ = self.task("web")
        self.ctr("task", "pause", "web")
        self.assertEqual((pid, "PAUSED"), self.task("web"))
        self.assertTrue(limits.frozen(pid))
        self.ctr("task", "resume", "web")
        self.assertEqual((pid, "RUNNING"), self.task("web"))
        self.assertFalse(limits.frozen(pid))

    # stop, kill, logs, remove

    def test_term_lets_it_end_by_itself(self):
        log = self.start("web", SERVICE)
        self.ctr("task", "kill", "-s", "SIGTERM", "web")
        until(lambda: self.task("web")[1] == "STOPPED", "the task's end")
        self.assertIn("exit code 3", self.ctr("task", "rm", "web").stderr)
        self.assertEqual("started\nending\n", log.read_text())

    def test_kill_ends_the_deaf(self):
        self.start("web", DEAF)
        self.ctr("task", "kill", "-s", "SIGKILL", "web")
        until(lambda: self.task("web")[1] == "STOPPED", "the task's end")
        self.assertIn("exit code 137", self.ctr("task", "rm", "web").stderr)

    def test_kill_all(self):
        self.start("web", "sleep 1000 & echo started; wait")
        self.ctr("task", "kill", "--all", "-s", "SIGKILL", "web")
        until(lambda: self.task("web")[1] == "STOPPED", "the task's end")

    def test_ps_lists_all_processes(self):
        self.start("web", "sleep 1000 & echo started; wait")
        pid, _ = self.task("web")
        listed = {int(line.split()[0]) for line in self.ctr("task", "ps", "web").stdout.splitlines()[1:]}
        self.assertEqual({pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())}, listed)

    def test_remove(self):
        self.start("web", SERVICE)
        self.assertNotEqual(0, self.ctr("task", "rm", "web", check=False).returncode)
        self.ctr("task", "rm", "-f", "web", check=False)
        self.assertIsNone(self.task("web"))
        self.ctr("container", "rm", "web")
        self.assertEqual("", self.ctr("container", "ls", "-q").stdout)

    def test_remove_of_a_task_never_started(self):
        self.ctr("container", "create", "--runtime", "io.containerd.runc.v2", image.NAME, "idle", "sleep", "1000")
        self.ctr("container", "rm", "idle")


if __name__ == "__main__":
    main()
