#!/usr/bin/env python3
"""dockerd runs its containers with the runtime under test."""

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib import image, limits  # noqa: E402
from lib.case import main, until  # noqa: E402
from lib.client import DEAF, OUTPUTS, SERVICE, DaemonTest, terminal, tool  # noqa: E402
from lib.docker_line import DockerLine  # noqa: E402

MIB = 1 << 20


class Dockerd(DockerLine, DaemonTest):
    # The parent group, the shims' folders, the namespace of containers without a network and the host's, made once.
    kept = (r"^cgroup /.*/docker$", r"^file /run/(containerd/s|docker/(plugins|netns))$", r"/netns/default\b")

    @classmethod
    def daemon(cls):
        settings = {
            "data-root": str(cls.home / "data"), "exec-root": str(cls.home / "exec"), "pidfile": str(cls.home / "dockerd.pid"),
            "hosts": [f"unix://{cls.home}/dockerd.sock"], "runtimes": {"tested": {"path": str(cls.binary)}},
            "default-runtime": "tested", "userland-proxy": False, "exec-opts": ["native.cgroupdriver=cgroupfs"],
        }
        (cls.home / "daemon.json").write_text(json.dumps(settings))
        os.environ["DOCKER_CONFIG"] = str(cls.home / "config")
        return [tool("dockerd"), "--config-file", cls.home / "daemon.json"]

    @classmethod
    def answers(cls):
        return cls.client("version", check=False).returncode == 0

    @classmethod
    def prepare(cls):
        cls.client("import", image.root_archive(cls.root, cls.home / "root.tar"), image.NAME)

    @classmethod
    def argv(cls, *args):
        return [tool("docker"), "--host", f"unix://{cls.home}/dockerd.sock", *args]

    # run

    def test_run_uses_the_tested_runtime(self):
        self.start("web", SERVICE)
        self.assertEqual("tested", self.inspect("web", ".HostConfig.Runtime"))

    def test_run_with_volumes_and_init(self):
        (self.folder / "shared").mkdir()
        done = self.run_box("--init", "-v", f"{self.folder}/shared:/rw", "-v", f"{self.folder}/shared:/ro:ro", "--tmpfs", "/scratch",
                            image.NAME, "sh", "-c", "echo kept > /rw/file; cat /ro/file; touch /ro/x || echo refused; "
                            "grep -c ' /scratch tmpfs ' /proc/mounts; cat /proc/1/comm")
        self.assertEqual(["kept", "refused", "1", "docker-init"], done.stdout.split())
        self.assertEqual("kept\n", (self.folder / "shared/file").read_text())

    def test_run_on_a_bridge(self):
        self.start("web", "echo served > /tmp/page; echo started; httpd -f -h /tmp", "-p", "127.0.0.1:8080:80", network="bridge")
        page = f"http://{self.inspect('web', '.NetworkSettings.IPAddress')}/page"
        until(lambda: self.run_box(image.NAME, "wget", "-qO-", page, network="bridge", check=False).stdout == "served\n",
              "the page from the other container")

    def test_run_on_the_host_network(self):
        done = self.run_box(image.NAME, "readlink", "/proc/self/ns/net", network="host")
        self.assertEqual(os.readlink("/proc/self/ns/net"), done.stdout.strip())

    def test_run_joins_namespaces(self):
        self.start("web", SERVICE, "--ipc", "shareable")
        done = self.run_box("--pid", "container:web", "--ipc", "container:web", image.NAME, "sh", "-c",
                            "readlink /proc/self/ns/ipc; readlink /proc/1/ns/pid; tr '\\0' ' ' </proc/1/cmdline", network="container:web")
        ours = [os.readlink(f"/proc/{self.pid('web')}/ns/{kind}") for kind in ("ipc", "pid")]
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
        done = self.client("exec", "web", "/no/such/program", check=False)
        self.assertIn(done.returncode, (126, 127))

    def test_health_check(self):
        self.start("web", SERVICE, "--health-cmd", "true", "--health-interval", "1s")
        until(lambda: self.inspect("web", ".State.Health.Status") == "healthy", "the health check")

    # limit

    def test_limits_are_set_and_updated(self):
        self.start("web", SERVICE, "--memory", "64m", "--memory-swap", "96m", "--cpus", "0.5", "--pids-limit", "50")
        self.assertEqual(limits.Limits(64 * MIB, 96 * MIB, 0.5, 50), limits.of(self.pid("web")))
        self.client("update", "--memory", "48m", "--memory-swap", "56m", "--cpus", "0.25", "--pids-limit", "40", "web")
        self.assertEqual(limits.Limits(48 * MIB, 56 * MIB, 0.25, 40), limits.of(self.pid("web")))

    def test_memory_exhaustion_is_told(self):
        # In a second process, later: what happens right at the start, or with the end, dockerd may not be told in time.
        self.start("web", SERVICE, "--memory", "16m", "--memory-swap", "16m")
        done = self.client("exec", "web", "dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1", check=False)
        self.assertEqual(137, done.returncode, done.stderr)
        until(lambda: "container oom" in self.client("events", "--since", "10m", "--until", "0s", "--filter", "container=web").stdout,
              "the event")
        # The kernel may have chosen the container's first process too.
        self.client("kill", "web", check=False)
        until(lambda: self.inspect("web", ".State.Running") == "false", "the end")
        self.assertEqual("true", self.inspect("web", ".State.OOMKilled"))

    # stop, kill, logs, remove

    def test_kill_sends_a_signal(self):
        self.start("web", 'trap "echo usr1" USR1; echo started; while :; do sleep 0.05; done')
        self.client("kill", "-s", "USR1", "web")
        until(lambda: "usr1" in self.client("logs", "web").stdout, "the signal's effect")
        self.client("kill", "web")
        self.assertEqual("137\n", self.client("wait", "web").stdout)

    def test_top_and_stats(self):
        self.start("web", SERVICE, "--memory", "64m")
        self.assertIn("echo started", self.client("top", "web").stdout)
        self.assertIn("64MiB", self.client("stats", "--no-stream", "--format", "{{.MemUsage}}", "web").stdout)


if __name__ == "__main__":
    main()
