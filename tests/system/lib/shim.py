"""proa-shim, named by PROA_SHIM: starting it, its sockets, and the logs it writes."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

from .case import until
from .runtime import REPOSITORY

OUT, ERR, RESULT = 1, 2, 3


def path():
    """The shim under test: $PROA_SHIM, or the release build."""
    named = os.environ.get("PROA_SHIM") or REPOSITORY / "build/release/proa-shim"
    found = shutil.which(str(named))
    if not found:
        sys.exit(f"no shim to test: {named} is not there or not executable (build it, or set PROA_SHIM)")
    return Path(found).resolve()


class Refused(AssertionError):
    pass


def _connect(address):
    """By way of a descriptor, as a socket's address holds no more than 107 bytes."""
    folder = os.open(Path(address).parent, os.O_PATH)
    try:
        client = socket.socket(socket.AF_UNIX)
        client.connect(f"/proc/self/fd/{folder}/{Path(address).name}")
        return client
    finally:
        os.close(folder)


class Attached:
    """A client of attach.sock. `data` has what each stream brought, `record` the exit record."""

    def __init__(self, address, hello):
        self.socket = _connect(address)
        self.socket.settimeout(60)
        with contextlib.suppress(BrokenPipeError):  # refused before it was heard
            self.socket.sendall(hello.encode() + b"\n")
        self._file = self.socket.makefile("rb")
        answer = self._file.readline().decode()
        if answer != "ok\n":
            self.close()
            raise Refused(answer)
        self.data = {OUT: b"", ERR: b""}
        self.record = None

    def send(self, data):
        self.socket.sendall(data)

    def end_input(self):
        self.socket.shutdown(socket.SHUT_WR)

    def frame(self):
        """The next frame as (stream, bytes), or None at the end."""
        head = self._file.read(8)
        if not head:
            return None
        body = self._file.read(int.from_bytes(head[4:], "big"))
        if head[1:4] != b"\0\0\0" or len(body) != int.from_bytes(head[4:], "big"):
            raise AssertionError(f"broken frame: {head!r}, {len(body)} bytes follow")
        if head[0] == RESULT:
            self.record = json.loads(body)
        else:
            self.data[head[0]] += body
        return head[0], body

    def read_until(self, text, stream=OUT):
        while text not in self.data[stream]:
            if self.frame() is None:
                raise AssertionError(f"the output ended without {text!r}: {self.data}")

    def read_all(self):
        while self.frame():
            pass
        return self

    def rest(self):
        """What is left of a raw stream."""
        return self._file.read()

    def close(self):
        self._file.close()
        self.socket.close()


class Shim:
    """One shim and its container, with all its files in the test's folder; removed when the test ends."""

    def __init__(self, case, bundle, *flags, ident="box", runtime=None, log=None, tail=(), stdin_file=None):
        self.case, self.ident = case, ident
        self.runtime = runtime or case.runtime
        self.state = case.folder / f"{ident}.shim"
        self.log = case.folder / f"{ident}.log"
        self.argv = [path(), "--runtime", self.runtime.command, "--root", self.runtime.root, "--bundle", bundle.path,
                     "--id", ident, "--state", self.state]
        if log:
            self.argv += ["--log", self.log, "--log-format", log]
        self.argv = [*map(str, (*self.argv, *flags))]
        self.tail = [*map(str, tail)]
        self.answer, self.said = None, ""

    def launch(self):
        """Runs proa-shim until it goes to the background; `answer` is what it wrote to --sync-fd."""
        reader, writer = os.pipe()
        with open(self.case.folder / f"{self.ident}.said", "w+") as said:
            started = subprocess.Popen([*self.argv, "--sync-fd", str(writer), *self.tail], pass_fds=[writer],
                                       stdin=subprocess.DEVNULL, stdout=said, stderr=said)
            os.close(writer)
            with open(reader) as answer:
                line = answer.read()
            self.status = started.wait(timeout=60)
            said.seek(0)
            self.said = said.read()
        self.answer = json.loads(line)
        return self

    def create(self):
        self.launch()
        if self.status or "pid" not in self.answer:
            raise AssertionError(f"proa-shim: exit {self.status}: {self.answer} {self.said}")
        self.pid, self.shim_pid = self.answer["pid"], self.answer["shim"]
        self.case.addCleanup(self.remove)
        return self

    def start(self):
        self.runtime("start", self.ident)
        return self

    def attach(self, hello="attach stdout stderr exit"):
        client = Attached(self.state / "attach.sock", hello)
        self.case.addCleanup(client.close)
        return client

    def control(self, *commands):
        """The answers to the commands, a line each; one alone is not in a list."""
        with _connect(self.state / "ctl.sock") as client, client.makefile("rw") as lines:
            client.settimeout(60)
            answers = []
            for command in commands:
                lines.write(command + "\n")
                lines.flush()
                answers.append(lines.readline().rstrip("\n"))
        return answers if len(answers) > 1 else answers[0]

    def status_report(self):
        return json.loads(self.control("status"))

    def alive(self):
        try:
            return Path(f"/proc/{self.shim_pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except (FileNotFoundError, ProcessLookupError):
            return False

    def ended(self, patience=60):
        """The exit record, once the container has ended and the shim with it."""
        until(lambda: (self.state / "exit").exists() and not self.alive(), f"the end of {self.ident}", patience)
        return json.loads((self.state / "exit").read_text())

    def run(self):
        """Create, start, and wait for the end."""
        return self.create().start().ended()

    def pss(self):
        """KiB of memory that the shim accounts for."""
        rollup = Path(f"/proc/{self.shim_pid}/smaps_rollup").read_text()
        return int(next(line for line in rollup.splitlines() if line.startswith("Pss:")).split()[1])

    def logs(self):
        """The log files, oldest first."""
        older = sorted(self.log.parent.glob(f"{self.log.name}.*"), key=lambda file: -int(file.name.removesuffix(".gz").rpartition(".")[2]))
        return [*older, *([self.log] if self.log.exists() else [])]

    def remove(self):
        if self.runtime.exists(self.ident):
            self.runtime("delete", "--force", self.ident)
        if self.state.exists():
            until(lambda: not self.alive(), f"the shim of {self.ident} to end")
            clean_up(self.state, self.log)


def clean_up(state, log=None, check=True):
    return subprocess.run([path(), "--cleanup", "--state", state, *(["--log", log] if log else [])], check=check,
                          capture_output=True, text=True)


def parse_json_log(text):
    """Docker's json-file: the bytes of each stream."""
    streams = {"stdout": [], "stderr": []}
    for line in text.splitlines(keepends=True):
        record = json.loads(line)
        if set(record) != {"log", "stream", "time"} or not line.endswith("\n"):
            raise AssertionError(f"not a record: {line!r}")
        streams[record["stream"]].append(record["log"])
    return {name: "".join(parts).encode() for name, parts in streams.items()}


def parse_cri_log(data):
    """Kubernetes' CRI format: the bytes of each stream."""
    streams = {b"stdout": [], b"stderr": []}
    for line in data.split(b"\n")[:-1]:
        _, stream, tag, text = line.split(b" ", 3)
        if tag not in (b"F", b"P"):
            raise AssertionError(f"not a record: {line!r}")
        streams[stream].append(text + (b"\n" if tag == b"F" else b""))
    return {name.decode(): b"".join(parts) for name, parts in streams.items()}
