#!/usr/bin/env python3
"""`proa cluster backup` while the server works and clients write; another server on what was restored has the state of one moment."""

import json
import shutil
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib import runtime  # noqa: E402
from lib.api import Api  # noqa: E402
from lib.case import SystemTest, command, main, until  # noqa: E402
from lib.cluster import Cluster, document  # noqa: E402

MAPS = "/api/v1/namespaces/default/configmaps"
KINDS = (MAPS, "/api/v1/namespaces", "/api/v1/namespaces/default/serviceaccounts", "/apis/rbac.authorization.k8s.io/v1/clusterroles",
         "/apis/apps/v1/namespaces/default/deployments", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
         "/apis/x.example.com/v1/namespaces/default/lamps")
LAMPS = document("CustomResourceDefinition", "lamps.x.example.com", "apiextensions.k8s.io/v1", spec={
    "group": "x.example.com", "scope": "Namespaced", "names": {"plural": "lamps", "singular": "lamp", "kind": "Lamp", "listKind": "LampList"},
    "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {
        "type": "object", "x-kubernetes-preserve-unknown-fields": True}}}]})


class Pairs(threading.Thread):
    """Writes the same number into one object and then into another, again and again: at any moment the first is as far, or one ahead."""

    def __init__(self, api, number):
        super().__init__(daemon=True)
        self.api = api
        self.names = [f"pair-{number}-first", f"pair-{number}-second"]
        self.ending = threading.Event()
        self.rounds = 0
        self.refused = []
        for name in self.names:
            assert api.ask("POST", MAPS, document("ConfigMap", name, data={"count": "0"})).status == 201

    def run(self):
        connection = self.api.connect()
        while not self.ending.is_set():
            for name in self.names:
                response = self.api.send(connection, "PUT", f"{MAPS}/{name}", document("ConfigMap", name, data={"count": str(self.rounds + 1), "pad": "x" * 2000}))
                said = response.read()
                if response.status != 200:
                    self.refused.append(said)
            self.rounds += 1
        connection.close()


class BackupTest(SystemTest):
    def ignored_leftover(self, item):
        return super().ignored_leftover(item) or item.startswith(("file /run/proa", "process "))

    def cluster(self, name, *flags):
        cluster = Cluster(self.folder / name, *flags)
        self.addCleanup(cluster.kill)
        return cluster

    def proa(self, store, *words):
        return json.loads(command(runtime.path(), "cluster", "--datastore", store, *words, "-o", "json").stdout)

    def whole(self, api, path, query=""):
        """name -> object, as of the revision the query asks for."""
        answer = api.get(path + query)
        self.assertEqual(200, answer.status, answer.body[:300])
        return {item["metadata"]["name"]: item for item in answer.json()["items"]}

    def test_online_then_served(self):
        first = self.cluster("first")
        api = Api(first)
        for path, body in ((KINDS[5], LAMPS), ("/api/v1/namespaces", document("Namespace", "other")),
                           (KINDS[4], document("Deployment", "web", "apps/v1", spec={"selector": {"matchLabels": {"a": "b"}}, "template": {
                               "metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}})),
                           (KINDS[6], document("Lamp", "lamp", "x.example.com/v1", spec={"color": "red"}))):
            answer = api.ask("POST", path, body)
            self.assertEqual(201, answer.status, answer.body)
        writers = [Pairs(api, number) for number in range(4)]
        for writer in writers:
            writer.start()
        taken = []  # (file, what the first server says of that revision)
        try:
            for number in range(5):
                before = min(writer.rounds for writer in writers)
                until(lambda: min(writer.rounds for writer in writers) > before + 5, "the writers to go on")
                file = self.folder / f"backup-{number}"
                revision = self.proa(first.folder / "cluster", "backup", file)["Revision"]
                exact = f"?resourceVersion={revision}&resourceVersionMatch=Exact"
                taken.append((file, revision, {path: self.whole(api, path, exact) for path in KINDS}))
        finally:
            for writer in writers:
                writer.ending.set()
            for writer in writers:
                writer.join(30)
        self.assertEqual([], [said for writer in writers for said in writer.refused])
        for number, (file, revision, expected) in enumerate(taken):
            with self.subTest(backup=number):
                self.serve_restored(first, f"restored-{number}", file, revision, expected)
        revisions = [revision for _, revision, _ in taken]
        self.assertEqual(sorted(set(revisions)), revisions)
        first.stop()
        self.assertEqual(0, first.process.returncode, first.tail())

    def serve_restored(self, first, name, file, revision, expected):
        self.assertEqual(0o600, file.stat().st_mode & 0o777)
        self.assertEqual(revision, self.proa("/nowhere", "backup", "--check", file)["Revision"])
        folder = self.folder / name
        folder.mkdir()
        shutil.copytree(first.folder / "cluster/pki", folder / "cluster/pki")  # its clients stay its clients
        self.proa(folder / "cluster", "restore", file)
        second = self.cluster(name)
        api = Api(second)
        for path in KINDS:
            self.assertEqual(expected[path], self.whole(api, path), f"{path} at {revision}")
        maps = self.whole(api, MAPS)
        for number in range(4):
            ahead, behind = (int(maps[f"pair-{number}-{which}"]["data"]["count"]) for which in ("first", "second"))
            self.assertIn(ahead - behind, (0, 1), "not the state of one moment")

        # It is a cluster like any other: writes go on, with versions nobody has seen.
        made = api.ask("POST", MAPS, document("ConfigMap", "new")).json()
        self.assertGreater(int(made["metadata"]["resourceVersion"]), revision + 1_000_000)
        stale = api.get(f"{MAPS}?watch=1&timeoutSeconds=5&resourceVersion={revision + 1000}")  # of who saw the first one's later writes
        self.assertEqual(410, json.loads(stale.body.splitlines()[0])["object"]["code"])
        self.assertEqual(200, api.ask("DELETE", f"{MAPS}/new").status)
        self.assertEqual(200, api.ask("DELETE", f"{KINDS[1]}/other").status)
        until(lambda: api.get(f"{KINDS[1]}/other").status == 404, "the restored cluster's controllers to end the namespace")
        second.stop()
        self.assertEqual(0, second.process.returncode, second.tail())


if __name__ == "__main__":
    main()
