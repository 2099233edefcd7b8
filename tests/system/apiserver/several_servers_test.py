#!/usr/bin/env python3
"""Two servers on three etcd members with TLS: either serves what the other wrote, the controllers of one are at work, and the
other's take over when it is killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib import packages  # noqa: E402
from lib.case import SystemTest, main, until  # noqa: E402
from lib.cluster import Cluster, document  # noqa: E402
from lib.etcd import Etcd  # noqa: E402


class SeveralServersTest(SystemTest):
    def setUp(self):
        super().setUp()
        if not shutil.which("etcd") or not shutil.which("etcdctl"):
            self.skipTest("etcd-server and etcd-client are not installed (scripts/bootstrap test)")
        self.program = packages.kubectl()
        self.etcd = Etcd(self.folder)
        self.addCleanup(self.etcd.stop)
        self.etcd.wait_ready()
        flags = ["--datastore", ",".join(self.etcd.urls), "--datastore-cafile", self.folder / "ca.pem",
                 "--datastore-certfile", self.folder / "node.pem", "--datastore-keyfile", self.folder / "node.key"]
        self.servers = []
        for name in ("first", "second"):
            folder = self.folder / name
            folder.mkdir()
            if self.servers:  # they share the authority and the keys of tokens
                shutil.copytree(self.folder / "first/cluster/pki", folder / "cluster/pki")
            server = Cluster(folder, *flags)
            self.addCleanup(server.kill)
            self.servers.append(server)

    def run_kubectl(self, server, *words, stdin=None):
        return subprocess.run([str(self.program), "--kubeconfig", str(server.kubeconfig), *map(str, words)], input=stdin or "", text=True,
                              capture_output=True, timeout=90, env={**os.environ, "HOME": str(self.folder)})

    def kubectl(self, server, *words, stdin=None):
        done = self.run_kubectl(server, *words, stdin=stdin)
        self.assertEqual(0, done.returncode, f"kubectl {' '.join(map(str, words))}: {done.stderr}{done.stdout}")
        return done.stdout

    def lease(self, server):
        return json.loads(self.kubectl(server, "get", "lease", "-n", "kube-system", "kube-controller-manager", "-o", "json"))["spec"]

    def leader(self):
        """The server that leads, and the one that does not."""
        server = self.servers[0]
        until(lambda: self.run_kubectl(server, "get", "lease", "-n", "kube-system", "kube-controller-manager").returncode == 0, "a leader")
        holder = self.lease(server)["holderIdentity"]
        leads = [one for one in self.servers if f"{holder} leads now" in one.log.read_text()]
        self.assertEqual(1, len(leads), holder)
        return leads[0], next(one for one in self.servers if one is not leads[0])

    def test_the_leader_is_killed(self):
        leader, other = self.leader()
        self.kubectl(other, "create", "namespace", "doomed")
        self.kubectl(leader, "create", "configmap", "a", "-n", "doomed")  # there at once for the other server's clients
        before = self.lease(other)
        leader.kill(signal.SIGKILL)
        self.kubectl(other, "delete", "namespace", "doomed", "--wait=false")
        until(lambda: self.run_kubectl(other, "get", "namespace", "doomed").returncode, "the namespace to go", patience=60)
        after = self.lease(other)
        self.assertNotEqual(before["holderIdentity"], after["holderIdentity"])
        self.assertEqual(before.get("leaseTransitions", 0) + 1, after["leaseTransitions"])
        # The one that was killed comes back and lets the other lead.
        leader.start()
        self.assertNotIn("doomed", self.kubectl(leader, "get", "namespaces", "-o", "name"))
        self.assertEqual(after["holderIdentity"], self.lease(leader)["holderIdentity"])

    def test_a_leader_that_stops_gives_the_lease_away(self):
        leader, other = self.leader()
        before = self.lease(other)["holderIdentity"]
        leader.stop()
        self.assertEqual(0, leader.process.returncode, leader.tail())
        until(lambda: self.lease(other).get("holderIdentity", before) != before, "the other to lead")
        self.kubectl(other, "create", "namespace", "short")
        self.kubectl(other, "delete", "namespace", "short", "--timeout=30s")

    def test_a_member_is_killed_while_clients_write(self):
        server, other = self.servers
        made, failed = [], []

        def write(number):
            place = self.servers[number % 2]
            for i in range(15):
                done = self.run_kubectl(place, "create", "-f", "-", stdin=json.dumps(document("ConfigMap", f"c{number}-{i}")))
                (failed if done.returncode else made).append((f"c{number}-{i}", done.stderr))

        threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        until(lambda: len(made) > 8, "some to be made", patience=60)
        self.etcd.kill(0)
        for thread in threads:
            thread.join()
        self.assertGreater(len(made), 20, failed)
        for place in (server, other):
            there = self.kubectl(place, "get", "configmaps", "-o", "name").split()
            self.assertEqual(set(), {f"configmap/{name}" for name, _ in made} - set(there), "nothing that was acknowledged is lost")


if __name__ == "__main__":
    packages.need(packages.kubectl)
    main()
