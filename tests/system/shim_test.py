#!/usr/bin/env python3
"""proa-shim on a real runtime: what a caller sees of stdio, logs, sockets, exits, and of a shim that was killed."""

import contextlib
import copy
import gzip
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from lib import runtime, sandbox, shim  # noqa: E402
from lib.case import SystemTest, command, main, until  # noqa: E402
from lib.shim import ERR, OUT, Refused, Shim  # noqa: E402

MOST_PSS = 512  # KiB


class ShimTest(SystemTest):
    def bundle(self, *args, **kwargs):
        """With control groups of a name of their own, as the v2 tree is shared with other sandboxes."""
        bundle = super().bundle(*args, **kwargs)
        bundle.config["linux"]["cgroupsPath"] = f"/{sandbox.scratch().name}-{bundle.path.name}"
        return bundle.save()

    def box(self, *args, flags=(), terminal=False, **kwargs):
        bundle = self.bundle(*args, name=f"bundle-{kwargs.get('ident', 'box')}")
        bundle.config["process"]["terminal"] = terminal
        return Shim(self, bundle.save(), *flags, *(["--terminal"] if terminal else []), **kwargs)


class Logs(ShimTest):
    SCRIPT = "echo out; echo err >&2; printf 'tab\\tquote\" slash\\\\ \\303\\244 \\377|'; printf 'no end'"
    OUTPUT = b'out\ntab\tquote" slash\\ \xc3\xa4 \xff|no end'

    def test_json_file(self):
        box = self.box("sh", "-c", self.SCRIPT, log="json-file")
        self.assertEqual(0, box.run()["exitCode"])
        streams = shim.parse_json_log(box.log.read_text())
        self.assertEqual({"stdout": self.OUTPUT.replace(b"\xff", "\ufffd".encode()), "stderr": b"err\n"}, streams)
        record = json.loads(box.log.read_text().splitlines()[0])
        self.assertRegex(record["time"], r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$")

    def test_cri(self):
        box = self.box("sh", "-c", self.SCRIPT, log="k8s-file")
        box.run()
        self.assertEqual({"stdout": self.OUTPUT, "stderr": b"err\n"}, shim.parse_cri_log(box.log.read_bytes()))
        self.assertRegex(box.log.read_text(errors="replace").splitlines()[0], r"^\S+Z std(out|err) F (out|err)$")

    def test_raw(self):
        box = self.box("sh", "-c", self.SCRIPT, log="raw")
        box.run()
        self.assertEqual(sorted(self.OUTPUT + b"err\n"), sorted(box.log.read_bytes()))

    def test_without_a_log(self):
        box = self.box("sh", "-c", self.SCRIPT)
        self.assertEqual(0, box.run()["exitCode"])
        self.assertEqual([], box.logs())

    def check_flood(self, name, parse):
        """50 MB on stdout and as much on stderr, hashed on the way into the pipe and out of the log."""
        line = b"0123456789abcdefghijklmnopqrstuvwxyz\\\"" * 3
        count = 50_000_000 // (len(line) + 8)
        data = self.folder / "data"
        data.write_bytes(b"".join(b"%07d%s\n" % (i, line) for i in range(count)))
        box = self.box("sh", "-c", "cat /tmp/data & cat /tmp/data >&2; wait", log=name)
        os.link(data, self.folder / "bundle-box/rootfs/tmp/data")
        box.run()
        wanted = hashlib.sha256(data.read_bytes()).hexdigest()
        for stream, found in parse(box).items():
            self.assertEqual(wanted, hashlib.sha256(found).hexdigest(), stream)

    def test_50_megabytes_json_file(self):
        self.check_flood("json-file", lambda box: shim.parse_json_log(box.log.read_text()))

    def test_50_megabytes_cri(self):
        self.check_flood("cri", lambda box: shim.parse_cri_log(box.log.read_bytes()))

    def test_50_megabytes_raw(self):
        box = self.box("sh", "-c", "dd if=/dev/urandom bs=64k count=763 of=/tmp/sum 2>/dev/null; cat /tmp/sum", log="raw")
        box.run()
        self.assertEqual(763 << 16, box.log.stat().st_size)
        sent = (self.folder / "bundle-box/rootfs/tmp/sum").read_bytes()
        self.assertEqual(hashlib.sha256(sent).digest(), hashlib.sha256(box.log.read_bytes()).digest())

    def test_long_lines(self):
        text = "ä" * 100_000
        box = self.box("sh", "-c", "cat /tmp/line; echo", log="json-file")
        (self.folder / "bundle-box/rootfs/tmp/line").write_text(text)
        box.run()
        self.assertEqual((text + "\n").encode(), shim.parse_json_log(box.log.read_text())["stdout"])
        self.assertLess(max(len(json.loads(line)["log"].encode()) for line in box.log.open()), 16385)

    def test_rotation_under_load(self):
        box = self.box("sh", "-c", "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done", log="json-file",
                       flags=["--log-max-size", "64k", "--log-max-files", "50"])
        box.run()
        self.assertGreater(len(box.logs()), 10)
        for file in box.logs():
            self.assertLessEqual(file.stat().st_size, 64 << 10)
        text = "".join(file.read_text() for file in box.logs())
        self.assertEqual([f"line {i}" for i in range(20000)], shim.parse_json_log(text)["stdout"].decode().splitlines())

    def test_rotation_keeps_so_many(self):
        box = self.box("sh", "-c", "i=0; while [ $i -lt 5000 ]; do echo line $i; i=$((i+1)); done", log="cri",
                       flags=["--log-max-size=20k", "--log-max-files=3"])
        box.run()
        self.assertEqual([f"{box.log.name}.2", f"{box.log.name}.1", box.log.name], [file.name for file in box.logs()])
        text = b"".join(file.read_bytes() for file in box.logs())
        lines = shim.parse_cri_log(text)["stdout"].decode().splitlines()
        self.assertEqual([f"line {i}" for i in range(5000 - len(lines), 5000)], lines)

    def test_external_rotation(self):
        self.check_reopened()

    def check_reopened(self, *flags):
        box = self.box("sh", "-c", "echo one; read go; echo two", log="raw", flags=["--stdin", *flags]).create().start()
        until(lambda: box.log.read_bytes() == b"one\n", "the first line")
        box.log.rename(moved := box.log.with_suffix(".moved"))
        self.assertEqual("ok", box.control("reopen-logs"))
        box.attach("attach stdin").send(b"go\n")
        box.ended()
        self.assertEqual((b"one\n", b"two\n"), (moved.read_bytes(), box.log.read_bytes()))
        moved.unlink()

    def test_full_disk_loses_records_but_never_tears_one(self):
        mount = self.folder / "small"
        mount.mkdir()
        command("mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", mount)
        try:
            box = self.box("sh", "-c", "i=0; while [ $i -lt 9000 ]; do echo line $i; i=$((i+1)); done; read go; echo last",
                           flags=["--stdin", "--log", mount / "log"])
            box.log = mount / "log"
            box.create().start()

            def all_said():  # a record that does not fit is there for a moment before it is taken back
                before = box.status_report()["log"]["lost"]
                time.sleep(0.2)
                return 100_000 < before == box.status_report()["log"]["lost"]

            until(all_said, "records to be lost")
            shim.parse_json_log(box.log.read_text())
            os.truncate(box.log, 0)
            box.attach("attach stdin").send(b"\n")
            self.assertEqual(0, box.ended()["exitCode"])
            shim.parse_json_log(box.log.read_text())
            self.assertIn(b"last\n", shim.parse_json_log(box.log.read_text())["stdout"])
        finally:
            box.remove()
            command("umount", mount)


    def test_disk_that_does_not_answer(self):
        """With a buffer the container goes on; what was dropped is counted, and no line is torn."""
        with self.slow_disk() as disk:
            box = self.box("sh", "-c", "echo first; read go; seq 100000; echo all >/tmp/said; read go; echo last",
                           flags=["--stdin", "--log", disk / "log", "--log-buffer", "64k"])
            box.log = disk / "log"
            box.create().start()
            self.addCleanup(box.remove)
            until(lambda: "first" in box.log.read_text(), "the first line")
            with self.frozen(disk):
                box.attach("attach stdin").send(b"\n")
                until((self.folder / "bundle-box/rootfs/tmp/said").exists, "the container to say all")
                lost = box.status_report()["log"]["lost"]
                self.assertGreater(lost, 300_000)
            box.attach("attach stdin").send(b"\n")
            self.assertEqual(0, box.ended()["exitCode"])
            first, *numbers, last = shim.parse_json_log(box.log.read_text())["stdout"].decode().splitlines()
            self.assertEqual(("first", "last"), (first, last))
            self.assertLessEqual({*map(int, numbers)}, {*range(1, 100_001)})
            self.assertEqual(numbers, sorted(numbers, key=int))
            self.assertEqual(len("".join(f"{i}\n" for i in range(1, 100_001))), lost + len("".join(f"{number}\n" for number in numbers)))
            box.remove()

    @contextlib.contextmanager
    def slow_disk(self):
        image, mount = self.folder / "disk", self.folder / "slow"
        with open(image, "w") as file:
            file.truncate(16 << 20)
        command("mkfs.ext4", "-q", image)
        mount.mkdir()
        command("mount", "-o", "loop", image, mount)
        try:
            yield mount
        finally:
            command("umount", mount)

    @contextlib.contextmanager
    def frozen(self, disk):
        command("fsfreeze", "--freeze", disk)
        try:
            yield
        finally:
            command("fsfreeze", "--unfreeze", disk)

    def test_buffered(self):
        """All of a flood that the disk keeps up with, rotated and handed to a command meanwhile."""
        box = self.box("sh", "-c", "seq 100000", flags=["--log-buffer", "8m", "--log-max-size", "1m", "--log-max-files", "20",
                                                        "--log-rotated-arg", "gzip"], log="json-file")
        box.run()
        text = "".join(gzip.open(file, "rt").read() if file.suffix == ".gz" else file.read_text() for file in box.logs())
        self.assertEqual([*map(str, range(1, 100_001))], shim.parse_json_log(text)["stdout"].decode().splitlines())

    def test_buffered_log_is_reopened(self):
        self.check_reopened("--log-buffer", "1m")


class Streams(ShimTest):
    def test_attached_client_sees_both_streams_and_the_exit(self):
        box = self.box("sh", "-c", "echo out; echo err >&2; exit 7").create()
        client = box.attach()
        box.start()
        client.read_all()
        self.assertEqual({OUT: b"out\n", ERR: b"err\n"}, client.data)
        self.assertEqual((7, 0), (client.record["exitCode"], client.record["signal"]))
        self.assertEqual(client.record, box.ended())

    def test_one_stream_raw(self):
        box = self.box("sh", "-c", "echo out; echo err >&2").create()
        client = box.attach("attach stderr raw")
        box.start()
        self.assertEqual(b"err\n", client.rest())

    def test_stdin_to_the_end(self):
        box = self.box("sh", "-c", "wc -c", flags=["--stdin-once"]).create()
        client = box.attach("attach stdin stdout exit")
        box.start()
        client.send(b"x" * 3_000_000)
        client.end_input()
        client.read_all()
        self.assertEqual((b"3000000\n", 0), (client.data[OUT], client.record["exitCode"]))

    def test_input_that_came_before_the_client_went(self):
        box = self.box("sh", "-c", "sleep 0.3; wc -c", flags=["--stdin-once"], log="raw").create()
        client = box.attach("attach stdin")
        client.socket.setblocking(False)
        sent = 0
        try:
            while True:
                sent += client.socket.send(b"y" * 4096)
        except BlockingIOError:
            client.close()
        box.start().ended()
        self.assertEqual(sent, int(box.log.read_text()))

    def test_stdin_stays_open_between_clients(self):
        box = self.box("cat", flags=["--stdin"], log="raw").create().start()
        for text in (b"one\n", b"two\n"):
            client = box.attach("attach stdin stdout")
            client.send(text)
            client.read_until(text)
            client.close()
        self.assertEqual("open", box.status_report()["stdin"])
        self.assertEqual("ok", box.control("close-stdin"))
        self.assertEqual(0, box.ended()["exitCode"])
        self.assertEqual(b"one\ntwo\n", box.log.read_bytes())

    def test_no_stdin(self):
        box = self.box("sh", "-c", "cat; sleep 1000").create().start()
        with self.assertRaisesRegex(Refused, "made without standard input"):
            box.attach("attach stdin")
        self.assertIn("error: ", box.control("close-stdin"))

    def test_bad_hello(self):
        box = self.box("sleep", "1000").create()
        for hello, wanted in (("hello", "expected: attach"), ("attach stdinn", "'stdinn'"), ("attach raw exit", "frames"),
                              ("attach patience=1h", "patience"), ("attach " + "x" * 200, "too long")):
            with self.assertRaisesRegex(Refused, wanted):
                box.attach(hello)

    def test_several_clients_one_of_them_stuck(self):
        """The stuck one is dropped; the others and the log get every byte."""
        size = 20 << 20
        box = self.box("sh", "-c", f"head -c {size} /dev/zero; echo end", log="raw").create()
        good = [box.attach("attach stdout exit patience=forever") for _ in range(3)]
        stuck = box.attach("attach stdout patience=200")
        box.start()
        for client in good:
            # One after another, so each but the first lags for a while itself.
            client.thread = _in_thread(client.read_all)
        for client in good:
            client.thread.join(60)
            self.assertEqual(size + 4, len(client.data[OUT]))
            self.assertEqual(0, client.record["exitCode"])
        self.assertEqual(size + 4, box.log.stat().st_size)
        got = stuck.socket.makefile("rb").read()
        self.assertLess(len(got), size)
        box.ended()

    def test_impatient_client_never_holds_up(self):
        box = self.box("sh", "-c", "head -c 8000000 /dev/zero; read go", log="raw", flags=["--stdin"]).create()
        box.attach("attach stdout patience=0")
        box.start()
        until(lambda: box.log.stat().st_size == 8_000_000, "all output in the log")
        self.assertEqual((0, 1), (box.status_report()["attached"], box.status_report()["dropped"]))

    def test_lagging_client_gets_what_came_before_the_end(self):
        """The exit is recorded at once, though a client has yet to read the output before it."""
        size = 700_000
        box = self.box("sh", "-c", f"head -c {size} /dev/zero; echo end >&2", log="raw").create()
        client = box.attach("attach stdout stderr exit patience=forever")
        box.start()
        until(lambda: (box.state / "exit").exists(), "the exit record")
        client.read_all()
        self.assertEqual((size, b"end\n"), (len(client.data[OUT]), client.data[ERR]))
        self.assertEqual(0, client.record["exitCode"])
        box.ended()

    def test_too_many_clients(self):
        box = self.box("sleep", "1000").create()
        clients = [box.attach("attach stdout") for _ in range(64)]
        with self.assertRaisesRegex(Refused, "too many"):
            box.attach()
        for client in clients:
            client.close()
        until(lambda: box.status_report()["attached"] == 0, "the clients to be gone")
        box.attach()


class Terminal(ShimTest):
    def test_session(self):
        box = self.box("sh", terminal=True, log="raw").create()
        client = box.attach("attach stdin stdout exit")
        box.start()
        self.assertEqual("ok", box.control("resize 33 77"))
        client.send(b"stty size; tty; exit 5\n")
        client.read_all()
        self.assertIn(b"33 77\r\n/dev/pts/0\r\n", client.data[OUT])
        self.assertEqual(5, client.record["exitCode"])
        self.assertIn(b"33 77\r\n", box.log.read_bytes())

    def test_output_intact(self):
        lines = 20000
        box = self.box("sh", "-c", f"seq 1 {lines}; read go", terminal=True, log="json-file").create().start()
        client = box.attach("attach stdin")
        client.send(b"\n")
        box.ended()
        out = shim.parse_json_log(box.log.read_text())["stdout"].decode().replace("\r\n", "\n").split("\n")
        self.assertEqual([str(i) for i in range(1, lines + 1)], [line for line in out if line])

    def test_terminal_outlives_a_program_that_closes_it(self):
        script = "exec </dev/null >/dev/null 2>&1; sleep 0.2; echo back >/dev/console; sleep 1000"
        box = self.box("sh", "-c", script, terminal=True).create()
        client = box.attach()
        box.start()
        client.read_until(b"back")

    def test_bundle_without_a_terminal(self):
        box = self.box("true", flags=["--terminal"]).launch()
        self.assertEqual(1, box.status)
        self.assertIn("error", box.answer)
        self.assertFalse(box.state.exists())
        self.assertFalse(self.runtime.exists("box"))


class Ends(ShimTest):
    def box_without_pid_namespace(self, *args, **kwargs):
        bundle = self.bundle(*args)
        bundle.config["linux"]["namespaces"] = [n for n in bundle.config["linux"]["namespaces"] if n["type"] != "pid"]
        return Shim(self, bundle.save(), **kwargs)

    def test_exit_code(self):
        box = self.box("sh", "-c", "exit 42")
        record = box.run()
        self.assertEqual((42, 0, False), (record["exitCode"], record["signal"], record["oomKilled"]))
        self.assertEqual(("box", box.pid), (record["id"], record["pid"]))
        self.assertRegex(record["finishedAt"], r"^20\d\d-\d\d-\d\dT")
        self.assertEqual(["exit", "pid"], sorted(file.name for file in box.state.iterdir()))

    def test_killed_by_a_signal(self):
        box = self.box("sleep", "1000").create().start()
        self.runtime("kill", "box", "KILL")
        record = box.ended()
        self.assertEqual((137, 9, False), (record["exitCode"], record["signal"], record["oomKilled"]))

    def test_signal_through_the_shim(self):
        # Outside a PID namespace, as the first process of one ignores what it has no handler for.
        box = self.box_without_pid_namespace("sleep", "1000").create().start()
        self.assertEqual("ok", box.control("signal 15"))
        record = box.ended()
        self.assertEqual((143, 15), (record["exitCode"], record["signal"]))

    def test_killed_before_start(self):
        box = self.box("sleep", "1000").create()
        self.runtime("delete", "--force", "box")
        self.assertEqual(9, box.ended()["signal"])

    def test_waiting_client(self):
        box = self.box("sleep", "1000").create().start()
        waiting = _in_thread(lambda: box.control("wait"))
        until(lambda: Path(f"/proc/{box.shim_pid}").exists(), "the shim")
        self.runtime("kill", "box", "KILL")
        waiting.join(30)
        self.assertEqual(137, json.loads(waiting.result)["exitCode"])

    def test_out_of_memory(self):
        box = self.box("sh", "-c", "x=$(tail -c 100000000 /dev/zero | tr '\\0' x); echo $x | wc -c")
        config = self.folder / "bundle-box/config.json"
        parsed = json.loads(config.read_text())
        parsed["linux"]["resources"]["memory"] = {"limit": 16 << 20, "swap": 16 << 20}
        config.write_text(json.dumps(parsed))
        record = box.run()
        self.assertTrue(record["oomKilled"], record)
        self.assertGreater(record["oomKills"], 0)

    def test_orphans_that_hold_the_output(self):
        """Without a PID namespace a child outlives its parent with the pipes open: the end is not held up."""
        box = self.box_without_pid_namespace("sh", "-c", "sleep 1000 & echo $!", log="raw")
        self.assertEqual(0, box.run()["exitCode"])
        self.runtime("delete", "--force", "box")
        try:
            os.kill(int(box.log.read_text()), signal.SIGKILL)
        except ProcessLookupError:
            pass

    def test_exit_command(self):
        out = self.folder / "ran"
        box = self.box("true", tail=["--exit-command", "/bin/sh", "-c", f'cat "$1/exit" >{out}; pwd >>{out}', "sh",
                                     self.folder / "box.shim"])
        box.run()
        until(lambda: out.exists() and out.read_text().endswith("/\n"), "the exit command")
        self.assertEqual(0, json.loads(out.read_text().splitlines()[0])["exitCode"])

    def test_companion(self):
        """It runs with the container, is started again when it ended, and learns of the end by itself."""
        ran = self.folder / "ran"
        words = ["/bin/sh", "-c", f'echo $PPID >>{ran}; [ "$(wc -l <{ran})" = 1 ] || until [ -e {self.folder}/end ]; do sleep 0.05; done; echo end >>{ran}']
        box = self.box("sleep", "1000", flags=[word for each in words for word in ("--companion-arg", each)]).create()
        begun = lambda: [line for line in (ran.read_text().split() if ran.exists() else []) if line != "end"]
        until(lambda: len(begun()) == 2, "the second one")
        self.assertEqual({str(box.shim_pid)}, set(begun()))
        box.start()
        self.runtime("kill", "box", "KILL")
        until(lambda: (box.state / "exit").exists(), "the record")
        self.assertEqual(1, ran.read_text().split().count("end"))
        (self.folder / "end").touch()
        until(lambda: ran.read_text().split().count("end") == 2, "its end")
        self.assertEqual(2, len(begun()))

    def test_termination_is_ignored(self):
        box = self.box("sleep", "1000").create().start()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(box.shim_pid, number)
        self.assertEqual("box", box.status_report()["id"])


class Failures(ShimTest):
    def check_nothing_made(self, box):
        self.assertEqual(1, box.status)
        self.assertFalse(box.state.exists())
        self.assertEqual([], box.logs())
        self.assertFalse(self.runtime.exists(box.ident))

    def test_runtime_message(self):
        box = self.box("true", log="json-file")
        (self.folder / "bundle-box/config.json").write_text('{"ociVersion": "1.0.2", "root": {"path": "nowhere"}}')
        box.launch()
        plain = self.runtime.call("create", "--bundle", self.folder / "bundle-box", "box", stdout=subprocess.DEVNULL)
        reason = plain.stderr.strip().rpartition("msg=")[2].strip('"').split(":")[-1]
        self.assertIn(reason, box.answer["error"])
        self.assertIn(reason, box.said)
        self.check_nothing_made(box)

    def test_no_such_runtime(self):
        missing = runtime.Runtime("/no/such/runtime", self.folder / "state")
        box = Shim(self, self.bundle("true"), runtime=missing).launch()
        self.assertIn("/no/such/runtime: no such file or directory", box.answer["error"])
        self.assertFalse(box.state.exists())

    def test_runtime_killed(self):
        script = self.folder / "runtime"
        script.write_text("#!/bin/sh\nsleep 1000 &\nkill -9 $$\n")
        script.chmod(0o755)
        box = Shim(self, self.bundle("true"), runtime=runtime.Runtime(script, self.folder / "state")).launch()
        self.assertIn("killed by signal 9", box.answer["error"])
        self.assertFalse(box.state.exists())

    def test_warnings_are_not_logged(self):
        script = self.folder / "runtime"
        script.write_text(f'#!/bin/sh\necho careful >&2\nexec {self.runtime.command} "$@"\n')
        script.chmod(0o755)
        box = Shim(self, self.bundle("echo", "hi"), log="raw", runtime=runtime.Runtime(script, self.folder / "state")).create()
        self.assertEqual("careful", box.answer["warning"])
        client = box.attach()
        self.runtime("start", "box")
        self.assertEqual(b"", client.read_all().data[ERR])
        box.ended()
        self.assertEqual(b"hi\n", box.log.read_bytes())

    def test_bad_log(self):
        box = self.box("true", flags=["--log", "/no/such/folder/log"]).launch()
        self.assertIn("/no/such/folder/log: no such file or directory", box.answer["error"])
        self.check_nothing_made(box)

    def test_bad_flags(self):
        for flags, wanted in ((["--log-format", "xml"], "--log-format: 'xml'"), (["--log-max-size", "1x"], "--log-max-size: '1x'"),
                              (["--id", "a/b"], "--id: 'a/b'"), (["--frob"], "'--frob'"), (["--stdin=yes"], "--stdin: takes no value"),
                              (["--exit-command", "true"], "absolute path")):
            done = subprocess.run([*self.box("true").argv, *flags], capture_output=True, text=True)
            self.assertEqual(1, done.returncode, flags)
            self.assertIn(wanted, done.stderr)

    def test_second_shim_for_a_state_folder(self):
        box = self.box("sleep", "1000").create()
        other = copy.copy(box).launch()
        self.assertIn(f"held by the shim with process id {box.shim_pid}", other.answer["error"])
        self.assertEqual("box", box.status_report()["id"])
        refused = shim.clean_up(box.state, check=False)
        self.assertEqual(1, refused.returncode)
        self.assertIn(f"held by the shim with process id {box.shim_pid}", refused.stderr)

    def test_state_of_an_ended_container(self):
        box = self.box("true")
        box.run()
        self.runtime("delete", "box")
        self.assertIn("has the record of a container that has ended", copy.copy(box).launch().answer["error"])
        shim.clean_up(box.state)
        self.assertEqual(0, box.run()["exitCode"])


class Survival(ShimTest):
    def test_found_by_its_folder(self):
        box = self.box("sleep", "1000").create().start()
        pid, started = (box.state / "shim.pid").read_text().split()
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        self.assertEqual((str(box.shim_pid), stat[19]), (pid, started))
        self.assertEqual(str(box.pid), (box.state / "pid").read_text().strip())
        self.assertNotEqual(0, subprocess.run(["flock", "-n", box.state / "shim.pid", "true"]).returncode)

    def test_killed(self):
        """The record says it was killed, the container's next write fails, and all of it can be removed."""
        box = self.box("sh", "-c", "read go; echo lost; echo lost; sleep 1000", flags=["--stdin"], log="raw").create().start()
        os.kill(box.shim_pid, signal.SIGKILL)
        until(lambda: not box.alive(), "the shim to die")
        subprocess.run(["flock", "-n", box.state / "shim.pid", "true"], check=True)
        self.assertFalse((box.state / "exit").exists())
        self.assertEqual(str(box.pid), (box.state / "pid").read_text().strip())
        again = copy.copy(box).launch()
        self.assertIn("has the remains of a shim that was killed", again.answer["error"])
        self.runtime("delete", "--force", "box")
        shim.clean_up(box.state, box.log)
        self.assertFalse(box.state.exists() or box.log.exists())

    def test_torn_record_is_ended(self):
        box = self.box("echo", "hi", log="json-file")
        box.log.write_text('{"log":"torn')
        box.run()
        lines = box.log.read_text().splitlines()
        self.assertEqual('{"log":"torn', lines[0])
        self.assertEqual("hi\n", json.loads(lines[1])["log"])

    def test_caller_is_killed(self):
        box = self.box("sleep", "1000", flags=["--pid-file", self.folder / "pid"])
        subprocess.run(["sh", "-c", 'setsid "$@" & wait $!; kill -9 $$', "sh", *box.argv], stderr=subprocess.DEVNULL)
        until(lambda: (self.folder / "pid").exists(), "the container")
        box.shim_pid = int((box.state / "shim.pid").read_text().split()[0])
        self.addCleanup(box.remove)
        box.start()
        self.assertEqual(int((self.folder / "pid").read_text()), box.status_report()["pid"])

    def test_nothing_of_the_caller_is_kept(self):
        """Neither its descriptors, its folder nor its session: only what a shim needs."""
        box = self.box("sleep", "1000").create().start()
        links = {os.readlink(f"/proc/{box.shim_pid}/fd/{fd}") for fd in os.listdir(f"/proc/{box.shim_pid}/fd")}
        self.assertEqual(str(box.state), os.readlink(f"/proc/{box.shim_pid}/cwd"))
        self.assertNotIn(os.getcwd(), links)
        self.assertNotEqual(os.getsid(0), os.getsid(box.shim_pid))


class Crowd(ShimTest):
    def test_100_at_once(self):
        boxes = []
        for i in range(100):
            bundle = self.bundle("sh", "-c", "echo ready; read go; exit 3")
            bundle.config["linux"]["cgroupsPath"] += str(i)
            bundle.path = self.folder / f"bundle{i}"
            bundle.path.mkdir()
            bundle.config["root"]["path"] = "../bundle/rootfs"
            boxes.append(Shim(self, bundle.save(), "--stdin", ident=f"box{i}", log="json-file"))
        started = [_in_thread(lambda box=box: box.create().start()) for box in boxes]
        for thread in started:
            thread.join(300)
        self.assertEqual([None] * 100, [thread.error for thread in started])
        for box in boxes:
            until(lambda: b"ready\n" in shim.parse_json_log(box.log.read_text())["stdout"], f"{box.ident} to be ready")
        print(f"100 shims at once: {sum(box.pss() for box in boxes)} KiB PSS together", file=sys.stderr)
        for box in boxes:
            box.attach("attach stdin").send(b"\n")
        self.assertEqual([3] * 100, [box.ended()["exitCode"] for box in boxes])


class Memory(ShimTest):
    def check(self, box, when):
        """After a second of rest a shim has given back what work needed."""
        until(lambda: box.pss() <= MOST_PSS, f"the {box.pss()} KiB PSS of a shim {when} to be at most {MOST_PSS}")
        lowest = until(lambda: self.steady(box), "the figure to be steady")
        print(f"shim {when}: {lowest} KiB PSS", file=sys.stderr)
        self.assertLessEqual(lowest, MOST_PSS)

    @staticmethod
    def steady(box):
        """The figure, once the shim has gone to sleep for good."""
        sleeping = Path(f"/proc/{box.shim_pid}/syscall").read_text().split()
        return box.pss() if sleeping[4:5] == ["0xffffffffffffffff"] else None

    def test_idle(self):
        self.check(self.box("sleep", "1000", log="json-file").create().start(), "holding an idle container")

    def test_after_much_output(self):
        box = self.box("sh", "-c", "seq 1 500000; sleep 1000", log="json-file").create()
        client = box.attach("attach stdout patience=forever")
        box.start()
        client.read_until(b"500000\n")
        self.check(box, "that rests after much output")


    def test_after_much_buffered_output(self):
        box = self.box("sh", "-c", "seq 1 500000; sleep 1000", log="json-file", flags=["--log-buffer", "1m"]).create()
        client = box.attach("attach stdout patience=forever")
        box.start()
        client.read_until(b"500000\n")
        self.check(box, "with a log buffer that rests after much output")


class OtherRuntime(ShimTest):
    def test_runc(self):
        found = subprocess.run(["which", "runc"], capture_output=True, text=True).stdout.strip()
        if not found:
            self.skipTest("runc is not installed: run scripts/bootstrap test")
        other = runtime.Runtime(found, self.folder / "state")
        for terminal in (False, True):
            with self.subTest(terminal=terminal):
                box = self.box("sh", "-c", "echo out; exit 4", terminal=terminal, runtime=other, log="json-file",
                               ident=f"runc-{terminal}".lower())
                self.assertEqual(4, box.run()["exitCode"])
                self.assertEqual(b"out\n", shim.parse_json_log(box.log.read_text())["stdout"].replace(b"\r", b""))
                box.remove()


class _Thread:
    def __init__(self, action):
        import threading
        self.result = self.error = None

        def run():
            try:
                self.result = action()
            except BaseException as error:  # told by the test's own thread
                self.error = error
        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()

    def join(self, patience):
        self._thread.join(patience)
        if self._thread.is_alive():
            raise AssertionError("still running")
        if self.error:
            raise self.error


def _in_thread(action):
    return _Thread(action)


if __name__ == "__main__":
    main()
