#!/usr/bin/env python3
"""podman runs its containers with the runtime under test."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib import image, limits  # noqa: E402
from lib.case import main, until  # noqa: E402
from lib.client import DEAF, OUTPUTS, SERVICE, ClientTest, terminal, tool  # noqa: E402
from lib.docker_line import DockerLine  # noqa: E402

MIB = 1 << 20


class Podman(DockerLine, ClientTest):
    now = ("-t", "0")
    kept = (r"/libpod_parent(/conmon)?$", r"^file /run/containers/", r"^mount /run/netns ", r"^mount .*/storage/overlay ")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.client("import", image.root_archive(cls.root, cls.home / "root.tar"), image.NAME)

    @classmethod
    def argv(cls, *args):
        return [tool("podman"), "--root", cls.home / "storage", "--runroot", cls.home / "run", "--tmpdir", cls.home / "tmp",
                "--storage-driver", "overlay", "--runtime", cls.binary, "--cgroup-manager", "cgroupfs",
                "--events-backend", "file", "--conmon", tool("conmon"), *args]

    # run

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
        done = self.client("exec", "web", "sh", "-c", f"{OUTPUTS}; exit 4", check=False)
        self.assertEqual((4, "to-stdout\n", "to-stderr\n"), (done.returncode, done.stdout, done.stderr))
        done = self.client("exec", "-u", "1000", "-e", "COLOR=red", "-w", "/tmp", "web", "sh", "-c", "id -u; echo $COLOR; pwd")
        self.assertEqual(["1000", "red", "/tmp"], done.stdout.split())
        self.assertEqual("/dev/pts/0", terminal(*self.argv("exec", "-t", "web", "tty")).stdout.strip())
        self.assertEqual("1\n", self.client("exec", "web", "sh", "-c", "ls -d /proc/1 | wc -l").stdout)

    # limit

    def test_limits_are_set_and_updated(self):
        self.start("web", SERVICE, "--memory", "64m", "--memory-swap", "96m", "--cpus", "0.5", "--pids-limit", "50")
        self.assertEqual(limits.Limits(64 * MIB, 96 * MIB, 0.5, 50), limits.of(self.pid("web")))
        self.client("update", "--memory", "48m", "--cpus", "0.25", "web")
        now = limits.of(self.pid("web"))
        self.assertEqual((48 * MIB, 0.25), (now.memory, now.cpus))

    # stop, kill, logs, remove

    def test_kill_sends_a_signal(self):
        self.start("web", 'trap "echo usr1" USR1; echo started; while :; do sleep 0.05; done')
        self.client("kill", "-s", "USR1", "web")
        until(lambda: "usr1" in self.client("logs", "web").stdout, "the signal's effect")
        self.client("kill", "web")
        until(lambda: self.inspect("web", ".State.ExitCode") == "137", "the container's end")

    def test_top_and_stats(self):
        self.start("web", SERVICE)
        self.assertIn("echo started", self.client("top", "web", "args").stdout)
        self.assertEqual("web", self.client("stats", "--no-stream", "--format", "{{.Name}}", "web").stdout.strip())


if __name__ == "__main__":
    main()
