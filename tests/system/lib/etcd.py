"""etcd clusters from Debian's etcd-server, on loopback ports, for tests and benchmarks."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def make_certificates(folder):
    """An authority, and one certificate of it for servers and clients: ca.pem, node.pem, node.key."""
    folder = Path(folder)

    def openssl(*words):
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)

    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl("req", "-x509", *curve, "-days", 1, "-keyout", folder / "ca.key", "-out", folder / "ca.pem", "-subj", "/CN=etcd-ca")
    openssl("req", "-new", *curve, "-keyout", folder / "node.key", "-out", folder / "node.csr", "-subj", "/CN=etcd")
    (folder / "node.ext").write_text(
        "subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth,clientAuth\n"
    )
    openssl("x509", "-req", "-in", folder / "node.csr", "-CA", folder / "ca.pem", "-CAkey", folder / "ca.key", "-CAcreateserial",
            "-days", 1, "-extfile", folder / "node.ext", "-out", folder / "node.pem")


class Etcd:
    """`members` processes; stop() in the end, whatever happens."""

    def __init__(self, folder, members=3, tls=True):
        self.folder, self.tls = Path(folder), tls
        scheme = "https" if tls else "http"
        if tls:
            make_certificates(self.folder)
        ports = free_ports(2 * members)
        self.urls = [f"{scheme}://127.0.0.1:{port}" for port in ports[:members]]
        self.peers = [f"{scheme}://127.0.0.1:{port}" for port in ports[members:]]
        self.processes = [None] * members
        for member in range(members):
            self.start(member)

    def start(self, member):
        words = ["etcd", "--name", f"m{member}", "--data-dir", str(self.folder / f"m{member}"), "--log-level", "error"]
        words += ["--listen-client-urls", self.urls[member], "--advertise-client-urls", self.urls[member]]
        words += ["--listen-peer-urls", self.peers[member], "--initial-advertise-peer-urls", self.peers[member]]
        words += ["--initial-cluster", ",".join(f"m{i}={peer}" for i, peer in enumerate(self.peers))]
        if self.tls:
            files = [str(self.folder / name) for name in ("node.pem", "node.key", "ca.pem")]
            for prefix in ("", "peer-"):
                words += [f"--{prefix}cert-file", files[0], f"--{prefix}key-file", files[1], f"--{prefix}trusted-ca-file", files[2]]
                words += [f"--{prefix}client-cert-auth"]
        with open(self.folder / f"m{member}.log", "ab") as log:
            self.processes[member] = subprocess.Popen(words, stdout=log, stderr=log)

    def kill(self, member, how=signal.SIGKILL):
        self.processes[member].send_signal(how)
        if how == signal.SIGKILL:
            self.processes[member].wait()

    def flags(self):
        words = ["--etcd", ",".join(self.urls)]
        if self.tls:
            words += ["--ca", str(self.folder / "ca.pem"), "--cert", str(self.folder / "node.pem"), "--key", str(self.folder / "node.key")]
        return words

    def ctl(self, *words):
        tls = []
        if self.tls:
            tls = ["--cacert", self.folder / "ca.pem", "--cert", self.folder / "node.pem", "--key", self.folder / "node.key"]
        return subprocess.run(["etcdctl", "--endpoints", ",".join(self.urls), *map(str, tls), *words], capture_output=True, text=True,
                              env={**os.environ, "ETCDCTL_API": "3"})

    def wait_ready(self, seconds=60):
        deadline = time.monotonic() + seconds
        while self.ctl("get", "ready").returncode:
            if time.monotonic() > deadline:
                raise RuntimeError("etcd does not answer: " + "".join(path.read_text()[-500:] for path in self.folder.glob("m*.log")))
            time.sleep(0.2)

    def stop(self):
        for process in self.processes:
            if process and process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
                process.wait()
