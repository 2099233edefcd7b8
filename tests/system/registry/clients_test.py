#!/usr/bin/env python3
"""skopeo, podman and docker log in to, push to and pull from `proa registry serve`."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib import bundle, image, runtime, sandbox  # noqa: E402
from lib.case import SystemTest, command, main, until  # noqa: E402
from lib.client import tool  # noqa: E402
from lib.registry import MANIFEST, Registry  # noqa: E402


class ClientsTest(SystemTest):
    """A registry with users, tokens and TLS, whose authority the clients are told of."""

    def setUp(self):
        super().setUp()
        self.root = bundle.make_root(self.folder / "root")
        key, authority = self.folder / "server.key", self.folder / "server.pem"
        command("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-keyout", key, "-out", authority,
                "-subj", "/CN=registry", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
        self.authority = authority
        users = self.folder / "users"
        users.write_text(subprocess.run([runtime.path(), "registry", "passwd", "ann"], input="secret\n", text=True, capture_output=True, check=True).stdout)
        self.registry = Registry(self, self.folder / "registry", "--tls-cert", authority, "--tls-key", key, "--htpasswd", users, *self.flags)
        self.registry.log_in("ann", "secret")
        self.where = f"localhost:{self.registry.where.rsplit(':', 1)[1]}"
        self.certificates = self.folder / "certs"
        self.certificates.mkdir()
        (self.certificates / "ca.crt").write_bytes(authority.read_bytes())

    flags = ("--token",)

    def manifest(self, name, tag):
        return self.registry.expect(200, "GET", f"{name}/manifests/{tag}")


class Skopeo(ClientsTest):
    def skopeo(self, *args, **kwargs):
        # A policy of its own: the host may have none.
        policy = self.folder / "policy.json"
        policy.write_text('{"default":[{"type":"insecureAcceptAnything"}]}')
        return command(tool("skopeo"), "--policy", policy, "--tmpdir", self.folder, *args, **kwargs)

    def test_copies_both_ways(self):
        archive = image.oci_archive(self.root, self.folder / "box.tar")
        trust = ("--dest-cert-dir", self.certificates, "--dest-creds", "ann:secret")
        back = ("--src-cert-dir", self.certificates, "--src-creds", "ann:secret")
        for form in ("oci", "v2s2"):
            with self.subTest(form):
                target = f"docker://{self.where}/boxes/{form}:1"
                self.skopeo("copy", "--format", form, *trust, f"oci-archive:{archive}", target)
                out = self.folder / f"out-{form}"
                self.skopeo("copy", *back, target, f"dir:{out}")
                self.assertEqual((out / "manifest.json").read_bytes(), self.manifest(f"boxes/{form}", "1").body)
        said = json.loads(self.skopeo("inspect", "--cert-dir", self.certificates, "--creds", "ann:secret", f"docker://{self.where}/boxes/oci:1").stdout)
        self.assertEqual(["1"], said["RepoTags"])
        # The second copy finds the layers in the other repository.
        self.skopeo("copy", *back, *trust, f"docker://{self.where}/boxes/oci:1", f"docker://{self.where}/elsewhere:1")
        self.skopeo("delete", "--cert-dir", self.certificates, "--creds", "ann:secret", f"docker://{self.where}/elsewhere:1")
        self.registry.expect(404, "GET", "elsewhere/manifests/1")

    def test_refusals_are_understood(self):
        archive = image.oci_archive(self.root, self.folder / "box.tar")
        for credentials, said in (("ann:wrong", "unauthorized"), (None, "unauthorized|authentication required|denied")):
            with self.subTest(credentials):
                login = ("--dest-creds", credentials) if credentials else ("--dest-no-creds",)
                done = self.skopeo("copy", "--dest-cert-dir", self.certificates, *login, f"oci-archive:{archive}", f"docker://{self.where}/box:1", check=False)
                self.assertNotEqual(0, done.returncode)
                self.assertRegex(done.stderr, said)


class SkopeoBasic(Skopeo):
    flags = ()


class Podman(ClientsTest):
    # What podman keeps for good.
    def ignored_leftover(self, item):
        return any(word in item for word in ("/run/containers", "/run/libpod", "/run/crun", "storage/overlay", "libpod_parent", "/run/netns", "/run/lock", "/run/user"))

    def podman(self, *args, **kwargs):
        policy = self.folder / "policy.json"
        policy.write_text('{"default":[{"type":"insecureAcceptAnything"}]}')
        words = ["--root", self.folder / "storage", "--runroot", self.folder / "run", "--tmpdir", self.folder / "tmp", "--storage-driver", "vfs",
                 "--cgroup-manager", "cgroupfs", "--events-backend", "file"]
        environment = {**os.environ, "REGISTRY_AUTH_FILE": str(self.folder / "auth.json"), "CONTAINERS_POLICY": str(policy)}
        return command(tool("podman"), *words, *args, env=environment, **kwargs)

    def test_logs_in_pushes_and_pulls(self):
        certificates = ("--cert-dir", self.certificates)
        done = self.podman("login", *certificates, "-u", "ann", "-p", "wrong", self.where, check=False)
        self.assertNotEqual(0, done.returncode)
        self.assertIn("Login Succeeded", self.podman("login", *certificates, "-u", "ann", "-p", "secret", self.where).stdout)
        self.podman("import", image.root_archive(self.root, self.folder / "root.tar"), image.NAME)
        for form in ("oci", "v2s2"):
            with self.subTest(form):
                name = f"{self.where}/team/box:{form}"
                self.podman("push", *certificates, "--format", form, image.NAME, name)
                self.podman("pull", *certificates, name)
                layers = [self.podman("image", "inspect", "--format", "{{.RootFS.Layers}}", each).stdout for each in (image.NAME, name)]
                self.assertEqual(layers[0], layers[1])
        self.assertEqual(MANIFEST, self.manifest("team/box", "oci").headers["Content-Type"])
        self.podman("logout", self.where)
        self.podman("rmi", "-f", f"{self.where}/team/box:oci")
        self.assertNotEqual(0, self.podman("pull", *certificates, f"{self.where}/team/box:oci", check=False).returncode)


class Proa(ClientsTest):
    def proa(self, *args, **kwargs):
        environment = {**os.environ, "PROA_ROOT": str(self.folder / "images"), "DOCKER_CONFIG": str(self.folder / "docker"), "SSL_CERT_FILE": str(self.authority)}
        return command(runtime.path(), *args, env=environment, **kwargs)

    def test_logs_in_pushes_and_pulls(self):
        name = f"{self.where}/team/box:1"
        self.proa("image", "create", self.root, name)
        made = self.proa("image", "inspect", "-f", "{{.Id}}", name).stdout
        self.assertNotEqual(0, self.proa("push", name, check=False).returncode)
        self.proa("login", "-u", "ann", "--password-stdin", self.where, input="secret\n", stdin=None)
        self.proa("push", name)
        self.proa("image", "rm", name)
        self.proa("pull", name)
        self.assertEqual(made, self.proa("image", "inspect", "-f", "{{.Id}}", name).stdout)
        self.assertEqual(MANIFEST, self.manifest("team/box", "1").headers["Content-Type"])


class Docker(ClientsTest):
    """The docker CLI with a dockerd of the test's own."""

    def ignored_leftover(self, item):
        return any(word in item for word in ("/run/docker", "/run/containerd", "/netns/default", "cgroup "))

    def setUp(self):
        super().setUp()
        self.home = Path(tempfile.mkdtemp(prefix="dockerd-", dir=sandbox.scratch()))
        # dockerd looks for authorities nowhere else; the sandbox's /etc is put over with one of the test's own.
        certificates = Path(f"/etc/docker/certs.d/{self.where}")
        self.hide("/etc/docker")
        certificates.mkdir(parents=True)
        (certificates / "ca.crt").write_bytes(self.authority.read_bytes())
        log = open(self.home / "log", "w")
        self.addCleanup(log.close)
        # vfs: a file system that holds no overlays will do.
        self.daemon = subprocess.Popen([tool("dockerd"), "--data-root", self.home / "data", "--exec-root", self.home / "exec", "--pidfile", self.home / "pid",
                                        "-H", f"unix://{self.home}/docker.sock", "--iptables=false", "--bridge=none", "--storage-driver", "vfs",
                                        "--exec-opt", "native.cgroupdriver=cgroupfs"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.addCleanup(self.end_daemon)
        until(lambda: self.daemon.poll() is not None or self.docker("version", check=False).returncode == 0, "dockerd to answer", patience=60)
        self.assertIsNone(self.daemon.poll(), f"dockerd cannot run here: {(self.home / 'log').read_text()[-1500:]}")

    def hide(self, path):
        made = not os.path.isdir(path)
        if made:
            os.mkdir(path)
            self.addCleanup(os.rmdir, path)
        command("mount", "-t", "tmpfs", "none", path)
        self.addCleanup(command, "umount", "-l", path)

    def end_daemon(self):
        self.daemon.terminate()
        self.daemon.wait(60)

    def docker(self, *args, **kwargs):
        environment = {**os.environ, "DOCKER_CONFIG": str(self.folder / "docker")}
        return command(tool("docker"), "-H", f"unix://{self.home}/docker.sock", *args, env=environment, **kwargs)

    def test_logs_in_pushes_and_pulls(self):
        done = self.docker("login", "-u", "ann", "-p", "wrong", self.where, check=False)
        self.assertNotEqual(0, done.returncode)
        self.assertRegex(done.stderr, "unauthorized|incorrect username or password|wrong user name or password")
        self.assertIn("Login Succeeded", self.docker("login", "-u", "ann", "-p", "secret", self.where).stdout)
        name = f"{self.where}/team/box:1"
        self.docker("import", image.root_archive(self.root, self.folder / "root.tar"), name)
        made = self.docker("image", "inspect", "--format", "{{.Id}}", name).stdout
        said = self.docker("push", name).stdout
        self.assertIn(f"digest: {self.manifest('team/box', '1').headers['Docker-Content-Digest']}", said)
        # The same layers in another repository are mounted, not sent again.
        other = f"{self.where}/other/box:1"
        self.docker("tag", name, other)
        self.assertIn("Mounted from team/box", self.docker("push", other).stdout)
        self.docker("rmi", name, other)
        self.docker("pull", name)
        self.assertEqual(made, self.docker("image", "inspect", "--format", "{{.Id}}", name).stdout)
        self.docker("logout", self.where)
        done = self.docker("push", name, check=False)
        self.assertNotEqual(0, done.returncode)
        self.assertRegex(done.stdout + done.stderr, "unauthorized|denied|no basic auth")


if __name__ == "__main__":
    main()
