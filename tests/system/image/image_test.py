#!/usr/bin/env python3
"""`proa image` with images of podman, buildah, skopeo and umoci, there and back."""

import gzip
import hashlib
import io
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib import bundle, image, runtime, sandbox  # noqa: E402
from lib.case import SystemTest, command, main  # noqa: E402
from lib.client import tool  # noqa: E402

NAME = "localhost/box:1"


def tree(root):
    """What a folder holds: {path: (kind, mode, owner, content or target)}; times are left out."""
    out = {}
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            path = Path(folder) / name
            info = path.lstat()
            kind = stat.S_IFMT(info.st_mode)
            if stat.S_ISLNK(kind):
                what = os.readlink(path)
            elif stat.S_ISREG(kind):
                what = hashlib.sha256(path.read_bytes()).hexdigest()
            else:
                what = info.st_rdev if stat.S_ISCHR(kind) or stat.S_ISBLK(kind) else None
            attributes = tuple((key, os.getxattr(path, key, follow_symlinks=False))
                               for key in sorted(os.listxattr(path, follow_symlinks=False)))
            out[str(path.relative_to(root))] = (kind, info.st_mode & 0o7777, info.st_uid, info.st_gid, what, attributes)
    return out


class ImageTest(SystemTest):
    def setUp(self):
        super().setUp()
        self.root = self.folder / "store"

    def image(self, *args, store=None, **kwargs):
        return command(runtime.path(), "image", "--root", store or self.root, *args, **kwargs)

    def refused(self, *args, **kwargs):
        done = self.image(*args, check=False, **kwargs)
        self.assertEqual(1, done.returncode, done.stdout)
        return done.stderr

    def inspect(self, name=NAME):
        return json.loads(self.image("inspect", name).stdout)[0]

    def files(self, name=NAME):
        """The image's files, unpacked by tar(1)."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        archive = self.folder / "export.tar"
        self.image("export", "-o", archive, name)
        command("tar", "-C", folder, "--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf", archive)
        return tree(folder)

    def names(self):
        return self.image("ls", "--format", "{{.Repository}}:{{.Tag}}").stdout.split()

    def nothing_unfinished(self, store=None):
        images = (store or self.root) / "images"
        for folder in ("ingest", "leases", "trash", "snapshots"):
            self.assertEqual([], os.listdir(images / folder), folder)
        self.assertEqual([], [name for name in os.listdir(images / "layers") if name.startswith("tmp-")])


class Interchange(ImageTest):
    """Images that others made, and ours for others."""

    @classmethod
    def setUpClass(cls):
        cls.home = Path(tempfile.mkdtemp(prefix="images-", dir=sandbox.scratch()))
        cls.storage = ["--root", cls.home / "storage", "--runroot", cls.home / "run", "--storage-driver", "vfs"]
        cls.build()
        cls.docker, cls.oci, cls.layout, cls.zstd = (cls.home / name for name in ("docker.tar", "oci.tar", "layout", "zstd"))
        cls.podman("save", "-q", "-o", cls.docker, NAME)
        cls.podman("save", "-q", "--format", "oci-archive", "-o", cls.oci, NAME)
        cls.skopeo("copy", "-q", f"docker-archive:{cls.docker}", f"oci:{cls.layout}:{NAME}")
        cls.skopeo("copy", "-q", "--dest-compress-format", "zstd", f"docker-archive:{cls.docker}", f"oci:{cls.zstd}:{NAME}")
        command(tool("umoci"), "unpack", "--image", f"{cls.layout}:{NAME}", cls.home / "bundle")
        cls.expected = tree(cls.home / "bundle/rootfs")

    @classmethod
    def tearDownClass(cls):
        cls.podman("rmi", "-fa", check=False)
        shutil.rmtree(cls.home, ignore_errors=True)

    @classmethod
    def podman(cls, *args, **kwargs):
        return command(tool("podman"), *cls.storage, "--tmpdir", cls.home / "tmp", "--events-backend", "none", *args, **kwargs)

    @classmethod
    def buildah(cls, *args):
        return command(tool("buildah"), *cls.storage, *args).stdout.strip()

    @classmethod
    def skopeo(cls, *args, **kwargs):
        return command(tool("skopeo"), "--insecure-policy", *args, **kwargs)

    @classmethod
    def build(cls):
        """Three layers: files of every kind, then changes, a whiteout and an emptied folder."""
        first = bundle.make_root(cls.home / "first")
        for folder in ("etc/d", "var/cache/old", "dev", "tmp"):
            (first / folder).mkdir(parents=True, exist_ok=True)
        (first / "tmp").chmod(0o1777)
        (first / "etc/keep").write_text("kept")
        (first / "etc/gone").write_text("goes")
        (first / "etc/change").write_text("before")
        os.link(first / "etc/keep", first / "etc/linked")
        os.symlink("/etc/keep", first / "etc/absolute")
        (first / ("n" * 150)).write_text("a long name")
        (first / "etc/owned").write_text("owned")
        os.chown(first / "etc/owned", 1234, 99999)
        (first / "etc/suid").write_text("s")
        (first / "etc/suid").chmod(0o4755)
        os.mkfifo(first / "etc/fifo")
        os.setxattr(first / "etc/suid", "security.capability", bytes.fromhex("0100000200200000000000000000000000000000"))
        with open(first / "etc/sparse", "wb") as file:
            file.truncate(8 << 20)
            file.seek(4 << 20)
            file.write(b"in the middle")
        box = cls.buildah("from", "scratch")
        cls.buildah("copy", "-q", box, first, "/")
        cls.buildah("config", "--cmd", '["sh"]', "--env", "A=b c", "--port", "80", "--label", "k=v", box)
        cls.buildah("commit", "-q", "--rm", box, "localhost/base")
        box = cls.buildah("from", "localhost/base")
        mounted = Path(cls.buildah("mount", box))
        (mounted / "etc/gone").unlink()
        (mounted / "etc/change").write_text("after")
        shutil.rmtree(mounted / "var/cache")
        (mounted / "var/cache").mkdir()
        (mounted / "var/cache/new").write_text("new")
        (mounted / "tmp/file").write_text("in a folder that keeps its mode")
        cls.buildah("umount", box)
        cls.buildah("commit", "-q", "--rm", box, NAME)

    def check_same(self, name=NAME):
        self.assertEqual(self.expected, self.files(name))

    def test_load_docker_archive_of_podman(self):
        self.assertEqual("Loaded image: localhost/box:1\n", self.image("load", "-i", self.docker).stdout)
        self.check_same()
        mine, theirs = self.inspect(), json.loads(self.podman("image", "inspect", NAME).stdout)[0]
        self.assertEqual("sha256:" + theirs["Id"], mine["Id"])
        self.assertEqual(theirs["RootFS"]["Layers"], mine["RootFS"]["Layers"])
        self.assertEqual((["A=b c"], ["sh"], {"80": {}}, "v"),
                         (mine["Config"]["Env"][-1:], mine["Config"]["Cmd"], mine["Config"]["ExposedPorts"],
                          mine["Config"]["Labels"]["k"]))
        self.nothing_unfinished()

    def test_load_compressed_archive_from_a_pipe(self):
        packed = self.folder / "docker.tar.gz"
        packed.write_bytes(gzip.compress(self.docker.read_bytes(), 1))
        with open(packed) as file:
            self.image("load", stdin=file)
        self.check_same()

    def test_load_oci_archive_of_podman(self):
        self.image("load", "-q", "-i", self.oci)
        self.check_same()

    def test_load_layouts(self):
        for layout in (self.layout, self.zstd):
            with self.subTest(layout.name):
                self.image("load", "-i", layout)
                self.check_same()

    def test_store_is_an_oci_layout_for_others(self):
        self.image("load", "-q", "-i", self.docker)
        told = json.loads(self.skopeo("inspect", f"oci:{self.root / 'images'}:{NAME}").stdout)
        self.assertEqual(self.inspect()["Descriptor"]["digest"], told["Digest"])

    def test_saved_archives_are_read_by_others(self):
        self.image("load", "-q", "-i", self.docker)
        for form, transport in (("docker-archive", "docker-archive"), ("oci-archive", "oci-archive")):
            with self.subTest(form):
                saved = self.folder / f"{form}.tar"
                self.image("save", "--format", form, "-o", saved, NAME)
                target = self.folder / f"out-{form}"
                self.skopeo("copy", "-q", f"{transport}:{saved}", f"oci:{target}:x")
                command(tool("umoci"), "unpack", "--image", f"{target}:x", self.folder / f"bundle-{form}")
                self.assertEqual(self.expected, tree(self.folder / f"bundle-{form}/rootfs"))
        self.image("save", "--format", "oci-dir", "-o", self.folder / "dir", NAME)
        command(tool("umoci"), "unpack", "--image", f"{self.folder / 'dir'}:1", self.folder / "bundle-dir")
        self.assertEqual(self.expected, tree(self.folder / "bundle-dir/rootfs"))

    def test_podman_loads_what_was_saved(self):
        self.image("load", "-q", "-i", self.oci)
        self.image("save", "-o", self.folder / "saved.tar", NAME)
        other = [tool("podman"), "--root", self.folder / "p", "--runroot", self.folder / "r", "--tmpdir", self.folder / "t",
                 "--storage-driver", "vfs", "--events-backend", "none"]
        command(*other, "load", "-q", "-i", self.folder / "saved.tar")
        told = json.loads(command(*other, "image", "inspect", NAME).stdout)[0]
        self.assertEqual(self.inspect()["Id"], "sha256:" + told["Id"])

    def test_saving_twice_gives_the_same_bytes(self):
        self.image("load", "-q", "-i", self.docker)
        saved = [self.image("save", "-o", self.folder / name, NAME) and (self.folder / name).read_bytes() for name in "ab"]
        self.assertEqual(*saved)
        self.image("load", "-q", "-i", self.folder / "a", store=self.folder / "second")
        self.image("save", "-o", self.folder / "c", NAME, store=self.folder / "second")
        self.assertEqual(saved[0], (self.folder / "c").read_bytes())

    def test_diff_history_tree(self):
        self.image("load", "-q", "-i", self.docker)
        lines = self.image("diff", NAME).stdout.splitlines()
        for line in ("D /etc/gone", "C /etc/change", "A /var/cache/new", "D /var/cache/old", "A /tmp/file"):
            self.assertIn(line, lines)
        self.assertNotIn("C /etc/keep", lines)
        self.assertEqual(len(self.inspect()["RootFS"]["Layers"]),
                         len([line for line in self.image("history", "-q", NAME).stdout.splitlines()]))
        self.assertIn("Top Layer of: [localhost/box:1]", self.image("tree", NAME).stdout)


class Create(ImageTest):
    def make(self, **files):
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        for name, text in files.items():
            (folder / name).write_text(text)
        return folder

    def test_flags_become_the_config(self):
        self.image("create", "--entrypoint", '["/run", "it"]', "--cmd", "echo hello", "-e", "A=1", "-e", "B=x y", "-l", "k=v",
                   "-u", "7:8", "-w", "/srv", "-p", "80", "-p", "53/udp", "-v", "/data", "--stop-signal", "INT",
                   "--health-cmd", "true", "--health-interval", "3s", "--author", "me", "-m", "first", self.make(a="1"), NAME)
        image = self.inspect()
        self.assertEqual({"User": "7:8", "ExposedPorts": {"53/udp": {}, "80/tcp": {}}, "Env": ["A=1", "B=x y"],
                          "Entrypoint": ["/run", "it"], "Cmd": ["/bin/sh", "-c", "echo hello"], "Volumes": {"/data": {}},
                          "WorkingDir": "/srv", "Labels": {"k": "v"}, "StopSignal": "INT",
                          "Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 3_000_000_000}}, image["Config"])
        self.assertEqual(("me", "first"), (image["Author"], image["Comment"]))
        layout = self.folder / "layout"
        self.image("save", "--format", "oci-dir", "-o", layout, NAME)
        told = json.loads(command(tool("skopeo"), "inspect", "--config", f"oci:{layout}:1").stdout)
        self.assertEqual(image["Config"]["Env"], told["config"]["Env"])

    def test_the_same_is_made_twice(self):
        folder = self.make(a="1", b="2")
        environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
        ids = {self.image("create", folder, env=environment).stdout for _ in range(2)}
        self.assertEqual(1, len(ids))
        self.assertEqual(["<none>:<none>"], self.names())

    def test_layers_upon_another_image(self):
        self.image("create", "-e", "A=1", "--cmd", "[]", self.make(a="1", b="1"), "base")
        self.image("create", "--from", "base", "-e", "B=2", self.make(b="2"), "derived")
        self.assertEqual(["A=1", "B=2"], self.inspect("derived")["Config"]["Env"])
        self.assertEqual(hashlib.sha256(b"2").hexdigest(), self.files("derived")["b"][4])
        self.assertEqual("C /b\n", self.image("diff", "base", "derived").stdout)

    def test_import_applies_instructions(self):
        archive = self.folder / "root.tar"
        with tarfile.open(archive, "w") as tar:
            tar.add(self.make(a="1"), ".")
        with open(archive) as file:
            self.image("import", "-c", 'CMD ["sh", "-l"]', "-c", "ENV A=1 B='x y'", "-c", "EXPOSE 80", "-", NAME, stdin=file)
        config = self.inspect()["Config"]
        self.assertEqual((["sh", "-l"], ["A=1", "B=x y"], {"80/tcp": {}}),
                         (config["Cmd"], config["Env"], config["ExposedPorts"]))
        self.assertIn("instruction RUN", self.refused("import", "-c", "RUN x", archive))


class Names(ImageTest):
    def setUp(self):
        super().setUp()
        self.source = self.folder / "files"
        self.source.mkdir()
        (self.source / "a").write_text("1")

    def make(self, name, text="1"):
        (self.source / "a").write_text(text)
        return self.image("create", self.source, *([name] if name else [])).stdout.strip()

    def test_names_and_ids(self):
        self.make("web:1")
        self.image("tag", "web:1", "registry.example:5000/team/web")
        self.assertEqual(["registry.example:5000/team/web:latest", "web:1"], sorted(self.names()))
        wanted = self.inspect("web:1")["Id"]
        for name in (wanted, wanted[7:], wanted[7:19], "docker.io/library/web:1", self.inspect("web:1")["RepoDigests"][0]):
            self.assertEqual(wanted, self.inspect(name)["Id"], name)

    def test_remove(self):
        self.make("web:1")
        self.image("tag", "web:1", "web:2")
        self.assertIn("has 2 names", self.refused("rm", self.inspect("web:1")["Id"]))
        self.assertEqual("Untagged: web:1\n", self.image("rm", "web:1").stdout)
        gone = self.inspect("web:2")["Id"]
        self.assertEqual(f"Untagged: web:2\nDeleted: {gone}\n", self.image("rm", "web:2").stdout)
        self.assertEqual([], os.listdir(self.root / "images/blobs/sha256"))
        self.assertEqual([], os.listdir(self.root / "images/layers"))
        self.assertIn("no such image: web:2", self.refused("rm", "web:2"))
        self.image("rm", "-f", "web:2")

    def test_prune_removes_what_lost_its_name(self):
        old = self.make("web", "1")
        self.make("web", "2")
        self.assertEqual([old[7:19]], self.image("ls", "-q", "-f", "dangling=true").stdout.split())
        self.assertIn(f"Deleted: {old}", self.image("prune", "--force").stdout)
        self.assertEqual(["web:latest"], self.names())
        self.image("prune", "--all", "--force")
        self.assertEqual([], self.names())

    def test_filters_and_formats(self):
        self.image("create", "-l", "tier=front", self.source, "web:1")
        self.make("db:1", "2")
        self.assertEqual(["web:1"], self.image("ls", "-f", "label=tier=front", "--format", "{{.Repository}}:{{.Tag}}").stdout.split())
        self.assertEqual(["db"], self.image("ls", "--format", "{{.Repository}}", "d*").stdout.split())
        self.assertEqual("web", json.loads(self.image("ls", "--format", "json", "web").stdout)["Repository"])
        self.assertEqual("db", json.loads(self.image("ls", "-o", "json", "db").stdout)[0]["Repository"])
        self.assertIn("no field .Nope", self.refused("ls", "--format", "{{.Nope}}"))
        self.assertIn("no such filter", self.refused("ls", "-f", "colour=red"))

    def test_wrong_names_are_explained(self):
        for name, message in (("UPPER", "lowercase"), ("web", "no such image"), ("a b", "must be of"), ("x@sha256:1", "digest")):
            self.assertIn(message, self.refused("inspect", name))


class Platforms(ImageTest):
    """An image for amd64 and arm64, which share nothing but the name."""

    def setUp(self):
        super().setUp()
        self.layout = self.folder / "layout"
        (self.layout / "blobs/sha256").mkdir(parents=True)
        manifests = [self.manifest(architecture) | {"platform": {"os": "linux", "architecture": architecture}}
                     for architecture in ("amd64", "arm64")]
        index = self.blob({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": manifests}, "index")
        index["annotations"] = {"io.containerd.image.name": "docker.io/library/many:1", "org.opencontainers.image.ref.name": "1"}
        (self.layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [index]}))
        (self.layout / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')

    def blob(self, content, kind):
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        digest = hashlib.sha256(data).hexdigest()
        (self.layout / "blobs/sha256" / digest).write_bytes(data)
        return {"mediaType": f"application/vnd.oci.image.{kind}.v1{'.tar' if kind == 'layer' else '+json'}",
                "digest": f"sha256:{digest}", "size": len(data)}

    def manifest(self, architecture):
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            tar.addfile(tarfile.TarInfo(architecture))
        layer = self.blob(archive.getvalue(), "layer")
        config = self.blob({"os": "linux", "architecture": architecture, "config": {},
                            "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]}}, "config")
        return self.blob({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config,
                          "layers": [layer]}, "manifest")

    def here(self, name="many:1"):
        """{platform: whether it is in the store}"""
        trees = json.loads(self.image("ls", "--tree", "-o", "json").stdout)
        found = next(tree for tree in trees if f"docker.io/library/{name}" in tree["Names"])
        return {each["Platform"]: each["Available"] for each in found["Platforms"]}

    def test_tree(self):
        self.image("load", "-i", self.layout)
        lines = self.image("ls", "--tree").stdout.splitlines()
        self.assertRegex(lines[0], r"^IMAGE +ID +DISK USAGE +CONTENT SIZE +EXTRA$")
        self.assertEqual(["many:1", "├─ linux/amd64", "└─ linux/arm64"], [line.split("  ")[0].rstrip() for line in lines[1:]])
        self.assertIn("--tree", self.refused("ls", "--tree", "--digests"))

    def test_remove(self):
        self.image("load", "-i", self.layout)
        arm = json.loads(self.image("inspect", "--platform", "linux/arm64", "many:1").stdout)[0]["Id"]
        self.assertEqual(f"Deleted: {arm}\n", self.image("rm", "--platform", "arm64", "many:1").stdout)
        self.assertEqual({"linux/amd64": True, "linux/arm64": False}, self.here())
        self.assertIn("here it is for linux/amd64", self.refused("rm", "--platform", "linux/arm64", "many:1"))
        self.assertIn("--platform", self.refused("rm", "--platform", "a/b/c/d", "many:1"))
        self.image("rm", "--platform", "linux/amd64", "many:1")
        self.assertEqual([], self.names())
        self.assertEqual([], os.listdir(self.root / "images/blobs/sha256"))

    def test_what_others_need_stays(self):
        self.image("load", "-i", self.layout)
        saved = self.folder / "arm.tar"
        self.image("save", "--platform", "linux/arm64", "-o", saved, "many:1")
        self.image("rm", "many:1")
        self.image("load", "-i", saved)
        self.image("tag", "many:1", "arm:1")
        self.image("load", "-i", self.layout)
        self.assertIn("needs the platform's image, too", self.refused("rm", "--platform", "arm64", "many:1"))
        self.assertEqual({"linux/amd64": True, "linux/arm64": True}, self.here())

    def test_save_and_load(self):
        saved = self.folder / "one.tar"
        self.image("load", "-i", self.layout)
        self.image("save", "--platform", "linux/arm64", "-o", saved, "many:1")
        self.assertIn("does not provide the platform", self.refused("save", "--platform", "linux/s390x", "-o", saved, "many:1"))
        other = self.folder / "other"
        self.image("load", "-i", saved, store=other)
        self.assertEqual(["arm64"], self.image("inspect", "-f", "{{.Architecture}}", "many:1", store=other).stdout.split())
        third = self.folder / "third"
        self.image("load", "--platform", "linux/arm64", "-i", self.layout, store=third)
        self.assertEqual(["arm64"], self.image("inspect", "-f", "{{.Architecture}}", "many:1", store=third).stdout.split())
        self.assertIn("does not provide the platform", self.refused("load", "--platform", "linux/s390x", "-i", self.layout, store=third))


class Rootless(ImageTest):
    """As a user without any rights."""

    def user(self, *args, **kwargs):
        """The program is copied: the build may be where the user cannot go."""
        own = self.folder / "proa"
        if not own.exists():
            shutil.copy2(runtime.path(), own)
            (self.folder / "home").mkdir(mode=0o777)
            (self.folder / "home").chmod(0o777)
            for folder in (self.folder, sandbox.scratch()):
                folder.chmod(0o755)
        return command(tool("setpriv"), "--reuid", "12345", "--regid", "12345", "--clear-groups", "--bounding-set=-all", own, "image",
                       *args, env={"HOME": str(self.folder / "home"), "PATH": os.environ["PATH"]}, **kwargs)

    def test_images_of_root_are_read(self):
        files = self.folder / "files"
        (files / "closed").mkdir(parents=True)
        (files / "closed/a").write_text("1")
        (files / "closed").chmod(0o555)
        (files / "gone").write_text("1")
        os.mknod(files / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        self.image("create", files, "web:1")
        upper = self.folder / "upper.tar"
        with tarfile.open(upper, "w") as tar:
            tar.addfile(*Hostile.entry(".wh.gone"))
            tar.addfile(*Hostile.entry("closed/b"))
        self.image("create", "--from", "web:1", upper, "web:2")
        saved = self.folder / "home.tar"
        self.image("save", "-o", saved, "web:2")
        with open(saved) as file:
            self.assertIn("web:2", self.user("load", stdin=file).stdout)
        self.assertTrue((self.folder / "home/.local/share/proa/images/oci-layout").exists())
        self.assertEqual("web", self.user("ls", "--format", "{{.Repository}}").stdout.strip())
        self.assertEqual(["D /gone"], [line for line in self.user("diff", "web:2").stdout.splitlines() if "gone" in line])
        out = self.folder / "home/out.tar"
        self.user("export", "-o", out, "web:2")
        with tarfile.open(out) as tar:
            self.assertEqual(["closed", "closed/a", "closed/b"], sorted(tar.getnames()))
            self.assertEqual(0o555, tar.getmember("closed").mode)
        self.user("rm", "web:2")
        self.assertEqual([], os.listdir(self.folder / "home/.local/share/proa/images/layers"))
        self.assertEqual([], os.listdir(self.folder / "home/.local/share/proa/images/trash"))


class Hostile(ImageTest):
    """Archives that want to get out, or to fill the disk."""

    def archive(self, *entries, compress=lambda data: data):
        """A docker-archive with one layer of `entries`: (TarInfo, content)."""
        layer = io.BytesIO()
        with tarfile.open(fileobj=layer, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for info, content in entries:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {
            "type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer.getvalue()).hexdigest()]}}).encode()
        manifest = [{"Config": "config.json", "RepoTags": [NAME], "Layers": ["layer.tar"]}]
        path = self.folder / "hostile.tar"
        with tarfile.open(path, "w") as tar:
            for name, data in (("config.json", config), ("layer.tar", compress(layer.getvalue())),
                               ("manifest.json", json.dumps(manifest).encode())):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        return path

    @staticmethod
    def entry(name, kind=tarfile.REGTYPE, content=b"", **fields):
        info = tarfile.TarInfo(name)
        info.type = kind
        for key, value in fields.items():
            setattr(info, key, value)
        return info, content

    def check_refused(self, *entries, message):
        outside = self.folder / "outside"
        outside.write_text("kept")
        error = self.refused("load", "-i", self.archive(*entries))
        self.assertIn(message, error)
        self.assertEqual("kept", outside.read_text())
        self.assertEqual(1, outside.lstat().st_nlink)
        self.assertEqual([], self.names())
        self.nothing_unfinished()

    def test_paths_out(self):
        up = "../" * 20 + str(self.folder)[1:] + "/outside"
        self.check_refused(self.entry(up, content=b"changed"), message=f'tar entry "{up}": leaves the layer\'s root')
        self.check_refused(self.entry("a/" + up, content=b"changed"), message="leaves the layer's root")
        self.check_refused(self.entry("link", tarfile.LNKTYPE, linkname=up), message="leaves the layer's root")
        self.check_refused(self.entry("a/.wh...", content=b""), message="whiteout")
        self.check_refused(self.entry("whiteout", tarfile.CHRTYPE), message="device 0:0")
        self.check_refused(self.entry("f"), self.entry("f/x", content=b"1"), message='"f" is no folder')

    def test_links_out_end_inside(self):
        outside = self.folder / "outside"
        outside.write_text("kept")
        self.image("load", "-i", self.archive(
            self.entry("dir", tarfile.SYMTYPE, linkname="/"),
            self.entry("dir" + str(outside), content=b"changed"),
            self.entry("file", tarfile.SYMTYPE, linkname=str(outside)),
            self.entry("again", tarfile.LNKTYPE, linkname="file"),
            self.entry("again", content=b"changed"),
            self.entry("up", tarfile.SYMTYPE, linkname="../../../../../../.."),
            self.entry("up/top", content=b"inside")))
        self.assertEqual("kept", outside.read_text())
        files = self.files()
        self.assertIn(str(outside)[1:], files)
        self.assertIn("top", files)

    def test_hardlinks_through_symlinks_out(self):
        self.check_refused(self.entry("s", tarfile.SYMTYPE, linkname=str(self.folder)),
                           self.entry("h", tarfile.LNKTYPE, linkname="s/outside"), message="is in no layer")

    def test_wrong_content(self):
        good = self.archive(self.entry("a", content=b"1"))
        data = good.read_bytes().replace(b"ustar", b"usta?", 1)
        (self.folder / "bad.tar").write_bytes(data)
        self.assertIn("checksum", self.refused("load", "-i", self.folder / "bad.tar"))
        other = self.archive(self.entry("a", content=b"1"), compress=lambda data: gzip.compress(data + bytes(512)))
        self.assertIn("diff id", self.refused("load", "-i", other))
        swapped = self.archive(self.entry("a", content=b"1"), compress=lambda data: data + bytes(512))
        self.assertIn("the config says", self.refused("load", "-i", swapped))
        (self.folder / "text").write_text("no archive at all")
        self.assertIn("error", self.refused("load", "-i", self.folder / "text"))
        self.assertIn("import", self.refused("load", "-i", self.root_tar()))
        self.assertEqual([], self.names())

    def root_tar(self):
        path = self.folder / "root.tar"
        with tarfile.open(path, "w") as tar:
            tar.addfile(*self.entry("etc/passwd"))
        return path

    def test_damage_on_disk_is_found(self):
        self.image("load", "-q", "-i", self.archive(self.entry("a", content=b"1")))
        digest = self.inspect()["Descriptor"]["digest"][7:]
        blob = self.root / "images/blobs/sha256" / digest
        blob.write_bytes(blob.read_bytes().replace(b"schema", b"sChema"))
        self.assertIn("damaged on disk", self.refused("inspect", NAME))
        self.image("rm", NAME)

    def test_disk_full(self):
        small = self.folder / "small"
        small.mkdir()
        command("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small)
        self.addCleanup(command, "umount", small)
        error = self.refused("load", "-i", self.archive(self.entry("big", content=os.urandom(2 << 20))), store=small)
        self.assertIn("no space left on device", error)
        self.image("prune", "--force", store=small)
        self.nothing_unfinished(small)


class Crash(ImageTest):
    """The command is killed at each of its system calls in turn. What is in the store afterwards is whole, the command
    can be given again, and a prune leaves nothing behind."""

    CALLS = ("openat", "openat2", "write", "renameat", "renameat2", "linkat", "unlinkat", "mkdirat", "fdatasync", "fsync",
             "flock", "mknodat", "fchownat", "clone3")

    def setUp(self):
        super().setUp()
        files = self.folder / "files"
        files.mkdir()
        (files / "a").write_text("a")
        self.image("create", "--compression", "none", files, "seed:1")
        (files / "b").write_text("b")
        self.image("create", "--from", "seed:1", files, "seed:2")
        self.archive = self.folder / "seed.tar"
        self.image("save", "-o", self.archive, "seed:1", "seed:2")
        self.seed = self.root

    def killed_at(self, call, nth, store, *args):
        """Whether the command was killed when it made the call for the nth time, in any thread; at its end it was not."""
        done = subprocess.run([tool("strace"), "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}",
                               "-e", f"inject={call}:signal=KILL:when={nth}", str(runtime.path()), "image",
                               "--root", str(store), *map(str, args)], capture_output=True, stdin=subprocess.DEVNULL, text=True)
        if done.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL):
            return True
        self.assertEqual(0, done.returncode, done.stderr)
        return False

    def check_whole(self, store):
        if (store / "images/refs").exists():
            image.check_store(store / "images")
        for name in self.image("ls", "-q", store=store).stdout.split():
            self.image("export", "-o", "/dev/null", name, store=store)

    def check_cleanable(self, store):
        self.image("prune", "-f", store=store)
        image.check_index(store / "images")
        # Parts of blobs are kept for a day, to go on from.
        for part in (store / "images/ingest").iterdir():
            self.assertRegex(part.name, "^sha256-")
            part.unlink()
        self.nothing_unfinished(store)
        self.image("prune", "--all", "--force", store=store)
        self.assertEqual(([], []), (os.listdir(store / "images/blobs/sha256"), os.listdir(store / "images/layers")))

    def at_every_call(self, *args, prepare=None, check=lambda store: None):
        kills = 0
        for call in self.CALLS:
            for nth in range(1, 1000):
                store = self.folder / "crash"
                shutil.rmtree(store, ignore_errors=True)
                if prepare:
                    shutil.copytree(prepare, store, symlinks=True)
                if not self.killed_at(call, nth, store, *args):
                    break
                kills += 1
                self.check_whole(store)
                check(store)
                self.image(*args, store=store, check=args[0] != "rm")
                self.check_whole(store)
                self.check_cleanable(store)
        self.assertGreater(kills, 20)

    def test_load(self):
        self.at_every_call("load", "-q", "-i", self.archive)

    def test_create(self):
        self.at_every_call("create", "--from", "seed:1", self.folder / "files", "new", prepare=self.seed)

    def test_tag(self):
        self.at_every_call("tag", "seed:1", "new:1", prepare=self.seed)

    def test_tag_of_another(self):
        """The image that has the name until then is kept without one."""
        def keeps_both(store):
            self.assertEqual(2, len({line for line in self.image("ls", "-q", "--no-trunc", store=store).stdout.split()}))
        self.at_every_call("tag", "seed:1", "seed:2", prepare=self.seed, check=keeps_both)

    def test_rm(self):
        self.at_every_call("rm", "seed:1", prepare=self.seed)

    def test_prune(self):
        self.at_every_call("prune", "--all", "--force", prepare=self.seed)


class Crowd(ImageTest):
    """Many commands at once on one store, some of them killed."""

    def test_nothing_is_lost(self):
        files = self.folder / "files"
        files.mkdir()
        (files / "a").write_text("a" * 100_000)
        self.image("create", files, "kept:1")
        archive = self.folder / "kept.tar"
        self.image("save", "-o", archive, "kept:1")
        line = [str(runtime.path()), "image", "--root", str(self.root)]
        work = [["load", "-q", "-i", archive], ["create", files, "new:{}"], ["tag", "kept:1", "other:{}"], ["prune", "--force"],
                ["rm", "-f", "new:{}"], ["ls"], ["export", "-o", "/dev/null", "kept:1"]]
        running = []
        for number in range(140):
            args = [str(word).format(number % 5) for word in work[number % len(work)]]
            process = subprocess.Popen(line + args, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            if number % 10 == 9:
                process.kill()
            running.append((args, process, number % 10 == 9))
            if len(running) >= 14:
                self.ended(*running.pop(0))
        for each in running:
            self.ended(*each)
        self.image("prune", "--force")
        for name in self.names():
            self.image("export", "-o", "/dev/null", name)
        self.assertIn("kept:1", self.names())
        self.nothing_unfinished()

    def ended(self, args, process, killed):
        error = process.communicate(timeout=60)[1]
        if not killed:
            self.assertEqual(0, process.returncode, f"{args}: {error.decode()}")


if __name__ == "__main__":
    main()
