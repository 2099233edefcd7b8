"""Debian packages for the guest: pinned, downloaded and unpacked, never installed."""

import hashlib
import os
import pathlib
import re
import subprocess
from dataclasses import dataclass


class PackageError(Exception):
    """A package cannot be resolved, downloaded or trusted."""


@dataclass(frozen=True)
class Package:
    name: str
    version: str
    sha256: str
    keep: tuple  # globs of the paths to keep; empty: all

    def pin(self):
        return f"{self.name}={self.version} sha256:{self.sha256} {' '.join(self.keep)}".rstrip()


def _run(*command, **kwargs):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env={**os.environ, "LC_ALL": "C"}, check=False, **kwargs)


def read_list(path):
    """Returns [(name, keep globs)] of a package list."""
    wanted = []
    for line in pathlib.Path(path).read_text().splitlines():
        words = line.split("#", 1)[0].split()
        if words:
            wanted.append((words[0], tuple(words[1:])))
    return wanted


def _show(names):
    """apt's candidate of each package: {name: fields}; refreshes apt's lists once if it must."""
    for refresh in (False, True):
        if refresh:
            _run("apt-get", "-qq", "update")
        known = {}
        for record in _run("apt-cache", "show", "--no-all-versions", *names).stdout.split("\n\n"):
            fields = dict(re.findall(r"^(Package|Version|SHA256|Depends): (.+)$", record, re.MULTILINE))
            known.setdefault(fields.get("Package"), fields)
        missing = [n for n in names if n not in known]
        if not missing:
            return known
    raise PackageError(f"apt knows no package {', '.join(missing)}; run `apt-get update`")


def resolve(wanted):
    """Pins every package to apt's candidate version and its SHA-256."""
    metas = [n[1:] for n, _ in wanted if n.startswith("@")]
    needed = {meta: fields["Depends"].split()[0] for meta, fields in _show(metas).items() if meta}
    names = [needed[n[1:]] if n.startswith("@") else n for n, _ in wanted]
    known = _show(names)
    return [Package(n, known[n]["Version"], known[n]["SHA256"], keep)
            for n, (_, keep) in zip(names, wanted)]


def _deb_path(package, folder):
    version = package.version.replace(":", "%3a")
    for path in folder.glob(f"{package.name}_{version}_*.deb"):
        if hashlib.sha256(path.read_bytes()).hexdigest() == package.sha256:
            return path
        path.unlink()
    return None


def download(packages, folder):
    """Downloads what the folder lacks; every file is checked against its pinned SHA-256."""
    folder.mkdir(parents=True, exist_ok=True)
    lacking = [p for p in packages if _deb_path(p, folder) is None]
    if not lacking:
        return
    done = _run("apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download",
                *(f"{p.name}={p.version}" for p in lacking), cwd=folder)
    failed = [p.name for p in lacking if _deb_path(p, folder) is None]
    if failed:
        raise PackageError(f"cannot download {', '.join(failed)}: {done.stderr.strip()}")


_NEVER = ("usr/share/doc/*", "usr/share/man/*", "usr/share/locale/*", "usr/share/lintian/*",
          "usr/share/bug/*", "usr/share/bash-completion/*", "usr/share/zsh/*",
          "usr/lib/x86_64-linux-gnu/gconv/*", "usr/lib/systemd/catalog/*",
          "usr/lib/udev/hwdb.d/*", "usr/share/polkit-1/*")


def unpack(packages, folder, root):
    """Unpacks the kept paths of each package into root, whose /lib, /bin… are links into /usr."""
    for package in packages:
        _unpack_one(package, _deb_path(package, folder), root)


def _unpack_one(package, deb, root):
    data = subprocess.run(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE, check=True)
    command = ["tar", "-x", "-p", "-C", str(root), "--keep-directory-symlink", "--wildcards"]
    if not package.keep:
        command += [f"--exclude=./{glob}" for glob in _NEVER]
    command += ["-f", "-", *(f"./{glob}" for glob in package.keep)]
    done = subprocess.run(command, input=data.stdout, stderr=subprocess.PIPE, check=False)
    if done.returncode:
        raise PackageError(f"cannot unpack {deb.name}: {done.stderr.decode().strip()}")

