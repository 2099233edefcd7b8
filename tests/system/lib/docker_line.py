"""What a client of Docker's command line sees of its containers, whichever engine is behind it."""

from . import image, limits
from .case import command, until
from .client import DEAF, OUTPUTS, SERVICE, terminal


class DockerLine:
    """For a ClientTest whose class has argv(*words): the client's whole command line."""

    now = ()  # flags that make `rm -f` not wait

    @classmethod
    def client(cls, *args, **kwargs):
        return command(*cls.argv(*args), **kwargs)

    def run_box(self, *args, network="none", **kwargs):
        return self.client("run", "--rm", "--network", network, *args, **kwargs)

    def start(self, name, script, *options, network="none"):
        """A container in the background that has begun to run its script."""
        self.client("run", "-d", "--name", name, "--network", network, *options, image.NAME, "sh", "-c", script)
        self.addCleanup(self.client, "rm", "-f", *self.now, name, check=False)
        until(lambda: "started" in self.client("logs", name).stdout, "the container's first line")

    def inspect(self, name, field):
        return self.client("inspect", "--format", "{{" + field + "}}", name).stdout.strip()

    def pid(self, name):
        return int(self.inspect(name, ".State.Pid"))

    def test_run_shows_output_and_status(self):
        done = self.run_box(image.NAME, "sh", "-c", f"{OUTPUTS}; exit 7", check=False)
        self.assertEqual((7, "to-stdout\n", "to-stderr\n"), (done.returncode, done.stdout, done.stderr))

    def test_run_reads_input(self):
        source = self.folder / "input"
        source.write_text("one\ntwo\n")
        with open(source) as file:
            self.assertEqual("2\n", self.run_box("-i", image.NAME, "wc", "-l", stdin=file).stdout)

    def test_run_on_a_terminal(self):
        done = terminal(*self.argv("run", "--rm", "-t", "--network", "none", image.NAME, "sh", "-c", "test -t 0 && tty"))
        self.assertEqual("/dev/pts/0", done.stdout.strip())

    def test_run_as_user_with_environment_and_folder(self):
        done = self.run_box("--user", "1000:1000", "--env", "COLOR=blue", "--workdir", "/tmp", image.NAME,
                            "sh", "-c", "id -u; id -g; echo $COLOR; pwd")
        self.assertEqual(["1000", "1000", "blue", "/tmp"], done.stdout.split())

    def test_run_is_confined(self):
        done = self.run_box("--read-only", "--cap-drop", "all", "--security-opt", "no-new-privileges", image.NAME, "sh", "-c",
                            "grep -E '^(CapEff|Seccomp|NoNewPrivs):' /proc/self/status; touch /made || echo read-only")
        self.assertEqual({"CapEff:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2", "read-only"},
                         set(done.stdout.strip().splitlines()))

    def test_run_names_a_missing_program(self):
        done = self.run_box(image.NAME, "/no/such/program", check=False)
        self.assertEqual(127, done.returncode)
        self.assertIn("/no/such/program", done.stderr)

    def test_exec_detached(self):
        self.start("web", SERVICE)
        self.client("exec", "-d", "web", "sh", "-c", "echo done > /tmp/file")
        until(lambda: "done" in self.client("exec", "web", "cat", "/tmp/file", check=False).stdout, "the detached exec")

    def test_memory_limit_is_enforced(self):
        done = self.run_box("--memory", "16m", "--memory-swap", "16m", image.NAME, "dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1",
                            check=False)
        self.assertEqual(137, done.returncode, done.stderr)

    def test_process_limit_is_enforced(self):
        done = self.run_box("--pids-limit", "8", image.NAME, "sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do sleep 100 & done", check=False)
        self.assertIn("can't fork", done.stderr)

    def test_pause_and_unpause(self):
        self.start("web", SERVICE)
        self.client("pause", "web")
        self.assertEqual("paused", self.inspect("web", ".State.Status"))
        self.assertTrue(limits.frozen(self.pid("web")))
        self.assertNotEqual(0, self.client("exec", "web", "true", check=False).returncode)
        self.client("unpause", "web")
        self.assertEqual("running", self.inspect("web", ".State.Status"))
        self.assertFalse(limits.frozen(self.pid("web")))
        self.client("exec", "web", "true")

    def test_stop_lets_it_end_by_itself(self):
        self.start("web", SERVICE)
        self.client("stop", "-t", "30", "web")
        self.assertEqual("3 exited", self.inspect("web", ".State.ExitCode") + " " + self.inspect("web", ".State.Status"))
        self.assertEqual("started\nending\n", self.client("logs", "web").stdout)

    def test_stop_kills_the_deaf(self):
        self.start("web", DEAF)
        self.client("stop", "-t", "1", "web")
        self.assertEqual("137", self.inspect("web", ".State.ExitCode"))

    def test_restart(self):
        self.start("web", SERVICE)
        first = self.pid("web")
        self.client("restart", "-t", "30", "web")
        self.assertNotEqual(first, self.pid("web"))
        until(lambda: self.client("logs", "web").stdout.count("started") == 2, "the second start")

    def test_remove(self):
        self.start("web", SERVICE)
        self.assertNotEqual(0, self.client("rm", "web", check=False).returncode)
        self.client("rm", "-f", *self.now, "web")
        self.assertEqual("", self.client("ps", "-aq").stdout)
