#!/usr/bin/env python3
"""`proa vm` with a kernel of a hundred bytes, under both engines."""

import json
import socket
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from lib import runtime  # noqa: E402
from lib.case import SystemTest, command, main, until  # noqa: E402

# Multiboot, 32-bit: says "boot", answers each typed byte with the next letter of the alphabet, and switches the machine
# off at "q". Its source is src/vmm/machine/tiny_kernel_test.h.
KERNEL = bytes.fromhex(
    "02b0ad1b00000100fe4f51e4000010000000100000000000002010002000"
    "1000be5f001000baf8030000ac84c07403eeebf8b361bafd030000eca801"
    "74f6baf8030000ec3c71740dff050010100088d8fec3eeebdfba00060000"
    "b034eeebfe626f6f740a00")
ENGINES = ("kvm", "translator")


class Console:
    """A connection to a machine's console."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(str(path))
        self.text = ""

    def type(self, text):
        self.socket.sendall(text.encode())

    def expect(self, text):
        while text not in self.text:
            got = self.socket.recv(4096)
            if not got:
                raise AssertionError(f"console ended, without {text!r}: {self.text!r}")
            self.text += got.decode()

    def close(self):
        self.socket.close()


class VmTest(SystemTest):
    def setUp(self):
        super().setUp()
        self.root = self.folder / "vm"
        self.kernel = self.folder / "kernel"
        self.kernel.write_bytes(KERNEL)

    def vm(self, *args, **kwargs):
        return command(runtime.path(), "vm", "--root", self.root, *args, **kwargs)

    def start(self, name, *args):
        done = self.vm("run", "-d", "--name", name, "--kernel", self.kernel, "-m", "8m", *args)
        self.assertEqual(f"{name}\n", done.stdout)
        self.addCleanup(lambda: self.vm("rm", "-f", name, check=False))

    def console(self, name):
        console = Console(self.root / name / "console.sock")
        self.addCleanup(console.close)
        return console

    def refused(self, *args):
        done = self.vm(*args, check=False)
        self.assertEqual(1, done.returncode, done.stdout)
        return done.stderr

    def status(self, name):
        rows = json.loads(self.vm("ls", "-a", "-o", "json").stdout)
        return next((row["status"] for row in rows if row["name"] == name), None)

    def test_runs_in_the_foreground(self):
        for engine in ENGINES:
            with self.subTest(engine=engine):
                done = self.vm("run", "--rm", "--name", "one", "--engine", engine, "--kernel", self.kernel, "-m", "8m",
                               "--trace=summary", stdin=None, input="xxq")
                self.assertEqual("boot\nab", done.stdout)
                self.assertIn("port-out ", done.stderr)
                self.assertIsNone(self.status("one"))

    def test_traces_where_exits_happen(self):
        for engine in ENGINES:
            with self.subTest(engine=engine):
                done = self.vm("run", "--rm", "--name", "one", "--engine", engine, "--kernel", self.kernel, "-m", "8m",
                               "--trace=exits", stdin=None, input="xq")
                # The guest's code is at 1 MiB; "boot\n" is five writes from one place.
                self.assertRegex(done.stderr, r"exit port-out rip 00000000001000[0-9a-f]{2} count 5\n")

    def test_lives_in_the_background(self):
        for engine in ENGINES:
            with self.subTest(engine=engine):
                name = f"bg-{engine}"
                self.start(name, "--engine", engine)
                self.assertEqual("running", self.status(name))
                console = self.console(name)
                console.type("x")
                console.expect("boot\na")
                self.vm("pause", name)
                self.assertEqual("paused", self.status(name))
                self.vm("resume", name)
                console.type("x")
                console.expect("ab")
                stats = json.loads(self.vm("stats", "-o", "json", name).stdout)
                self.assertGreater(stats["vcpu"]["port-out"], 5)
                shown = json.loads(self.vm("inspect", name).stdout)[0]
                self.assertEqual(engine, shown["engine"])
                self.assertEqual(8, shown["config"]["machine-config"]["mem_size_mib"])
                self.assertIn("runs", self.refused("rm", name))
                self.vm("stop", "-t", "0", name)
                self.assertEqual("stopped", self.status(name))
                self.assertEqual("boot\nab", (self.root / name / "console.log").read_text())
                self.vm("rm", name)
                self.assertIsNone(self.status(name))

    def test_snapshots_go_on_under_either_engine(self):
        self.start("first", "--track-dirty")
        console = self.console("first")
        console.type("x")
        console.expect("a")
        saved = self.folder / "saved"
        self.vm("snapshot", "first", saved)
        self.assertEqual("running", self.status("first"))
        console.type("x")
        console.expect("ab")
        self.vm("snapshot", "--diff", "first", saved)
        self.vm("rm", "-f", "first")
        for engine in ENGINES:
            name = f"copy-{engine}"
            self.vm("restore", "-d", "--name", name, "--engine", engine, saved)
            self.addCleanup(lambda name=name: self.vm("rm", "-f", name, check=False))
            copy = self.console(name)
            copy.type("x")
            copy.expect("c")
        (saved / "state").write_bytes(b"x" * 100)
        self.assertIn("is no snapshot", self.refused("restore", saved))

    def test_speaks_firecrackers_api(self):
        self.start("api")
        curl = ["curl", "-s", "--unix-socket", self.root / "api" / "api.sock"]
        self.assertEqual("Running", json.loads(command(*curl, "http://localhost/").stdout)["state"])
        done = command(*curl, "-X", "PUT", "-d", "{}", "http://localhost/actions")
        self.assertIn("missing field `action_type`", json.loads(done.stdout)["fault_message"])
        done = command(*curl, "-w", "%{http_code}", "-X", "PATCH", "-d", '{"state":"Paused"}', "http://localhost/vm")
        self.assertEqual("204", done.stdout)
        self.assertEqual("paused", self.status("api"))

    def request(self, sock, method, path, body=None):
        """Status and document of an API's answer."""
        data = [] if body is None else ["-d", json.dumps(body)]
        done = command("curl", "-s", "-w", "\n%{http_code}", "--unix-socket", sock, "-X", method, *data,
                       f"http://localhost{path}")
        text, _, status = done.stdout.rpartition("\n")
        return int(status), json.loads(text) if text else None

    def test_waits_for_its_configuration_over_the_api(self):
        sock = self.folder / "fc.sock"
        done = self.vm("run", "-d", "--name", "made", "--engine", "translator", "--api-sock", sock)
        self.addCleanup(lambda: self.vm("rm", "-f", "made", check=False))
        self.assertEqual("made\n", done.stdout)
        self.assertEqual("waiting", self.status("made"))

        def put(path, body, method="PUT"):
            return self.request(sock, method, path, body)
        for path, body in (("/boot-source", {"kernel_image_path": str(self.kernel)}),
                           ("/machine-config", {"vcpu_count": 1, "mem_size_mib": 8}),
                           ("/network-interfaces/eth0", {"iface_id": "eth0", "host_dev_name": "vmtap0"}),
                           ("/mmds/config", {"network_interfaces": ["eth0"], "version": "V2"}),
                           ("/mmds", {"latest": {"a": "b"}}),
                           ("/entropy", {})):
            with self.subTest(path=path):
                self.assertEqual((204, None), put(path, body))
        self.assertEqual((200, {"latest": {"a": "b"}}), self.request(sock, "GET", "/mmds"))
        self.assertEqual("Not started", self.request(sock, "GET", "/")[1]["state"])
        self.assertEqual((204, None), put("/actions", {"action_type": "InstanceStart"}))
        self.assertEqual("running", self.status("made"))
        status, fault = put("/mmds/config", {"network_interfaces": ["eth0"]})
        self.assertEqual(400, status)
        self.assertIn("not supported after starting", fault["fault_message"])
        console = self.console("made")
        console.type("x")
        console.expect("boot\na")
        self.vm("stop", "-t", "0", "made")
        self.assertFalse(sock.exists())
        # One that nobody starts ends when it is asked to.
        self.vm("run", "-d", "--name", "idle", "--api-sock", sock)
        self.addCleanup(lambda: self.vm("rm", "-f", "idle", check=False))
        self.vm("stop", "-t", "0", "idle")
        self.assertEqual("stopped", self.status("idle"))

    def test_a_tap_comes_and_goes_with_the_machine(self):
        self.start("net", "--net", "vmtap0,mac=02:00:00:00:00:05")
        self.assertIn("vmtap0", command("ip", "link").stdout)
        self.vm("rm", "-f", "net")
        until(lambda: "vmtap0" not in command("ip", "link").stdout, "the TAP to go")

    def test_a_killed_monitor_leaves_a_name_that_can_be_used_again(self):
        self.start("twice")
        self.assertIn("runs already", self.refused("run", "-d", "--name", "twice", "--kernel", self.kernel))
        pid = json.loads(self.vm("inspect", "twice").stdout)[0]["pid"]
        command("kill", "-KILL", pid)
        until(lambda: self.status("twice") == "killed", "the monitor to die")
        self.start("twice")
        self.assertEqual("running", self.status("twice"))

    def test_says_what_is_wrong(self):
        self.assertIn("--kernel", self.refused("run"))
        self.assertIn("/nowhere", self.refused("run", "--kernel", "/nowhere"))
        self.assertIn("/nowhere", self.refused("run", "-d", "--kernel", "/nowhere"))
        self.assertIn("is no kernel", self.refused("run", "--kernel", __file__))
        self.assertIn("flag --disk", self.refused("run", "--kernel", self.kernel, "--disk", "x,fast"))
        self.assertIn("no such", self.refused("stop", "nobody").lower())
        self.assertIn("state file", self.refused("restore", self.folder / "nothing"))
        self.assertEqual([], sorted(self.root.iterdir()))


if __name__ == "__main__":
    main()
