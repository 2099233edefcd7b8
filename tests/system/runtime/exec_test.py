#!/usr/bin/env python3
"""exec: one more process in a container, and what it gets of the container and of its flags."""

import concurrent.futures
import json
import os
import signal
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib import limits  # noqa: E402
from lib.case import main, until  # noqa: E402
from lib.container import ContainerTest, is_proa, listen, namespace, read_terminal, receive_terminal, status_field, unquoted  # noqa: E402

_NAMESPACES = ("pid", "net", "ipc", "uts", "mnt", "cgroup")


def command_line(pid):
    """Of a process that may be gone: the one that brings the new one in is, a moment later."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


class Exec(ContainerTest):
    def test_output_and_status(self):
        self.sleeper()
        done = self.runtime.call("exec", "box", "sh", "-c", "cat; echo err >&2; exit 7", stdin=None, input="in\n")
        self.assertEqual((7, "in\n", "err\n"), (done.returncode, done.stdout, done.stderr))

    def test_killed_by_a_signal(self):
        self.sleeper()
        self.assertEqual(128 + 9, self.runtime.call("exec", "box", "sh", "-c", "kill -9 $$").returncode)

    def test_much_data(self):
        self.sleeper()
        data = "0123456789abcdef" * 320 * 1024
        done = self.runtime.call("exec", "box", "cat", stdin=None, input=data)
        self.assertTrue(done.stdout == data)

    def test_stays_in_the_container(self):
        """Namespaces, root and control groups are the container's."""
        pid = self.sleeper()
        self.background("exec", "box", "sleep", "2000")
        def other():
            pids = json.loads(self.runtime("ps", "--format", "json", "box"))
            return next((p for p in pids if p != pid and command_line(p) == b"sleep\0002000\0"), None)
        child = until(other, "the second process")
        for kind in _NAMESPACES:
            self.assertEqual(namespace(kind, pid), namespace(kind, child), kind)
            self.assertNotEqual(namespace(kind), namespace(kind, child), kind)
        self.assertEqual(os.stat(f"/proc/{pid}/root/.").st_ino, os.stat(f"/proc/{child}/root/.").st_ino)
        self.assertEqual(Path(f"/proc/{pid}/cgroup").read_text(), Path(f"/proc/{child}/cgroup").read_text())
        self.assertEqual(limits.of(pid), limits.of(child))

    def test_environment_cwd_and_home(self):
        bundle = self.bundle("sleep", "1000")
        bundle.config["process"]["env"].append("FROM=config")
        bundle.config["process"]["cwd"] = "/var"
        self.started(bundle)
        self.assertEqual("config here /var /root", self.inside("sh", "-c", "echo $FROM $ADDED $PWD $HOME", options=("--env", "ADDED=here")))
        self.assertEqual("mine", self.inside("sh", "-c", "echo $FROM", options=("--env", "FROM=theirs", "--env", "FROM=mine")))
        self.assertEqual("/etc", self.inside("pwd", options=("--cwd", "/etc")))
        self.assertEqual("/home", self.inside("sh", "-c", "echo $HOME", options=("--user", "1000")))

    def test_user(self):
        self.sleeper()
        text = self.inside("cat", "/proc/self/status", options=("--user", "1000:1001", "--additional-gids", "7", "--additional-gids", "8"))
        fields = dict(line.split(":", 1) for line in text.splitlines())
        self.assertEqual("1000 1000 1000 1000", " ".join(fields["Uid"].split()))
        self.assertEqual("1001 1001 1001 1001", " ".join(fields["Gid"].split()))
        self.assertEqual("7 8", fields["Groups"].strip())
        self.fails("exec", "--user", "nobody:x", "box", "true")

    def test_capabilities(self):
        self.sleeper()
        cap_net_raw, cap_sys_nice = 1 << 13, 1 << 23

        def sets(*options):
            text = self.inside("cat", "/proc/self/status", options=options)
            return {k: int(v, 16) for k, v in (line.split(":") for line in text.splitlines() if line.startswith("Cap"))}
        plain = sets()
        self.assertTrue(plain["CapEff"] & cap_net_raw)
        self.assertFalse(plain["CapEff"] & cap_sys_nice)
        self.assertEqual((0, 0), (plain["CapInh"], plain["CapAmb"]), "CVE-2022-29162: nothing is inheritable unless asked for")
        more = sets("--cap", "CAP_SYS_NICE")
        self.assertTrue(more["CapEff"] & more["CapPrm"] & more["CapBnd"] & cap_sys_nice)
        self.assertEqual(0, more["CapAmb"])
        if is_proa():
            self.fails("exec", "--cap", "CAP_NOPE", "box", "true", word="CAP_NOPE")

    def test_no_new_privs(self):
        bundle = self.bundle("sleep", "1000")
        bundle.config["process"]["noNewPrivileges"] = False
        self.started(bundle)
        self.assertIn("NoNewPrivs:\t0", self.inside("cat", "/proc/self/status"))
        self.assertIn("NoNewPrivs:\t1", self.inside("cat", "/proc/self/status", options=("--no-new-privs",)))

    def test_rlimits_and_umask_of_the_configuration(self):
        bundle = self.bundle("sleep", "1000")
        bundle.config["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}]
        if is_proa():
            bundle.config["process"]["user"]["umask"] = 0o27
        self.started(bundle)
        self.assertEqual("100 200", self.inside("sh", "-c", "echo $(ulimit -Sn) $(ulimit -Hn)"))
        if is_proa():
            self.assertEqual("0027", self.inside("sh", "-c", "umask"))

    def test_process_file(self):
        self.sleeper()
        path = self.write_json("process.json", {
            "args": ["sh", "-c", "echo $(id -u):$(id -g) $PWD $X; grep NoNewPrivs /proc/self/status; cat /proc/self/oom_score_adj"],
            "cwd": "/tmp", "env": ["PATH=/bin:/usr/bin", "X=y"], "user": {"uid": 5, "gid": 6}, "noNewPrivileges": True, "oomScoreAdj": 555})
        self.assertEqual(["5:6 /tmp y", "NoNewPrivs:\t1"], self.inside(options=("--process", path)).splitlines()[:2])
        if is_proa():
            self.assertEqual("555", self.inside(options=("--process", path)).splitlines()[2])

    def test_bad_process_file(self):
        self.sleeper()
        self.fails("exec", "--process", self.write_json("bad.json", {"args": ["true"], "cwd": "relative"}), "box", word="cwd")
        self.fails("exec", "--process", self.folder / "none.json", "box", word="none.json")
        self.fails("exec", "box")

    def test_missing_program(self):
        self.sleeper()
        for program, words in (("nope", 'exec: "nope": executable file not found in $PATH'), ("/no/such", "no such file or directory"),
                               ("/etc/passwd", "permission denied")):
            done = self.runtime.call("exec", "box", program)
            self.assertEqual(255, done.returncode)
            self.assertIn(words.lower(), unquoted(done.stderr).lower())
        self.assertEqual("running", self.status())

    def test_bad_cwd(self):
        self.sleeper()
        for cwd in ("/proc/self/fd/3", "/proc/self/fd/8", "/proc/self/fd/9", "/proc/self/fd/10", "/none"):
            done = self.runtime.call("exec", "--cwd", cwd, "box", "sh", "-c", "pwd; ls -la ..")
            if cwd != "/none" and done.returncode == 0:
                self.fail(f"{cwd}: {done.stdout}")
            if is_proa():
                self.assertIn("cwd", done.stderr)

    def test_wrong_state(self):
        self.started(self.bundle("true"))
        self.until_stopped()
        self.fails("exec", "box", "true", word="cannot exec in a stopped container")

    def test_created_container(self):
        """Engines run health checks and debuggers before start too."""
        self.create(self.bundle("sleep", "1000"))
        self.assertEqual("box", self.inside("hostname"))
        self.assertEqual("created", self.status())
        self.runtime("start", "box")

    def test_paused_container(self):
        self.sleeper()
        self.runtime("pause", "box")
        self.fails("exec", "box", "true", word="paused")
        if is_proa():
            late = self.background("exec", "--ignore-paused", "box", "echo", "late")
            self.runtime("resume", "box")
            self.assertEqual(("late\n", ""), late.communicate(timeout=20))
        else:
            self.runtime("resume", "box")

    def test_detach(self):
        self.sleeper()
        pid_file = self.folder / "pid"
        self.runtime("exec", "--detach", "--pid-file", pid_file, "box", "sleep", "2000", stdout=None, stderr=None)
        pid = int(pid_file.read_text())
        self.assertEqual("sleep\0002000\0", Path(f"/proc/{pid}/cmdline").read_text())
        self.assertEqual(namespace("pid", self.runtime.state("box")["pid"]), namespace("pid", pid))

    def test_signals_are_passed_on(self):
        self.sleeper()
        child = self.background("exec", "box", "sh", "-c", "trap 'echo got; exit 6' USR1; echo ready; while :; do sleep 0.02; done")
        self.assertEqual("ready\n", child.stdout.readline())
        child.send_signal(signal.SIGUSR1)
        self.assertEqual("got\n", child.stdout.readline())
        self.assertEqual(6, child.wait(20))

    def test_preserve_fds(self):
        self.sleeper()
        read, write = os.pipe()
        self.addCleanup(os.close, read)
        done = self.runtime.call("exec", "--preserve-fds", 1, "box", "sh", "-c", "echo through >&3; ls /proc/self/fd",
                                 preexec_fn=lambda: os.dup2(write, 3), close_fds=False)
        os.close(write)
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertEqual("through\n", os.read(read, 100).decode())

    def test_no_descriptor_leaks_in(self):
        self.sleeper()
        with open("/etc/passwd") as leaked:
            done = self.runtime.call("exec", "box", "ls", "-l", "/proc/self/fd", preexec_fn=lambda: os.dup2(leaked.fileno(), 9), close_fds=False)
        links = [line.split("-> ")[1] for line in done.stdout.splitlines() if "->" in line]
        self.assertEqual(3, len(links), links)
        self.assertNotIn("/etc/passwd", links)

    def test_sub_cgroup(self):
        bundle = self.sh("mkdir /sys/fs/cgroup/pids/sub; echo ready; sleep 1000")
        bundle.config["mounts"].append({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid", "nodev", "noexec"]})
        out = self.folder / "out"
        self.started(bundle, output=out)
        until(lambda: "ready" in out.read_text(), "the cgroup")
        text = self.inside("cat", "/proc/self/cgroup", options=("--cgroup", "pids:sub"))
        groups = {line.split(":")[1]: line.split(":")[2] for line in text.splitlines()}
        self.assertTrue(groups["pids"].endswith("/sub"), groups)
        self.assertFalse(groups["memory"].endswith("/sub"), groups)
        self.fails("exec", "--cgroup", "none", "box", "true")
        own = self.inside("cat", "/proc/self/cgroup")
        if is_proa():
            self.assertEqual(own, self.inside("cat", "/proc/self/cgroup", options=("--cgroup", "../..")), "never above the container's")


class Terminals(ContainerTest):
    def test_exec_with_a_terminal(self):
        self.sleeper()
        master, slave = os.openpty()
        self.addCleanup(os.close, master)
        os.set_blocking(master, True)
        child = self.background("exec", "--tty", "box", "sh", "-c", "tty; stty size; read line; echo got $line; exit 3",
                                stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)
        text = read_terminal(master, "/dev/pts/")
        os.write(master, b"hello\n")
        text += read_terminal(master, "got hello")
        self.assertEqual(3, child.wait(20))
        self.assertIn("/dev/pts/", text)

    def test_exec_with_a_console_socket(self):
        self.sleeper()
        path = self.folder / "console"
        with listen(path) as listener:
            self.runtime("exec", "--tty", "--detach", "--console-socket", path, "box", "sh", "-c", "stty size; tty; read x; echo got $x",
                         stdout=None, stderr=None)
            master = receive_terminal(listener)
        self.addCleanup(os.close, master)
        os.write(master, b"hello\n")
        text = read_terminal(master)
        self.assertIn("/dev/pts/", text)
        self.assertIn("got hello", text)

    def test_detached_terminal_needs_a_socket(self):
        self.sleeper()
        self.fails("exec", "--tty", "--detach", "box", "true", word="console")


class Races(ContainerTest):
    def test_many_at_once(self):
        self.sleeper()
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            done = list(pool.map(lambda n: self.runtime.call("exec", "box", "sh", "-c", f"exit {n}").returncode, range(48)))
        self.assertEqual(list(range(48)), done)

    def test_while_the_container_ends(self):
        """An exec that loses the race fails or is killed; it does not hang, and leaves nothing."""
        for n in range(6):
            self.sleeper(ident=f"box{n}")
            with concurrent.futures.ThreadPoolExecutor(4) as pool:
                execs = [pool.submit(self.runtime.call, "exec", f"box{n}", "sleep", "0.01", timeout=20) for _ in range(6)]
                self.runtime("kill", f"box{n}", "KILL")
            for each in execs:
                each.result()
            self.until_stopped(f"box{n}")
            self.runtime("delete", f"box{n}")

    def test_killed_exec_takes_its_process_along(self):
        """Until its program runs: then the process is the container's."""
        self.sleeper()
        for _ in range(10):
            child = self.background("exec", "box", "true")
            child.kill()
            child.wait()
        until(lambda: len(json.loads(self.runtime("ps", "--format", "json", "box"))) == 1, "only the first process to be left")


if __name__ == "__main__":
    main()
