"""A cluster of `proa up` for tests, conformance and benchmarks, and tests that work on one through real clients."""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from . import packages, runtime, sandbox
from .case import SystemTest, until
from .etcd import free_ports


class Cluster:
    """A server with its state, log and kubeconfig in `folder`; stop() in the end, whatever happens."""

    def __init__(self, folder, *flags, start=True):
        self.folder = Path(folder)
        self.folder.mkdir(exist_ok=True)
        self.flags = flags
        self.port = free_ports(1)[0]
        self.url = f"https://127.0.0.1:{self.port}"
        self.kubeconfig = self.folder / "kubeconfig"
        self.log = self.folder / "cluster.log"
        self.process = None
        self.seconds = 0.0  # the last start took until the server was ready
        if start:
            self.start()

    def argv(self):
        return [runtime.path(), "up", "--data-dir", self.folder / "cluster", "--listen", f"127.0.0.1:{self.port}",
                "--write-kubeconfig", self.kubeconfig, *self.flags]

    def start(self):
        begun = time.monotonic()
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([*map(str, self.argv())], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env={**os.environ, "HOME": str(self.folder)})
        try:
            until(self.ready, "the API server to be ready", patience=60)
        except AssertionError as error:
            self.kill()
            raise AssertionError(f"{error}; it said:\n{self.tail()}") from None
        self.seconds = time.monotonic() - begun

    def ready(self):
        if self.process.poll() is not None:
            raise AssertionError(f"it ended with status {self.process.returncode}")
        done = subprocess.run(["curl", "-sk", "-m", "2", "-o", os.devnull, "-w", "%{http_code}", f"{self.url}/readyz"],
                              capture_output=True, text=True)
        return done.stdout == "200" and self.kubeconfig.exists()

    def tail(self, lines=30):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def kill(self, how=signal.SIGKILL):
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(60)

    def stop(self):
        self.kill(signal.SIGTERM)

    def memory(self):
        """Resident bytes."""
        return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.process.pid}/status").read_text())[1]) * 1024


class ClusterTest(SystemTest):
    """The class's tests share one cluster; each has a namespace of its own, `self.ns`."""

    flags = ()
    count = 0

    @classmethod
    def setUpClass(cls):
        cls.home = Path(tempfile.mkdtemp(prefix="cluster-", dir=sandbox.scratch()))
        cls.addClassCleanup(shutil.rmtree, cls.home, ignore_errors=True)
        cls.cluster = Cluster(cls.home, *cls.flags)
        cls.addClassCleanup(cls._stop)
        cls.environment = {**os.environ, "KUBECONFIG": str(cls.cluster.kubeconfig), "HOME": str(cls.home)}
        cls.program = packages.kubectl()

    @classmethod
    def _stop(cls):
        cls.cluster.stop()
        if cls.cluster.process.returncode:
            raise AssertionError(f"the server ended with status {cls.cluster.process.returncode}:\n{cls.cluster.tail()}")

    def setUp(self):
        super().setUp()
        ClusterTest.count += 1
        self.ns = f"test-{ClusterTest.count}"
        self.make_namespace(self.ns)
        self.addCleanup(self.run_kubectl, "delete", "namespace", self.ns, "--wait=false", ns=None)

    def make_namespace(self, name):
        """With the service account that its pods need, which comes a moment later."""
        self.kubectl("create", "namespace", name, ns=None)
        until(lambda: self.run_kubectl("get", "serviceaccount", "default", ns=name).returncode == 0, f"the service account of {name}")

    def ignored_leftover(self, item):
        return super().ignored_leftover(item) or re.match(r"(file|process) .*proa", item)

    # --- kubectl

    def run_kubectl(self, *words, stdin=None, ns="own", timeout=60, env=None):
        """Runs it in the test's namespace, and gives the completed process."""
        where = [] if ns is None else ["--namespace", self.ns if ns == "own" else ns]
        return subprocess.run([str(self.program), *where, *map(str, words)], input=stdin or "", text=True, capture_output=True,
                              timeout=timeout, env={**self.environment, **(env or {})}, cwd=self.folder)

    def kubectl(self, *words, **kwargs):
        """What it prints; fails with what it complains of."""
        done = self.run_kubectl(*words, **kwargs)
        self.assertEqual(0, done.returncode, f"kubectl {' '.join(map(str, words))}: {done.stderr}{done.stdout}")
        self.said = done.stderr
        return done.stdout

    def refused(self, *words, status=1, **kwargs):
        """What it complains of; fails if it does not."""
        done = self.run_kubectl(*words, **kwargs)
        self.assertEqual(status, done.returncode, f"kubectl {' '.join(map(str, words))}: {done.stderr}{done.stdout}")
        return done.stderr

    def apply(self, *documents, words=()):
        """Applies documents given as dicts."""
        return self.kubectl("apply", *words, "-f", "-", stdin="\n---\n".join(map(json.dumps, documents)))

    def get(self, *words, **kwargs):
        """An object or a list, as a dict."""
        return json.loads(self.kubectl("get", *words, "-o", "json", **kwargs))

    def field(self, path, *words, **kwargs):
        """One field, by JSONPath."""
        return self.kubectl("get", *words, "-o", f"jsonpath={{{path}}}", **kwargs)


def document(kind, name, version="v1", labels=None, **fields):
    metadata = {"name": name, **({"labels": labels} if labels else {})}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **fields}


def pod(name, labels=None, **spec):
    spec.setdefault("containers", [{"name": "main", "image": "registry.example.com/app:1"}])
    return document("Pod", name, labels=labels, spec=spec)


def deployment(name, replicas=2, image="registry.example.com/app:1"):
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": image}]}}
    return document("Deployment", name, "apps/v1", spec={"replicas": replicas, "selector": {"matchLabels": labels}, "template": template})
