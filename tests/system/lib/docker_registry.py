"""A registry to pull from and push to: Debian's docker-registry, a process of its own."""

import crypt
import json
import re
import socket
import subprocess
import threading
from pathlib import Path

from .case import until


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Registry:
    """Serves from `folder`, which it makes, until stop(). `where` is its HOST:PORT;"""

    def __init__(self, folder, users=None, certificate=None, where=None):
        self.folder, self.where = Path(folder), where or f"127.0.0.1:{free_port()}"
        self.folder.mkdir(parents=True)
        http = {"addr": self.where}
        if certificate:
            http["tls"] = {"certificate": str(certificate[0]), "key": str(certificate[1])}
        config = {"version": "0.1", "log": {"level": "warn"}, "http": http,
                  "storage": {"filesystem": {"rootdirectory": str(self.folder / "data")}, "delete": {"enabled": True}}}
        if users:
            lines = [f"{user}:{crypt.crypt(word, crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16))}" for user, word in users.items()]
            (self.folder / "users").write_text("\n".join(lines) + "\n")
            config["auth"] = {"htpasswd": {"realm": "test", "path": str(self.folder / "users")}}
        (self.folder / "config.yml").write_text(json.dumps(config))
        self.log = self.folder / "log"
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(["/usr/bin/docker-registry", "serve", self.folder / "config.yml"], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=subprocess.STDOUT, cwd=self.folder)
        until(self.answers, "the registry to listen")

    def answers(self):
        host, port = self.where.split(":")
        with socket.socket() as probe:
            return probe.connect_ex((host, int(port))) == 0

    def requests(self):
        """[(method, path, status, bytes)] of its access log."""
        found = re.findall(r'"([A-Z]+) (\S+) HTTP/1\.1" (\d+) (\d+)', self.log.read_text())
        return [(method, path, int(status), int(size)) for method, path, status, size in found]

    def stop(self):
        self.process.terminate()
        self.process.wait()


class Wire:
    """A port that leads to another one, and lets only `limit` bytes come back until release()."""

    def __init__(self, target, limit):
        self.target, self.left, self.lock = target, limit, threading.Condition()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.where = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.connections = []
        self._start(self._accept)

    @staticmethod
    def _start(work, *args):
        threading.Thread(target=work, args=args, daemon=True).start()

    def release(self):
        with self.lock:
            self.left = None
            self.lock.notify_all()

    def stop(self):
        """Cuts every connection: what is still on its way never arrives."""
        self.listener.close()
        for each in self.connections:
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.release()

    def _accept(self):
        host, port = self.target.split(":")
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            try:
                server = socket.create_connection((host, int(port)))
            except OSError:
                client.close()
                continue
            self.connections += (client, server)
            self._start(self._copy, client, server, False)
            self._start(self._copy, server, client, True)

    def _allowed(self, size):
        with self.lock:
            while self.left is not None and self.left < size:
                self.lock.wait()
            if self.left is not None:
                self.left -= size

    def _copy(self, source, target, limited):
        try:
            while data := source.recv(16 << 10):
                if limited:
                    self._allowed(len(data))
                target.sendall(data)
        except OSError:
            pass
        for each in (source, target):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            each.close()
