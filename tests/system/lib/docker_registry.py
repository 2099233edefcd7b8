"""Debian's docker-registry on a loopback port, its content in a folder of the test."""

import socket
import subprocess
import sys
from pathlib import Path

from .case import until
from .client import tool

_CONFIG = """version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: {folder}}}
  delete: {{enabled: true}}
http: {{addr: "127.0.0.1:{port}"}}
"""


class Registry:
    def __init__(self, folder, port=5000):
        folder = Path(folder)
        folder.mkdir()
        (folder / "config.yml").write_text(_CONFIG.format(folder=folder / "content", port=port))
        self.name = f"localhost:{port}"
        self._log = open(folder / "log", "w")
        self._process = subprocess.Popen([tool("docker-registry"), "serve", folder / "config.yml"], stdin=subprocess.DEVNULL,
                                         stdout=self._log, stderr=self._log)
        until(lambda: self._answers(port), "the registry to answer")

    @staticmethod
    def _answers(port):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    def close(self):
        self._process.kill()
        self._process.wait()
        self._log.close()
