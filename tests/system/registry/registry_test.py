#!/usr/bin/env python3
"""`proa registry serve`: kill -9 and resumption, collection beside pushes, ranges, TLS, users and tokens, limits, mirrors."""

import base64
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib import runtime  # noqa: E402
from lib.case import SystemTest, command, main, until  # noqa: E402
from lib.registry import INDEX, MANIFEST, Registry, digest_of  # noqa: E402


def data_of(seed, size):
    """The same bytes for the same seed, that no disk squeezes."""
    unit = b"".join(bytes.fromhex(digest_of(f"{seed}.{i}".encode())[7:]) for i in range(128))
    return (unit * (size // len(unit) + 1))[:size]


class RegistryTest(SystemTest):
    def serve(self, *flags, **kwargs):
        name = kwargs.get("name", "registry")
        return Registry(self, self.folder / name, *flags, **kwargs)

    def proa(self, *args, **kwargs):
        return command(runtime.path(), "registry", *args, **kwargs)

    def users(self, **passwords):
        """An htpasswd file."""
        file = self.folder / "users"
        lines = []
        for user, password in passwords.items():
            done = subprocess.run([runtime.path(), "registry", "passwd", user], input=password + "\n", text=True, capture_output=True, check=True)
            lines.append(done.stdout)
        file.write_text("".join(lines))
        return file

    def certificate(self, name, authority=None):
        key, out = self.folder / f"{name}.key", self.folder / f"{name}.pem"
        if authority is None:
            command("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-keyout", key, "-out", out,
                    "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
            return out, key
        request, extensions = self.folder / f"{name}.csr", self.folder / f"{name}.ext"
        extensions.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
        command("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        command("openssl", "x509", "-req", "-in", request, "-CA", authority[0], "-CAkey", authority[1], "-CAcreateserial", "-days", "2",
                "-extfile", extensions, "-out", out)
        return out, key


class Storage(RegistryTest):
    def test_an_answered_upload_goes_on_over_another_connection(self):
        registry = self.serve()
        first, second = registry.connect(), registry.connect()
        for number in range(300):
            data = data_of(f"hop {number}", 100)
            place = registry.expect(202, "POST", "a/b/blobs/uploads/", connection=first).headers["Location"]
            registry.expect(202, "PATCH", place, data, connection=second)
            registry.expect(201, "PUT", f"{place}?digest={digest_of(data)}", b"", connection=first)
        first.close()
        second.close()

    def test_resumes_an_upload_after_kill_9(self):
        registry = self.serve()
        data = data_of("upload", 6_000_000)
        place = registry.expect(202, "POST", "a/b/blobs/uploads/").headers["Location"]
        # More than half of a chunk, and then the server is gone.
        connection = socket.create_connection(tuple(registry.where.split(":")))
        head = f"PATCH {place} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n"
        connection.sendall(head.encode() + data[:4_000_000])
        part = registry.root / "ingest" / f"session-{place.rsplit('/', 1)[1]}"
        until(lambda: part.exists() and part.stat().st_size >= 3_000_000, "the bytes to be written")
        registry.kill()
        connection.close()
        registry.start()
        at = int(registry.expect(204, "GET", place).headers["Range"].split("-")[1]) + 1
        self.assertGreaterEqual(at, 3_000_000)
        registry.expect(416, "PATCH", place, data[at + 1:], Content_Range=f"{at + 1}-{len(data) - 1}")
        registry.expect(202, "PATCH", place, data[at:-10], Content_Range=f"{at}-{len(data) - 11}")
        registry.restart()
        registry.expect(201, "PUT", f"{place}?digest={digest_of(data)}", data[-10:])
        self.assertEqual(data, registry.expect(200, "GET", f"a/b/blobs/{digest_of(data)}").body)
        registry.expect(404, "GET", place)

    def test_what_was_acknowledged_survives_kill_9(self):
        registry = self.serve()
        pushed = {}
        for round_ in range(5):
            stop = threading.Event()

            def push(worker, round_=round_, stop=stop):
                for number in range(1000):
                    tag = f"{round_}.{worker}.{number}"
                    layer = data_of(tag, 20_000)
                    try:
                        digest = registry.push_image(f"team/{worker}", tag, [layer])
                    except (OSError, AssertionError, ValueError):
                        if stop.is_set():
                            return
                        raise
                    except Exception:  # noqa: BLE001 - a connection cut amid an answer
                        if stop.is_set():
                            return
                        raise
                    pushed[f"team/{worker}", tag] = (digest, layer)

            begin = len(pushed)
            workers = [threading.Thread(target=push, args=(worker,)) for worker in range(3)]
            for each in workers:
                each.start()
            until(lambda begin=begin: len(pushed) > begin + 6, "pushes")
            stop.set()
            registry.kill()
            for each in workers:
                each.join()
            registry.start()
        for (name, tag), (digest, layer) in pushed.items():
            self.assertEqual(digest, registry.expect(200, "HEAD", f"{name}/manifests/{tag}").headers["Docker-Content-Digest"])
            self.assertEqual(layer, registry.expect(200, "GET", f"{name}/blobs/{digest_of(layer)}").body)
        # What the killed ones left goes, what was acknowledged stays.
        registry.gc("--gc-grace", "0s", "--upload-expiry", "0s")
        self.assertEqual([], os.listdir(registry.root / "ingest"))
        self.assertEqual([], os.listdir(registry.root / "uploads"))
        for (name, _), (_, layer) in pushed.items():
            registry.expect(200, "HEAD", f"{name}/blobs/{digest_of(layer)}")

    def test_collects_while_images_are_pushed_mounted_and_deleted(self):
        # Two servers on one folder, and collections by both and by commands.
        first = self.serve("--gc-interval", "1s", "--gc-grace", "5s")
        second = self.serve("--gc-interval", "1s", "--gc-grace", "5s", root=first.root, name="second")
        base = data_of("base", 50_000)
        kept, deleted, failures = {}, [], []

        def work(registry, worker):
            try:
                for number in range(15):
                    name, layer = f"w{worker}/n{number % 3}", data_of(f"{worker}.{number}", 30_000)
                    if number == 0:
                        registry.push_blob(name, base)
                    else:
                        registry.expect(201, "POST", f"{name}/blobs/uploads/?mount={digest_of(base)}&from=w{worker}/n0")
                    digest = registry.push_image(name, f"t{number}", [base, layer])
                    if number % 2:
                        registry.expect(202, "DELETE", f"{name}/manifests/{digest}")
                        deleted.append((name, layer))
                    else:
                        kept[name, f"t{number}"] = layer
            except AssertionError as error:
                failures.append(str(error))

        workers = [threading.Thread(target=work, args=(registry, number)) for number, registry in enumerate([first, second, first])]
        for each in workers:
            each.start()
        while any(each.is_alive() for each in workers):
            first.gc("--gc-grace", "5s")
        self.assertEqual([], failures)
        for (name, tag), layer in kept.items():
            first.expect(200, "GET", f"{name}/manifests/{tag}")
            self.assertEqual(layer, second.expect(200, "GET", f"{name}/blobs/{digest_of(layer)}").body)
            self.assertEqual(base, second.expect(200, "GET", f"{name}/blobs/{digest_of(base)}").body)
        second.stop()
        until(lambda: not {digest_of(layer)[7:] for _, layer in deleted} & first.blobs(), "deleted images' blobs to go", patience=30)
        self.assertIn("garbage collection: removed", first.log.read_text())

    def test_untagged_manifests_are_collected_only_when_asked_to(self):
        registry = self.serve()
        old = registry.push_image("a", "latest", [b"old"])
        new = registry.push_image("a", "latest", [b"new"])
        subject = {"mediaType": MANIFEST, "digest": new, "size": 1}
        signature = registry.push_image("a", "sig", [b"signature"], subject=subject)
        registry.expect(202, "DELETE", "a/manifests/sig")
        child = registry.push_image("a", "child", [b"child"])
        index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [{"mediaType": MANIFEST, "digest": child, "size": 1}]}).encode()
        registry.expect(201, "PUT", "a/manifests/all", index, Content_Type=INDEX)
        registry.expect(202, "DELETE", "a/manifests/child")
        self.assertEqual(0, registry.gc("--gc-grace", "0s")["manifests"])
        self.assertEqual(1, registry.gc("--gc-grace", "0s", "--untagged", "--dry-run")["manifests"])
        registry.expect(200, "HEAD", f"a/manifests/{old}")
        self.assertEqual(1, registry.gc("--gc-grace", "0s", "--untagged")["manifests"])
        registry.expect(404, "HEAD", f"a/manifests/{old}")
        for digest in (new, signature, child, digest_of(index)):
            registry.expect(200, "HEAD", f"a/manifests/{digest}")
        self.assertEqual([signature], [each["digest"] for each in registry.expect(200, "GET", f"a/referrers/{new}").json()["manifests"]])

    def test_blobs_are_seen_only_where_they_are(self):
        registry = self.serve()
        digest = registry.push_blob("a", b"secret")
        registry.expect(200, "GET", f"a/blobs/{digest}")
        self.assertEqual("NAME_UNKNOWN", registry.expect(404, "GET", f"b/blobs/{digest}").code)
        registry.push_blob("b", b"other")
        self.assertEqual("BLOB_UNKNOWN", registry.expect(404, "GET", f"b/blobs/{digest}").code)
        self.assertEqual("MANIFEST_BLOB_UNKNOWN", registry.expect(400, "PUT", "b/manifests/1", registry.manifest([], b"secret"), Content_Type=MANIFEST).code)

    def test_damage_is_told_and_nothing_is_thrown_away(self):
        registry = self.serve()
        digest = registry.push_image("a", "1", [b"layer"])
        file = registry.root / "blobs/sha256" / digest[7:]
        text = file.read_bytes()
        file.chmod(0o644)
        file.write_bytes(text[:-1] + b" ")
        registry.expect(500, "GET", "a/manifests/1")
        self.assertIn("damaged on disk", registry.log.read_text())
        self.assertEqual(0, registry.gc("--gc-grace", "0s")["blobs"])
        file.write_bytes(text)
        registry.expect(200, "GET", "a/manifests/1")

    def test_commands(self):
        registry = self.serve()
        digest = registry.push_image("team/web", "1", [b"one"])
        registry.push_image("team/web", "2", [b"two"])
        registry.push_image("db", "latest", [b"db"])
        root = ("--root", registry.root)
        self.assertEqual([{"name": "db", "tags": 1, "manifests": 1}, {"name": "team/web", "tags": 2, "manifests": 2}],
                         json.loads(self.proa(*root, "ls", "-o", "json").stdout))
        self.assertEqual({"tag": "1", "digest": digest, "mediaType": MANIFEST}, json.loads(self.proa(*root, "tags", "team/web", "-o", "json").stdout)[0])
        self.proa(*root, "rm", "team/web:1")
        registry.expect(404, "GET", "team/web/manifests/1")
        registry.expect(200, "GET", f"team/web/manifests/{digest}")
        self.proa(*root, "rm", f"team/web@{digest}")
        registry.expect(404, "GET", f"team/web/manifests/{digest}")
        self.assertIn("--all", self.proa(*root, "rm", "team/web", check=False).stderr)
        self.proa(*root, "rm", "--all", "team/web")
        self.assertIn("no repository nowhere", self.proa(*root, "tags", "nowhere", check=False).stderr)
        self.assertIn("there is no registry in", self.proa("--root", self.folder / "none", "ls", check=False).stderr)
        self.assertEqual(1, registry.gc("--gc-grace", "0s")["repositories"])
        self.assertEqual(["db"], registry.expect(200, "GET", "_catalog").json()["repositories"])


class Protocol(RegistryTest):
    def curl(self, *words, check=True):
        return command("curl", "--silent", "--show-error", "--max-time", "60", *words, check=check).stdout

    def test_ranges(self):
        registry = self.serve()
        data = data_of("ranges", 300_000)
        digest = registry.push_blob("a", data)
        url, out = f"{registry.url}/v2/a/blobs/{digest}", self.folder / "out"
        for words, status, part in (((), 200, data), (("-r", "0-0"), 206, data[:1]), (("-r", "1000-1999"), 206, data[1000:2000]),
                                    (("-r", "299990-"), 206, data[-10:]), (("-r", "-7"), 206, data[-7:]), (("-r", "0-5,7-9"), 200, data),
                                    (("-r", "5-9", "-H", f'If-Range: "{digest}"'), 206, data[5:10]),
                                    (("-r", "5-9", "-H", 'If-Range: "sha256:other"'), 200, data)):
            with self.subTest(words):
                self.assertEqual(str(status), self.curl(*words, "-o", out, "-w", "%{http_code}", url))
                self.assertEqual(part, out.read_bytes())
        answer = registry.expect(416, "GET", f"a/blobs/{digest}", Range="bytes=300000-")
        self.assertEqual("bytes */300000", answer.headers["Content-Range"])
        registry.expect(416, "GET", f"a/blobs/{digest}", Range="bytes=9-5")
        self.assertEqual("bytes 5-9/300000", registry.expect(206, "HEAD", f"a/blobs/{digest}", Range="bytes=5-9").headers["Content-Range"])
        # A download that broke goes on.
        out.write_bytes(data[:100_000])
        self.curl("-C", "-", "-o", out, url)
        self.assertEqual(data, out.read_bytes())

    def test_conditions(self):
        registry = self.serve()
        digest = registry.push_image("a", "1", [b"layer"])
        for path in ("a/manifests/1", f"a/blobs/{digest_of(b'layer')}"):
            tag = registry.expect(200, "HEAD", path).headers["ETag"]
            self.assertEqual(b"", registry.expect(304, "GET", path, If_None_Match=tag).body)
            registry.expect(200, "GET", path, If_None_Match='"other"')
        registry.push_blob("a", b"second")
        text = registry.manifest([b"second"])
        registry.expect(412, "PUT", "a/manifests/1", text, Content_Type=MANIFEST, If_None_Match="*")
        registry.expect(412, "PUT", "a/manifests/1", text, Content_Type=MANIFEST, If_Match='"sha256:other"')
        self.assertEqual(digest, registry.expect(200, "HEAD", "a/manifests/1").headers["Docker-Content-Digest"])
        registry.expect(201, "PUT", "a/manifests/1", text, Content_Type=MANIFEST, If_Match=f'"{digest}"')
        registry.expect(201, "PUT", "a/manifests/new", text, Content_Type=MANIFEST, If_None_Match="*")

    def test_pages(self):
        registry = self.serve()
        for number in range(25):
            registry.push_image(f"r{number:02}", "latest", [b"same"])
        for tag in "CbaA10":
            registry.push_image("r00", tag, [b"same"])
        path, seen, pages = "/v2/_catalog?n=10", [], 0
        while path:
            answer = registry.expect(200, "GET", path)
            seen += answer.json()["repositories"]
            pages += 1
            link = answer.headers.get("Link")
            path = link and re.fullmatch(r'<(.+)>; rel="next"', link)[1]
        self.assertEqual(([f"r{number:02}" for number in range(25)], 3), (seen, pages))
        self.assertEqual(["0", "1", "A", "C", "a", "b", "latest"], registry.expect(200, "GET", "r00/tags/list").json()["tags"])
        self.assertEqual(["C", "a"], registry.expect(200, "GET", "r00/tags/list?n=2&last=A").json()["tags"])
        none = registry.expect(200, "GET", "r00/tags/list?n=0")
        self.assertEqual(([], None), (none.json()["tags"], none.headers.get("Link")))
        registry.expect(400, "GET", "r00/tags/list?n=some")

    def test_refusals_name_what_is_wrong(self):
        registry = self.serve("--max-blob-size", "1k")
        digest = registry.push_blob("a", b"x")
        place = registry.expect(202, "POST", "a/blobs/uploads/").headers["Location"]
        none = "sha256:" + "0" * 64
        for status, code, method, path, body, headers in (
                (400, "NAME_INVALID", "GET", "A/tags/list", None, {}),
                (400, "NAME_INVALID", "GET", "a..b/manifests/1", None, {}),
                (404, "NAME_UNKNOWN", "GET", "nowhere/tags/list", None, {}),
                (404, "MANIFEST_UNKNOWN", "GET", "a/manifests/none", None, {}),
                (404, "BLOB_UNKNOWN", "DELETE", f"a/blobs/{none}", None, {}),
                (400, "DIGEST_INVALID", "GET", "a/blobs/sha256:00", None, {}),
                (400, "DIGEST_INVALID", "GET", "a/referrers/md5:00", None, {}),
                (400, "DIGEST_INVALID", "POST", f"a/blobs/uploads/?digest={none}", b"data", {}),
                (400, "DIGEST_INVALID", "POST", "a/blobs/uploads/?digest-algorithm=md5", None, {}),
                (400, "DIGEST_INVALID", "PUT", f"a/manifests/{none}", registry.manifest([]), {"Content_Type": MANIFEST}),
                (413, "SIZE_INVALID", "POST", f"a/blobs/uploads/?digest={none}", b"x" * 2000, {}),
                (400, "SIZE_INVALID", "PATCH", place, b"data", {"Content_Range": "0-9"}),
                (416, "BLOB_UPLOAD_INVALID", "PATCH", place, b"data", {"Content_Range": "5-8"}),
                (400, "BLOB_UPLOAD_INVALID", "PATCH", place, b"data", {"Content_Range": "four"}),
                (404, "BLOB_UPLOAD_UNKNOWN", "PATCH", "a/blobs/uploads/00000000-0000-0000-0000-000000000000", b"data", {}),
                (404, "BLOB_UPLOAD_UNKNOWN", "GET", place.replace("/a/", "/b/"), None, {}),
                (400, "MANIFEST_INVALID", "PUT", "a/manifests/1", b"{", {"Content_Type": MANIFEST}),
                (400, "MANIFEST_INVALID", "PUT", "a/manifests/1", b"{}", {"Content_Type": "text/plain"}),
                (400, "MANIFEST_INVALID", "PUT", "a/manifests/.no", registry.manifest([], b"x"), {"Content_Type": MANIFEST}),
                (400, "MANIFEST_BLOB_UNKNOWN", "PUT", "a/manifests/1", registry.manifest([b"none"], b"x"), {"Content_Type": MANIFEST}),
                (413, "SIZE_INVALID", "PUT", "a/manifests/1", b" " * (4 << 20) + b"{}", {"Content_Type": MANIFEST}),
                (405, "UNSUPPORTED", "PUT", f"a/blobs/{digest}", b"x", {}),
                (404, "UNSUPPORTED", "GET", "/elsewhere", None, {})):
            with self.subTest(f"{method} {path}"):
                self.assertEqual(code, registry.expect(status, method, path, body, **headers).code)
        self.assertEqual("GET, HEAD, DELETE", registry.ask("PUT", f"a/blobs/{digest}", b"x").headers["Allow"])

    def test_read_only_and_without_deletes(self):
        writer = self.serve("--delete=false")
        digest = writer.push_image("a", "1", [b"layer"])
        for path in ("a/manifests/1", f"a/manifests/{digest}", f"a/blobs/{digest_of(b'layer')}"):
            self.assertEqual("UNSUPPORTED", writer.expect(405, "DELETE", path).code)
        reader = self.serve("--read-only", root=writer.root, name="reader")
        reader.expect(200, "GET", "a/manifests/1")
        for method, path in (("POST", "a/blobs/uploads/"), ("PUT", "a/manifests/2"), ("DELETE", "a/manifests/1")):
            self.assertEqual("UNSUPPORTED", reader.expect(405, method, path, b"").code)

    def test_too_many_requests(self):
        registry = self.serve("--max-requests", "2")
        slow = []

        def refused():
            begun = registry.ask("POST", "a/blobs/uploads/")
            if begun.status == 429:
                return begun
            connection = socket.create_connection(tuple(registry.where.split(":")))
            self.addCleanup(connection.close)
            connection.sendall(f"PATCH {begun.headers['Location']} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf".encode())
            slow.append(connection)
            return None

        answer = until(refused, "the registry to be busy")
        self.assertEqual(("TOOMANYREQUESTS", "1"), (answer.code, answer.headers["Retry-After"]))
        self.assertEqual(b"ok\n", registry.expect(200, "GET", "/healthz").body)
        for connection in slow:
            connection.close()
        until(lambda: registry.ask("GET", "").status == 200, "the registry to be free")

    def test_metrics_and_access_log(self):
        registry = self.serve("--metrics-listen", "127.0.0.1:0")
        registry.push_image("a", "1", [b"layer"])
        registry.expect(200, "GET", "a/manifests/1")
        registry.expect(404, "GET", "/metrics")
        where = re.search(r'metrics at (http://\S+)"', registry.log.read_text())[1]
        text = self.curl(where)
        self.assertRegex(text, r'proa_registry_requests_total\{route="manifest",method="PUT",code="2xx"\} 1\n')
        self.assertRegex(text, r'proa_registry_request_duration_seconds_bucket\{route="blob|manifest",le="\+Inf"\} \d')
        self.assertRegex(text, r"proa_registry_received_bytes_total \d+")
        self.assertIn('\\"GET /v2/a/manifests/1\\" 200', registry.log.read_text())

    def test_drains(self):
        registry = self.serve()
        place = registry.expect(202, "POST", "a/blobs/uploads/").headers["Location"]
        connection = socket.create_connection(tuple(registry.where.split(":")))
        connection.sendall(f"PUT {place}?digest={digest_of(b'0123456789')} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n01234".encode())
        until(lambda: any(registry.root.glob("ingest/session-*")), "the request to have begun")
        registry.process.send_signal(signal.SIGTERM)
        until(lambda: "stopping" in registry.log.read_text(), "the registry to stop")
        with self.assertRaises(OSError):
            until(lambda: registry.ask("GET", "").status == 0, "never")
        connection.sendall(b"56789")
        self.assertTrue(connection.recv(100).startswith(b"HTTP/1.1 201 "))
        connection.close()
        self.assertEqual(0, registry.process.wait(30))


class Security(RegistryTest):
    def test_unix_socket(self):
        registry = self.serve(listen=f"unix://{self.folder}/registry.sock")
        registry.push_image("a", "1", [b"layer"])
        registry.expect(200, "GET", "a/manifests/1")

    def test_users(self):
        registry = self.serve("--htpasswd", self.users(ann="right one", bob="b"))
        answer = registry.expect(401, "GET", "")
        self.assertEqual(("UNAUTHORIZED", 'Basic realm="proa registry"'), (answer.code, answer.headers["WWW-Authenticate"]))
        registry.log_in("ann", "wrong one")
        registry.expect(401, "GET", "")
        registry.log_in("nobody", "right one")
        registry.expect(401, "GET", "")
        registry.log_in("ann", "right one")
        registry.push_image("a", "1", [b"layer"])
        # The file is read anew when it changes.
        (self.folder / "users").write_text("")
        until(lambda: registry.ask("GET", "").status == 401, "ann to be forgotten")
        said = registry.log.read_text()
        self.assertNotIn("right one", said)
        self.assertNotIn("wrong one", said)
        self.assertIn('login of \\"ann\\" from 127.0.0.1 failed', said)

    def test_weak_files_are_refused(self):
        (self.folder / "users").write_text("ann:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n")
        done = self.proa("--root", self.folder / "root", "serve", "--htpasswd", self.folder / "users", check=False)
        self.assertEqual(1, done.returncode)
        self.assertIn('line 1: the password of "ann" is hashed by a weak method', done.stderr)

    def test_guessing_is_slowed(self):
        registry = self.serve("--htpasswd", self.users(ann="right"))
        statuses = []
        for number in range(8):
            registry.log_in("ann", f"guess {number}")
            statuses.append(registry.ask("GET", "").status)
        self.assertEqual([401] * 5, statuses[:5])
        self.assertIn(429, statuses[5:])
        registry.log_in("ann", "right")
        until(lambda: registry.ask("GET", "").status == 200, "ann to be let in again", patience=60)

    def test_policy(self):
        policy = self.folder / "policy.yaml"
        policy.write_text("""
groups:
  staff: [bob]
rules:
- to: [anonymous]
  repositories: ["public/**"]
  actions: [pull]
- to: [users]
  repositories: ["{user}/**"]
  actions: [pull, push]
- to: ["group:staff"]
  repositories: ["**"]
  actions: ["*"]
""")
        registry = self.serve("--htpasswd", self.users(ann="a", bob="b"), "--policy", policy)
        registry.log_in("bob", "b")
        registry.push_image("public/web", "1", [b"public"])
        registry.push_image("secret", "1", [b"secret"])
        registry.log_in("ann", "a")
        registry.push_image("ann/app", "1", [b"mine"])
        for status, method, path in ((200, "GET", "public/web/manifests/1"), (403, "GET", "secret/manifests/1"), (403, "POST", "public/web/blobs/uploads/"),
                                     (403, "DELETE", "ann/app/manifests/1"), (403, "GET", f"secret/blobs/{digest_of(b'secret')}")):
            self.assertEqual(status, registry.ask(method, path).status, f"{method} {path}")
        # What she may not pull she cannot mount, whether she says where it is or not.
        for source in ("&from=secret", ""):
            registry.expect(202, "POST", f"ann/app/blobs/uploads/?mount={digest_of(b'secret')}{source}")
            registry.expect(201, "POST", f"ann/app/blobs/uploads/?mount={digest_of(b'public')}{source.replace('secret', 'public/web')}")
        self.assertEqual(["ann/app", "public/web"], registry.expect(200, "GET", "_catalog").json()["repositories"])
        registry.authorization = None
        registry.expect(200, "GET", "public/web/manifests/1")
        registry.expect(401, "GET", "secret/manifests/1")
        registry.expect(401, "POST", "public/web/blobs/uploads/")
        self.assertEqual(["public/web"], registry.expect(200, "GET", "_catalog").json()["repositories"])
        policy.write_text("rules:\n- to: [anonymous]\n  repositories: ['**']\n  actions: [pulls]\n")
        until(lambda: 'rules[0].actions: \\"pulls\\"' in registry.log.read_text(), "the mistake to be told")
        registry.expect(200, "GET", "public/web/manifests/1")

    def token(self, registry, scope="", user=None, password=None, status=200, form=None):
        path = "/token?" + urllib.parse.urlencode({"service": "proa-registry", "scope": scope})
        headers = {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()} if user else {"Authorization": ""}
        if form:
            answer = registry.ask("POST", "/token", urllib.parse.urlencode(form), Content_Type="application/x-www-form-urlencoded")
        else:
            answer = registry.ask("GET", path, **headers)
        self.assertEqual(status, answer.status, answer.body)
        return answer.json().get("token")

    def test_own_tokens(self):
        registry = self.serve("--htpasswd", self.users(ann="a"), "--token", "--anonymous-pull")
        challenge = registry.expect(401, "GET", "").headers["WWW-Authenticate"]
        self.assertEqual(f'Bearer realm="{registry.url}/token",service="proa-registry"', challenge)
        challenge = registry.expect(401, "POST", "a/blobs/uploads/").headers["WWW-Authenticate"]
        self.assertIn('scope="repository:a:pull,push"', challenge)
        registry.authorization = "Bearer " + self.token(registry, "repository:a:pull,push", "ann", "a")
        registry.push_image("a", "1", [b"layer"])
        answer = registry.expect(401, "GET", "b/tags/list")
        self.assertIn('error="insufficient_scope"', answer.headers["WWW-Authenticate"])
        registry.authorization = "Bearer " + self.token(registry, "repository:a:pull,push")
        registry.expect(200, "GET", "a/manifests/1")
        registry.expect(401, "POST", "a/blobs/uploads/")
        form = {"grant_type": "password", "username": "ann", "password": "a", "scope": "repository:a:*"}
        good = self.token(registry, form=form)
        registry.authorization = "Bearer " + good
        registry.expect(202, "DELETE", "a/manifests/1")
        self.token(registry, status=401, user="ann", password="wrong")
        # Neither a changed token, nor one for tokens, nor another's.
        head, claims, signature = good.split(".")
        for bad in (f"{head}.{claims}.{signature[:-4]}AAAA", f"{head}.{claims}.", "eyJhbGciOiJub25lIn0." + claims + ".", "x"):
            registry.authorization = "Bearer " + bad
            registry.expect(401, "GET", "a/tags/list")
        registry.expect(401, "GET", "/token?scope=repository:a:pull", Authorization="Bearer " + good)
        registry.authorization = "Bearer " + good
        registry.restart()
        registry.expect(200, "GET", "a/tags/list")
        self.assertEqual(0o600, (registry.root / "token.key").stat().st_mode & 0o777)

    def signed(self, key, algorithm, claims, **header):
        def part(data):
            return base64.urlsafe_b64encode(data).rstrip(b"=")
        text = part(json.dumps({"alg": algorithm, "typ": "JWT", **header}).encode()) + b"." + part(json.dumps(claims).encode())
        file, out = self.folder / "text", self.folder / "signature"
        file.write_bytes(text)
        if algorithm == "RS256":
            command("openssl", "dgst", "-sha256", "-sign", key, "-out", out, file)
        else:
            command("openssl", "pkeyutl", "-sign", "-rawin", "-inkey", key, "-in", file, "-out", out)
        return (text + b"." + part(out.read_bytes())).decode()

    def test_tokens_of_another_issuer(self):
        rsa, ed = self.folder / "rsa.key", self.folder / "ed.key"
        command("openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", rsa)
        command("openssl", "genpkey", "-algorithm", "ED25519", "-out", ed)
        bundle = self.folder / "bundle.pem"
        command("openssl", "req", "-x509", "-new", "-key", rsa, "-days", "2", "-subj", "/CN=issuer", "-out", bundle)
        raw = subprocess.run(["openssl", "pkey", "-in", ed, "-pubout", "-outform", "DER"], capture_output=True, check=True).stdout[-32:]
        jwks = self.folder / "jwks.json"
        jwks.write_text(json.dumps({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": base64.urlsafe_b64encode(raw).decode().rstrip("=")}]}))
        config = self.folder / "registry.yaml"
        config.write_text(f"""
auth:
  token:
    realm: https://auth.example/token
    service: registry.example
    issuer: auth.example
    certificates: {bundle}
    jwks: {jwks}
""")
        registry = self.serve("--config", config)
        self.assertEqual('Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a:pull,push"',
                         registry.expect(401, "POST", "a/blobs/uploads/").headers["WWW-Authenticate"])
        now = int(time.time())
        claims = {"iss": "auth.example", "sub": "ann", "aud": "registry.example", "exp": now + 300, "nbf": now - 5, "iat": now,
                  "access": [{"type": "repository", "name": "a", "actions": ["pull", "push"]}]}
        for key, algorithm in ((rsa, "RS256"), (ed, "EdDSA")):
            registry.authorization = "Bearer " + self.signed(key, algorithm, claims, kid="any")
            registry.push_image("a", algorithm, [b"layer"])
            registry.expect(401, "GET", "b/tags/list")
            registry.expect(401, "DELETE", f"a/manifests/{algorithm}")
        for change in ({"iss": "other"}, {"aud": "other"}, {"exp": now - 100}, {"nbf": now + 1000}, {"exp": None}, {"access": []}):
            with self.subTest(change):
                registry.authorization = "Bearer " + self.signed(rsa, "RS256", {**claims, **change})
                registry.expect(401, "GET", "a/tags/list")
        registry.authorization = "Bearer " + self.signed(ed, "RS256" if False else "EdDSA", claims, crit=["x"])
        registry.expect(401, "GET", "a/tags/list")
        # A certificate that an authority of the bundle issued comes along.
        request, leaf_key, leaf = self.folder / "leaf.csr", self.folder / "leaf.key", self.folder / "leaf.pem"
        command("openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", leaf_key, "-out", request, "-subj", "/CN=leaf")
        command("openssl", "x509", "-req", "-in", request, "-CA", bundle, "-CAkey", rsa, "-CAcreateserial", "-days", "2", "-out", leaf)
        der = base64.b64encode(subprocess.run(["openssl", "x509", "-in", leaf, "-outform", "DER"], capture_output=True, check=True).stdout).decode()
        registry.authorization = "Bearer " + self.signed(leaf_key, "RS256", claims, x5c=[der])
        registry.expect(200, "GET", "a/tags/list")
        registry.authorization = "Bearer " + self.signed(leaf_key, "RS256", claims)
        registry.expect(401, "GET", "a/tags/list")

    def test_tls(self):
        first = self.certificate("first")
        cert, key = self.folder / "cert.pem", self.folder / "cert.key"
        shutil.copy(first[0], cert)
        shutil.copy(first[1], key)
        registry = self.serve("--tls-cert", cert, "--tls-key", key)
        self.assertTrue(registry.url.startswith("https://"))
        registry.push_image("a", "1", [data_of("tls", 200_000)])
        url = f"https://localhost:{registry.where.rsplit(':', 1)[1]}/v2/"
        self.assertEqual("{}", command("curl", "-s", "--cacert", first[0], url).stdout)
        second = self.certificate("second")
        os.replace(second[0], cert)
        os.replace(second[1], key)
        until(lambda: command("curl", "-s", "--cacert", cert, url, check=False).stdout == "{}", "the new certificate")
        cert.write_text("broken")
        until(lambda: "the certificate read before stays in force" in registry.log.read_text(), "the broken one to be told")
        registry.expect(200, "GET", "a/manifests/1")

    def test_client_certificates(self):
        authority = self.certificate("authority")
        server = self.certificate("server", authority)
        ann = self.certificate("ann", authority)
        config = self.folder / "registry.json"
        config.write_text(json.dumps({"tls": {"certificate": str(server[0]), "key": str(server[1]), "client_ca": str(authority[0])},
                                      "auth": {"client_certificates": True}}))
        registry = self.serve("--config", config)
        url = f"https://localhost:{registry.where.rsplit(':', 1)[1]}/v2/"
        curl = ("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--cacert", authority[0])
        self.assertEqual("401", command(*curl, url).stdout)
        self.assertEqual("200", command(*curl, "--cert", ann[0], "--key", ann[1], url).stdout)
        self.assertIn(' ann \\"GET /v2/', registry.log.read_text())

    def test_configuration_names_the_field(self):
        for text, said in (("stroage: {}", "stroage: there is no such field"), ("gc: {interval: soon}", "gc.interval: "), ("listen: 5", "listen"),
                           ("mirrors: [{prefix: a}]", "mirrors[0].url: missing"), ("tls: {key: x}", "tls.certificate: missing beside tls.key"),
                           ("auth: {token: {own: true}}", "auth.token: tokens of our own need auth.htpasswd"), ("a: [", "not valid YAML at line"),
                           ("mirrors: [{url: 'ftp://x'}]", "mirrors[0]: url: must begin with https:// or http://")):
            with self.subTest(text):
                (self.folder / "config").write_text(text)
                done = self.proa("--root", self.folder / "root", "serve", "-l", "127.0.0.1:0", "--config", self.folder / "config", check=False)
                self.assertEqual(1, done.returncode)
                self.assertIn(said, done.stderr)


class Mirror(RegistryTest):
    def pair(self, *flags, upstream_flags=(), config=None):
        upstream = self.serve(*upstream_flags, name="upstream")
        if config is not None:
            file = self.folder / "mirror.json"
            file.write_text(json.dumps({"mirrors": [{"url": upstream.url, **config}]}))
            flags = (*flags, "--config", file)
        else:
            flags = (*flags, "--mirror-of", upstream.url)
        return upstream, self.serve(*flags, name="mirror")

    @staticmethod
    def asked(upstream, method, what):
        return len(re.findall(rf'\\"{method} /v2/{re.escape(what)}\\"', upstream.log.read_text()))

    def test_fetches_once_and_keeps(self):
        upstream, mirror = self.pair(config={"tag_ttl": "1h"})
        layer = data_of("layer", 5_000_000)
        digest = upstream.push_image("lib/web", "1", [layer])
        self.assertEqual(digest, mirror.expect(200, "GET", "lib/web/manifests/1").headers["Docker-Content-Digest"])
        path, bodies = f"lib/web/blobs/{digest_of(layer)}", []
        readers = [threading.Thread(target=lambda: bodies.append(mirror.expect(200, "GET", path).body)) for _ in range(8)]
        for each in readers:
            each.start()
        for each in readers:
            each.join()
        self.assertEqual([layer] * 8, bodies)
        self.assertEqual(1, self.asked(upstream, "GET", path))
        mirror.expect(200, "GET", "lib/web/manifests/1")
        self.assertEqual(1, self.asked(upstream, "GET", "lib/web/manifests/1"))
        upstream.stop()
        mirror.restart()
        mirror.expect(200, "GET", "lib/web/manifests/1")
        self.assertEqual(layer[5:10], mirror.expect(206, "GET", path, Range="bytes=5-9").body)
        self.assertEqual("UNSUPPORTED", mirror.expect(405, "POST", "lib/web/blobs/uploads/").code)

    def test_tags_are_revalidated_and_served_stale(self):
        upstream, mirror = self.pair(config={"tag_ttl": "0s"})
        old = upstream.push_image("web", "latest", [b"old"])
        self.assertEqual(old, mirror.expect(200, "HEAD", "web/manifests/latest").headers["Docker-Content-Digest"])
        new = upstream.push_image("web", "latest", [b"new"])
        self.assertEqual(new, mirror.expect(200, "HEAD", "web/manifests/latest").headers["Docker-Content-Digest"])
        upstream.push_image("web", "other", [b"other"])
        self.assertEqual(["latest", "other"], mirror.expect(200, "GET", "web/tags/list").json()["tags"])
        upstream.kill()
        self.assertEqual(new, mirror.expect(200, "GET", "web/manifests/latest").headers["Docker-Content-Digest"])
        self.assertEqual(["latest"], mirror.expect(200, "GET", "web/tags/list").json()["tags"])
        mirror.expect(502, "GET", "web/manifests/other")
        upstream.start()
        upstream.expect(202, "DELETE", "web/manifests/latest")
        mirror.expect(404, "GET", "web/manifests/latest")
        self.assertRegex(mirror.expect(200, "GET", "/metrics").body.decode(), r"proa_registry_mirror_stale_total [1-9]")

    def test_goes_on_after_upstream_or_mirror_broke(self):
        upstream, mirror = self.pair()
        layer = data_of("layer", 40_000_000)
        upstream.push_image("web", "1", [layer])
        path = f"web/blobs/{digest_of(layer)}"
        connection = socket.create_connection(tuple(mirror.where.split(":")))
        connection.sendall(f"GET /v2/{path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        part = mirror.root / "ingest" / f"sha256-{digest_of(layer)[7:]}"
        until(lambda: part.exists() and part.stat().st_size > 0 or digest_of(layer)[7:] in mirror.blobs(), "a part of the blob")
        mirror.kill()
        connection.close()
        mirror.start()
        self.assertEqual(layer, mirror.expect(200, "GET", path).body)

    def test_credentials_and_prefixes(self):
        users = self.users(mirror="secret")
        (self.folder / "password").write_text("secret\n")
        upstream, mirror = self.pair(upstream_flags=("--htpasswd", users, "--token"),
                                     config={"prefix": "up", "user": "mirror", "password_file": str(self.folder / "password")})
        upstream.log_in("mirror", "secret")
        digest = upstream.push_image("team/web", "1", [b"layer"])
        self.assertEqual(digest, mirror.expect(200, "GET", "up/team/web/manifests/1").headers["Docker-Content-Digest"])
        self.assertEqual(b"layer", mirror.expect(200, "GET", f"up/team/web/blobs/{digest_of(b'layer')}").body)
        mirror.expect(404, "GET", "team/web/manifests/1")
        mirror.push_image("own/app", "1", [b"own"])
        self.assertNotIn("secret", mirror.log.read_text())

    def test_keeps_no_more_than_its_size(self):
        upstream, mirror = self.pair(config={"tag_ttl": "1h", "max_size": 3_000_000})
        layers = [data_of(f"layer {i}", 1_000_000) for i in range(6)]
        for i, layer in enumerate(layers):
            upstream.push_image(f"web{i}", "1", [layer])
        paths = [f"web{i}/blobs/{digest_of(layer)}" for i, layer in enumerate(layers)]

        def here():
            return [i for i, layer in enumerate(layers) if digest_of(layer)[7:] in mirror.blobs()]

        for i in (0, 1):
            mirror.expect(200, "GET", paths[i])
        # The first is older and was asked for later; links say when in files' times, which are set apart here.
        links = [mirror.root / f"repositories/web{i}/_blobs" / digest_of(layers[i]) for i in (0, 1)]
        for i, link in enumerate(links):
            os.utime(link, (1000 + i, 1000 + i))
        mirror.expect(200, "GET", paths[0])
        self.assertGreater(links[0].stat().st_mtime, links[1].stat().st_mtime)
        mirror.expect(200, "GET", paths[2])
        mirror.expect(200, "GET", paths[3])
        until(lambda: 1 not in here(), "the one that nobody asked for to go")
        self.assertEqual([0, 2, 3][-2:], here()[-2:])
        self.assertLessEqual(len(here()), 3)
        # It comes again; and what is fetched at once with others is served whole, however little may be kept.
        for path, layer in zip(paths, layers):
            self.assertEqual(layer, mirror.expect(200, "GET", path).body)
        until(lambda: len(here()) <= 3, "the cache to shrink")
        self.assertRegex(mirror.expect(200, "GET", "/metrics").body.decode(), r"proa_registry_mirror_evicted_total [1-9]")
        # What is its own is not counted and stays.
        self.assertEqual(0, int(re.search(r"mirror_errors_total (\d+)", mirror.expect(200, "GET", "/metrics").body.decode())[1]))

    def test_its_own_images_are_not_counted(self):
        upstream, mirror = self.pair(config={"prefix": "up", "tag_ttl": "1h", "max_size": "1m"})
        own = data_of("own", 2_000_000)
        mirror.push_image("own/app", "1", [own])
        layers = [data_of(f"layer {i}", 700_000) for i in range(3)]
        for layer in layers:
            upstream.push_image("web", digest_of(layer)[7:17], [layer])
            mirror.expect(200, "GET", f"up/web/blobs/{digest_of(layer)}")
        until(lambda: sum(digest_of(layer)[7:] in mirror.blobs() for layer in layers) == 1, "the cache to shrink")
        self.assertEqual(own, mirror.expect(200, "GET", f"own/app/blobs/{digest_of(own)}").body)

    def test_referrers_come_along(self):
        upstream, mirror = self.pair()
        digest = upstream.push_image("web", "1", [b"layer"])
        referrer = upstream.push_image("web", "sig", [b"signature"], artifactType="application/x.sig", subject={"mediaType": MANIFEST, "digest": digest, "size": 1})
        for kind, found in (("application/x.sig", [referrer]), ("application/x.other", [])):
            answer = mirror.expect(200, "GET", f"web/referrers/{digest}?artifactType={kind}")
            self.assertEqual((found, "artifactType"), ([each["digest"] for each in answer.json()["manifests"]], answer.headers["OCI-Filters-Applied"]))
        mirror.expect(200, "GET", f"web/manifests/{referrer}")
        upstream.kill()
        self.assertEqual([referrer], [each["digest"] for each in mirror.expect(200, "GET", f"web/referrers/{digest}").json()["manifests"]])


if __name__ == "__main__":
    main()
