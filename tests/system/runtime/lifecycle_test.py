#!/usr/bin/env python3
"""The life of a container as users and engines see it: each command's effect, exit status and words."""

import concurrent.futures
import ctypes
import json
import os
import re
import signal
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib.case import main, until  # noqa: E402
from lib.container import ContainerTest, is_proa, status_field, unquoted  # noqa: E402

_PR_SET_CHILD_SUBREAPER = 36


class States(ContainerTest):
    def test_created(self):
        bundle = self.bundle("sleep", "1000")
        bundle.config["annotations"] = {"org.example.key": "value"}
        pid = self.create(bundle)
        state = self.runtime.state("box")
        self.assertEqual("created", state["status"])
        self.assertEqual(("box", str(bundle.path), {"org.example.key": "value"}), (state["id"], state["bundle"], state["annotations"]))
        self.assertEqual("1.", state["ociVersion"][:2])
        self.assertNotIn("sleep", Path(f"/proc/{pid}/cmdline").read_text())

    def test_start_runs_the_program(self):
        pid = self.started(self.bundle("sleep", "1000"))
        self.assertEqual("running", self.status())
        self.assertEqual("sleep\0001000\0", Path(f"/proc/{pid}/cmdline").read_text())

    def test_stopped(self):
        self.started(self.bundle("true"))
        self.until_stopped()
        self.assertEqual(0, self.runtime.state("box").get("pid", 0))
        self.fails("start", "box", word="cannot start a container that has stopped")
        self.fails("kill", "box", "KILL", word="container not running")
        self.fails("exec", "box", "true", word="cannot exec in a stopped container")
        self.runtime("delete", "box")
        self.assertFalse(self.runtime.exists("box"))

    def test_zombie_is_stopped(self):
        """An engine that does not wait for the process must still see it end."""
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self.addCleanup(ctypes.CDLL(None).prctl, _PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
        pid = self.started(self.bundle("true"))
        self.until_stopped()
        self.assertEqual("Z", status_field(pid, "State")[0])
        self.runtime("delete", "box")
        os.waitpid(pid, 0)

    def test_start_only_once(self):
        self.sleeper()
        self.fails("start", "box", word="cannot start an already running container")
        self.assertEqual("running", self.status())

    def test_unknown_container(self):
        for command in (["state", "none"], ["start", "none"], ["kill", "none", "KILL"], ["delete", "none"], ["exec", "none", "true"],
                        ["pause", "none"], ["resume", "none"], ["ps", "none"]):
            self.fails(*command, word="container does not exist")
        self.runtime("delete", "--force", "none")

    def test_ids(self):
        bundle = self.bundle("true")
        for ident in ("a/b", "..", ".", "a b", "ä", "../state/x", "a\nb"):
            self.fails("create", "--bundle", bundle.path, ident, word="id")
        self.runtime("run", "--bundle", bundle.path, "ok_1.2+3-x")
        self.assertEqual([], list((self.folder / "state").iterdir()))

    def test_bundle_errors(self):
        self.fails("create", "--bundle", self.folder / "none", "box", word="no such file or directory")
        (self.folder / "empty").mkdir()
        self.fails("create", "--bundle", self.folder / "empty", "box", word="config.json")
        (self.folder / "empty/config.json").write_text("{")
        self.fails("create", "--bundle", self.folder / "empty", "box")
        bundle = self.bundle("true")
        bundle.config["root"]["path"] = "nowhere"
        self.refused(bundle, "nowhere", "no such file or directory")

    def test_config_is_read_once(self):
        """What is in the bundle after create has no say any more."""
        bundle = self.sh("echo first")
        out = self.folder / "out"
        self.create(bundle, output=out)
        (bundle.path / "config.json").write_text('{"ociVersion": "1.0.0"}')
        self.runtime("start", "box")
        self.until_stopped()
        self.runtime("delete", "box")
        self.assertEqual("first\n", out.read_text())

    @unittest.skipUnless(is_proa(), "runc demands a process already at create, the specification only at start")
    def test_no_process(self):
        bundle = self.bundle("true")
        del bundle.config["process"]
        self.create(bundle)
        self.assertEqual("created", self.status())
        self.fails("start", "box", word="no process")
        self.assertEqual("created", self.status())


class Identity(ContainerTest):
    def test_second_create_leaves_the_first_alone(self):
        pid = self.sleeper()
        bundle = self.bundle("true", name="other")
        self.fails("create", "--bundle", bundle.path, "box", word="container with given id already exists")
        self.fails("run", "--bundle", bundle.path, "box", word="container with given id already exists")
        self.assertEqual(("running", pid), (self.status(), self.runtime.state("box")["pid"]))

    @unittest.skipUnless(is_proa(), "runc has a race here")
    def test_concurrent_creates_of_one_id(self):
        bundle = self.bundle("sleep", "1000")
        self.forget("box")
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            done = list(pool.map(lambda _: self.runtime.call("create", "--bundle", bundle.path, "box", stdout=subprocess.DEVNULL,
                                                             stderr=subprocess.DEVNULL).returncode, range(16)))
        self.assertEqual(15, len([status for status in done if status]))
        self.assertEqual("created", self.status())
        self.runtime("start", "box")

    @unittest.skipUnless(is_proa(), "runc's list fails when a container goes meanwhile")
    def test_list_does_not_disturb_creates(self):
        """`list` takes away what dead creators left, and must not mistake a busy one for dead."""
        bundles = [self.bundle("true", name=f"box{n}") for n in range(2)]
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            lists = [pool.submit(lambda: [self.runtime("list") for _ in range(40)]) for _ in range(2)]
            runs = [pool.submit(lambda n=n: [self.run_container(bundles[n], ident=f"box{n}") for _ in range(20)]) for n in range(2)]
        for each in lists:
            each.result()
        self.assertEqual([""] * 40, [done.stderr for each in runs for done in each.result()])

    def test_same_id_again(self):
        bundle = self.sh("exit 3")
        for _ in range(3):
            self.assertEqual(3, self.run_container(bundle).returncode)


class Kill(ContainerTest):
    def trapping(self, *names):
        """A container that tells which of the signals came."""
        out = self.folder / "out"
        traps = "; ".join(f"trap 'echo {name}' {name}" for name in names)
        bundle = self.sh(f"{traps}; echo ready; while :; do sleep 0.02; done")
        self.started(bundle, output=out)
        until(lambda: "ready" in out.read_text(), "the traps to be set")
        return out

    def test_signal_names_and_numbers(self):
        out = self.trapping("USR1", "HUP", "TERM", "USR2")
        for given, name in (("USR1", "USR1"), ("SIGHUP", "HUP"), ("12", "USR2"), ("term", "TERM")):
            self.runtime("kill", "box", given)
            until(lambda: name in out.read_text(), f"signal {given}")

    def test_default_is_term(self):
        out = self.trapping("TERM")
        self.runtime("kill", "box")
        until(lambda: "TERM" in out.read_text(), "SIGTERM")

    def test_bad_signal(self):
        self.sleeper()
        for bad in ("NOPE", "SIGNOPE", "-1", "65", "1x"):
            self.fails("kill", "box", bad)
        self.assertEqual("running", self.status())

    def test_created_container(self):
        self.create(self.bundle("sleep", "1000"))
        self.runtime("kill", "box", "KILL")
        self.until_stopped()

    def test_all(self):
        """--all reaches those that are not the first process, here without a pid namespace."""
        bundle = self.sh("sleep 1001 & sleep 1002 & wait")
        bundle.config["linux"]["namespaces"] = [n for n in bundle.config["linux"]["namespaces"] if n["type"] != "pid"]
        self.started(bundle)
        def pids():
            return json.loads(self.runtime("ps", "--format", "json", "box") or "[]") or []
        until(lambda: len(pids()) == 3, "three processes")
        self.runtime("kill", "--all", "box", "KILL")
        until(lambda: not pids(), "all to be gone")
        self.until_stopped()

    def test_kill_without_pid_namespace_ends_all(self):
        """Nothing else would take the other processes away."""
        bundle = self.sh("sleep 1001 & sleep 1002 & wait")
        bundle.config["linux"]["namespaces"] = [n for n in bundle.config["linux"]["namespaces"] if n["type"] != "pid"]
        self.started(bundle)
        self.runtime("kill", "box", "KILL")
        self.until_stopped()
        self.runtime("delete", "box")
        self.assertEqual([], [item for item in self.before.left() if item.startswith("process")])


class Delete(ContainerTest):
    def test_running_is_refused(self):
        self.sleeper()
        self.fails("delete", "box", word="not stopped")
        self.assertEqual("running", self.status())
        self.runtime("delete", "--force", "box")
        self.assertFalse(self.runtime.exists("box"))

    def test_created(self):
        """Not stopped: the specification has it refused, runc does not."""
        pid = self.create(self.bundle("sleep", "1000"))
        if is_proa():
            self.fails("delete", "box", word="not stopped")
        self.runtime("delete", *(["--force"] if is_proa() else []), "box")
        self.assertFalse(Path(f"/proc/{pid}").exists())

    def test_paused(self):
        pid = self.sleeper()
        self.runtime("pause", "box")
        self.fails("delete", "box", word="not stopped")
        self.runtime("delete", "--force", "box")
        until(lambda: not Path(f"/proc/{pid}").exists(), "the process to be gone")

    def test_bundle_is_gone(self):
        bundle = self.bundle("sleep", "1000")
        self.started(bundle)
        bundle.path.rename(self.folder / "elsewhere")
        self.runtime("delete", "--force", "box")

    @unittest.skipUnless(is_proa(), "added since runc 1.1")
    def test_regex(self):
        for ident in ("web1", "web2", "db"):
            self.sleeper(ident=ident)
        self.runtime("delete", "--force", "--regex", "^web")
        self.assertEqual(["db"], self.runtime("list", "--quiet").split())


class Pause(ContainerTest):
    def ticking(self):
        out = self.folder / "out"
        self.started(self.sh("while :; do echo tick; sleep 0.01; done"), output=out)
        until(lambda: out.stat().st_size, "the first tick")
        return out

    def test_nothing_runs_while_paused(self):
        out = self.ticking()
        self.runtime("pause", "box")
        self.assertEqual("paused", self.status())
        size = out.stat().st_size
        self.fails("exec", "box", "true", word="paused")
        self.assertEqual(size, out.stat().st_size)
        self.runtime("resume", "box")
        until(lambda: out.stat().st_size > size, "more ticks")
        self.assertEqual("running", self.status())

    def test_kill_while_paused(self):
        self.ticking()
        self.runtime("pause", "box")
        self.runtime("kill", "box", "KILL")
        self.until_stopped()

    def test_wrong_state(self):
        self.sleeper()
        self.fails("resume", "box", word="not paused")
        self.runtime("kill", "box", "KILL")
        self.until_stopped()
        self.fails("pause", "box", word="not running")

    def test_created_container(self):
        self.create(self.bundle("sleep", "1000"))
        self.runtime("pause", "box")
        for _ in range(40):
            self.assertEqual("paused", self.status())
        self.fails("start", "box", word="paused")
        self.runtime("resume", "box")
        self.assertEqual("created", self.status())
        self.runtime("start", "box")
        self.assertEqual("running", self.status())

    def test_container_of_a_foreground_run(self):
        """`run` in the foreground holds nothing that other commands have to wait for."""
        bundle = self.bundle("sleep", "1000").save()
        self.forget("box")
        runner = self.background("run", "--bundle", bundle.path, "box")
        until(lambda: self.runtime.exists("box") and self.status() == "running", "the container to run")
        self.runtime("pause", "box", timeout=20)
        self.assertEqual("paused", self.status())
        self.runtime("resume", "box", timeout=20)
        self.runtime("exec", "box", "true", timeout=20)
        self.runtime("delete", "--force", "box", timeout=20)
        runner.wait(20)


class Looking(ContainerTest):
    def test_list(self):
        self.sleeper(ident="one")
        pid = self.create(self.bundle("true", name="two"), ident="two")
        self.assertEqual(["one", "two"], self.runtime("list", "-q").split())
        table = self.runtime("list").splitlines()
        self.assertEqual(["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"], table[0].split())
        two = next(line for line in table if line.startswith("two")).split()
        self.assertEqual(["two", str(pid), "created", str(self.folder / "two")], two[:4])
        self.assertEqual("root", two[5])
        entries = {entry["id"]: entry for entry in json.loads(self.runtime("list", "--format", "json"))}
        self.assertEqual("running", entries["one"]["status"])
        self.assertEqual("root", entries["one"]["owner"])

    def test_empty_list(self):
        self.assertEqual("", self.runtime("list", "-q"))
        self.assertIn(self.runtime("list", "--format", "json").strip(), ("[]", "null"))

    def test_ps(self):
        pid = self.started(self.sh("sleep 1001 & wait"))
        until(lambda: len(json.loads(self.runtime("ps", "--format", "json", "box"))) == 2, "two processes")
        self.assertIn(pid, json.loads(self.runtime("ps", "--format", "json", "box")))
        table = self.runtime("ps", "box")
        self.assertIn("PID", table.splitlines()[0])
        self.assertIn("sleep 1001", table)
        self.assertEqual(3, len(table.strip().splitlines()))
        columns = self.runtime("ps", "box", "-o", "pid,args").strip().splitlines()
        self.assertEqual(["PID", "COMMAND"], columns[0].split())


class Run(ContainerTest):
    def test_exit_status(self):
        for script, status in (("exit 0", 0), ("exit 7", 7), ("exit 255", 255)):
            self.assertEqual(status, self.run_container(self.sh(script)).returncode)

    def test_killed(self):
        bundle = self.sh("sleep 1000").save()
        self.forget("box")
        runner = self.background("run", "--bundle", bundle.path, "box")
        until(lambda: self.runtime.exists("box") and self.status() == "running", "the container to run")
        self.runtime("kill", "box", "KILL")
        self.assertEqual(128 + signal.SIGKILL, runner.wait(20))
        self.assertFalse(self.runtime.exists("box"))

    def test_streams(self):
        done = self.run_container(self.sh("cat; echo err >&2"), stdin=None, input="to the container\n")
        self.assertEqual(("to the container\n", "err\n"), (done.stdout, done.stderr))

    def test_much_data(self):
        data = "0123456789abcdef" * 320 * 1024
        done = self.run_container(self.bundle("cat"), stdin=None, input=data)
        self.assertEqual(len(data), len(done.stdout))
        self.assertTrue(done.stdout == data)

    def test_detach_and_pid_file(self):
        bundle = self.bundle("sleep", "1000")
        pid_file = self.folder / "pid"
        self.forget("box")
        with open(os.devnull, "w") as null:
            done = self.run_container(bundle, "--detach", "--pid-file", pid_file, stdout=null, stderr=null)
        self.assertEqual(0, done.returncode)
        state = self.runtime.state("box")
        self.assertEqual(("running", state["pid"]), (state["status"], int(pid_file.read_text())))
        self.assertRegex(pid_file.read_text(), r"^\d+$")

    def test_relative_pid_file_and_bundle(self):
        self.bundle("true")
        done = self.runtime.call("run", "--pid-file", "here.pid", "--bundle", "bundle", "box", cwd=self.folder)
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertTrue((self.folder / "here.pid").exists())

    def test_pid_file_that_cannot_be_written(self):
        self.refused(self.bundle("true"), "pid", options=("--pid-file", self.folder / "none/pid"))

    def test_keep(self):
        if not is_proa() and "--keep" not in self.runtime("run", "--help"):
            self.skipTest("this runtime has no --keep")
        self.assertEqual("out", self.said(self.sh("echo out"), "--keep"))
        self.assertEqual("stopped", self.status())
        self.runtime("delete", "box")

    def test_signals_are_passed_on(self):
        bundle = self.sh("trap 'echo got USR1; exit 5' USR1; echo ready; while :; do sleep 0.02; done").save()
        runner = self.background("run", "--bundle", bundle.path, "box")
        self.assertEqual("ready\n", runner.stdout.readline())
        runner.send_signal(signal.SIGUSR1)
        self.assertEqual("got USR1\n", runner.stdout.readline())
        self.assertEqual(5, runner.wait(20))

    def test_default_signal_dispositions_and_mask(self):
        """The program gets a clean slate, whatever the runtime blocked for itself."""
        text = self.said(self.bundle("cat", "/proc/self/status"))
        fields = dict(re.findall(r"^(Sig\w+):\s*(\w+)$", text, re.M))
        self.assertEqual(0, int(fields["SigBlk"], 16))
        self.assertEqual(0, int(fields["SigCgt"], 16))
        self.assertEqual(0, int(fields["SigIgn"], 16) & ~(1 << (signal.SIGPIPE - 1)), "python ignores SIGPIPE for its children")

    def test_preserve_fds(self):
        read, write = os.pipe()
        self.addCleanup(os.close, read)

        def into_place():
            os.dup2(write, 3)
        bundle = self.sh("ls /proc/self/fd; echo through >&3")
        done = self.run_container(bundle, "--preserve-fds", 1, preexec_fn=into_place, close_fds=False)
        os.close(write)
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertEqual("through\n", os.read(read, 100).decode())

    def test_other_descriptors_are_closed(self):
        with open("/etc/passwd") as leaked:
            def into_place():
                os.dup2(leaked.fileno(), 9)
            done = self.run_container(self.sh("ls /proc/$$/fd"), preexec_fn=into_place, close_fds=False)
        self.assertNotIn("9", done.stdout.split())

    @unittest.skipUnless(is_proa(), "runc passes whatever happens to be there")
    def test_missing_preserved_descriptor(self):
        self.fails("run", "--preserve-fds", "3", "--bundle", self.bundle("true").path, "box", word="preserve-fds")

    def test_socket_activation(self):
        read, write = os.pipe()
        self.addCleanup(os.close, read)
        bundle = self.sh("echo $LISTEN_FDS $LISTEN_PID; echo through >&3")
        command = " ".join(self.runtime.argv("run", "--bundle", bundle.save().path, "box"))
        done = subprocess.run(["sh", "-c", f"LISTEN_FDS=1 LISTEN_PID=$$ exec {command} 3>&{write}"], pass_fds=[write],
                              capture_output=True, text=True, timeout=60)
        os.close(write)
        self.assertEqual("1 1", done.stdout.strip(), done.stderr)
        self.assertEqual("through\n", os.read(read, 100).decode())


class Errors(ContainerTest):
    """docker, podman and containerd take meaning from these words."""

    def test_missing_program(self):
        for args, words in ((["nope"], 'exec: "nope": executable file not found in $PATH'),
                            (["/no/such"], "no such file or directory")):
            self.refused(self.bundle(*args, name=args[0].replace("/", "_")), words)
            done = self.run_container(self.bundle(*args, name="r" + args[0].replace("/", "_")))
            self.assertNotEqual(0, done.returncode)
            self.assertIn(words.lower(), unquoted(done.stderr).lower())

    def test_program_that_may_not_be_executed(self):
        bundle = self.bundle("/etc/passwd")
        self.refused(bundle, "permission denied")
        bundle.config["process"]["args"] = ["/etc"]
        if is_proa():
            self.refused(bundle, "directory")

    def test_missing_interpreter(self):
        bundle = self.bundle("/script")
        script = bundle.root / "script"
        script.write_text("#!/no/such/shell\n")
        script.chmod(0o755)
        done = self.run_container(bundle)
        self.assertNotEqual(0, done.returncode)
        self.assertIn("no such file or directory", done.stderr.lower())

    def test_not_a_program(self):
        bundle = self.bundle("/garbage")
        (bundle.root / "garbage").write_bytes(b"\x7fnot an executable")
        (bundle.root / "garbage").chmod(0o755)
        done = self.run_container(bundle)
        self.assertNotEqual(0, done.returncode)
        self.assertIn("exec format error", done.stderr.lower())

    def test_bad_cwd(self):
        bundle = self.bundle("true")
        bundle.config["process"]["cwd"] = "/etc/passwd"
        self.refused(bundle, "not a directory")
        bundle.config["process"]["cwd"] = "relative"
        self.refused(bundle, "cwd")

    def test_json_log(self):
        log = self.folder / "log.json"
        bundle = self.bundle("nope")
        done = self.runtime.call("--log", log, "--log-format", "json", "create", "--bundle", bundle.path, "box")
        self.assertNotEqual(0, done.returncode)
        entry = json.loads(log.read_text().splitlines()[-1])
        self.assertEqual("error", entry["level"])
        self.assertIn("executable file not found in $PATH", entry["msg"])
        self.assertRegex(entry["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
        self.assertIn("executable file not found in $PATH", done.stderr, "engines without a log file read stderr")

    def test_text_log_is_appended(self):
        log = self.folder / "log"
        log.write_text("before\n")
        self.runtime.call("--log", log, "state", "none")
        self.assertEqual("before", log.read_text().splitlines()[0])
        self.assertIn("container does not exist", log.read_text())
        self.assertIn("level=error", log.read_text())

    def test_debug_log(self):
        log = self.folder / "log"
        done = self.runtime.call("--debug", "--log", log, "run", "--bundle", self.bundle("echo", "out").path, "box")
        self.assertEqual("out\n", done.stdout)


if __name__ == "__main__":
    main()
