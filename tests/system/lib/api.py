"""The API of a test's cluster by plain HTTP, for what clients never show: headers, encodings, frames and raw statuses."""

import base64
import http.client
import json
import re
import ssl

JSON = "application/json"
PROTOBUF = "application/vnd.kubernetes.protobuf"


class Answer:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    def json(self):
        return json.loads(self.body)


class Api:
    """Requests as the administrator of `cluster`, or as whom the files `certificate` and `key` show. Connections are HTTP/1.1's."""

    def __init__(self, cluster, certificate=None, key=None):
        self.port = cluster.port
        text = cluster.kubeconfig.read_text()
        for name in ("certificate-authority", "client-certificate", "client-key"):
            (cluster.folder / f"{name}.pem").write_bytes(base64.b64decode(re.search(rf"{name}-data\"?: *\"?([\w+/=]+)", text)[1]))
        self.tls = ssl.create_default_context(cafile=cluster.folder / "certificate-authority.pem")
        self.tls.load_cert_chain(certificate or cluster.folder / "client-certificate.pem", key or cluster.folder / "client-key.pem")
        self.tls.set_alpn_protocols(["http/1.1"])

    def connect(self, timeout=60):
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=timeout, context=self.tls)

    def send(self, connection, method, path, body=None, headers=None):
        """One request on a connection that stays open; gives the response, whose body is not yet read."""
        if body is not None and not isinstance(body, (str, bytes)):
            body = json.dumps(body)
        connection.request(method, path, body=body, headers={"Content-Type": JSON, **(headers or {})})
        return connection.getresponse()

    def ask(self, method, path, body=None, headers=None, timeout=60):
        """One request on a connection of its own."""
        connection = self.connect(timeout)
        try:
            response = self.send(connection, method, path, body, headers)
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def get(self, path, accept=JSON):
        return self.ask("GET", path, headers={"Accept": accept})

    def patch(self, path, body, kind="merge-patch"):
        return self.ask("PATCH", path, body, {"Content-Type": f"application/{kind}+json"})


def wire(data):
    """The fields of a protobuf message: number -> values in their order, bytes or ints. Broken bytes raise ValueError."""
    fields, at = {}, 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            if at >= len(data) or shift > 63:
                raise ValueError("a number ends in the middle")
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        tag = varint()
        kind = tag & 7
        if kind == 0:
            value = varint()
        elif kind in (1, 5, 2):
            size = varint() if kind == 2 else {1: 8, 5: 4}[kind]
            if at + size > len(data):
                raise ValueError(f"field {tag >> 3} is longer than the message")
            value = bytes(data[at:at + size])
            at += size
        else:
            raise ValueError(f"wire type {kind} of field {tag >> 3}")
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def unwrap(data):
    """(apiVersion, kind, message) of a body in the envelope of the API's protobuf: "k8s\\0", then runtime.Unknown."""
    if data[:4] != b"k8s\0":
        raise ValueError(f"no envelope: {data[:16]!r}")
    unknown = wire(data[4:])
    kind = wire(unknown[1][0])
    return kind[1][0].decode(), kind[2][0].decode(), unknown[2][0]
