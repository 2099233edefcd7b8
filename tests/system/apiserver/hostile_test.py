#!/usr/bin/env python3
"""Requests that mean harm: deep and huge documents, bombs, floods, sloth. Each gets a clear answer, and the memory stays bounded."""

import base64
import gzip
import http.client
import json
import re
import socket
import ssl
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib import packages  # noqa: E402
from lib.case import main, until  # noqa: E402
from lib.cluster import ClusterTest  # noqa: E402

MIB = 1 << 20


class Hostile(ClusterTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        text = cls.cluster.kubeconfig.read_text()
        for key in ("certificate-authority", "client-certificate", "client-key"):
            data = re.search(rf"{key}-data\"?: *\"?([\w+/=]+)", text)[1]
            (cls.home / f"{key}.pem").write_bytes(base64.b64decode(data))
        cls.tls = ssl.create_default_context(cafile=cls.home / "certificate-authority.pem")
        cls.tls.load_cert_chain(cls.home / "client-certificate.pem", cls.home / "client-key.pem")
        cls.tls.set_alpn_protocols(["http/1.1"])

    def setUp(self):
        super().setUp()
        self.maps = f"/api/v1/namespaces/{self.ns}/configmaps"
        self.memory = self.cluster.memory()

    def tearDown(self):
        self.assertEqual(200, self.ask("GET", "/readyz")[0], "the server works on")
        self.assertLess(self.cluster.memory() - self.memory, 64 * MIB)
        super().tearDown()

    def ask(self, method, path, body=None, **headers):
        connection = http.client.HTTPSConnection("127.0.0.1", self.cluster.port, timeout=60, context=self.tls)
        try:
            connection.request(method, path, body=body, headers={"Content-Type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}})
            response = connection.getresponse()
            return response.status, response.read().decode(errors="replace")
        except (ConnectionError, ssl.SSLError):
            return self.early_answer(connection)
        finally:
            connection.close()

    @staticmethod
    def early_answer(connection):
        """The server may answer, and close, before it has read all that is sent."""
        response = http.client.HTTPResponse(connection.sock)
        try:
            response.begin()
            return response.status, response.read().decode(errors="replace")
        except (OSError, http.client.HTTPException):
            return 0, ""

    def refused(self, statuses, pattern, *request, **headers):
        status, said = self.ask(*request, **headers)
        self.assertIn(status, statuses, said[:500])
        self.assertRegex(said, pattern)
        return said

    def raw(self):
        plain = socket.create_connection(("127.0.0.1", self.cluster.port), timeout=60)
        return self.tls.wrap_socket(plain, server_hostname="127.0.0.1")

    # --- documents

    def test_deep_json(self):
        for opening, closing in (("[", "]"), ('{"a":', "}")):
            body = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":' + opening * 100_000 + "1" + closing * 100_000 + "}"
            self.refused((400, 413), "depth|deep|nest", "POST", self.maps, body)

    def test_deep_yaml(self):
        body = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: " + "[" * 50_000
        self.refused((400,), ".", "POST", self.maps, body, Content_Type="application/yaml")

    def test_yaml_that_grows_by_aliases(self):
        lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
        body = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n" + "\n".join(lines) + "\n"
        begun = time.monotonic()
        self.refused((400,), ".", "POST", self.maps, body, Content_Type="application/yaml")
        self.assertLess(time.monotonic() - begun, 30, "it was not expanded")

    def test_huge_body(self):
        self.refused((413,), "limit is 3145728|[Tt]oo large", "POST", self.maps, b"x" * (4 * MIB))
        status, _ = self.ask("POST", self.maps, b" " * (64 * MIB))
        self.assertIn(status, (413, 0))

    def test_object_larger_than_the_store_takes(self):
        body = json.dumps({"metadata": {"name": "big"}, "data": {"k": "x" * (2 * MIB)}})
        self.refused((413, 422, 400), "[Tt]oo long|[Tt]oo large|limit", "POST", self.maps, body)

    def test_compressed_bomb(self):
        bomb = gzip.compress(b" " * (512 * MIB), 9)
        status, said = self.ask("POST", self.maps, bomb, Content_Encoding="gzip")
        self.assertIn(status, (400, 413, 415), said[:300])

    def test_broken_protobuf(self):
        for body in (b"k8s\0", b"k8s\0" + b"\xff" * 1000, b"k8s\0\x0a\xff\xff\xff\xff\x0f", b"not protobuf"):
            status, said = self.ask("POST", self.maps, body, Content_Type="application/vnd.kubernetes.protobuf")
            self.assertIn(status, (400, 422), said[:300])

    def test_many_operations_in_one_patch(self):
        self.kubectl("create", "configmap", "a")
        patch = json.dumps([{"op": "add", "path": "/data", "value": {}}] * 20_000)
        self.refused((413, 422), "The allowed maximum operations in a JSON patch is 10000, got 20000", "PATCH", f"{self.maps}/a", patch, Content_Type="application/json-patch+json")

    def test_a_patch_that_doubles_itself(self):
        self.kubectl("create", "configmap", "a", "--from-literal=k=" + "x" * 1000)
        patch = json.dumps([{"op": "copy", "from": "/data", "path": f"/data/k{i}"} for i in range(60)])
        status, said = self.ask("PATCH", f"{self.maps}/a", patch, Content_Type="application/json-patch+json")
        self.assertIn(status, (400, 413, 422, 500), said[:300])

    def test_invalid_text(self):
        status, _ = self.ask("POST", self.maps, b'{"metadata":{"name":"a"},"data":{"k":"\xff\xfe"}}')
        self.assertIn(status, (201, 400))
        self.refused((400, 422), ".", "POST", self.maps, b'{"metadata":{"name":"a\\u0000b"}}')
        self.refused((400,), ".", "POST", self.maps, b"\0" * 1000)

    # --- requests

    def test_long_selectors(self):
        many = ",".join(f"k{i}%3Dv" for i in range(400))
        self.assertEqual(200, self.ask("GET", f"{self.maps}?labelSelector={many}")[0])
        self.refused((400,), "unable to parse requirement", "GET", f"{self.maps}?labelSelector=" + "(" * 4000)
        self.refused((400, 414, 431), "(?s).*", "GET", f"{self.maps}?labelSelector=" + "a" * 200_000)

    def test_numbers_out_of_range(self):
        for query in ("limit=99999999999999999999", "limit=-x", "timeoutSeconds=1e9", "watch=maybe&timeoutSeconds=x"):
            self.assertEqual(400, self.ask("GET", f"{self.maps}?{query}")[0], query)

    def test_path_tricks(self):
        for path in (f"{self.maps}/..%2f..%2fsecrets", f"{self.maps}/%2e%2e", "/api/v1/../../apis", f"{self.maps}/a%00b", "//api//v1", "/api/v1/namespaces/%ff/configmaps"):
            status, said = self.ask("GET", path)
            self.assertTrue(status in (301, 400, 403, 404) or json.loads(said).get("items") == [], path)

    def test_header_flood(self):
        with self.raw() as connection:
            connection.sendall(b"GET /api HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: %s\r\n" % (i, b"y" * 1000) for i in range(2000)) + b"\r\n")
            self.assertRegex(connection.recv(4096), rb"HTTP/1.1 (431|400)")

    def test_header_that_never_ends(self):
        with self.raw() as connection:
            connection.sendall(b"GET /api HTTP/1.1\r\nX: ")
            try:
                for _ in range(64):
                    connection.sendall(b"y" * 65536)
                self.assertRegex(connection.recv(4096), rb"HTTP/1.1 (431|400)")
            except (ConnectionError, ssl.SSLError):
                pass  # closed while sending, as it may

    def test_slow_bodies_hold_nobody_up(self):
        slow = []
        try:
            for _ in range(200):
                connection = self.raw()
                connection.sendall(f"POST {self.maps} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n{{".encode())
                slow.append(connection)
            self.assertEqual(200, self.ask("GET", self.maps)[0])
            self.assertEqual(201, self.ask("POST", self.maps, '{"metadata":{"name":"quick"}}')[0])
        finally:
            for connection in slow:
                connection.close()

    def test_connections_that_say_nothing(self):
        silent = [socket.create_connection(("127.0.0.1", self.cluster.port)) for _ in range(300)]
        try:
            self.assertEqual(200, self.ask("GET", "/readyz")[0])
        finally:
            for connection in silent:
                connection.close()

    def test_watches_whose_client_does_not_read(self):
        deaf = []
        try:
            for _ in range(20):
                connection = self.raw()
                connection.sendall(f"GET {self.maps}?watch=1 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                deaf.append(connection)
            body = {"metadata": {"name": "a"}, "data": {"k": "x" * 100_000}}
            self.assertEqual(201, self.ask("POST", self.maps, json.dumps(body))[0])
            for number in range(150):  # 15 MB for each of them
                body["data"]["n"] = str(number)
                self.assertEqual(200, self.ask("PUT", f"{self.maps}/a", json.dumps(body))[0])
        finally:
            for connection in deaf:
                connection.close()

    def test_requests_that_disagree_with_themselves(self):
        for head in (b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"Content-Length: 5\r\nContent-Length: 6\r\n", b"Content-Length: -1\r\n"):
            with self.raw() as connection:
                connection.sendall(b"POST /api/v1/namespaces HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n{}")
                self.assertRegex(connection.recv(4096), rb"HTTP/1.1 400")

    def test_a_thousand_failing_logins(self):
        for number in range(300):
            context = ssl._create_unverified_context()
            connection = http.client.HTTPSConnection("127.0.0.1", self.cluster.port, timeout=20, context=context) if number % 100 == 0 else connection
            connection.request("GET", "/api/v1/pods", headers={"Authorization": f"Bearer {'x' * number}.y.z"})
            response = connection.getresponse()
            self.assertEqual(401, response.status)
            self.assertEqual("Unauthorized", json.loads(response.read())["message"])

    def test_still_there_afterwards(self):
        until(lambda: self.ask("GET", self.maps)[0] == 200, "an answer")


if __name__ == "__main__":
    packages.need(packages.kubectl)
    main()
