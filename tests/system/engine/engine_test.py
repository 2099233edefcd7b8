#!/usr/bin/env python3
"""Containers without a daemon: `proa run` and its kin, as Docker's users know them."""

import fcntl
import io
import json
import os
import random
import select
import shutil
import signal
import struct
import subprocess
import sys
import tarfile
import tempfile
import termios
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib import bundle, runtime, sandbox  # noqa: E402
from lib.case import SystemTest, command, main, until  # noqa: E402
from lib.client import terminal  # noqa: E402
from lib.engine import EngineTest  # noqa: E402

COUNT = 'i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done'
PATIENT = 'trap "echo bye; exit 7" TERM; while :; do sleep 0.02; done'


class RunTest(EngineTest):
    def test_streams_and_status(self):
        done = self.once("sh", "-c", "echo out; echo err >&2; exit 3", check=False)
        self.assertEqual((3, "out\n", "err\n"), (done.returncode, done.stdout, done.stderr))
        self.assertEqual("", self.proa("ps", "-aq").stdout)

    def test_programs_that_cannot_run(self):
        missing = self.once("nope", check=False)
        self.assertEqual((127, 'proa: error: exec: "nope": executable file not found in $PATH\n'), (missing.returncode, missing.stderr))
        self.assertEqual(126, self.once("/etc/passwd", check=False).returncode)
        self.assertEqual(125, self.once("true", flags=("--memory", "1k"), check=False).returncode)
        self.assertEqual("", self.proa("ps", "-aq").stdout)

    def test_standard_input(self):
        done = self.once("wc", "-c", flags=("-i",), stdin=subprocess.PIPE, check=False) if False else subprocess.run(
            [runtime.path(), "run", "--rm", "-i", "--network", "none", "--rootfs", self.root, "wc", "-c"], env=self.env,
            input="x" * 3_000_000, text=True, capture_output=True, timeout=60)
        self.assertEqual("3000000", done.stdout.strip())
        self.assertEqual("", self.once("cat").stdout)

    def test_a_terminal(self):
        done = terminal(runtime.path(), "run", "--rm", "-it", "--network", "none", "--rootfs", self.root, "sh", "-c",
                        "tty; exit 4", env=self.env, check=False)
        self.assertEqual(4, done.returncode)
        self.assertIn("/dev/pts/0", done.stdout)

    def test_environment_user_and_folder(self):
        (self.folder / "env").write_text("# comment\nFROM_FILE=1\n")
        out = self.once("sh", "-c", "echo $FROM_FILE $GIVEN $CALLER $HOME $(pwd) $(id -u):$(id -g) $(hostname)",
                        flags=("--env-file", self.folder / "env", "-e", "GIVEN=2", "-e", "CALLER", "-u", "user", "-w",
                               "/home/new/folder", "-h", "box"), env=self.env | {"CALLER": "3"}).stdout
        self.assertEqual("1 2 3 /home /home/new/folder 1000:1000 box\n", out)
        shutil.rmtree(self.root / "home/new")

    def test_an_unknown_user(self):
        done = self.once("true", flags=("-u", "nobody-here"), check=False)
        self.assertEqual(125, done.returncode)
        self.assertIn("unable to find user nobody-here", done.stderr)

    def test_limits(self):
        out = self.once("sh", "-c", "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/pids/pids.max "
                        "/sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null || cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max; "
                        "ulimit -n", flags=("-m", "64m", "--pids-limit", "50", "--cpus", "0.5", "--ulimit", "nofile=512:1024")).stdout
        self.assertEqual(["67108864", "50", "50000", "512"], out.split())

    def test_capabilities_and_seccomp(self):
        caps = lambda *flags: int(self.once("sh", "-c", "grep CapEff /proc/self/status", flags=flags).stdout.split()[1], 16)
        self.assertEqual(0xa80425fb, caps())
        self.assertEqual(0, caps("--cap-drop", "ALL"))
        self.assertEqual(1 << 12, caps("--cap-drop", "ALL", "--cap-add", "NET_ADMIN"))
        self.assertNotEqual(0, self.once("unshare", "-m", "true", check=False).returncode)
        self.assertEqual(0, self.once("unshare", "-m", "true", flags=("--cap-add", "SYS_ADMIN")).returncode)
        self.assertEqual("Seccomp:\t0\n", self.once("grep", "Seccomp:", "/proc/self/status", flags=("--security-opt", "seccomp=unconfined")).stdout)
        self.assertNotEqual(0, self.once("true", flags=("--cap-add", "NONSENSE"), check=False).returncode)

    def test_privileged(self):
        out = self.once("sh", "-c", "ls /dev | wc -l; grep Seccomp: /proc/self/status; echo 0 >/proc/sys/net/ipv4/ip_forward && echo writable",
                        flags=("--privileged",)).stdout
        self.assertIn("Seccomp:\t0", out)
        self.assertIn("writable", out)

    def test_masked_paths(self):
        self.assertEqual("0\n", self.once("sh", "-c", "cat /proc/timer_list /proc/kcore | wc -c").stdout)
        self.assertNotEqual(0, self.once("sh", "-c", "echo 1 >/proc/sys/kernel/domainname", check=False).returncode)

    def test_read_only_and_tmpfs(self):
        done = self.once("sh", "-c", "touch /here 2>&1; touch /t/here && grep ' /t ' /proc/mounts",
                         flags=("--read-only", "--tmpfs", "/t:size=1m"), check=False)
        self.assertIn("Read-only file system", done.stdout)
        self.assertIn("size=1024k", done.stdout)
        self.assertIn("noexec", done.stdout)
        shutil.rmtree(self.root / "t")

    def test_init_reaps(self):
        script = "(sleep 0.1 &) ; sleep 0.4; ps -o stat | grep -c ^Z; cat /proc/1/comm"
        out = self.once("sh", "-c", script, flags=("--init",), check=False)
        self.assertEqual("0\ndocker-init\n", out.stdout, out.stderr)
        self.assertEqual(9, self.once("sh", "-c", "exit 9", flags=("--init",), check=False).returncode)

    def test_hosts_and_resolver(self):
        out = self.once("sh", "-c", "cat /etc/hosts /etc/resolv.conf; cat /etc/hostname",
                        flags=("--add-host", "db:10.0.0.9", "--dns", "10.0.0.53", "--dns-search", "example.org", "-h", "box")).stdout
        self.assertIn("10.0.0.9\tdb\n", out)
        self.assertIn("nameserver 10.0.0.53\n", out)
        self.assertIn("search example.org\n", out)
        self.assertTrue(out.endswith("box\n"))

    def test_cidfile(self):
        path = self.folder / "cid"
        self.once("true", flags=("--cidfile", path))
        self.assertEqual(64, len(path.read_text()))
        again = self.once("true", flags=("--cidfile", path), check=False)
        self.assertEqual(125, again.returncode)
        self.assertIn("container ID file found", again.stderr)

    def test_namespaces_of_others(self):
        self.start("first", "sleep", "1000")
        here = lambda kind: os.readlink(f"/proc/self/ns/{kind}")
        inside = lambda kind, *flags: self.proa("run", "--rm", *flags, "--rootfs", self.root, "readlink", f"/proc/self/ns/{kind}").stdout.strip()
        self.assertEqual(here("net"), inside("net", "--network", "host"))
        self.assertEqual(here("uts"), inside("uts", "--uts", "host", "--network", "none"))
        self.assertEqual(here("pid"), inside("pid", "--pid", "host", "--network", "none"))
        first = lambda kind: self.proa("exec", "first", "readlink", f"/proc/self/ns/{kind}").stdout.strip()
        self.assertEqual(first("net"), inside("net", "--network", "container:first"))
        self.assertEqual(first("pid"), inside("pid", "--pid", "container:first", "--network", "none"))
        self.proa("exec", "first", "touch", "/dev/shm/shared")
        self.assertEqual("shared\n", self.once("ls", "/dev/shm", flags=("--ipc", "container:first")).stdout)
        self.assertEqual(first("ipc"), inside("ipc", "--ipc", "container:first", "--network", "none"))

    def test_detach_and_attach(self):
        self.start("box", "sh", "-c", 'read line; echo "got $line"; exit 5', flags=("-i",))
        done = subprocess.run([runtime.path(), "attach", "box"], input="this\n", env=self.env, text=True, capture_output=True, timeout=30)
        self.assertEqual((5, "got this\n"), (done.returncode, done.stdout))

    def test_signals_are_passed_on(self):
        client = self.popen("run", "--rm", "--network", "none", "--rootfs", self.root, "sh", "-c", PATIENT.replace("; while", "; echo up; while"))
        self.assertEqual("up\n", client.stdout.readline())
        client.send_signal(signal.SIGTERM)
        out, _ = client.communicate(timeout=30)
        self.assertEqual((7, "bye\n"), (client.returncode, out))


class NetworkTest(EngineTest):
    def ignored_leftover(self, item):
        # The default network's bridge stays, and what is known of it.
        return super().ignored_leftover(item) or item.startswith("file ")

    def test_bridge_and_published_port(self):
        server = ("sh", "-c", "mkdir -p /tmp/www; echo page >/tmp/www/index.html; exec httpd -f -p 80 -h /tmp/www")
        self.proa("run", "-d", "--name", "web", "-p", "127.0.0.1:8080:80", "--rootfs", self.root, *server)
        self.assertEqual("80/tcp -> 127.0.0.1:8080\n", self.proa("port", "web").stdout)
        self.assertIn("127.0.0.1:8080->80/tcp", self.proa("ps").stdout)
        ip = self.look("web", "{{.NetworkSettings.IPAddress}}")
        fetch = lambda url: command("curl", "-s", "-m", "5", url, check=False).stdout
        until(lambda: fetch(f"http://{ip}/") == "page\n", "the page by its address")
        self.assertEqual("page\n", fetch("http://127.0.0.1:8080/"))
        out = self.proa("run", "--rm", "--rootfs", self.root, "sh", "-c", f"wget -qO- http://{ip}/; cat /etc/hosts; hostname -i").stdout
        self.assertTrue(out.startswith("page\n"), out)
        taken = self.proa("run", "--rm", "-p", "127.0.0.1:8080:80", "--rootfs", self.root, "true", check=False)
        self.assertEqual(125, taken.returncode)
        self.assertIn("port is already allocated", taken.stderr)
        self.proa("rm", "-f", "web")
        self.assertEqual("", fetch("http://127.0.0.1:8080/"))
        self.proa("run", "--rm", "-p", "127.0.0.1:8080:80", "--rootfs", self.root, "true")
        shutil.rmtree(self.root / "tmp/www")

    def test_names_on_a_network_of_ones_own(self):
        self.proa("network", "create", "blue")
        self.proa("run", "-d", "--name", "db", "--network", "blue", "--network-alias", "store", "--rootfs", self.root, "sleep", "1000")
        look = lambda name, *flags: self.proa("run", "--rm", *flags, "--rootfs", self.root, "nslookup", name, "127.0.0.11", check=False).stdout
        ip = json.loads(self.look("db", "{{json .NetworkSettings.Networks}}"))["blue"]["IPAddress"]
        self.assertIn(ip, look("db", "--network", "blue"))
        self.assertIn(ip, look("store", "--network", "blue"))
        self.proa("network", "create", "green")
        self.proa("network", "connect", "green", "db")
        self.assertIn("green", self.look("db", "{{json .NetworkSettings.Networks}}"))
        self.assertIn("eth1", self.proa("exec", "db", "ls", "/sys/class/net").stdout)
        self.proa("rename", "db", "base")
        self.assertIn(ip, look("base", "--network", "blue"))
        self.assertNotIn(ip, look("db", "--network", "blue"))
        self.proa("rename", "base", "db")
        self.proa("network", "disconnect", "green", "db")
        self.assertNotIn("eth1", self.proa("exec", "db", "ls", "/sys/class/net").stdout)
        self.assertNotEqual(0, self.proa("network", "rm", "blue", check=False).returncode)
        self.proa("rename", "db", "base")
        self.assertIn(ip, look("base", "--network", "blue"))
        self.assertNotIn(ip, look("db", "--network", "blue"))
        self.proa("rename", "base", "db")
        self.proa("rm", "-f", "db")
        self.proa("network", "rm", "blue", "green")

    def test_unknown_network(self):
        done = self.proa("run", "--rm", "--network", "nowhere", "--rootfs", self.root, "true", check=False)
        self.assertEqual(125, done.returncode)
        self.assertIn("network nowhere not found", done.stderr)


class SandboxTest(EngineTest):
    def ignored_leftover(self, item):
        # The default network's bridge stays, and what is known of it.
        return super().ignored_leftover(item) or item.startswith("file ")

    def remove_all(self):
        names = self.proa("sandbox", "ls", "-q", check=False).stdout.split()
        if names:
            self.proa("sandbox", "rm", "-f", *names, check=False)
        super().remove_all()

    def sandbox(self, name, *flags):
        return self.proa("sandbox", "create", *flags, name).stdout.strip()

    def inside(self, name, *args, flags=()):
        return self.proa("run", "--rm", "--sandbox", name, *flags, "--rootfs", self.root, *args).stdout

    def field(self, name, template):
        return self.proa("sandbox", "inspect", "-f", template, name).stdout.strip()

    def test_containers_share_namespaces(self):
        self.sandbox("pod", "--network", "none", "--hostname", "pod-host")
        for kind in ("net", "ipc", "uts"):
            link = [self.inside("pod", "readlink", f"/proc/self/ns/{kind}") for _ in range(2)]
            self.assertEqual(link[0], link[1], kind)
            self.assertNotEqual(os.readlink(f"/proc/self/ns/{kind}"), link[0].strip(), kind)
        holder = os.readlink(f"/proc/{self.field('pod', '{{.Pid}}')}/ns/pid")
        self.assertNotEqual(holder, self.inside("pod", "readlink", "/proc/self/ns/pid").strip())
        self.assertEqual("pod-host pod-host pod-host\n", self.inside("pod", "sh", "-c", "echo $(hostname) $HOSTNAME $(cat /etc/hostname)"))
        self.inside("pod", "touch", "/dev/shm/shared")
        self.assertEqual("shared\n", self.inside("pod", "ls", "/dev/shm"))
        self.assertEqual("", self.proa("ps", "-aq").stdout)

    def test_shared_processes_are_reaped(self):
        self.sandbox("pod", "--network", "none", "--share", "pid")
        self.proa("run", "-d", "--sandbox", "pod", "--network", "none", "--rootfs", self.root, "sleep", "1000")
        out = self.inside("pod", "sh", "-c", "(sh -c 'sleep 0.1' &); sleep 0.5; ps -o pid,stat,args", flags=("--network", "none"))
        self.assertIn("/pause", out)
        self.assertIn("sleep 1000", out)
        self.assertNotIn(" Z ", out)

    def test_network_and_ports(self):
        self.sandbox("pod", "-p", "127.0.0.1:8081:80")
        self.proa("run", "-d", "--name", "web", "--sandbox", "pod", "--rootfs", self.root, "sh", "-c",
                  "mkdir -p /tmp/pod; echo page >/tmp/pod/index.html; exec httpd -f -p 80 -h /tmp/pod")
        until(lambda: "page\n" == command("curl", "-s", "-m", "5", "http://127.0.0.1:8081/", check=False).stdout, "the page")
        self.assertEqual("page\n", self.inside("pod", "wget", "-qO-", "http://127.0.0.1/"))
        self.assertIn(self.field("pod", "{{(index .Networks \"bridge\").IPAddress}}"), self.proa("exec", "web", "cat", "/etc/hosts").stdout)
        shutil.rmtree(self.root / "tmp/pod")

    def test_life(self):
        pod = self.sandbox("pod", "--network", "none")
        box = self.proa("run", "-d", "--name", "box", "--sandbox", "pod", "--rootfs", self.root, "sleep", "1000").stdout.strip()
        self.assertEqual(box, self.field("pod", "{{(index .Containers 0).Id}}"))
        refused = self.proa("sandbox", "rm", "pod", check=False)
        self.assertEqual(1, refused.returncode)
        self.assertIn("it has 1 container", refused.stderr)
        self.assertIn("is a sandbox", self.proa("rm", "-f", "pod", check=False).stderr)
        self.proa("sandbox", "stop", "-t", "0", "pod")
        self.assertEqual(["exited", "exited"], [self.status("box"), self.field("pod", "{{.State}}")])
        self.assertIn("sandbox pod is not running", self.proa("start", "box", check=False).stderr)
        self.proa("sandbox", "start", "pod")
        self.proa("start", "box")
        self.assertEqual("running", self.status("box"))
        self.assertEqual("", self.proa("container", "prune", "-f").stdout.replace("Total reclaimed space: 0B\n", ""))
        self.proa("sandbox", "rm", "-f", pod[:12])
        self.assertEqual("", self.proa("ps", "-aq").stdout + self.proa("sandbox", "ls", "-q").stdout)

    def test_names_are_unique_among_all(self):
        self.sandbox("same", "--network", "none")
        self.assertIn("is already in use", self.proa("create", "--name", "same", "--rootfs", self.root, "true", check=False).stderr)
        self.start("other", "sleep", "1000")
        self.assertIn("is already in use", self.proa("sandbox", "create", "other", check=False).stderr)
        self.assertIn("No such sandbox: other", self.proa("run", "--sandbox", "other", "--rootfs", self.root, "true", check=False).stderr)
        self.assertIn("conflicting options", self.proa("run", "--sandbox", "same", "--network", "host", "--rootfs", self.root, "true", check=False).stderr)

    def test_killed_holder(self):
        pod = self.sandbox("pod", "--network", "none")
        self.proa("run", "-d", "--name", "box", "--sandbox", "pod", "--rootfs", self.root, "sleep", "1000")
        os.kill(int(self.field("pod", "{{.Pid}}")), signal.SIGKILL)
        until(lambda: self.field("pod", "{{.State}}") == "exited", "the holder's end")
        self.assertEqual("running", self.status("box"))
        os.kill(int(json.loads((self.data / "containers" / self.look("box", "{{.Id}}") / "state.json").read_text())["shim"]), signal.SIGKILL)
        self.settle("box", "exited")
        self.proa("sandbox", "start", pod)
        self.proa("start", "box")

    def test_killed_removal_can_be_repeated(self):
        rng = random.Random(8)
        for i in range(6):
            pod = self.sandbox(f"pod{i}", "--network", "none")
            self.proa("run", "-d", "--sandbox", pod, "--rootfs", self.root, "sleep", "1000")
            client = self.popen("sandbox", "rm", "-f", pod)
            time.sleep(rng.uniform(0, 0.02))
            client.kill()
            client.communicate()
            self.proa("container", "prune", "-f")
            self.proa("sandbox", "rm", "-f", pod, check=False)
        self.assertEqual([], [p.name for p in (self.data / "containers").iterdir()])


class FlagTest(EngineTest):
    """Flags of Docker's that other tests do not come by."""

    def test_mount(self):
        self.proa("volume", "create", "data")
        self.once("sh", "-c", "mkdir -p /v/a/b; echo deep >/v/a/b/file; ln -s /etc /v/out", flags=("-v", "data:/v",))
        part = lambda path, point: self.once("sh", "-c", f"cat {point}/file 2>/dev/null || cat {point}", check=False,
                                             flags=("--mount", f"type=volume,src=data,dst={point},volume-subpath={path}"))
        self.assertEqual("deep\n", part("a/b", "/m").stdout)
        self.assertEqual("deep\n", part("a/b/file", "/f").stdout)
        self.assertEqual(125, part("out/passwd", "/e").returncode)
        out = self.once("sh", "-c", "grep ' /t ' /proc/mounts; stat -c %a /t", flags=("--mount", "type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=700")).stdout
        self.assertIn("size=1024k", out)
        self.assertTrue(out.endswith("700\n"), out)
        self.once("true", flags=("--mount", "type=volume,src=named,dst=/n,volume-label=a=1"))
        self.assertEqual("1\n", self.proa("volume", "inspect", "-f", "{{.Labels.a}}", "named").stdout)
        self.proa("volume", "rm", "data", "named")

    def test_names_of_images_commands(self):
        for words in (("images", "-q"), ("image", "ls", "-q"), ("container", "ls", "-q")):
            self.assertEqual("", self.proa(*words).stdout)
        self.assertIn("no such image", self.proa("rmi", "nope", check=False).stderr)

    def test_export(self):
        self.start("box", "sleep", "1000", flags=("--tmpfs", "/tmp"))
        self.proa("export", "-o", self.folder / "box.tar", "box")
        with tarfile.open(self.folder / "box.tar") as archive:
            names = {name.removeprefix("./") for name in archive.getnames()}
        self.assertIn("bin/busybox", names)
        self.assertNotIn("proc/1", names)

    def test_ports_to_expose(self):
        self.start("box", "sleep", "1000", flags=("--expose", "3000-3002", "--expose", "53/udp"))
        self.assertEqual({"3000/tcp", "3001/tcp", "3002/tcp", "53/udp"}, set(json.loads(self.look("box", "{{json .Config.ExposedPorts}}"))))

    def test_labels_in_templates(self):
        self.start("box", "sleep", "1000", flags=("--label", "a=1"))
        self.assertEqual("1\n", self.proa("ps", "--format", '{{.Label "a"}}').stdout)


class LifeTest(EngineTest):
    def test_stop_start_restart(self):
        self.start("box", "sh", "-c", PATIENT)
        self.ready("box")
        self.proa("stop", "box")
        self.assertEqual(("exited", "7"), (self.status("box"), self.look("box", "{{.State.ExitCode}}")))
        self.assertEqual("box\n", self.proa("start", "box").stdout)
        self.assertEqual("running", self.status("box"))
        self.ready("box")
        before = self.look("box", "{{.State.Pid}}")
        self.proa("restart", "box")
        self.assertNotEqual(before, self.look("box", "{{.State.Pid}}"))
        self.assertEqual("bye\nbye\n", self.proa("logs", "box").stdout)

    def test_stop_kills_the_deaf(self):
        self.start("box", "sh", "-c", 'trap "" TERM; echo up; while :; do sleep 0.02; done')
        until(lambda: self.proa("logs", "box").stdout, "the trap")
        self.proa("stop", "-t", "0", "box")
        self.assertEqual("137", self.look("box", "{{.State.ExitCode}}"))

    def test_kill_pause_rename(self):
        self.start("box", "sleep", "1000")
        self.proa("pause", "box")
        self.assertEqual("paused", self.status("box"))
        self.assertIn("is paused", self.proa("exec", "box", "true", check=False).stderr)
        self.proa("unpause", "box")
        self.proa("rename", "box", "crate")
        self.assertEqual("/crate", self.look("crate", "{{.Name}}"))
        self.assertEqual(1, self.proa("inspect", "box", check=False).returncode)
        self.proa("kill", "-s", "KILL", "crate")
        self.assertEqual("137\n", self.proa("wait", "crate").stdout)
        self.assertIn("is not running", self.proa("kill", "crate", check=False).stderr)

    def test_remove(self):
        self.start("box", "sleep", "1000")
        refused = self.proa("rm", "box", check=False)
        self.assertEqual(1, refused.returncode)
        self.assertIn("stop the container before removing or force remove", refused.stderr)
        self.assertEqual("box\n", self.proa("rm", "-f", "box").stdout)
        self.assertIn("No such container: box", self.proa("rm", "box", check=False).stderr)
        self.assertEqual(0, self.proa("rm", "-f", "box").returncode)

    def test_wait_for_a_running_one(self):
        self.start("box", "sh", "-c", "sleep 0.3; exit 6")
        self.assertEqual("6\n", self.proa("wait", "box").stdout)

    def test_wait_for_one_that_removes_itself(self):
        for _ in range(10):
            self.start("box", "sh", "-c", "sleep 0.05; exit 6", flags=("--rm",))
            self.assertEqual("6\n", self.proa("wait", "box").stdout)
            until(lambda: not self.proa("ps", "-aq").stdout, "the removal")

    def test_update(self):
        self.start("box", "sleep", "1000", flags=("-m", "64m"))
        self.proa("update", "-m", "96m", "--memory-swap", "192m", "--pids-limit", "33", "--restart", "on-failure:2", "box")
        self.assertEqual("100663296 33 on-failure", self.look("box", "{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}} {{.HostConfig.RestartPolicy.Name}}"))
        self.assertIn("100663296", self.proa("exec", "box", "sh", "-c", "cat /sys/fs/cgroup/memory/memory.limit_in_bytes || cat /sys/fs/cgroup/memory.max").stdout)

    def test_restart_policies(self):
        self.start("twice", "sh", "-c", "echo run; exit 1", flags=("--restart", "on-failure:2"))
        until(lambda: self.proa("logs", "twice").stdout.count("run") == 3, "two restarts")
        self.settle("twice", "exited")
        self.assertEqual("2", self.look("twice", "{{.RestartCount}}"))
        self.start("ever", "sh", "-c", "sleep 0.1", flags=("--restart", "always"))
        until(lambda: int(self.look("ever", "{{.RestartCount}}")) >= 2, "restarts")
        self.proa("stop", "ever")
        self.assertEqual("exited", self.status("ever"))
        self.start("good", "true", flags=("--restart", "on-failure"))
        self.settle("good", "exited")
        self.assertEqual("0", self.look("good", "{{.RestartCount}}"))

    def test_health(self):
        self.start("box", "sh", "-c", "rm -f /tmp/sick; " + PATIENT, flags=("--health-cmd", "test ! -e /tmp/sick && echo fine", "--health-interval", "50ms", "--health-retries", "2"))
        health = lambda: self.look("box", "{{.State.Health.Status}}")
        until(lambda: health() == "healthy", "health")
        self.assertIn("(healthy)", self.proa("ps").stdout)
        self.assertEqual("fine\n", json.loads(self.look("box", "{{json .State.Health.Log}}"))[0]["Output"])
        self.proa("exec", "box", "touch", "/tmp/sick")
        until(lambda: health() == "unhealthy", "sickness")
        self.proa("stop", "box")
        (self.root / "tmp/sick").unlink()

    def test_events(self):
        self.start("box", "sh", "-c", "exit 2")
        self.proa("wait", "box")
        self.proa("rm", "box")
        out = self.proa("events", "--since", "1h", "--until", "0s", "--filter", "container=box", "--format", "{{.Action}}").stdout.split()
        self.assertEqual(["create", "start", "die", "destroy"], out)
        follower = self.popen("events", "--since", "1h", "--filter", "event=create", "--format", "{{.Actor.Attributes.name}}")
        self.assertEqual("box\n", follower.stdout.readline())
        self.proa("create", "--name", "late", "--network", "none", "--rootfs", self.root, "true")
        self.assertEqual("late\n", follower.stdout.readline())
        follower.kill()
        follower.communicate()

    def test_list(self):
        self.start("one", "sleep", "1000", flags=("-l", "tier=front"))
        self.start("two", "true", flags=("-l", "tier=back"))
        self.settle("two", "exited")
        names = lambda *flags: sorted(self.proa("ps", "--format", "{{.Names}}", *flags).stdout.split())
        self.assertEqual(["one"], names())
        self.assertEqual(["one", "two"], names("-a"))
        self.assertEqual(["two"], names("-f", "status=exited"))
        self.assertEqual(["two"], names("-a", "-f", "label=tier=back"))
        self.assertEqual(["one"], names("-a", "-f", "name=^one$"))
        self.assertEqual(["two"], names("-l"))
        self.assertEqual(1, self.proa("ps", "-f", "nonsense=1", check=False).returncode)
        self.assertEqual("one", json.loads(self.proa("ps", "--format", "json").stdout)["Names"])
        self.assertIn("CONTAINER ID", self.proa("ps").stdout)
        self.assertIn("sleep 1000", self.proa("top", "one").stdout)
        self.assertIn("one", self.proa("stats", "--no-stream").stdout)
        pruned = self.proa("container", "prune", "-f").stdout
        self.assertIn("Deleted Containers:", pruned)
        self.assertEqual(["one"], names("-a"))


class ErrorTest(EngineTest):
    def ignored_leftover(self, item):
        return super().ignored_leftover(item) or item.startswith("file ")

    def test_messages(self):
        for line in (Path(__file__).parent / "errors.tsv").read_text().splitlines():
            if line.startswith("#") or "\t" not in line:
                continue
            words, status, message = line.split("\t")
            argv = [str(self.root) if word == "R" else word for word in words.split()]
            if argv[0] == "run":
                argv[1:1] = ["--rm", "--network", "none"]
            with self.subTest(words):
                done = self.proa(*argv, check=False)
                self.assertEqual(int(status), done.returncode, done.stderr)
                first, *more = done.stderr.splitlines()
                self.assertIn(message, first)
                self.assertTrue(all(line.startswith("hint: ") for line in more), done.stderr)
                self.assertNotIn(str(self.data), first)
                self.assertNotIn(str(self.run_folder), first)
        self.assertEqual("", self.proa("ps", "-aq").stdout)

    def test_full_disk(self):
        small = self.folder / "small"
        small.mkdir()
        command("mount", "-t", "tmpfs", "-o", "size=32k,nr_inodes=12", "tmpfs", small)
        self.addCleanup(command, "umount", small)
        done = self.proa("run", "--rm", "--network", "none", "--rootfs", self.root, "true", env=self.env | {"PROA_ROOT": str(small / "data")}, check=False)
        self.assertEqual(125, done.returncode)
        self.assertIn("no space left on device\nhint: `proa system df` shows what takes room", done.stderr)

    def test_hints(self):
        for words, hint in ((["run", "--name", "x", "--rootfs", self.root, "true"], "at least two characters"),
                            (["run", "--network", "mine", "--rootfs", self.root, "true"], "`proa network create mine` makes it"),
                            (["run", "-v", "/etc:/x:wat", "--rootfs", self.root, "true"], "in --volume /etc:/x:wat; there are ro, rw"),
                            (["logs", "nope"], "`proa ps -a` lists them"), (["cp", "a", "b"], "one side is CONTAINER:PATH")):
            with self.subTest(words):
                self.assertIn(f"\nhint: {hint}", self.proa(*words, check=False).stderr)
        self.assertEqual("proa: error: network with name bridge already exists\n", self.proa("network", "create", "bridge", check=False).stderr)


class ExecTest(EngineTest):
    def test_exec(self):
        self.start("box", "sleep", "1000", flags=("-e", "A=1"))
        done = self.proa("exec", "-e", "B=2", "-u", "user", "-w", "/tmp", "box", "sh", "-c", "echo $A$B $(id -u) $(pwd) $HOME; exit 8", check=False)
        self.assertEqual((8, "12 1000 /tmp /home\n"), (done.returncode, done.stdout))
        done = subprocess.run([runtime.path(), "exec", "-i", "box", "cat"], input="in\n", env=self.env, text=True, capture_output=True, timeout=30)
        self.assertEqual("in\n", done.stdout)
        self.assertEqual(127, self.proa("exec", "box", "nope", check=False).returncode)
        self.assertEqual(126, self.proa("exec", "box", "/etc/passwd", check=False).returncode)
        self.assertIn("/dev/pts/", terminal(runtime.path(), "exec", "-it", "box", "tty", env=self.env).stdout)
        self.proa("exec", "-d", "box", "touch", "/tmp/detached")
        until(lambda: (self.root / "tmp/detached").exists(), "the detached program")
        (self.root / "tmp/detached").unlink()
        self.proa("stop", "-t", "0", "box")
        self.assertIn("is not running", self.proa("exec", "box", "true", check=False).stderr)

    def execs(self):
        return json.loads(self.look("box", "{{json .ExecIDs}}")) or []

    def exec(self, exec_id, template):
        return self.proa("inspect", "--type", "exec", "-f", template, exec_id, check=False).stdout.strip()

    def test_objects(self):
        self.start("box", "sleep", "1000")
        self.proa("exec", "-d", "-u", "user", "box", "sh", "-c", "while [ ! -e /tmp/go ]; do sleep 0.02; done; exit 5")
        exec_id, = self.execs()
        self.assertEqual("true <nil> sh user", self.exec(exec_id, "{{.Running}} {{.ExitCode}} {{.ProcessConfig.entrypoint}} {{.ProcessConfig.user}}"))
        status = Path(f"/proc/{self.exec(exec_id, '{{.Pid}}')}/status").read_text()
        self.assertIn("Uid:\t1000", status)
        (self.root / "tmp/go").touch()
        until(lambda: self.exec(exec_id, "{{.Running}} {{.ExitCode}} {{.Pid}}") == "false 5 0", "its end")
        (self.root / "tmp/go").unlink()
        self.assertEqual([], self.execs())
        self.proa("stop", "-t", "0", "box")
        gone = self.proa("inspect", "--type", "exec", exec_id, check=False)
        self.assertEqual((1, "[]\n", f"proa: error: No such exec: {exec_id}\n"), (gone.returncode, gone.stdout, gone.stderr))

    def test_outlives_its_client(self):
        self.start("box", "sleep", "1000")
        client = self.popen("exec", "-i", "box", "sh", "-c", "echo up; while [ ! -e /tmp/go ]; do sleep 0.02; done; echo done >/tmp/done", stdin=subprocess.PIPE)
        self.assertEqual("up\n", client.stdout.readline())
        exec_id, = self.execs()
        client.kill()
        client.communicate()
        self.assertEqual("true", self.exec(exec_id, "{{.Running}}"))
        (self.root / "tmp/go").touch()
        until(lambda: (self.root / "tmp/done").exists(), "it to go on")
        until(lambda: not self.execs(), "its end")
        for name in ("go", "done"):
            (self.root / "tmp" / name).unlink()
        until(lambda: "exec_die" in self.proa("events", "--since", "1h", "--until", "0s").stdout, "its event")

    def test_detach_keys_and_resize(self):
        self.start("box", "sleep", "1000")
        ours, theirs = os.openpty()
        client = subprocess.Popen([str(runtime.path()), "exec", "-it", "--detach-keys", "ctrl-a,d", "box", "sh", "-c",
                                   "echo up; read x; stty size; read x; exit 3"], env=self.env, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        seen = bytearray()

        def shows(text):
            while text not in seen:
                self.assertTrue(select.select([ours], [], [], 20)[0], seen)
                seen.extend(os.read(ours, 4096))

        shows(b"up")
        fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
        exec_id, = self.execs()
        client.send_signal(signal.SIGWINCH)
        time.sleep(0.1)
        os.write(ours, b"\n")
        shows(b"33 77")
        os.write(ours, b"\x01d")
        self.assertEqual(0, client.wait(30))
        os.close(ours)
        self.assertEqual("true", self.exec(exec_id, "{{.Running}}"))

    def test_ends_with_its_container(self):
        self.start("box", "sleep", "1000")
        client = self.popen("exec", "box", "sleep", "1000")
        until(lambda: [e for e in self.execs() if self.exec(e, "{{.Running}}") == "true"], "the exec")
        self.proa("kill", "box")
        said = client.communicate(timeout=30)
        self.assertEqual(137, client.returncode, said)

    def test_much_output(self):
        self.start("box", "sleep", "1000")
        out = self.proa("exec", "box", "sh", "-c", "seq 1 200000").stdout
        self.assertEqual("".join(f"{i}\n" for i in range(1, 200001)), out)


class HostTest(EngineTest):
    def reboot(self, boot):
        """What a boot leaves: no processes, nothing in /run, no control groups, another boot id."""
        for state in (self.data / "containers").glob("*/state.json"):
            for pid in (json.loads(state.read_text()).get(key, 0) for key in ("shim", "pid")):
                try:
                    os.kill(pid, signal.SIGKILL) if pid else None
                except ProcessLookupError:
                    pass
        until(lambda: not [p for p in Path("/proc").iterdir() if p.name.isdigit() and self.is_ours(p)], "shims to end")
        ids = [folder.name for folder in (self.data / "containers").iterdir()]
        for group in [g for i in ids for g in Path("/sys/fs/cgroup").glob(f"*/proa/{i}")]:
            until(lambda: not (group / "cgroup.procs").read_text(), "its processes to end")
            group.rmdir()
        shutil.rmtree(self.run_folder)
        new = self.folder / "boot_id"
        new.write_text(boot + "\n")
        command("umount", "/proc/sys/kernel/random/boot_id", check=False)
        command("mount", "--bind", new, "/proc/sys/kernel/random/boot_id")
        self.addCleanup(command, "umount", "/proc/sys/kernel/random/boot_id", check=False)

    def test_boot(self):
        self.start("always", "sleep", "1000", flags=("--restart", "always"))
        self.start("unless", "sleep", "1000", flags=("--restart", "unless-stopped"))
        self.start("stopped", "sleep", "1000", flags=("--restart", "unless-stopped"))
        self.start("failing", "sleep", "1000", flags=("--restart", "on-failure"))
        self.start("plain", "sleep", "1000")
        self.proa("create", "--name", "new", "--network", "none", "--restart", "always", "--rootfs", self.root, "sleep", "1000")
        self.proa("sandbox", "create", "--network", "none", "--restart", "always", "pod")
        self.proa("run", "-d", "--name", "member", "--sandbox", "pod", "--restart", "always", "--rootfs", self.root, "sleep", "1000")
        self.proa("stop", "-t", "0", "stopped")
        self.reboot("first")
        self.assertEqual({"always", "member", "pod", "unless"}, set(self.proa("system", "boot").stdout.split()))
        states = {name: self.status(name) for name in ("always", "unless", "stopped", "failing", "plain", "new", "member")}
        self.assertEqual({"always": "running", "unless": "running", "member": "running", "stopped": "exited",
                          "failing": "exited", "plain": "exited", "new": "created"}, states)
        self.assertEqual("255", self.look("plain", "{{.State.ExitCode}}"))
        self.proa("kill", "unless")
        self.assertEqual("", self.proa("system", "boot").stdout)
        self.assertEqual("exited", self.status("unless"))
        self.proa("stop", "-t", "0", "always")
        self.reboot("second")
        self.assertEqual({"always", "member", "pod"}, set(self.proa("system", "boot").stdout.split()))
        self.proa("sandbox", "rm", "-f", "pod")

    def test_shutdown(self):
        """Everything ends in its own way, and what nobody stopped is back after the next boot."""
        self.start("always", "sh", "-c", PATIENT, flags=("--restart", "always"))
        self.start("unless", "sh", "-c", PATIENT, flags=("--restart", "unless-stopped"))
        self.start("deaf", "sh", "-c", 'trap "" TERM; while :; do sleep 0.02; done', flags=("--stop-timeout", "1", "--restart", "always"))
        self.start("other", "sh", "-c", 'trap "echo int; exit 0" INT; while :; do sleep 0.02; done', flags=("--stop-signal", "INT"))
        self.start("paused", "sh", "-c", PATIENT)
        self.start("failing", "false", flags=("--restart", "always"))
        self.addCleanup(self.proa, "sandbox", "rm", "-f", "pod", check=False)
        self.proa("sandbox", "create", "--network", "none", "--restart", "always", "pod")
        self.proa("run", "-d", "--name", "member", "--sandbox", "pod", "--restart", "always", "--rootfs", self.root, "sh", "-c", PATIENT)
        for name in ("always", "unless", "paused", "member"):
            self.ready(name)
        self.proa("pause", "paused")
        self.settle("failing", "restarting")
        names = {"always", "unless", "deaf", "other", "paused", "failing", "pod", "member"}
        self.assertEqual(names, set(self.proa("system", "shutdown").stdout.split()))
        self.assertEqual("", self.proa("ps", "-q").stdout)
        for name in ("always", "unless", "paused", "member"):
            self.assertEqual(("bye\n", "7"), (self.proa("logs", name).stdout, self.look(name, "{{.State.ExitCode}}")), name)
        self.assertEqual(("int\n", "0"), (self.proa("logs", "other").stdout, self.look("other", "{{.State.ExitCode}}")))
        self.assertEqual("137", self.look("deaf", "{{.State.ExitCode}}"))
        # All were asked before the slowest had ended.
        events = [json.loads(line) for line in self.proa("events", "--since", "1h", "--until", "0s", "--format", "json").stdout.splitlines()]
        order = [(e["Action"], e["Actor"]["Attributes"]["name"]) for e in events if e["Action"] in ("kill", "die")]
        self.assertLess(max(order.index(("kill", name)) for name in ("always", "unless", "deaf", "other", "paused")), order.index(("die", "deaf")))
        self.assertEqual("", self.proa("system", "shutdown").stdout)
        self.assertEqual({"always", "unless", "deaf", "failing", "pod", "member"}, set(self.proa("system", "boot").stdout.split()))
        self.assertEqual("", self.proa("system", "boot").stdout)
        self.proa("system", "shutdown", "--timeout", "0")
        self.reboot("next")
        self.assertEqual({"always", "unless", "deaf", "failing", "pod", "member"}, set(self.proa("system", "boot").stdout.split()))

    def test_unit(self):
        unit = self.folder / "proa.service"
        unit.write_text(self.proa("system", "boot", "--print-unit").stdout)
        self.assertIn(f"ExecStart={runtime.path()} system boot\nExecStop={runtime.path()} system shutdown\n", unit.read_text())
        if shutil.which("systemd-analyze"):
            said = command("systemd-analyze", "verify", "--man=no", unit, check=False)
            self.assertNotIn("proa.service", said.stderr)
            shutil.rmtree("/run/systemd", ignore_errors=True)

    def test_df_info_and_prune(self):
        self.start("box", "sleep", "1000", flags=("-v", "kept:/data"))
        self.proa("volume", "create", "idle")
        (self.data / "volumes/idle/_data/file").write_bytes(b"x" * 100_000)
        rows = {r["Type"]: r for r in map(json.loads, self.proa("system", "df", "--format", "json").stdout.splitlines())}
        self.assertEqual(("1", "1"), (rows["Containers"]["TotalCount"], rows["Containers"]["Active"]))
        self.assertEqual(("2", "1"), (rows["Local Volumes"]["TotalCount"], rows["Local Volumes"]["Active"]))
        self.assertIn("idle", self.proa("system", "df", "-v").stdout)
        self.assertEqual("1 1 0", self.proa("info", "-f", "{{.Containers}} {{.ContainersRunning}} {{.ContainersStopped}}").stdout.strip())
        self.proa("network", "create", "unused")
        self.proa("stop", "-t", "0", "box")
        out = self.proa("system", "prune", "-f").stdout
        self.assertIn("Deleted Containers:", out)
        self.assertIn("Deleted Networks:\nunused\n", out)
        self.assertEqual("idle\nkept\n", self.proa("volume", "ls", "-q").stdout)
        self.assertEqual("", self.proa("ps", "-aq").stdout)


class LogsTest(EngineTest):
    def test_choices(self):
        self.start("box", "sh", "-c", "for i in 1 2 3 4 5; do echo line $i; done; echo bad >&2")
        self.settle("box", "exited")
        logs = lambda *flags: self.proa("logs", *flags, "box")
        self.assertEqual(("".join(f"line {i}\n" for i in range(1, 6)), "bad\n"), (logs().stdout, logs().stderr))
        tail = logs("--tail", "2")
        self.assertEqual(6, sum(len(logs("--tail", str(n)).stdout.splitlines() + logs("--tail", str(n)).stderr.splitlines()) for n in (1, 2, 3)))
        self.assertEqual(2, len((tail.stdout + tail.stderr).splitlines()))
        self.assertEqual("", logs("--tail", "0").stdout)
        self.assertEqual("", logs("--until", "1h").stdout)
        self.assertEqual(5, len(logs("--since", "1h").stdout.splitlines()))
        self.assertRegex(logs("-t").stdout, r"^\d{4}-\d\d-\d\dT[0-9:.]+Z line 1\n")

    def test_follow(self):
        self.start("box", "sh", "-c", COUNT)
        follower = self.popen("logs", "-f", "--tail", "1", "box")
        first = int(follower.stdout.readline())
        self.assertEqual([first + 1, first + 2], [int(follower.stdout.readline()) for _ in range(2)])
        self.proa("kill", "box")
        follower.communicate(timeout=30)
        self.assertEqual(0, follower.returncode)

    def test_all_of_much_across_rotations(self):
        self.start("box", "sh", "-c", "seq 1 400000", flags=("--log-opt", "max-size=1m", "--log-opt", "max-file=50"))
        self.settle("box", "exited")
        self.assertEqual("".join(f"{i}\n" for i in range(1, 400001)), self.proa("logs", "box").stdout)
        self.assertEqual("399999\n400000\n", self.proa("logs", "--tail", "2", "box").stdout)
        self.assertEqual(300000, len(self.proa("logs", "--tail", "300000", "box").stdout.splitlines()))

    def test_none(self):
        self.start("box", "echo", "unseen", flags=("--log-driver", "none"))
        self.assertIn("does not support reading", self.proa("logs", "box", check=False).stderr)


class FilesTest(EngineTest):
    def test_bind_mounts(self):
        there = self.folder / "there"
        there.mkdir()
        self.once("sh", "-c", "echo hi >/mnt/file", flags=("-v", f"{there}:/mnt"))
        self.assertEqual("hi\n", (there / "file").read_text())
        self.assertNotEqual(0, self.once("touch", "/mnt/no", flags=("-v", f"{there}:/mnt:ro"), check=False).returncode)
        self.once("true", flags=("-v", f"{self.folder}/made:/mnt"))
        self.assertTrue((self.folder / "made").is_dir())
        missing = self.once("true", flags=("--mount", f"type=bind,src={self.folder}/no,dst=/mnt"), check=False)
        self.assertEqual(125, missing.returncode)
        self.assertIn("bind source path does not exist", missing.stderr)

    def test_volumes(self):
        self.proa("volume", "create", "data")
        self.once("sh", "-c", "cat /etc/group >/etc2; cp /etc/passwd /data/", flags=("-v", "data:/data"))
        (self.root / "etc2").unlink()
        self.assertIn("user", self.once("cat", "/d/passwd", flags=("-v", "data:/d:ro")).stdout)
        # A new one is filled with what the root has there.
        self.assertIn("passwd", self.once("ls", "/etc", flags=("-v", "fresh:/etc")).stdout)
        self.start("box", "sleep", "1000", flags=("-v", "/anonymous", "-v", "data:/data"))
        self.assertIn("in use", self.proa("volume", "rm", "data", check=False).stderr)
        names = lambda: self.proa("volume", "ls", "-q").stdout.split()
        self.assertEqual(3, len(names()))
        self.proa("rm", "-f", "-v", "box")
        self.assertEqual(["data", "fresh"], names())
        self.assertEqual(str(self.data / "volumes/data/_data"), self.proa("volume", "inspect", "-f", "{{.Mountpoint}}", "data").stdout.strip())
        self.proa("volume", "prune", "-f")
        self.assertEqual(["data", "fresh"], names())
        self.proa("volume", "prune", "-a", "-f")
        self.assertEqual([], names())
        for name in ("anonymous", "d", "data"):
            (self.root / name).rmdir()

    def test_volumes_that_others_share_stay(self):
        self.start("owner", "sh", "-c", "echo shared >/data/file; exec sleep 1000", flags=("-v", "/data"))
        self.start("guest", "sleep", "1000", flags=("--volumes-from", "owner"))
        self.proa("rm", "-f", "-v", "owner")
        self.assertEqual("shared\n", self.proa("exec", "guest", "cat", "/data/file").stdout)
        self.proa("rm", "-f", "-v", "guest")
        (self.root / "data").rmdir()

    def test_no_volume_goes_while_its_container_is_made(self):
        prunes = [self.popen("volume", "prune", "-a", "-f") for _ in range(20)]
        creates = [self.popen("create", "-v", f"data{i}:/data", "--network", "none", "--rootfs", self.root, "true") for i in range(20)]
        prunes += [self.popen("volume", "prune", "-a", "-f") for _ in range(20)]
        for client in prunes + creates:
            client.communicate(timeout=60)
            self.assertEqual(0, client.returncode)
        self.assertEqual(sorted(f"data{i}" for i in range(20)), self.proa("volume", "ls", "-q").stdout.split())

    def test_a_volume_in_memory(self):
        self.proa("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m", "scratch")
        self.start("box", "sh", "-c", "touch /mnt/seen; " + PATIENT, flags=("-v", "scratch:/mnt"))
        until(lambda: "seen" in self.once("ls", "/mnt", flags=("--volumes-from", "box")).stdout, "the file")
        self.assertIn("tmpfs", self.proa("exec", "box", "grep", " /mnt ", "/proc/mounts").stdout)
        self.proa("rm", "-f", "box")
        self.proa("volume", "rm", "scratch")

    def test_copy(self):
        self.start("box", "sleep", "1000", flags=("-v", "data:/data"))
        (self.folder / "in/sub").mkdir(parents=True)
        (self.folder / "in/sub/file").write_text("text")
        (self.folder / "in/link").symlink_to("sub/file")
        self.proa("cp", self.folder / "in", "box:/tmp")
        self.assertEqual("text", self.proa("exec", "box", "cat", "/tmp/in/link").stdout)
        self.proa("cp", "box:/tmp/in", self.folder / "out")
        self.assertEqual("text", (self.folder / "out/sub/file").read_text())
        self.proa("cp", f"{self.folder}/in/.", "box:/data")
        self.proa("stop", "-t", "0", "box")
        self.proa("cp", "box:/data/sub/file", self.folder / "single")
        self.assertEqual("text", (self.folder / "single").read_text())
        archive = subprocess.run([runtime.path(), "cp", "box:/data/sub", "-"], env=self.env, capture_output=True, timeout=30)
        (self.folder / "a.tar").write_bytes(archive.stdout)
        with tarfile.open(self.folder / "a.tar") as tar:
            self.assertEqual(["sub", "sub/file"], [m.name.rstrip("/") for m in tar])
        with open(self.folder / "a.tar", "rb") as tar:
            subprocess.run([runtime.path(), "cp", "-", "box:/tmp"], env=self.env, stdin=tar, check=True, timeout=30)
        self.assertEqual("text", (self.root / "tmp/sub/file").read_text())
        shutil.rmtree(self.root / "tmp/sub")
        shutil.rmtree(self.root / "tmp/in")
        (self.root / "data").rmdir()
        self.assertEqual(1, self.proa("cp", "box:/nowhere", self.folder, check=False).returncode)

    def test_copy_is_not_led_out(self):
        secret = self.folder / "secret"
        secret.write_text("host")
        (self.root / "tmp/link").symlink_to(self.folder)
        self.start("box", "sleep", "1000")
        self.assertEqual(1, self.proa("cp", "box:/tmp/link/secret", self.folder / "stolen", check=False).returncode)
        (self.folder / "given").write_text("mine")
        self.proa("cp", self.folder / "given", "box:/tmp/link/secret", check=False)
        self.assertEqual("host", secret.read_text())
        (self.root / "tmp/link").unlink()


class ImageTest(EngineTest):
    def setUp(self):
        super().setUp()
        self.proa("image", "--root", self.data, "create", "--cmd", "echo from-image", "--env", "A=image", self.root, "box:1", check=False)
        if "box" not in self.proa("image", "--root", self.data, "ls").stdout:
            self.fail(self.proa("image", "create", "--help").stdout)

    def test_run(self):
        self.assertEqual("sh\n", self.proa("run", "--rm", "--network", "none", "box:1", "echo", "sh").stdout)
        missing = self.proa("run", "--rm", "nothing:9", check=False)
        self.assertEqual(125, missing.returncode)
        self.assertIn("Unable to find image 'nothing:9' locally", missing.stderr)

    def test_image_for_another_platform(self):
        """Refused where one was asked for, else told of: its programs most likely do not run here."""
        refused = self.proa("run", "--rm", "--pull", "never", "--platform", "linux/riscv64", "box:1", "true", check=False)
        self.assertEqual((125, "proa: error: Unable to find image 'box:1' locally"), (refused.returncode, refused.stderr.splitlines()[0]))
        self.proa("image", "create", "--platform", "linux/riscv64", self.root, "far:1")
        told = self.proa("run", "--rm", "--network", "none", "far:1", "true").stderr
        self.assertIn("WARNING: The requested image's platform (linux/riscv64) does not match the detected host platform (linux/amd64", told)
        self.assertEqual("", self.proa("run", "--rm", "--network", "none", "--platform", "linux/riscv64", "far:1", "true").stderr)
        self.assertEqual("", self.proa("run", "--rm", "--network", "none", "--platform", "linux/amd64", "box:1", "true").stderr)

    def test_images_in_use_stay(self):
        self.proa("run", "-d", "--network", "none", "--name", "box", "box:1", "sleep", "1000")
        refused = lambda *flags: self.proa("image", "rm", *flags, check=False).stderr
        self.assertIn('unable to remove repository reference "box:1" (must force) - container', refused("box:1"))
        self.assertIn("(cannot be forced) - image is being used by running container", refused("-f", "box:1"))
        self.proa("image", "tag", "box:1", "another:1")
        self.proa("image", "rm", "another:1")
        self.assertEqual("Total reclaimed space: 0B\n", self.proa("image", "prune", "-a", "--force").stdout)
        self.proa("stop", "-t", "0", "box")
        image = self.look("box", "{{.Image}}")
        self.assertIn("(must be forced) - image is being used by stopped container", refused(image))
        self.proa("rm", "box")

    def test_inspect_of_all_kinds(self):
        self.proa("volume", "create", "data")
        self.proa("create", "--network", "none", "--name", "box", "box:1")
        look = lambda name, *flags: self.proa("inspect", *flags, name, check=False)
        self.assertEqual("/box", json.loads(look("box").stdout)[0]["Name"])
        self.assertEqual(["box:1"], json.loads(look("box:1").stdout)[0]["RepoTags"])
        self.assertEqual("proa: error: No such image: box\n", look("box", "--type", "image").stderr)
        self.assertEqual("local", json.loads(look("data").stdout)[0]["Driver"])
        self.assertEqual("bridge", json.loads(look("bridge").stdout)[0]["Name"])
        self.assertEqual("proa: error: No such object: nothing\n", look("nothing").stderr)
        self.assertEqual("proa: error: No such volume: box\n", look("box", "--type", "volume").stderr)
        self.proa("rm", "box")

    def test_changes_and_commit(self):
        self.proa("run", "--network", "none", "--name", "box", "box:1", "sh", "-c", "echo new >/new; rm /etc/group; mkdir -p /opt/x")
        changes = self.proa("diff", "box").stdout.splitlines()
        self.assertIn("A /new", changes)
        self.assertIn("D /etc/group", changes)
        self.proa("start", "-a", "box")
        self.proa("commit", "-m", "more", "box", "box:2")
        self.assertEqual("new\n", self.proa("run", "--rm", "--network", "none", "box:2", "cat", "/new").stdout)
        self.proa("rm", "box")

    def test_concurrent_runs(self):
        clients = [self.popen("run", "--rm", "--network", "none", "box:1", "sh", "-c", f"echo {i} >/x; cat /x") for i in range(12)]
        self.assertEqual([f"{i}\n" for i in range(12)], [c.communicate(timeout=120)[0] for c in clients])


class UserNamespaceTest(EngineTest):
    def setUp(self):
        super().setUp()
        # The container's users pass through these folders.
        for folder in (sandbox.scratch(), self.home, self.folder):
            folder.chmod(0o711)

    def test_ids_of_its_own(self):
        out = self.once("sh", "-c", "cat /proc/self/uid_map; touch /tmp/mine; stat -c %u /tmp/mine /bin/busybox", flags=("--userns", "auto")).stdout
        first = int(out.split()[1])
        self.assertGreaterEqual(first, 65536)
        self.assertEqual(["0", "0"], out.split()[3:])
        self.assertEqual(0, (self.root / "tmp/mine").stat().st_uid)
        (self.root / "tmp/mine").unlink()

    def test_ranges_differ_and_are_given_back(self):
        for name in ("one", "two"):
            self.start(name, "sleep", "1000", flags=("--userns", "auto"))
        uid = lambda name: Path(f"/proc/{self.look(name, '{{.State.Pid}}')}").stat().st_uid
        self.assertEqual(65536, abs(uid("one") - uid("two")))
        self.assertEqual("0", self.proa("exec", "two", "id", "-u").stdout.strip())
        self.proa("rm", "-f", "one", "two")
        self.assertEqual([], list((self.data / "subids").iterdir()))
        first = self.once("cat", "/proc/self/uid_map", flags=("--userns", "remap")).stdout
        self.assertEqual(first, self.once("cat", "/proc/self/uid_map", flags=("--userns", "remap")).stdout)

    def test_volumes(self):
        write = self.once("sh", "-c", "echo text >/v/file; chown 1000 /v/file; stat -c %u /v/file", flags=("--userns", "auto", "-v", "data:/v"))
        self.assertEqual("1000\n", write.stdout)
        self.assertEqual("1000 text\n", self.once("sh", "-c", "echo $(stat -c %u /v/file) $(cat /v/file)", flags=("-v", "data:/v")).stdout)
        self.proa("volume", "rm", "data")

    def owners(self, folder):
        """Path below to uid and gid, of all in a folder of the host."""
        return {str(p.relative_to(folder)): (p.lstat().st_uid, p.lstat().st_gid) for p in [folder, *folder.rglob("*")]}

    def test_copy(self):
        """Into and out of one that runs: owners are the container's, on its root, a volume and a tmpfs alike."""
        self.start("box", "sleep", "1000", flags=("--userns", "auto", "-v", "data:/data", "--tmpfs", "/mem"))
        source = self.folder / "in"
        (source / "sub").mkdir(parents=True)
        (source / "sub/file").write_text("text")
        (source / "link").symlink_to("sub/file")
        for path, owner in ((source / "sub", 7), (source / "sub/file", 1000), (source / "link", 8)):
            os.chown(path, owner, owner + 1, follow_symlinks=False)
        look = lambda path: self.proa("exec", "box", "sh", "-c", f"stat -c '%u:%g %n' {path} {path}/sub {path}/sub/file {path}/link; cat {path}/link").stdout.splitlines()
        for place in ("/tmp", "/data", "/mem"):
            with self.subTest(place=place):
                self.proa("cp", source, f"box:{place}/plain")
                self.proa("cp", "-a", source, f"box:{place}/kept")
                self.assertEqual([f"0:0 {place}/plain{rest}" for rest in ("", "/sub", "/sub/file", "/link")] + ["text"], look(f"{place}/plain"))
                self.assertEqual([f"0:0 {place}/kept", f"7:8 {place}/kept/sub", f"1000:1001 {place}/kept/sub/file", f"8:9 {place}/kept/link", "text"], look(f"{place}/kept"))
                out = self.folder / f"out-{place[1:]}"
                self.proa("cp", "-a", f"box:{place}/kept", out)
                self.assertEqual(self.owners(source), self.owners(out))
                shutil.rmtree(out)
                self.proa("cp", f"box:{place}/kept", out)
                self.assertEqual({(0, 0)}, set(self.owners(out).values()))
                self.proa("cp", f"box:{place}/kept/link", self.folder / "as-link")
                self.assertTrue((self.folder / "as-link").is_symlink())
                self.proa("cp", "-a", "-L", f"box:{place}/kept/link", self.folder / "as-file")
                self.assertEqual(("text", 1000), ((self.folder / "as-file").read_text(), (self.folder / "as-file").lstat().st_uid))
                (self.folder / "as-link").unlink(), (self.folder / "as-file").unlink()
                archive = subprocess.run([runtime.path(), "cp", f"box:{place}/kept", "-"], env=self.env, capture_output=True, timeout=30, check=True).stdout
                with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
                    self.assertEqual({"kept": 0, "kept/sub": 7, "kept/sub/file": 1000, "kept/link": 8}, {m.name.rstrip("/"): m.uid for m in tar})
                self.proa("exec", "box", "mkdir", f"{place}/tar")
                subprocess.run([runtime.path(), "cp", "-", f"box:{place}/tar"], env=self.env, input=archive, check=True, timeout=30)
                self.assertEqual("1000\n", self.proa("exec", "box", "stat", "-c", "%u", f"{place}/tar/kept/sub/file").stdout)
        os.chown(source / "sub/file", 70000, 0)
        refused = self.proa("cp", "-a", source / "sub/file", "box:/tmp/far", check=False)
        self.assertIn("uid 70000", refused.stderr)
        self.proa("export", "-o", self.folder / "all.tar", "box")
        with tarfile.open(self.folder / "all.tar") as tar:
            self.assertEqual((1000, 0), (tar.getmember("tmp/kept/sub/file").uid, tar.getmember("bin/busybox").uid))
        self.proa("stop", "-t", "0", "box")
        self.proa("cp", "-a", "box:/tmp/kept/sub", self.folder / "stopped")
        self.assertEqual({".": (7, 8), "file": (1000, 1001)}, self.owners(self.folder / "stopped"))
        self.proa("rm", "-v", "box")
        self.proa("volume", "rm", "data")
        for name in ("plain", "kept", "tar"):
            shutil.rmtree(self.root / "tmp" / name)
        (self.root / "mem").rmdir(), (self.root / "data").rmdir()

    def test_what_cannot_be_had(self):
        for flags, text in ((("--privileged",), "incompatible with user namespaces"), (("--pid", "host"), "--pid host"),
                            (("--userns", "foo"), "invalid USER mode: foo")):
            self.assertIn(text, self.once("true", flags=("--userns", "auto", *flags), check=False).stderr)

    def test_image(self):
        subprocess.run(f"tar -C {self.root} -c . | {runtime.path()} image import - box:1", shell=True, env=self.env, check=True, capture_output=True)
        script = "stat -c %u /bin/busybox; touch new; chown 1000 new; rm /etc/group; stat -c %u new; pwd"
        out = self.proa("run", "--network", "none", "--name", "box", "--userns", "auto", "-w", "/work/dir", "box:1", "sh", "-c", script).stdout
        self.assertEqual("0\n1000\n/work/dir\n", out)
        self.assertIn("A /work/dir/new", self.proa("diff", "box").stdout)
        self.assertIn("D /etc/group", self.proa("diff", "box").stdout)
        self.proa("commit", "box", "box:2")
        self.assertEqual("1000\n", self.proa("run", "--rm", "--network", "none", "box:2", "stat", "-c", "%u", "/work/dir/new").stdout)
        self.proa("rm", "box")


class CrashTest(EngineTest):
    def test_names_stay_unique(self):
        clients = [self.popen("create", "--name", "same", "--network", "none", "--rootfs", self.root, "true") for _ in range(16)]
        for client in clients:
            client.communicate(timeout=60)
        self.assertEqual(1, sum(c.returncode == 0 for c in clients))
        self.assertEqual(1, len(self.proa("ps", "-aq").stdout.split()))
        self.assertIn("is already in use by container", self.proa("create", "--name", "same", "--network", "none", "--rootfs", self.root, "true", check=False).stderr)

    def test_killed_clients_leave_nothing(self):
        rng = random.Random(20240229)
        for i in range(40):
            client = self.popen("run", "--rm", "--name", f"box{i % 3}", "--network", "none", "--rootfs", self.root, "sleep", "0.05")
            time.sleep(rng.uniform(0, 0.06))
            client.kill()
            client.communicate()
        # What was complete runs on, and removes itself; what was not is taken away by the next look.
        until(lambda: not [s for s in self.proa("ps", "-a", "--format", "{{.State}}").stdout.split() if s != "created"], "containers to end")
        self.proa("container", "prune", "-f")
        self.assertEqual("", self.proa("ps", "-aq").stdout)
        self.assertEqual([], [p.name for p in (self.data / "containers").iterdir()])
        until(lambda: not [p for p in self.run_folder.iterdir() if len(p.name) == 64], "bundles to go")
        self.once("true", flags=("--name", "box0"))

    def test_killed_shim(self):
        self.start("box", "sleep", "1000")
        os.kill(int(json.loads((self.data / "containers" / self.look("box", "{{.Id}}") / "state.json").read_text())["shim"]), signal.SIGKILL)
        self.settle("box", "exited")
        self.assertEqual("137", self.look("box", "{{.State.ExitCode}}"))
        self.proa("start", "box")
        self.assertEqual("running", self.status("box"))

    def test_restarts_go_on_without_their_waiter(self):
        self.start("box", "sh", "-c", "echo run; exit 1", flags=("--restart", "always"))
        waiters = lambda: [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit() and self.waits(p)]
        # Late enough for the wait to be long.
        until(lambda: int(self.look("box", "{{.RestartCount}}")) >= 4 and waiters(), "a long wait", patience=90)
        count = int(self.look("box", "{{.RestartCount}}"))
        for waiter in waiters():
            os.kill(waiter, signal.SIGKILL)
        until(lambda: int(self.look("box", "{{.RestartCount}}")) > count, "the next restart", patience=90)

    def waits(self, process):
        try:
            return b"\0__exited\0" in (process / "cmdline").read_bytes()
        except OSError:
            return False

    def test_killed_starts_are_undone(self):
        """Nobody is left to start a container that its starter has only created."""
        self.proa("create", "--name", "box", "--network", "none", "--rootfs", self.root, "sleep", "1000")
        folder = self.data / "containers" / self.look("box", "{{.Id}}")
        for _ in range(10):
            client = self.popen("start", "box")
            until(lambda: '"pending":"start"' in (folder / "state.json").read_text() or client.poll() is not None, "the start")
            client.kill()
            client.communicate()
            self.assertIn(self.status("box"), ("created", "running"))
            self.proa("start", "box")
            self.assertEqual("running", self.status("box"))
            self.proa("rm", "-f", "box")
            self.proa("create", "--name", "box", "--network", "none", "--rootfs", self.root, "sleep", "1000")
            folder = self.data / "containers" / self.look("box", "{{.Id}}")

    def test_stopped_from_many_sides(self):
        self.start("box", "sh", "-c", PATIENT)
        clients = [self.popen("stop", "box") for _ in range(4)] + [self.popen("kill", "box") for _ in range(2)]
        for client in clients:
            client.communicate(timeout=60)
        self.assertEqual("exited", self.status("box"))


if __name__ == "__main__":
    main()
