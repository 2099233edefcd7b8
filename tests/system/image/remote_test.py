#!/usr/bin/env python3
"""Pulls and pushes with a real registry, beside skopeo and podman."""

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib import bundle, runtime, sandbox  # noqa: E402
from lib.case import SystemTest, command, main, until  # noqa: E402
from lib.client import terminal, tool  # noqa: E402
from lib.docker_registry import Registry, Wire  # noqa: E402


class RemoteTest(SystemTest):
    @classmethod
    def setUpClass(cls):
        cls.home = Path(tempfile.mkdtemp(prefix="remote-", dir=sandbox.scratch()))
        cls.files = bundle.make_root(cls.home / "root")
        (cls.files / "etc").mkdir(exist_ok=True)
        (cls.files / "etc/version").write_text("one\n")
        cls.noise = cls.home / "noise"
        cls.noise.mkdir()
        for number in range(2):
            (cls.noise / f"file{number}").write_bytes(os.urandom(4 << 20))

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.home, ignore_errors=True)

    def setUp(self):
        super().setUp()
        self.env = os.environ | {"PROA_ROOT": str(self.folder / "data"), "PROA_RUN": str(self.folder / "run"),
                                 "HOME": str(self.folder), "DOCKER_CONFIG": str(self.folder / "docker")}
        (self.folder / "docker").mkdir()
        (self.folder / "docker/config.json").write_text("{}")
        for name in ("REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "PROA_REGISTRIES"):
            self.env.pop(name, None)

    def ignored_leftover(self, item):
        # podman's folder of locks stays.
        return super().ignored_leftover(item) or item.startswith(("state ", "file /run/containers"))

    def serve(self, **kwargs):
        registry = Registry(self.folder / f"registry-{len(os.listdir(self.folder))}", **kwargs)
        self.addCleanup(registry.stop)
        return registry

    def proa(self, *args, **kwargs):
        return command(runtime.path(), *args, env=kwargs.pop("env", self.env), **kwargs)

    def refused(self, *args, **kwargs):
        done = self.proa(*args, check=False, **kwargs)
        self.assertEqual(1, done.returncode, done.stdout)
        return done.stderr

    def skopeo(self, *args, **kwargs):
        return command(tool("skopeo"), "--insecure-policy", *args, env=self.env, **kwargs)

    def podman(self, *args):
        storage = ["--root", self.folder / "podman", "--runroot", self.folder / "pr", "--storage-driver", "vfs"]
        return command(tool("podman"), *storage, "--tmpdir", self.folder / "tmp", "--events-backend", "none", *args, env=self.env)

    def make(self, name):
        """An image of two layers; gives what runs in it: cat /etc/version."""
        self.proa("image", "create", "--cmd", '["cat", "/etc/version"]', self.files, name)
        self.proa("image", "create", "--from", name, self.noise, name)

    def forget(self):
        shutil.rmtree(self.folder / "data")

    def runs(self, name, *flags):
        done = self.proa("run", "--rm", "--network", "none", *flags, name)
        self.assertEqual("one\n", done.stdout)
        return done.stderr

    def layers(self, name):
        return json.loads(self.proa("image", "inspect", name).stdout)[0]["RootFS"]["Layers"]

    def nothing_unfinished(self):
        images = self.folder / "data/images"
        for folder in ("ingest", "leases", "trash"):
            self.assertEqual([], os.listdir(images / folder), folder)
        self.assertEqual([], [name for name in os.listdir(images / "layers") if name.startswith("tmp-")])


class Interchange(RemoteTest):
    def test_push_then_others_read(self):
        name = f"{self.serve().where}/team/box:1"
        self.make(name)
        said = self.proa("push", name).stdout
        self.assertIn(f"The push refers to repository [{name[:-2]}]", said)
        self.assertEqual(2, said.count(": Pushed"))
        told = json.loads(self.skopeo("inspect", "--tls-verify=false", f"docker://{name}").stdout)
        self.assertIn(f"1: digest: {told['Digest']} size: ", said)
        self.skopeo("copy", "-q", "--src-tls-verify=false", f"docker://{name}", f"oci:{self.folder / 'layout'}:x")
        self.podman("pull", "-q", "--tls-verify=false", name)
        self.assertEqual(["cat", "/etc/version"], json.loads(self.podman("image", "inspect", name).stdout)[0]["Config"]["Cmd"])
        self.assertEqual(2, self.proa("push", name).stdout.count(": Layer already exists"))

    def test_pull_what_skopeo_pushed_and_run_it(self):
        registry = self.serve()
        name = f"{registry.where}/box:1"
        self.make("box:1")
        self.proa("save", "-o", self.folder / "box.tar", "box:1")
        for form, compress in (("v2s2", "gzip"), ("oci", "gzip"), ("oci", "zstd")):
            with self.subTest(form=form, compress=compress):
                layout = self.folder / f"layout-{form}-{compress}"
                self.skopeo("copy", "-q", "--dest-compress-format", compress,
                            f"docker-archive:{self.folder / 'box.tar'}:docker.io/library/box:1", f"oci:{layout}:x")
                as_form = ["-f", form] if compress == "gzip" else []
                self.skopeo("copy", "-q", "--dest-tls-verify=false", *as_form, f"oci:{layout}:x", f"docker://{name}")
                self.forget()
                said = self.proa("pull", name).stdout
                self.assertIn(f"Status: Downloaded newer image for {name}", said)
                self.runs(name, "--pull", "never")
                self.assertIn("Image is up to date", self.proa("pull", name).stdout)
                self.nothing_unfinished()
                self.make("box:1")

    def test_run_pulls_what_is_missing(self):
        registry = self.serve()
        name = f"{registry.where}/box"
        self.make(name)
        self.proa("push", "-q", name)
        self.forget()
        self.assertIn(f"Unable to find image '{name}' locally", self.refused_run("--pull", "never", name))
        said = self.runs(name)
        self.assertTrue(said.startswith(f"Unable to find image '{name}' locally\nlatest: Pulling from "), said)
        self.assertEqual(2, said.count(": Pull complete"))
        self.assertEqual("", self.runs(name))
        self.assertIn("Image is up to date", self.runs(name, "--pull", "always"))
        self.assertEqual("", self.runs(name, "--pull", "always", "-q"))

    def refused_run(self, *args):
        done = self.proa("run", "--rm", "--network", "none", *args, check=False)
        self.assertNotEqual(0, done.returncode)
        return done.stderr

    def test_several_platforms(self):
        registry = self.serve()
        name = f"{registry.where}/box:1"
        for architecture in ("amd64", "arm64"):
            self.proa("image", "create", "--platform", f"linux/{architecture}", "-e", f"A={architecture}", self.files, f"{name}-{architecture}")
            self.proa("push", "-q", f"{name}-{architecture}")
        storage = ["--root", self.folder / "podman", "--runroot", self.folder / "pr", "--storage-driver", "vfs"]
        for args in (["create", "list"], *(["add", "--tls-verify=false", "list", f"docker://{name}-{each}"] for each in ("amd64", "arm64")),
                     ["push", "-q", "--all", "--tls-verify=false", "list", f"docker://{name}"]):
            command(tool("buildah"), *storage, "manifest", *args, env=self.env)
        self.forget()
        self.proa("pull", "-q", "--platform", "linux/arm64", name)
        environment = lambda *args: self.proa("image", "inspect", "-f", "{{.Config.Env}}", *args, name).stdout.strip()  # noqa: E731
        self.assertEqual("[A=arm64]", environment("--platform", "linux/arm64"))
        self.proa("pull", "-q", "--all-platforms", name)
        self.assertEqual("[A=amd64]", environment())
        other = f"{registry.where}/copy:1"
        self.proa("tag", name, other)
        self.proa("push", "-q", "--all-platforms", other)
        told = json.loads(self.skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{other}").stdout)
        self.assertEqual(["amd64", "arm64"], [each["platform"]["architecture"] for each in told["manifests"]])
        self.assertIn("has no image for linux/s390x", self.refused("pull", "--platform", "linux/s390x", name))


class Trouble(RemoteTest):
    def test_killed_pull_goes_on(self):
        registry = self.serve()
        self.make(f"{registry.where}/box:1")
        self.proa("push", "-q", f"{registry.where}/box:1")
        self.forget()
        wire = Wire(registry.where, 4 << 20)
        self.addCleanup(wire.stop)
        name = f"{wire.where}/box:1"
        pull = subprocess.Popen([runtime.path(), "pull", name], env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        ingest = self.folder / "data/images/ingest"
        size = lambda: max((path.stat().st_size for path in ingest.glob("sha256-*")), default=0)  # noqa: E731
        until(lambda: size() > 2 << 20, "a part of the large layer")
        pull.send_signal(signal.SIGKILL)
        pull.wait()
        part = size()
        self.assertEqual([], self.proa("images", "-q").stdout.split())
        wire.release()
        self.proa("pull", name)
        # A small blob may have been cut off as well: the large one is told by its size.
        rest = [entry for entry in registry.requests() if entry[2] == 206 and entry[3] > 1 << 20]
        whole = max(entry[3] for entry in registry.requests() if entry[0] == "GET" and entry[2] == 200 or entry in rest)
        self.assertEqual(1, len(rest))
        self.assertGreater(part, 2 << 20)
        self.assertEqual((8 << 20) // (1 << 20), (rest[0][3] + part) >> 20, f"{part} bytes were there, {rest[0][3]} of {whole} were sent")
        self.runs(name, "--pull", "never")
        self.proa("image", "prune", "--force")  # the lease of the one that was killed
        self.nothing_unfinished()

    def test_two_pulls_fetch_each_blob_once(self):
        registry = self.serve()
        name = f"{registry.where}/box:1"
        self.make(name)
        self.proa("push", "-q", name)
        self.forget()
        pulls = [subprocess.Popen([runtime.path(), "pull", "-q", name], env=self.env) for _ in range(4)]
        self.assertEqual([0] * 4, [pull.wait() for pull in pulls])
        fetched = [path for method, path, _, _ in registry.requests() if method == "GET" and "/blobs/" in path]
        self.assertEqual(3, len(fetched))
        self.assertEqual(3, len(set(fetched)))
        self.runs(name, "--pull", "never")
        self.nothing_unfinished()

    def test_registry_that_goes_in_the_middle(self):
        registry = self.serve()
        self.make(f"{registry.where}/box:1")
        self.proa("push", "-q", f"{registry.where}/box:1")
        self.forget()
        wire = Wire(registry.where, 4 << 20)
        self.addCleanup(wire.stop)
        pull = subprocess.Popen([runtime.path(), "pull", f"{wire.where}/box:1"], env=self.env, text=True, stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE)
        ingest = self.folder / "data/images/ingest"
        until(lambda: any(path.stat().st_size > 2 << 20 for path in ingest.glob("sha256-*")), "a part of the large layer")
        registry.stop()
        wire.stop()
        said = pull.communicate(timeout=120)[1]
        self.assertEqual(1, pull.returncode)
        self.assertIn(f"{wire.where}/box: get blob sha256:", said)
        self.assertEqual([], self.proa("images", "-q").stdout.split())

    def test_what_is_wrong_is_said(self):
        registry = self.serve()
        self.assertIn(f"{registry.where}/none: get manifest latest: manifest unknown", self.refused("pull", f"{registry.where}/none"))
        self.assertIn("connection refused", self.refused("pull", "127.0.0.1:1/none"))
        self.assertIn("An image does not exist locally with the tag: ", self.refused("push", f"{registry.where}/none"))
        self.assertIn("repository name must be lowercase", self.refused("pull", "Not-A-Name"))


class Access(RemoteTest):
    def test_login_push_pull_logout(self):
        registry = self.serve(users={"me": "secret"})
        name = f"{registry.where}/box:1"
        self.make(name)
        self.assertIn(f"log in with 'proa login {registry.where}'", self.refused("push", name))
        for words, status in (("wrong", 1), ("secret\n", 0)):
            done = self.proa("login", "-u", "me", "--password-stdin", registry.where, check=False, stdin=self.stdin(words))
            self.assertEqual(status, done.returncode, done.stderr)
            self.assertNotIn(words.strip(), done.stdout + done.stderr)
        self.assertEqual("Login Succeeded\n", done.stdout)
        self.assertEqual(0o600, (self.folder / "docker/config.json").stat().st_mode & 0o777)
        self.proa("push", "-q", name)
        self.skopeo("inspect", "--tls-verify=false", "--authfile", self.folder / "docker/config.json", f"docker://{name}")
        self.forget()
        self.proa("pull", "-q", name)
        self.assertIn("existing credentials", self.proa("login", registry.where).stdout)
        self.assertEqual(f"Removing login credentials for {registry.where}\n", self.proa("logout", registry.where).stdout)
        self.assertEqual(f"Not logged in to {registry.where}\n", self.proa("logout", registry.where).stdout)
        self.forget()
        self.assertIn("unauthorized", self.refused("pull", name))
        self.proa("pull", "-q", "--creds", "me:secret", name)

    def stdin(self, text):
        path = self.folder / "input"
        path.write_text(text)
        file = open(path)
        self.addCleanup(file.close)
        return file

    def test_podmans_login_is_ours(self):
        registry = self.serve(users={"me": "secret"})
        auth = self.folder / "auth.json"
        command(tool("skopeo"), "login", "--tls-verify=false", "--authfile", auth, "-u", "me", "-p", "secret", registry.where)
        env = self.env | {"REGISTRY_AUTH_FILE": str(auth)}
        self.make(f"{registry.where}/box:1")
        self.proa("push", "-q", f"{registry.where}/box:1", env=env)

    def test_login_asks_on_a_terminal(self):
        registry = self.serve(users={"me": "secret"})
        child, screen = pty.fork()
        if child == 0:
            os.execve(runtime.path(), ["proa", "login", registry.where], self.env)
        said = ""
        for question, answer in (("Username: ", "me"), ("Password: ", "secret"), ("Login Succeeded", "")):
            while question not in said:
                said += os.read(screen, 1000).decode()
            os.write(screen, f"{answer}\n".encode())
        os.waitpid(child, 0)
        os.close(screen)
        self.assertNotIn("secret", said)

    def certificates(self):
        """A CA and what it signed for 127.0.0.1."""
        folder = self.folder / "tls"
        folder.mkdir()
        quiet = {"cwd": folder}
        command("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key",
                "-out", "ca.crt", "-days", "2", "-subj", "/CN=test authority", **quiet)
        command("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "server.key",
                "-out", "server.csr", "-subj", "/CN=registry", **quiet)
        (folder / "names").write_text("subjectAltName=IP:127.0.0.1,DNS:registry.test\n")
        command("openssl", "x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
                "-out", "server.crt", "-days", "2", "-extfile", "names", **quiet)
        return folder

    def test_tls_with_an_authority_of_ones_own(self):
        tls = self.certificates()
        registry = self.serve(certificate=(tls / "server.crt", tls / "server.key"))
        # Within the machine any certificate will do; by a name that is not taken for the machine itself, none but good ones.
        local = f"{registry.where}/box:1"
        self.make(local)
        self.proa("push", "-q", local)
        command("mount", "--bind", self.hosts(), "/etc/hosts")
        self.addCleanup(command, "umount", "/etc/hosts")
        name = local.replace("127.0.0.1", "registry.test")
        self.forget()
        said = self.refused("pull", name)
        self.assertIn("certificate", said)
        self.assertIn("/etc/docker/certs.d/registry.test:", said)
        settings = self.folder / "registries.yaml"
        settings.write_text(f"registries:\n  {name.split('/')[0]}:\n    ca: {tls / 'ca.crt'}\n")
        self.proa("pull", "-q", name, env=self.env | {"PROA_REGISTRIES": str(settings)})
        self.forget()
        self.proa("pull", "-q", "--tls-verify=false", name)

    def hosts(self):
        path = self.folder / "hosts"
        path.write_text("127.0.0.1 localhost registry.test\n")
        return path

    def test_plain_http_must_be_allowed(self):
        registry = self.serve()
        command("mount", "--bind", self.hosts(), "/etc/hosts")
        self.addCleanup(command, "umount", "/etc/hosts")
        self.make(f"{registry.where}/box:1")
        self.proa("push", "-q", f"{registry.where}/box:1")
        name = f"{registry.where}/box:1".replace("127.0.0.1", "registry.test")
        self.forget()
        self.assertIn("insecure: true", self.refused("pull", name))
        settings = self.folder / "registries.yaml"
        settings.write_text(json.dumps({"registries": {name.split("/")[0]: {"insecure": True}}}))
        self.proa("pull", "-q", name, env=self.env | {"PROA_REGISTRIES": str(settings)})

    def test_mirrors(self):
        origin, mirror = self.serve(), self.serve()
        name = f"{origin.where}/box:1"
        self.make(name)
        self.proa("push", "-q", name)
        self.proa("tag", name, f"{mirror.where}/box:1")
        self.proa("push", "-q", f"{mirror.where}/box:1")
        self.forget()
        settings = self.folder / "registries.yaml"
        settings.write_text(json.dumps({"registries": {origin.where: {"mirrors": [{"url": "http://127.0.0.1:1"}, {"url": f"http://{mirror.where}"}]}}}))
        before = len(origin.requests())
        self.proa("pull", "-q", name, env=self.env | {"PROA_REGISTRIES": str(settings)})
        self.assertEqual(before, len(origin.requests()))
        self.runs(name, "--pull", "never")


    def test_containerds_hosts_toml(self):
        tls = self.certificates()
        secured, mirror = self.serve(certificate=(tls / "server.crt", tls / "server.key")), self.serve()
        local = f"{secured.where}/box:1"
        self.make(local)
        self.proa("push", "-q", local)
        command("mount", "--bind", self.hosts(), "/etc/hosts")
        self.addCleanup(command, "umount", "/etc/hosts")
        command("mount", "-t", "tmpfs", "tmpfs", "/etc/containerd")
        self.addCleanup(command, "umount", "/etc/containerd")
        name = local.replace("127.0.0.1", "registry.test")
        host = name.split("/")[0]
        folder = Path("/etc/containerd/certs.d") / host
        folder.mkdir(parents=True)
        self.forget()
        self.assertIn("certificate", self.refused("pull", name))
        (folder / "hosts.toml").write_text('ca = "own.crt"\n')
        self.assertIn(f"registry {host}: ca: ", self.refused("pull", name))
        shutil.copy(tls / "ca.crt", folder / "own.crt")
        self.proa("pull", "-q", name)
        # A mirror that has it all; the registry is not asked, and takes no pushes.
        self.proa("tag", name, f"{mirror.where}/box:1")
        self.proa("push", "-q", f"{mirror.where}/box:1")
        (folder / "hosts.toml").write_text(f'server = "https://{host}"\nca = "own.crt"\n[host."http://{mirror.where}"]\n'
                                           'capabilities = ["pull", "resolve"]\nheader = { x-team = "web" }\n')
        self.forget()
        before = len(secured.requests())
        self.proa("pull", "-q", name)
        self.assertEqual(before, len(secured.requests()))
        self.runs(name, "--pull", "never")
        self.proa("push", "-q", name)
        self.assertLess(before, len(secured.requests()))
        (folder / "hosts.toml").write_text("skip_verify = maybe\n")
        self.assertIn(f"{folder}/hosts.toml: line 1, column", self.refused("pull", name))


class Screens(RemoteTest):
    def test_progress_on_a_terminal(self):
        registry = self.serve()
        name = f"{registry.where}/box:1"
        self.make(name)
        pushed = terminal(runtime.path(), "push", name, env=self.env).stdout
        self.assertEqual(2, pushed.split("\x1b[2A")[-1].count(": Pushed"))
        self.forget()
        pulled = terminal(runtime.path(), "pull", name, env=self.env).stdout
        last = pulled.split("\x1b[2A")[-1]
        self.assertEqual(2, last.count(": Pull complete"))
        self.assertRegex(last, rf"Digest: sha256:\w+\s+Status: Downloaded newer image for {name}\s+{name}\s+$")
        self.assertIn("Downloading [", pulled)

    def test_results_as_documents(self):
        registry = self.serve()
        name = f"{registry.where}/box:1"
        self.make(name)
        pushed = json.loads(self.proa("push", "-o", "json", name).stdout)
        self.forget()
        pulled = json.loads(self.proa("pull", "-o", "json", name).stdout)
        self.assertEqual((name, pushed["Digest"]), (pulled["Name"], pulled["Digest"]))
        self.assertEqual(f"{name}\n", self.proa("pull", "-q", name).stdout)

    def test_all_tags(self):
        registry = self.serve()
        name = f"{registry.where}/box"
        self.make(f"{name}:1")
        self.proa("tag", f"{name}:1", f"{name}:2")
        self.assertEqual([f"{name}:1", f"{name}:2"], self.proa("push", "-q", "-a", name).stdout.split())
        self.forget()
        self.assertEqual([f"{name}:1", f"{name}:2"], sorted(self.proa("pull", "-q", "-a", name).stdout.split()))
        self.assertIn("has a tag", self.refused("pull", "-a", f"{name}:1"))

    def test_mounts_between_repositories(self):
        registry = self.serve()
        self.make(f"{registry.where}/a/box:1")
        self.proa("push", "-q", f"{registry.where}/a/box:1")
        self.proa("tag", f"{registry.where}/a/box:1", f"{registry.where}/b/box:1")
        self.assertEqual(2, self.proa("push", f"{registry.where}/b/box:1").stdout.count(": Mounted from a/box"))
        self.assertEqual([], [entry for entry in registry.requests() if entry[0] == "PUT" and "/v2/b/box/blobs" in entry[1]])


if __name__ == "__main__":
    main()
