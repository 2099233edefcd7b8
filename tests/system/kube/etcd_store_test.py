#!/usr/bin/env python3
"""The store on a real etcd cluster: three members with TLS, one of them killed, frozen or cut off under load. The
program of tests/sim/store holds what clients and watchers saw against what can be true."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib import runtime  # noqa: E402
from lib.case import SystemTest, command, main  # noqa: E402
from lib.etcd import Etcd  # noqa: E402

PROGRAM = os.environ.get("PROA_STORE_HISTORY", str(Path(__file__).resolve().parents[3] / "build/release/tests/store_history"))


class EtcdStoreTest(SystemTest):
    def setUp(self):
        super().setUp()
        if not shutil.which("etcd") or not shutil.which("etcdctl"):
            self.skipTest("etcd-server and etcd-client are not installed (scripts/bootstrap test)")
        self.etcd = Etcd(self.folder)
        self.addCleanup(self.etcd.stop)
        self.etcd.wait_ready()

    def judge(self, seed, operations, acts):
        """Runs the program; acts: {calls made: what to do then}. Its verdict."""
        program = subprocess.Popen([PROGRAM, "--seed", str(seed), "--operations", str(operations), "--restarts", "1", *self.etcd.flags()],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        lines = []
        try:
            for line in program.stdout:
                if not line.startswith("progress"):
                    lines.append(line)
                elif (act := acts.pop(int(line.split()[1]), None)) is not None:
                    act()
            errors = program.stderr.read()
        finally:
            program.kill()
            program.wait()
            program.stdout.close()
            program.stderr.close()
        verdict = "".join(lines)
        print(verdict.strip())
        self.assertEqual(0, program.returncode, verdict + errors)
        self.assertFalse(acts, "the program ended before everything was done to it")
        return verdict

    def cluster(self, etcd, *words, check=True):
        """`proa cluster` on that etcd."""
        flags = ["--datastore", ",".join(etcd.urls), "--datastore-cafile", etcd.folder / "ca.pem"]
        flags += ["--datastore-certfile", etcd.folder / "node.pem", "--datastore-keyfile", etcd.folder / "node.key"]
        return command(runtime.path(), "cluster", *flags, *words, check=check)

    def contents(self, etcd):
        return etcd.ctl("get", "--prefix", "/").stdout

    def test_a_cluster_moves_to_a_folder_and_back(self):
        for key, value in {"/registry/pods/a": '{"a": 1}', "/registry/pods/b": "x" * 3000, "/registry/secrets/c": "lines\nof\ntext"}.items():
            self.etcd.ctl("put", key, value)
        self.etcd.ctl("put", "/registry/pods/a", '{"a": 2}')
        first, second = self.folder / "first", self.folder / "second"
        made = json.loads(self.cluster(self.etcd, "backup", "-o", "json", first).stdout)
        self.assertEqual(3, made["Records"])
        place = self.folder / "store"
        command(runtime.path(), "cluster", "--datastore", place, "restore", first)
        command(runtime.path(), "cluster", "--datastore", place, "backup", second)
        again = command(runtime.path(), "cluster", "--datastore", place, "restore", first, check=False)
        self.assertEqual(1, again.returncode)
        self.assertIn("move the old store away", again.stderr)

        (self.folder / "other").mkdir()
        other = Etcd(self.folder / "other", members=1)
        self.addCleanup(other.stop)
        other.wait_ready()
        self.cluster(other, "restore", second)
        self.assertEqual(self.contents(self.etcd), self.contents(other))
        refused = self.cluster(other, "restore", second, check=False)
        self.assertIn("into an empty one", refused.stderr)
        damaged = bytearray(second.read_bytes())
        damaged[len(damaged) // 2] ^= 1
        second.write_bytes(damaged)
        bad = command(runtime.path(), "cluster", "backup", "--check", second, check=False)
        self.assertEqual(1, bad.returncode)
        self.assertIn("checksum", bad.stderr)

    def test_nothing_happens(self):
        self.assertIn("0 uncertain, 0 failed", self.judge(1, 1500, {}))

    def test_members_are_killed_in_turn(self):
        self.judge(2, 3000, {
            300: lambda: self.etcd.kill(0),
            900: lambda: self.etcd.start(0),
            1500: lambda: self.etcd.kill(1),
            2000: lambda: self.etcd.start(1),
            2400: lambda: self.etcd.kill(2),
        })

    def test_a_member_hangs(self):
        self.judge(3, 2000, {
            400: lambda: self.etcd.kill(0, signal.SIGSTOP),
            1200: lambda: self.etcd.kill(0, signal.SIGCONT),
        })


if __name__ == "__main__":
    main()
