"""The image that clients run: busybox, as a plain root archive or as an OCI layout."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

NAME = "localhost/box:latest"
_PATH = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"


def root_archive(root, target):
    """A tar of the root file system `root`, for `import`."""
    with tarfile.open(target, "w") as archive:
        archive.add(root, ".")
    return Path(target)


def oci_archive(root, target):
    """An OCI image layout in a tar, with the one image NAME."""
    target = Path(target)
    layer = root_archive(root, target.with_suffix(".layer")).read_bytes()
    target.with_suffix(".layer").unlink()
    blobs = {}

    def blob(data, kind):
        digest = hashlib.sha256(data).hexdigest()
        blobs[digest] = data
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(data)}

    def document(value, kind):
        return blob(json.dumps(value).encode(), kind)

    layers = [blob(layer, "layer.v1.tar")]
    config = document({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["sh"], "Env": [_PATH]},
                       "rootfs": {"type": "layers", "diff_ids": [layers[0]["digest"]]}}, "config.v1+json")
    manifest = document({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                         "config": config, "layers": layers}, "manifest.v1+json")
    manifest["annotations"] = {"io.containerd.image.name": NAME, "org.opencontainers.image.ref.name": "latest"}
    index = {"schemaVersion": 2, "manifests": [manifest]}
    with tarfile.open(target, "w") as archive:
        _add(archive, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        _add(archive, "index.json", json.dumps(index).encode())
        for digest, data in blobs.items():
            _add(archive, f"blobs/sha256/{digest}", data)
    return target


def _add(archive, name, data):
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    archive.addfile(entry, io.BytesIO(data))


def check_store(store):
    """Every name leads to content that is there, whole and as its digest says; returns the names."""
    store = Path(store)

    def blob(descriptor):
        data = (store / "blobs" / descriptor["digest"].replace(":", "/")).read_bytes()
        assert hashlib.sha256(data).hexdigest() == descriptor["digest"].partition(":")[2], descriptor
        assert len(data) == descriptor["size"], descriptor
        return data

    def walk(descriptor):
        data = blob(descriptor)
        if "manifest" not in descriptor["mediaType"] and "index" not in descriptor["mediaType"]:
            return
        document = json.loads(data)
        for below in [*document.get("manifests", []), *([document["config"]] if "config" in document else []), *document.get("layers", [])]:
            walk(below)

    refs = [json.loads(file.read_text()) for file in (store / "refs").iterdir()]
    for ref in refs:
        walk(ref["target"])
    return sorted(ref["name"] for ref in refs)


def check_index(store):
    """index.json, which other tools read, says what the names say."""
    refs = [json.loads(file.read_text()) for file in (Path(store) / "refs").iterdir()]
    index = json.loads((Path(store) / "index.json").read_text())
    named = sorted(entry["digest"] for entry in index["manifests"])
    assert named == sorted(ref["target"]["digest"] for ref in refs), (named, refs)
