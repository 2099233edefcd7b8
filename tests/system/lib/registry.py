"""A registry of `proa registry serve`, and a small client that speaks to it request by request."""

import base64
import hashlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import urllib.parse

from . import runtime
from .case import command, until

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Answer:
    def __init__(self, response):
        self.status, self.headers, self.body = response.status, response.headers, response.read()

    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        """Of the first error."""
        return self.json()["errors"][0]["code"]


class Registry:
    """A server with its folder and log in `folder`; `test` cleans it up."""

    def __init__(self, test, folder, *flags, root=None, listen="127.0.0.1:0", name="registry"):
        folder.mkdir(exist_ok=True)
        self.test, self.folder, self.flags, self.listen = test, folder, flags, listen
        self.root = root or folder / "root"
        # A name of its own, so that nobody takes one server for another.
        self.program = folder / f"proa-{name}"
        if not self.program.exists():
            shutil.copy2(runtime.path(), self.program)
        self.log = folder / f"{name}.log"
        self.process = None
        self.authorization = None
        test.addCleanup(self.stop)
        self.start()

    def start(self):
        begin = self.log.stat().st_size if self.log.exists() else 0
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([self.program, "registry", "--root", self.root, "serve", "--listen", self.listen, *map(str, self.flags)],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, executable=runtime.path())
        said = until(lambda: self._place(begin), f"the registry to listen; it said: {self.log.read_text()}")
        self.url = said
        self.where = said.split("://")[1]
        if ":" in self.listen and not self.listen.startswith("unix"):
            self.listen = self.where  # the same port again when it is started anew

    def _place(self, begin):
        if self.process.poll() is not None:
            raise AssertionError(f"the registry ended: {self.log.read_text()}")
        found = re.search(r'msg="listening at (\S+)"', self.log.read_text()[begin:])
        return found and found[1]

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)
            self.test.assertEqual(0, self.process.returncode, self.log.read_text()[-2000:])

    def restart(self):
        self.stop()
        self.start()

    # --- requests

    def connect(self):
        if self.url.startswith("unix://"):
            connection = http.client.HTTPConnection("localhost", timeout=60)
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.connect(self.url.removeprefix("unix://"))
            return connection
        if self.url.startswith("https"):
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            return http.client.HTTPSConnection(self.where, timeout=60, context=context)
        return http.client.HTTPConnection(self.where, timeout=60)

    def ask(self, method, path, body=None, connection=None, **headers):
        own = connection or self.connect()
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.authorization and "Authorization" not in headers:
            headers["Authorization"] = self.authorization
        try:
            own.request(method, path if path.startswith("/") else f"/v2/{path}", body=body, headers=headers)
            return Answer(own.getresponse())
        finally:
            if not connection:
                own.close()

    def log_in(self, user, password):
        self.authorization = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def expect(self, status, method, path, *args, **kwargs):
        answer = self.ask(method, path, *args, **kwargs)
        self.test.assertEqual(status, answer.status, f"{method} {path}: {answer.body[:500]}")
        return answer

    def push_blob(self, name, data):
        digest = digest_of(data)
        self.expect(201, "POST", f"{name}/blobs/uploads/?digest={urllib.parse.quote(digest)}", data, Content_Type="application/octet-stream")
        return digest

    def manifest(self, layers, config=b"{}", **more):
        """The text of an image's manifest."""
        def described(data, kind):
            return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": digest_of(data), "size": len(data)}
        return json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": described(config, "config.v1+json"),
                           "layers": [described(each, "layer.v1.tar") for each in layers], **more}).encode()

    def push_image(self, name, tag, layers, config=b"{}", **more):
        for each in [config, *layers]:
            self.push_blob(name, each)
        text = self.manifest(layers, config, **more)
        self.expect(201, "PUT", f"{name}/manifests/{tag}", text, Content_Type=MANIFEST)
        return digest_of(text)

    def gc(self, *flags):
        said = command(runtime.path(), "registry", "--root", self.root, "gc", "-o", "json", *flags).stdout
        return json.loads(said)

    def blobs(self):
        return set(os.listdir(self.root / "blobs/sha256"))
