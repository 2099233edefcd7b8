#!/usr/bin/env python3
"""A whole server killed again and again, and one whose disk is full, while clients write and watch: what was acknowledged is there, once.

PROA_TEST_SEED chooses when the server is killed; a failure prints it.
"""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib import packages  # noqa: E402
from lib.api import Api  # noqa: E402
from lib.case import SystemTest, command, main, until  # noqa: E402
from lib.cluster import Cluster, document  # noqa: E402

SEED = int(os.environ.get("PROA_TEST_SEED", "1"))
MAPS = "/api/v1/namespaces/default/configmaps"
UNREACHABLE = (OSError, ValueError, EOFError)  # ssl's errors are OSErrors; http.client's are joined below


def version_of(item):
    return int(item["metadata"]["resourceVersion"])


class Writer(threading.Thread):
    """Creates objects and counts one up, for ever; keeps what was acknowledged, and what it cannot know about."""

    def __init__(self, api, number, seed):
        super().__init__(daemon=True)
        self.api = api
        self.name_of_mine = f"writer-{number}"
        self.random = random.Random(seed * 1000 + number)
        self.ending = threading.Event()
        self.made = {}        # name -> uid, acknowledged
        self.removed = set()  # acknowledged
        self.unsure = set()   # asked for, no answer: there or not
        self.counted = 0      # acknowledged
        self.asked = 0        # the highest value that was sent
        self.versions = []    # of the counter, acknowledged, in their order
        self.errors = []      # answers that nobody should get

    def ask(self, connection, method, path, body=None):
        response = self.api.send(connection, method, path, body)
        text = response.read()
        if response.status >= 500:
            raise ConnectionError(response.status)  # it is just stopping or starting: not acknowledged
        return response.status, json.loads(text)

    def run(self):
        import http.client
        while not self.ending.is_set():
            try:
                connection = self.api.connect(timeout=20)
                while not self.ending.is_set():
                    self.step(connection)
            except (*UNREACHABLE, http.client.HTTPException):
                time.sleep(0.01)
            finally:
                connection.close()

    def step(self, connection):
        if self.random.random() < 0.4:
            self.count(connection)
        elif self.made and self.random.random() < 0.3:
            name = self.random.choice(sorted(self.made))
            self.unsure.add(name)
            uid = self.made.pop(name)
            status, said = self.ask(connection, "DELETE", f"{MAPS}/{name}", {"preconditions": {"uid": uid}})
            if status != 200:
                self.errors.append(said)
            self.unsure.discard(name)
            self.removed.add(name)
        else:
            name = f"{self.name_of_mine}-{self.random.getrandbits(48):x}"
            self.unsure.add(name)
            status, said = self.ask(connection, "POST", MAPS, document("ConfigMap", name, data={"by": self.name_of_mine}))
            if status != 201:
                self.errors.append(said)
                return
            self.unsure.discard(name)
            self.made[name] = said["metadata"]["uid"]

    def count(self, connection):
        """One more, on the version that was read: twice the same would be a write that was doubled."""
        status, counter = self.ask(connection, "GET", f"{MAPS}/{self.name_of_mine}")
        if status == 404:
            counter = document("ConfigMap", self.name_of_mine, data={"count": "0"})
            self.ask(connection, "POST", MAPS, counter)
            return
        there = int(counter["data"]["count"])
        if not self.counted <= there <= self.asked:
            self.errors.append(f"{self.counted} were acknowledged, {self.asked} asked for, {there} are there")
        counter["data"]["count"] = str(there + 1)
        self.asked = max(self.asked, there + 1)
        status, said = self.ask(connection, "PUT", f"{MAPS}/{self.name_of_mine}", counter)
        if status != 200:
            self.errors.append(said)
            return
        self.counted = there + 1
        self.versions.append(version_of(said))


class Watcher(threading.Thread):
    """Follows all objects over every restart, from the version it saw last; keeps what it was told."""

    def __init__(self, api, start):
        super().__init__(daemon=True)
        self.api = api
        self.ending = threading.Event()
        self.version = start
        self.events = []  # (type, name, version, data)
        self.errors = []
        self.resumed = 0

    def run(self):
        import http.client
        while not self.ending.is_set():
            connection = self.api.connect(timeout=20)
            try:
                response = self.api.send(connection, "GET", f"{MAPS}?watch=1&allowWatchBookmarks=true&resourceVersion={self.version}")
                if response.status != 200:
                    if response.status < 500:
                        self.errors.append(response.read())
                    continue
                self.resumed += 1
                self.follow(response)
            except (*UNREACHABLE, http.client.HTTPException, AttributeError):
                time.sleep(0.01)
            finally:
                connection.close()

    def follow(self, response):
        while not self.ending.is_set():
            line = response.readline()
            if not line.endswith(b"\n"):  # it was killed in the middle
                return
            event = json.loads(line)
            if event["type"] == "ERROR":
                self.errors.append(event)
                return
            version = version_of(event["object"])
            if event["type"] != "BOOKMARK":
                if version <= self.version:
                    self.errors.append(f"{version} after {self.version}: doubled or out of order")
                self.events.append((event["type"], event["object"]["metadata"]["name"], version, event["object"].get("data")))
            self.version = version


class CrashTest(SystemTest):
    def setUp(self):
        super().setUp()
        self.program = packages.kubectl()

    def ignored_leftover(self, item):
        return super().ignored_leftover(item) or item.startswith(("file /run/proa", "process "))

    def start(self, folder, *flags):
        cluster = Cluster(folder, *flags)
        self.addCleanup(cluster.kill)
        return cluster

    def kubectl(self, cluster, *words, stdin=None, check=True):
        return command(self.program, "--kubeconfig", cluster.kubeconfig, *words, check=check, timeout=60,
                       stdin=open(stdin) if stdin else subprocess.DEVNULL, env={**os.environ, "HOME": str(self.folder)})

    def objects(self, api):
        whole = api.get(MAPS).json()
        return int(whole["metadata"]["resourceVersion"]), {item["metadata"]["name"]: item for item in whole["items"]}

    def test_killed_again_and_again_under_clients(self):
        cluster = self.start(self.folder / "cluster")
        api = Api(cluster)
        chance = random.Random(SEED)
        start, first = self.objects(api)
        watchers = [Watcher(api, start) for _ in range(3)]
        writers = [Writer(api, number, SEED) for number in range(6)]
        for thread in (*watchers, *writers):
            thread.start()
        try:
            by_kubectl = self.kill_often(cluster, writers, chance)
        finally:
            for thread in writers:
                thread.ending.set()
            for thread in writers:
                thread.join(60)
        version, there = self.objects(api)
        try:
            until(lambda: all(watcher.events and watcher.events[-1][2] >= max(map(version_of, there.values())) for watcher in watchers),
                  "the watchers to have seen it all")
        finally:
            for thread in watchers:
                thread.ending.set()
            cluster.stop()
        with self.subTest(seed=SEED):
            self.assertEqual(0, cluster.process.returncode, cluster.tail())
            self.check_writers(writers, there)
            self.assertLessEqual(by_kubectl, set(there), "nor what kubectl was told to be there")
            self.check_watchers(watchers, first, there)
            self.assertGreater(version, start)

    def kill_often(self, cluster, writers, chance, times=12):
        made = set()
        for life in range(times):
            done = self.kubectl(cluster, "create", "configmap", f"by-kubectl-{life}", "--namespace=default", check=False)
            if done.returncode == 0:
                made.add(f"by-kubectl-{life}")
            goal = sum(len(writer.made) + writer.counted for writer in writers) + chance.randrange(5, 120)
            until(lambda: sum(len(writer.made) + writer.counted for writer in writers) >= goal, "the clients to write", patience=60)
            cluster.kill(signal.SIGKILL)
            if chance.random() < 0.3:  # and once more while it starts
                again = subprocess.Popen([*map(str, cluster.argv())], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                time.sleep(chance.random() * 0.2)
                again.kill()
                again.wait()
            cluster.start()
        return made

    def check_writers(self, writers, there):
        for writer in writers:
            self.assertEqual([], writer.errors[:3])
            self.assertGreater(len(writer.made), 5)
            mine = {name for name, item in there.items() if name.startswith(f"{writer.name_of_mine}-")}
            self.assertEqual(set(), set(writer.made) - mine, "acknowledged and lost")
            self.assertEqual(set(), mine & writer.removed, "removed and there again")
            self.assertEqual(set(), mine - set(writer.made) - writer.unsure, "nobody made them")
            self.assertEqual(writer.made, {name: there[name]["metadata"]["uid"] for name in writer.made})
            self.assertEqual(sorted(set(writer.versions)), writer.versions, "versions only grow")
            count = int(there[writer.name_of_mine]["data"]["count"])
            self.assertTrue(writer.counted <= count <= writer.asked, (writer.counted, count, writer.asked))
        versions = [version_of(item) for item in there.values()]
        self.assertEqual(len(versions), len(set(versions)), "a version is one write's")

    def check_watchers(self, watchers, first, there):
        for watcher in watchers:
            self.assertEqual([], watcher.errors[:3])
            self.assertGreater(watcher.resumed, 5)
            seen = {name: (version_of(item), item.get("data")) for name, item in first.items()}
            for kind, name, version, data in watcher.events:
                self.assertEqual(kind == "ADDED", name not in seen, f"{kind} of {name}")
                seen.pop(name) if kind == "DELETED" else seen.update({name: (version, data)})
            self.assertEqual({name: (version_of(item), item.get("data")) for name, item in there.items()}, seen)
        shortest = min(len(watcher.events) for watcher in watchers)
        self.assertEqual([watchers[0].events[:shortest]] * len(watchers), [watcher.events[:shortest] for watcher in watchers], "all were told the same")

    # --- a full disk

    def test_a_full_disk(self):
        disk = self.folder / "disk"
        disk.mkdir()
        command("mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", disk)
        self.addCleanup(command, "umount", disk)
        home = self.folder / "cluster"
        home.mkdir()
        cluster = self.start(home, "--datastore", disk / "store")
        api = Api(cluster)
        made, refusal = {}, None
        for number in range(200):
            name = f"full-{number}"
            answer = api.ask("POST", MAPS, document("ConfigMap", name, data={"k": f"{number:03}" * 70_000}))
            if answer.status != 201:
                refusal = answer
                break
            made[name] = version_of(answer.json())
        self.check_refusal(refusal)
        self.assertIn("no space left on device", cluster.tail(200), "the log says so as well")

        for _ in range(20):  # it stays so, and nothing but writes is hurt
            self.check_refusal(api.ask("POST", MAPS, document("ConfigMap", "more", data={"k": "x" * 200_000})))
            self.assertEqual(200, api.get(f"{MAPS}/full-0").status)
        _, there = self.objects(api)
        self.assertEqual(made, {name: version_of(item) for name, item in there.items() if name.startswith("full-")})
        self.assertIn("full-1", self.kubectl(cluster, "get", "configmaps", "-o", "name").stdout)
        done = self.kubectl(cluster, "create", "configmap", "by-kubectl", f"--from-literal=k={'x' * 100_000}", check=False)
        self.assertEqual(1, done.returncode)
        self.assertRegex(done.stderr, "no space left on device")

        command("mount", "-o", "remount,size=128m", disk)
        until(lambda: api.ask("POST", MAPS, document("ConfigMap", "again")).status in (201, 409), "writes to go on")
        for number in range(20):
            self.assertEqual(201, api.ask("POST", MAPS, document("ConfigMap", f"after-{number}", data={"k": "y" * 200_000})).status)
            made[f"after-{number}"] = None
        cluster.kill(signal.SIGKILL)
        cluster.start()
        _, there = self.objects(api)
        self.assertLessEqual(set(made), set(there))
        self.assertEqual({name: version for name, version in made.items() if version}, {name: version_of(there[name]) for name in made if made[name]})
        self.assertNotIn("more", there)
        cluster.stop()
        self.assertEqual(0, cluster.process.returncode, cluster.tail())

    def check_refusal(self, answer):
        self.assertIsNotNone(answer, "the disk never was full")
        status = answer.json()
        self.assertEqual(("Status", "Failure"), (status["kind"], status["status"]))
        self.assertIn(answer.status, (500, 503, 507), status)
        self.assertEqual(answer.status, status["code"])
        self.assertRegex(status["message"], "no space left on device")


if __name__ == "__main__":
    packages.need(packages.kubectl)
    main()
