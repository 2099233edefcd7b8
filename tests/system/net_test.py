#!/usr/bin/env python3
"""The HTTP stack, by a server program of the tests (net/server.cc), against real clients and hostile ones."""

import base64
import os
import re
import signal
import socket
import ssl
import struct
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from lib.case import SystemTest, command, main, until  # noqa: E402

PROGRAM = os.environ.get("PROA_NET_SERVER", str(Path(__file__).resolve().parents[2] / "build/release/tests/system/net/net_server"))
FILE_SIZE = 3_000_000
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


# GET /small at localhost, in HPACK without Huffman or table
SMALL_HEAD = bytes([0x82, 0x86, 0x04, 6]) + b"/small" + bytes([0x01, 9]) + b"localhost"


class NetTest(SystemTest):
    def serve(self, *endpoints, **flags):
        """Starts the server; gives its endpoints as they really are."""
        words = [word for name, value in flags.items() for word in ([f"--{name.replace('_', '-')}"] + ([] if value is True else [str(value)]))]
        self.server = subprocess.Popen([PROGRAM, *words, *endpoints], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(self.end)
        places = self.server.stdout.readline().split()
        self.assertEqual(len(endpoints), len(places), "the server did not start")
        return places[0] if len(places) == 1 else places

    def end(self):
        if self.server.poll() is None:
            self.server.terminate()
            self.server.wait(20)
        self.server.stdout.close()
        self.server.stderr.close()
        self.assertIn(self.server.returncode, (0,), "the server ended badly")

    def file(self):
        path = self.folder / "file"
        path.write_bytes(bytes(i * 7 % 251 for i in range(1000)) * (FILE_SIZE // 1000))
        return path

    def certificate(self, name, authority=None, organization=""):
        """(certificate, key) for localhost, signed by (certificate, key) of an authority or by itself."""
        key, out = self.folder / f"{name}.key", self.folder / f"{name}.pem"
        words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-keyout", key, "-out", out,
                 "-subj", f"/CN={name}" + (f"/O={organization}" if organization else "")]
        if authority:
            words += ["-CA", authority[0], "-CAkey", authority[1], "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
            words += ["-addext", "basicConstraints=CA:FALSE"]
        if subprocess.run(list(map(str, words)), capture_output=True).returncode:
            self._certificate_in_steps(name, authority, organization, key, out)
        return out, key

    def _certificate_in_steps(self, name, authority, organization, key, out):
        """For an openssl whose `req` cannot sign with an authority."""
        request, extensions = self.folder / f"{name}.csr", self.folder / f"{name}.ext"
        extensions.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
        subject = f"/CN={name}" + (f"/O={organization}" if organization else "")
        command("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", request, "-subj", subject)
        command("openssl", "x509", "-req", "-in", request, "-CA", authority[0], "-CAkey", authority[1], "-CAcreateserial", "-days", "1",
                "-extfile", extensions, "-out", out)

    def curl(self, *words):
        return command("curl", "--silent", "--show-error", "--max-time", "60", *words).stdout

    @staticmethod
    def connect(where):
        host, port = where.rsplit(":", 1)
        connection = socket.create_connection((host.strip("[]"), int(port)))
        connection.settimeout(30)
        return connection

    def raw(self, where, data):
        """All that comes back for these bytes until the server closes."""
        with self.connect(where) as connection:
            connection.sendall(data)
            return self.rest(connection)

    @staticmethod
    def rest(connection):
        received = b""
        while True:
            try:
                piece = connection.recv(65536)
            except ConnectionResetError:
                return received
            if not piece:
                return received
            received += piece

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.server.pid}/fd"))


class Clients(NetTest):
    def test_curl(self):
        path = self.file()
        socket_path = self.folder / "http.sock"
        authority = self.certificate("authority")
        cert, key = self.certificate("localhost", authority)
        plain, secure, _ = self.serve("127.0.0.1:0", "tls+127.0.0.1:0", f"unix://{socket_path}", file=path, cert=cert, key=key)
        secure = "https://localhost:" + secure.rsplit(":", 1)[1]
        trust = ("--cacert", authority[0])
        ways = {"HTTP/1.1": (f"http://{plain}",), "HTTP/2, cleartext": ("--http2-prior-knowledge", f"http://{plain}"),
                "HTTP/1.1, TLS": ("--http1.1", *trust, secure), "HTTP/2, TLS": (*trust, secure), "unix": ("--unix-socket", socket_path, "http://localhost")}
        for way, (*words, base) in ways.items():
            with self.subTest(way):
                out = self.folder / "out"
                self.assertEqual("Hello, world\n", self.curl(*words, f"{base}/small"))
                self.curl(*words, "--output", out, f"{base}/file")
                self.assertEqual(path.read_bytes(), out.read_bytes())
                self.curl(*words, "--range", "1000-1999", "--output", out, f"{base}/file")
                self.assertEqual(path.read_bytes()[1000:2000], out.read_bytes())
                self.assertEqual("416", self.curl(*words, "--range", f"{FILE_SIZE}-", "--write-out", "%{http_code}", "--output", out, f"{base}/file"))
                self.assertEqual(f"{FILE_SIZE}\n", self.curl(*words, "--upload-file", path, f"{base}/sink"))
                self.assertEqual(f"{FILE_SIZE}\n", self.curl(*words, "--header", "Transfer-Encoding: chunked", "--upload-file", path, f"{base}/sink"))
                self.assertTrue(self.curl(*words, "--head", f"{base}/small").endswith("\n\n"))
                self.assertEqual("404", self.curl(*words, "--write-out", "%{http_code}", "--output", "/dev/null", f"{base}/none"))
        self.assertEqual(f"unix {os.getuid()}\n", self.curl("--unix-socket", socket_path, "http://localhost/who"))

    def test_h2load(self):
        authority = self.certificate("authority")
        cert, key = self.certificate("localhost", authority)
        plain, secure = self.serve("127.0.0.1:0", "tls+127.0.0.1:0", cert=cert, key=key)
        for flags in (["--h1", "-c", "50"], ["-c", "10", "-m", "50"]):
            for url in (f"http://{plain}", f"https://{secure}"):
                for path, count in (("/small", 5000), ("/bytes?n=300000", 200)):
                    with self.subTest(f"{flags} {url}{path}"):
                        said = command("h2load", "-n", count, *flags, url + path).stdout
                        self.assertIn(f" {count} succeeded, 0 failed, 0 errored", said)

    def test_100_continue(self):
        where = self.serve("127.0.0.1:0")
        with self.connect(where) as connection:
            connection.sendall(b"PUT /sink HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
            self.assertEqual(b"HTTP/1.1 100 Continue\r\n\r\n", connection.recv(4096))
            connection.sendall(b"hello")
            self.assertTrue(connection.recv(4096).endswith(b"\r\n\r\n5\n"))
            # Who is not let in sends no body.
            connection.sendall(b"PUT /none HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
            self.assertTrue(self.rest(connection).startswith(b"HTTP/1.1 404 "))

    def test_upgrade_to_raw_stream(self):
        where = self.serve("127.0.0.1:0")
        with self.connect(where) as connection:
            connection.sendall(b"POST /raw HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nearly")
            received = b""
            while not received.endswith(b"early"):
                received += connection.recv(4096)
            self.assertTrue(received.startswith(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"))
            connection.sendall(b"later")
            self.assertEqual(b"later", connection.recv(4096))
            connection.shutdown(socket.SHUT_WR)
            self.assertEqual(b"", connection.recv(4096))

    def test_websocket(self):
        where = self.serve("127.0.0.1:0")
        key = base64.b64encode(bytes(range(16))).decode()
        with self.connect(where) as connection:
            connection.sendall(f"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                               f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: echo\r\n\r\n".encode())
            head = connection.recv(4096)
            self.assertIn(b"101 Switching Protocols", head)
            self.assertIn(b"Sec-WebSocket-Protocol: echo", head)
            connection.sendall(b"\x81\x85\x00\x00\x00\x00hello")
            self.assertEqual(b"\x81\x05hello", connection.recv(4096))
            connection.sendall(b"\x88\x82\x00\x00\x00\x00\x03\xe8")
            self.assertEqual(b"\x88\x02\x03\xe8", self.rest(connection))


class Tls(NetTest):
    def test_client_certificates_and_reload(self):
        authority = self.certificate("authority")
        cert, key = self.certificate("localhost", authority)
        alice = self.certificate("alice", authority, organization="team:a")
        mallory = self.certificate("mallory", self.certificate("other"))
        place = self.serve("tls+127.0.0.1:0", cert=cert, key=key, client_ca=authority[0])
        url = "https://localhost:" + place.rsplit(":", 1)[1] + "/who"
        self.assertEqual("nobody\n", self.curl("--cacert", authority[0], url))
        self.assertEqual("alice team:a\n", self.curl("--cacert", authority[0], "--cert", alice[0], "--key", alice[1], url))
        self.assertNotEqual(0, command("curl", "-s", "--cacert", authority[0], "--cert", mallory[0], "--key", mallory[1], url, check=False).returncode)
        self.assertNotEqual(0, command("curl", "-s", "--tls-max", "1.2", "--cacert", authority[0], url, check=False).returncode)
        # Another authority's certificate takes the old one's place; nothing is restarted.
        newer = self.certificate("newer")
        fresh = self.certificate("fresh", newer)
        os.replace(fresh[1], key)
        os.replace(fresh[0], cert)
        self.server.send_signal(signal.SIGHUP)
        until(lambda: command("curl", "-s", "--cacert", newer[0], url, check=False).stdout == "nobody\n", "the new certificate")

    def test_required(self):
        authority = self.certificate("authority")
        cert, key = self.certificate("localhost", authority)
        place = self.serve("tls+127.0.0.1:0", cert=cert, key=key, client_ca=authority[0], require=True)
        url = "https://localhost:" + place.rsplit(":", 1)[1] + "/who"
        refused = command("curl", "-sS", "--cacert", authority[0], url, check=False)
        self.assertNotEqual(0, refused.returncode)
        self.assertEqual("localhost \n", self.curl("--cacert", authority[0], "--cert", cert, "--key", key, url))

    def test_plain_text_on_a_tls_port(self):
        authority = self.certificate("authority")
        cert, key = self.certificate("localhost", authority)
        place = self.serve("tls+127.0.0.1:0", cert=cert, key=key)
        self.assertNotIn(b"200 OK", self.raw(place, b"GET /small HTTP/1.1\r\nHost: a\r\n\r\n"))
        context = ssl.create_default_context(cafile=authority[0])
        host, port = place.rsplit(":", 1)
        with socket.create_connection((host, int(port))) as connection, context.wrap_socket(connection, server_hostname="localhost") as secure:
            self.assertEqual("TLSv1.3", secure.version())


class Hostile(NetTest):
    SMUGGLED = b"GET /small HTTP/1.1\r\nHost: smuggled\r\n\r\n"

    def test_smuggling(self):
        where = self.serve("127.0.0.1:0")
        start = b"POST /sink HTTP/1.1\r\nHost: a\r\n"
        for what, head in {
            "length and coding": b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "two lengths": b"Content-Length: 0\r\nContent-Length: 39\r\n\r\n",
            "a list of lengths": b"Content-Length: 0, 0\r\n\r\n",
            "signed length": b"Content-Length: +0\r\n\r\n",
            "two codings": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
            "unknown coding": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
            "coding in disguise": b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
            "space before the colon": b"Content-Length : 0\r\n\r\n",
            "folded line": b"X: y\r\n Content-Length: 5\r\n\r\n",
            "bare line feed": b"X: y\nContent-Length: 5\r\n\r\n",
            "bare carriage return": b"X: y\rContent-Length: 5\r\n\r\n",
            "null": b"X: y\0\r\n\r\n",
            "two hosts": b"Host: b\r\n\r\n",
        }.items():
            with self.subTest(what):
                answer = self.raw(where, start + head + self.SMUGGLED)
                self.assertRegex(answer, rb"^HTTP/1\.1 (400|501) ")
                self.assertEqual(1, answer.count(b"HTTP/1.1 "), answer)
        bad_chunks = start + b"Transfer-Encoding: chunked\r\n\r\n"
        for what, body in {"hex prefix": b"0x5\r\nhello\r\n0\r\n\r\n", "no end of chunk": b"5\r\nhello0\r\n\r\n", "overflow": b"10000000000000000\r\n",
                           "bare line feed": b"5\nhello\n0\n\n", "endless extension": b"5;" + b"x" * 5000}.items():
            with self.subTest(f"chunks: {what}"):
                answer = self.raw(where, bad_chunks + body + self.SMUGGLED)
                self.assertTrue(answer.startswith(b"HTTP/1.1 400 "), answer)
                self.assertEqual(1, answer.count(b"HTTP/1.1 "), answer)

    def test_heads_too_large(self):
        where = self.serve("127.0.0.1:0")
        for head in (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"b" * 100_000 + b"\r\n\r\n",
                     b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 5000 + b"\r\n", b"x" * 500_000):
            self.assertTrue(self.raw(where, head).startswith(b"HTTP/1.1 431 "))
        many = b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 300 + b"\r\n"
        self.assertTrue(self.raw(where, many).startswith(b"HTTP/1.1 431 "))

    def test_slow_heads_are_cut(self):
        where = self.serve("127.0.0.1:0", header_timeout=1500)
        before = self.descriptors()
        slow = [self.connect(where) for _ in range(50)]
        for connection in slow[1:]:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nX: ")
        for connection in slow:
            self.assertEqual(b"", self.rest(connection))
            connection.close()
        until(lambda: self.descriptors() <= before, "the connections to be closed")
        self.assertEqual("Hello, world\n", self.curl(f"http://{where}/small"))

    def test_more_connections_than_allowed_wait(self):
        where = self.serve("127.0.0.1:0", max_connections=3)
        held = [self.connect(where) for _ in range(3)]
        for connection in held:
            connection.sendall(b"GET /small HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertIn(b"200 OK", connection.recv(4096))
        with self.connect(where) as waiting:
            waiting.sendall(b"GET /small HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            waiting.settimeout(0.3)
            with self.assertRaises(TimeoutError):
                waiting.recv(1)
            waiting.settimeout(30)
            held[0].close()
            self.assertIn(b"Hello, world", self.rest(waiting))
        for connection in held:
            connection.close()

    def test_rapid_reset(self):
        where = self.serve("127.0.0.1:0")
        with self.connect(where) as connection:
            connection.sendall(PREFACE + frame(4, 0, 0))
            attack = b"".join(frame(1, 5, stream, SMALL_HEAD) + frame(3, 0, stream, struct.pack(">I", 8)) for stream in range(1, 20_001, 2))
            try:
                connection.sendall(attack)
            except OSError:
                pass
            connection.settimeout(10)
            self.assertEqual(b"\x00\x00\x08\x07", self.rest(connection)[-17:-13], "the last frame is no GOAWAY")
        self.assertEqual("Hello, world\n", self.curl(f"http://{where}/small"))

    def test_broken_http2(self):
        where = self.serve("127.0.0.1:0")
        for what, frames in {
            "endless headers": frame(1, 0, 1, SMALL_HEAD) + frame(9, 0, 1, b"\x40\x01a\x01b") * 5000,
            "data on stream 0": frame(0, 0, 0, b"x"),
            "window overflow": frame(8, 0, 0, struct.pack(">I", 0x7fffffff)) * 2,
            "upper case": frame(1, 5, 1, SMALL_HEAD + b"\x40\x01A\x01b"),
            "not HPACK": frame(1, 5, 1, b"\xff" * 20),
            "too long a frame": b"\xff\xff\xff\x00\x00\x00\x00\x00\x01",
            "pings": frame(6, 0, 0, b"12345678") * 20000,
        }.items():
            with self.subTest(what), self.connect(where) as connection:
                try:
                    connection.sendall(PREFACE + frame(4, 0, 0) + frames)
                    connection.shutdown(socket.SHUT_WR)
                except OSError:
                    pass
                self.rest(connection)
                self.assertIsNone(self.server.poll())
        self.assertEqual("Hello, world\n", self.curl("--http2-prior-knowledge", f"http://{where}/small"))

    def test_clients_that_go_leave_nothing(self):
        where = self.serve("127.0.0.1:0", file=self.file())
        before = self.descriptors()
        for request in (b"PUT /sink HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nshort", b"GET /watch HTTP/1.1\r\nHost: a\r\n\r\n",
                        b"GET /bytes?n=100000000 HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /file HTTP/1.1\r\nHost: a\r\n\r\n",
                        PREFACE + frame(4, 0, 0) + frame(1, 4, 1, SMALL_HEAD), b"GET / HT"):
            connections = [self.connect(where) for _ in range(20)]
            for connection in connections:
                connection.sendall(request)
            for connection in connections:
                connection.close()
        until(lambda: self.descriptors() <= before, "the connections to be closed")


class Watches(NetTest):
    COUNT = 4000

    def open_watches(self, where):
        watches = [self.connect(where) for _ in range(self.COUNT)]
        for watch in watches:
            watch.sendall(b"GET /watch HTTP/1.1\r\nHost: a\r\n\r\n")
        for watch in watches:
            received = b""
            while b"ADDED" not in received:
                received += watch.recv(4096)
        return watches

    def private_memory(self):
        text = Path(f"/proc/{self.server.pid}/smaps_rollup").read_text()
        return sum(int(size) for size in re.findall(r"^Private_\w+:\s+(\d+)", text, re.M)) * 1024

    def test_idle_watches_are_cheap_and_end_well(self):
        where = self.serve("127.0.0.1:0", grace=20_000)
        self.curl(f"http://{where}/small")
        before = self.private_memory()
        watches = self.open_watches(where)
        self.assertLess((self.private_memory() - before) / self.COUNT, 8192)
        self.assertEqual("Hello, world\n", self.curl(f"http://{where}/small"))
        self.server.terminate()
        for watch in watches:
            self.assertTrue(self.rest(watch).endswith(b'{"type":"END"}\n\r\n0\r\n\r\n'))
            watch.close()
        self.assertEqual(0, self.server.wait(20))

    def test_stop_lets_uploads_finish(self):
        where = self.serve("127.0.0.1:0", grace=20_000)
        with self.connect(where) as upload, self.connect(where) as idle:
            idle.sendall(b"GET /small HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertIn(b"200 OK", idle.recv(4096))
            upload.sendall(b"PUT /sink HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n")
            self.assertIn(b" 100 ", upload.recv(4096))  # the upload has begun
            upload.sendall(b"12345")
            self.server.terminate()
            self.assertEqual(b"", idle.recv(4096))
            upload.sendall(b"67890")
            answer = self.rest(upload)
            self.assertIn(b"Connection: close\r\n", answer)
            self.assertTrue(answer.endswith(b"\r\n\r\n10\n"))
        self.assertEqual(0, self.server.wait(20))

    def test_stop_without_grace_cuts(self):
        where = self.serve("127.0.0.1:0")
        with self.connect(where) as watch:
            watch.sendall(b"GET /watch HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertIn(b"ADDED", watch.recv(4096))
            self.server.terminate()
            self.assertNotIn(b"0\r\n\r\n", self.rest(watch))
        self.assertEqual(0, self.server.wait(20))


if __name__ == "__main__":
    if not Path(PROGRAM).exists():
        sys.exit(f"no {PROGRAM}: build the target net_server")
    main()
