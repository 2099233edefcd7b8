#!/usr/bin/env python3
"""What the API answers with on the wire: protobuf, gzip, OpenAPI as protobuf, and 410 once history is gone."""

import gzip
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib import packages  # noqa: E402
from lib.api import PROTOBUF, Api, unwrap, wire  # noqa: E402
from lib.case import main  # noqa: E402
from lib.cluster import ClusterTest, deployment, pod  # noqa: E402

OPENAPI_V2 = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"  # what Go clients ask for; the answer's type has no "@"


class AnswersTest(ClusterTest):
    def setUp(self):
        super().setUp()
        self.api = Api(self.cluster)
        self.core = f"/api/v1/namespaces/{self.ns}"
        self.maps = f"{self.core}/configmaps"

    def make_map(self, name, **data):
        answer = self.api.ask("POST", self.maps, {"metadata": {"name": name, "labels": {"set": "own"}}, "data": data})
        self.assertEqual(201, answer.status, answer.body)
        return answer.json()

    # --- protobuf; field numbers are those of upstream's generated.proto

    def check_metadata(self, metadata, expected):
        """ObjectMeta against what JSON says of the same object."""
        meta = wire(metadata)
        self.assertEqual(expected["name"], meta[1][0].decode())
        self.assertEqual(expected["namespace"], meta[3][0].decode())
        self.assertEqual(expected["uid"], meta[5][0].decode())
        self.assertEqual(expected["resourceVersion"], meta[6][0].decode())
        labels = {wire(entry)[1][0].decode(): wire(entry)[2][0].decode() for entry in meta.get(11, [])}
        self.assertEqual(expected.get("labels", {}), labels)

    def check_map(self, message, expected):
        fields = wire(message)
        self.check_metadata(fields[1][0], expected["metadata"])
        self.assertEqual(expected["data"], {wire(entry)[1][0].decode(): wire(entry)[2][0].decode() for entry in fields[2]})

    def test_an_object_in_protobuf(self):
        made = self.make_map("a", k="v", other="ü" * 300)
        answer = self.api.get(f"{self.maps}/a", PROTOBUF)
        self.assertEqual((200, PROTOBUF), (answer.status, answer.headers["Content-Type"]))
        version, kind, message = unwrap(answer.body)
        self.assertEqual(("v1", "ConfigMap"), (version, kind))
        self.check_map(message, made)

    def test_what_was_read_in_protobuf_can_be_written_so(self):
        self.apply(deployment("web"), pod("one"))
        for path in (f"/apis/apps/v1/namespaces/{self.ns}/deployments/web", f"{self.core}/pods/one", f"{self.core}/serviceaccounts/default"):
            before = self.api.get(path).json()
            binary = self.api.get(path, PROTOBUF)
            self.assertEqual(PROTOBUF, binary.headers["Content-Type"])
            put = self.api.ask("PUT", path, binary.body, {"Content-Type": PROTOBUF, "Accept": PROTOBUF})
            self.assertEqual((200, PROTOBUF), (put.status, put.headers["Content-Type"]))
            self.assertEqual(binary.body, put.body, "the same object comes back, byte by byte")
            self.assertEqual(before, self.api.get(path).json(), "nothing was lost on the way")

    def test_a_list_in_protobuf(self):
        expected = {name: self.make_map(name, k=name * 50) for name in ("a", "b", "c")}
        answer = self.api.get(f"{self.maps}?labelSelector=set%3Down", PROTOBUF)
        self.assertEqual((200, PROTOBUF), (answer.status, answer.headers["Content-Type"]))
        version, kind, message = unwrap(answer.body)
        self.assertEqual(("v1", "ConfigMapList"), (version, kind))
        fields = wire(message)
        self.assertEqual(3, len(fields[2]))
        for item, name in zip(fields[2], "abc"):
            self.check_map(item, expected[name])
        self.assertGreaterEqual(int(wire(fields[1][0])[2][0]), int(expected["c"]["metadata"]["resourceVersion"]))

        page = wire(unwrap(self.api.get(f"{self.maps}?labelSelector=set%3Down&limit=2", PROTOBUF).body)[2])
        self.assertEqual(2, len(page[2]))
        token = wire(page[1][0])[3][0].decode()
        rest = wire(unwrap(self.api.get(f"{self.maps}?labelSelector=set%3Down&limit=2&continue={token}", PROTOBUF).body)[2])
        self.check_map(rest[2][0], expected["c"])

    def test_errors_in_protobuf(self):
        answer = self.api.get(f"{self.maps}/none", PROTOBUF)
        self.assertEqual((404, PROTOBUF), (answer.status, answer.headers["Content-Type"]))
        version, kind, message = unwrap(answer.body)
        self.assertEqual(("v1", "Status"), (version, kind))
        status = wire(message)
        self.assertEqual(("Failure", 'configmaps "none" not found', "NotFound", 404),
                         (status[2][0].decode(), status[3][0].decode(), status[4][0].decode(), status[6][0]))

    def frames(self, response):
        """(type, apiVersion, kind, message) of each frame of a protobuf watch: its length in four bytes, then a WatchEvent."""
        while size := response.read(4):
            event = wire(response.read(int.from_bytes(size, "big")))
            yield event[1][0].decode(), *unwrap(wire(event[2][0])[1][0])

    def test_a_watch_in_protobuf(self):
        start = self.api.get(self.maps).json()["metadata"]["resourceVersion"]
        connection = self.api.connect()
        self.addCleanup(connection.close)
        response = self.api.send(connection, "GET", f"{self.maps}?watch=1&resourceVersion={start}&timeoutSeconds=30&labelSelector=set%3Down",
                                 headers={"Accept": f"{PROTOBUF};stream=watch"})
        self.assertEqual((200, f"{PROTOBUF};stream=watch"), (response.status, response.headers["Content-Type"].replace(" ", "")))
        frames = self.frames(response)
        made = self.make_map("a", k="v")
        changed = self.api.patch(f"{self.maps}/a", {"data": {"k": "w" * 70_000}}).json()
        for kind, expected in (("ADDED", made), ("MODIFIED", changed)):
            got = next(frames)
            self.assertEqual((kind, "v1", "ConfigMap"), got[:3])
            self.check_map(got[3], expected)
        self.api.ask("DELETE", f"{self.maps}/a")
        self.assertEqual("DELETED", next(frames)[0])

    def test_a_table_goes_before_protobuf_when_asked_for_first(self):
        table = self.api.get(self.maps, f"application/json;as=Table;v=v1;g=meta.k8s.io,{PROTOBUF}")
        self.assertEqual("Table", table.json()["kind"])

    # --- gzip

    def test_long_answers_are_compressed_for_who_asks(self):
        self.make_map("big", k="x" * 200_000)
        for path in (f"{self.maps}/big", self.maps):
            plain = self.api.get(path)
            self.assertIsNone(plain.headers["Content-Encoding"])
            packed = self.api.ask("GET", path, headers={"Accept-Encoding": "gzip"})
            self.assertEqual("gzip", packed.headers["Content-Encoding"])
            self.assertIn("Accept-Encoding", packed.headers["Vary"] or "")
            self.assertLess(len(packed.body), len(plain.body) // 10)
            self.assertEqual(plain.json(), json.loads(gzip.decompress(packed.body)))
        self.assertIsNone(self.api.ask("GET", f"{self.maps}/kube-root-ca.crt?x=1", headers={"Accept-Encoding": "gzip;q=0"}).headers["Content-Encoding"])
        self.make_map("small")
        self.assertIsNone(self.api.ask("GET", f"{self.maps}/small", headers={"Accept-Encoding": "gzip"}).headers["Content-Encoding"], "not worth it")

    # --- OpenAPI v2 as protobuf: gnostic's openapi.v2.Document

    def test_openapi_as_protobuf(self):
        answer = self.api.get("/openapi/v2", OPENAPI_V2)
        self.assertEqual(200, answer.status)
        self.assertEqual(OPENAPI_V2.replace("@", "."), answer.headers["Content-Type"])
        document = wire(answer.body)
        self.assertEqual("2.0", document[1][0].decode())
        told = self.api.get("/openapi/v2").json()
        self.assertEqual(told["info"]["title"], wire(document[2][0])[1][0].decode())
        paths = {wire(path)[1][0].decode(): wire(wire(path)[2][0]) for path in wire(document[8][0])[2]}
        self.assertEqual(set(told["paths"]), set(paths))
        get = wire(paths["/api/v1/namespaces/{namespace}/pods/{name}"][2][0])  # PathItem.get
        self.assertEqual(told["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["get"]["operationId"], get[5][0].decode())
        schemas = {wire(named)[1][0].decode(): wire(wire(named)[2][0]) for named in wire(document[9][0])[1]}
        self.assertEqual(set(told["definitions"]), set(schemas))
        properties = wire(schemas["io.k8s.api.core.v1.ConfigMap"][25][0])
        self.assertEqual(set(told["definitions"]["io.k8s.api.core.v1.ConfigMap"]["properties"]), {wire(named)[1][0].decode() for named in properties[1]})
        again = self.api.ask("GET", "/openapi/v2", headers={"Accept": OPENAPI_V2, "If-None-Match": answer.headers["ETag"]})
        self.assertEqual((304, b""), (again.status, again.body))

    def test_kubectl_reads_openapi_as_protobuf(self):
        said = self.kubectl("explain", "deployment.spec.replicas", "--output=plaintext-openapiv2")
        self.assertRegex(said, r"FIELD: +replicas <integer>")

    # --- 410, after what is old was really dropped

    def forget(self):
        """Writes so much that the store drops its oldest history; gives a revision from before that."""
        old = self.api.get(self.maps).json()["metadata"]["resourceVersion"]
        self.make_map("much")
        connection = self.api.connect()
        for number in range(60):
            response = self.api.send(connection, "PUT", f"{self.maps}/much", {"metadata": {"name": "much"}, "data": {"k": str(number % 10) * 900_000}})
            self.assertEqual(200, response.status, response.read()[:300])
            response.read()
        connection.close()
        return old

    def test_what_is_compacted_is_gone(self):
        for name in "abcd":
            self.make_map(name)
        page = self.api.get(f"{self.maps}?limit=2").json()
        old = self.forget()

        for query in (f"resourceVersion={old}&resourceVersionMatch=Exact", f"limit=2&continue={page['metadata']['continue']}"):
            answer = self.api.get(f"{self.maps}?{query}")
            self.assertEqual(410, answer.status, answer.body[:300])
            status = answer.json()
            self.assertEqual(("Failure", "Expired", 410), (status["status"], status["reason"], status["code"]))
        # The page's refusal brings a token with which the list can go on as it is now.
        more = self.api.get(f"{self.maps}?limit=500&continue={status['metadata']['continue']}").json()
        self.assertLessEqual({"c", "d", "much"}, {item["metadata"]["name"] for item in more["items"]})

        watch = self.api.get(f"{self.maps}?watch=1&resourceVersion={old}&timeoutSeconds=5")
        self.assertEqual(200, watch.status, "as upstream, the stream says so")
        event = json.loads(watch.body.splitlines()[0])
        self.assertEqual(("ERROR", "Status", 410, "Expired"), (event["type"], event["object"]["kind"], event["object"]["code"], event["object"]["reason"]))
        self.assertRegex(event["object"]["message"], r"too old resource version: \d+ \(\d+\)")

        binary = self.api.ask("GET", f"{self.maps}?watch=1&resourceVersion={old}&timeoutSeconds=5", headers={"Accept": f"{PROTOBUF};stream=watch"})
        event = wire(binary.body[4:])
        self.assertEqual(b"ERROR", event[1][0])
        self.assertEqual(410, wire(unwrap(wire(event[2][0])[1][0])[2])[6][0])


if __name__ == "__main__":
    packages.need(packages.kubectl)
    main()
