#!/usr/bin/env python3
"""podman runs its containers with the runtime under test."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib import image, limits  # noqa: E402
from lib.case import command, main, until  # noqa: E402
from lib.client import DEAF, OUTPUTS, SERVICE, ClientTest, terminal, tool  # noqa: E402

MIB = 1 << 20


class Podman(ClientTest):
    kept = (r"/libpod_parent(/conmon)?$", r"^file /run/containers/", r"^mount /run/netns ", r"^mount .*/storage/overlay ")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.podman("import", image.root_archive(cls.root, cls.home / "root.tar"), image.NAME)

    @classmethod
    def argv(cls, *args):
        return [tool("podman"), "--root", cls.home / "storage", "--runroot", cls.home / "run", "--tmpdir", cls.home / "tmp",
                "--storage-driver", "overlay", "--runtime", cls.binary, "--cgroup-manager", "cgroupfs",
                "--events-backend", "file", "--conmon", tool("conmon"), *args]

    @classmethod
    def podman(cls, *args, **kwargs):
        return command(*cls.argv(*args), **kwargs)

    def run_box(self, *args, network="none", **kwargs):
        return self.podman("run", "--rm", "--network", network, *args, **kwargs)

    def start(self, name, script, *options):
        """A container in the background that has begun to run its script."""
        self.podman("run", "-d", "--name", name, "--network", "none", *options, image.NAME, "sh", "-c", script)
        self.addCleanup(self.podman, "rm", "-f", "-t", "0", name, check=False)
        until(lambda: "started" in self.podman("logs", name).stdout, "the container's first line")

    def inspect(self, name, field):
        return self.podman("inspect", "--format", "{{" + field + "}}", name).stdout.strip()

    def pid(self, name):
        return int(self.inspect(name, ".State.Pid"))

    # run

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

    def test_run_with_volumes(self):
        (self.folder / "shared").mkdir()
        done = self.run_box("-v", f"{self.folder}/shared:/rw", "-v", f"{self.folder}/shared:/ro:ro", "--tmpfs", "/scratch:size=1m",
                            image.NAME, "sh", "-c", "echo kept > /rw/file; cat /ro/file; touch /ro/x || echo refused; "
                            "grep -c ' /scratch tmpfs ' /proc/mounts")
        self.assertEqual(["kept", "refused", "1"], done.stdout.split())
        self.assertEqual("kept\n", (self.folder / "shared/file").read_text())

    def test_run_on_a_bridge(self):
        done = self.run_box(image.NAME, "sh", "-c", "ip -o -4 addr show eth0 | wc -l", network="bridge")
        self.assertEqual("1\n", done.stdout)

    def test_run_in_a_user_namespace(self):
        done = self.run_box("--uidmap", "0:100000:5000", "--gidmap", "0:100000:5000", image.NAME, "cat", "/proc/self/uid_map")
        self.assertEqual(["0", "100000", "5000"], done.stdout.split())

    def test_run_names_a_missing_program(self):
        done = self.run_box(image.NAME, "/no/such/program", check=False)
        self.assertEqual(127, done.returncode)
        self.assertIn("/no/such/program", done.stderr)

    def test_run_joins_namespaces(self):
        self.start("web", SERVICE, "--hostname", "web")
        done = self.run_box("--pid", "container:web", "--ipc", "container:web", image.NAME, "sh", "-c",
                            "readlink /proc/self/ns/ipc; readlink /proc/1/ns/pid; tr '\\0' ' ' </proc/1/cmdline", network="container:web")
        ours = [(Path(f"/proc/{self.pid('web')}/ns") / kind).readlink().name for kind in ("ipc", "pid")]
        self.assertEqual(ours, done.stdout.split()[:2])
        self.assertIn("echo started", done.stdout)

    # exec

    def test_exec(self):
        self.start("web", SERVICE)
        done = self.podman("exec", "web", "sh", "-c", f"{OUTPUTS}; exit 4", check=False)
        self.assertEqual((4, "to-stdout\n", "to-stderr\n"), (done.returncode, done.stdout, done.stderr))
        done = self.podman("exec", "-u", "1000", "-e", "COLOR=red", "-w", "/tmp", "web", "sh", "-c", "id -u; echo $COLOR; pwd")
        self.assertEqual(["1000", "red", "/tmp"], done.stdout.split())
        self.assertEqual("/dev/pts/0", terminal(*self.argv("exec", "-t", "web", "tty")).stdout.strip())
        self.assertEqual("1\n", self.podman("exec", "web", "sh", "-c", "ls -d /proc/1 | wc -l").stdout)

    def test_exec_detached(self):
        self.start("web", SERVICE)
        self.podman("exec", "-d", "web", "sh", "-c", "echo done > /tmp/file")
        until(lambda: "done" in self.podman("exec", "web", "cat", "/tmp/file", check=False).stdout, "the detached exec")

    # limit

    def test_limits_are_set_and_updated(self):
        self.start("web", SERVICE, "--memory", "64m", "--memory-swap", "96m", "--cpus", "0.5", "--pids-limit", "50")
        self.assertEqual(limits.Limits(64 * MIB, 96 * MIB, 0.5, 50), limits.of(self.pid("web")))
        self.podman("update", "--memory", "48m", "--cpus", "0.25", "web")
        now = limits.of(self.pid("web"))
        self.assertEqual((48 * MIB, 0.25), (now.memory, now.cpus))

    def test_memory_limit_is_enforced(self):
        done = self.run_box("--memory", "16m", "--memory-swap", "16m", image.NAME, "dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1",
                            check=False)
        self.assertEqual(137, done.returncode, done.stderr)

    def test_process_limit_is_enforced(self):
        done = self.run_box("--pids-limit", "8", image.NAME, "sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do sleep 100 & done", check=False)
        self.assertIn("can't fork", done.stderr)

    # pause

    def test_pause_and_unpause(self):
        self.start("web", SERVICE)
        self.podman("pause", "web")
        self.assertEqual("paused", self.inspect("web", ".State.Status"))
        self.assertTrue(limits.frozen(self.pid("web")))
        self.assertNotEqual(0, self.podman("exec", "web", "true", check=False).returncode)
        self.podman("unpause", "web")
        self.assertEqual("running", self.inspect("web", ".State.Status"))
        self.assertFalse(limits.frozen(self.pid("web")))
        self.podman("exec", "web", "true")

    # stop, kill, logs, remove

    def test_stop_lets_it_end_by_itself(self):
        self.start("web", SERVICE)
        self.podman("stop", "-t", "30", "web")
        self.assertEqual("3 exited", self.inspect("web", ".State.ExitCode") + " " + self.inspect("web", ".State.Status"))
        self.assertEqual("started\nending\n", self.podman("logs", "web").stdout)

    def test_stop_kills_the_deaf(self):
        self.start("web", DEAF)
        self.podman("stop", "-t", "1", "web")
        self.assertEqual("137", self.inspect("web", ".State.ExitCode"))

    def test_kill_sends_a_signal(self):
        self.start("web", 'trap "echo usr1" USR1; echo started; while :; do sleep 0.05; done')
        self.podman("kill", "-s", "USR1", "web")
        until(lambda: "usr1" in self.podman("logs", "web").stdout, "the signal's effect")
        self.podman("kill", "web")
        until(lambda: self.inspect("web", ".State.ExitCode") == "137", "the container's end")

    def test_restart(self):
        self.start("web", SERVICE)
        first = self.pid("web")
        self.podman("restart", "-t", "30", "web")
        self.assertNotEqual(first, self.pid("web"))
        until(lambda: self.podman("logs", "web").stdout.count("started") == 2, "the second start")

    def test_top_and_stats(self):
        self.start("web", SERVICE)
        self.assertIn("echo started", self.podman("top", "web", "args").stdout)
        self.assertEqual("web", self.podman("stats", "--no-stream", "--format", "{{.Name}}", "web").stdout.strip())

    def test_remove(self):
        self.start("web", SERVICE)
        self.assertNotEqual(0, self.podman("rm", "web", check=False).returncode)
        self.podman("rm", "-f", "-t", "0", "web")
        self.assertEqual("", self.podman("ps", "-aq").stdout)


if __name__ == "__main__":
    main()
