#!/usr/bin/env python3
"""Where containers' output goes: log drivers and their options, against receivers of the test's own."""

import contextlib
import errno
import fcntl
import gzip
import json
import os
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import unittest
import zlib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib.case import command, main, until  # noqa: E402
from lib.engine import EngineTest  # noqa: E402


class Receiver:
    """A socket with a thread that takes what comes, datagrams or connections, and keeps the messages."""

    def __init__(self, sock, split=None, tls=None):
        self.socket, self.split, self.tls, self.messages, self.connections = sock, split, tls, [], 0
        self.closed, self.open, self.seals = False, [], []
        if sock.type == socket.SOCK_STREAM:
            sock.listen()
        self.thread = threading.Thread(target=self._streams if sock.type == socket.SOCK_STREAM else self._datagrams, daemon=True)
        self.thread.start()

    @property
    def port(self):
        return self.socket.getsockname()[1]

    def _datagrams(self):
        while not self.closed:
            try:
                data, control, _, _ = self.socket.recvmsg(1 << 20, 4096)
            except OSError:
                return
            for _, _, fds in control:
                for fd in struct.unpack("i" * (len(fds) // 4), fds):
                    assert data == b"", "a message comes in the datagram or in the file"
                    data = os.pread(fd, 1 << 24, 0)
                    self.seals.append(fcntl.fcntl(fd, fcntl.F_GET_SEALS))
                    os.close(fd)
            self.messages.append(data)

    def _streams(self):
        while not self.closed:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer):
        try:
            if self.tls:
                peer = self.tls.wrap_socket(peer, server_side=True)
            self.open.append(peer)
            rest = b""
            while True:
                data = peer.recv(1 << 16)
                if not data:
                    return
                rest = self.take(rest + data, peer)
        except OSError:
            return
        finally:
            peer.close()

    def take(self, data, peer):
        *whole, rest = data.split(self.split)
        self.messages.extend(whole)
        return rest

    def close(self):
        self.closed = True
        for peer in [self.socket, *self.open]:
            try:
                peer.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            peer.close()


def free_port():
    with tcp() as probe:
        return probe.getsockname()[1]


def udp(address=("127.0.0.1", 0)):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(address)
    return sock


def tcp(address=("127.0.0.1", 0)):
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(address)
    return sock


def unix(path, kind):
    sock = socket.socket(socket.AF_UNIX, kind)
    sock.bind(str(path))
    return sock


class Octets(Receiver):
    """Syslog by RFC 5425: each message behind its length."""

    def take(self, data, peer):
        while b" " in data:
            size, _, rest = data.partition(b" ")
            if len(rest) < int(size):
                break
            self.messages.append(rest[:int(size)])
            data = rest[int(size):]
        return data


def unpack(data, at=0):
    """A value of MessagePack and where it ends; IndexError or struct.error when it is not whole."""
    kind = data[at]
    at += 1
    def number(form):
        size = struct.calcsize(form)
        return struct.unpack_from(form, data, at)[0], at + size
    def text(size, begin):
        if begin + size > len(data):
            raise IndexError
        return data[begin:begin + size].decode(errors="surrogateescape"), begin + size
    def several(count, begin, pairs):
        out = []
        for _ in range(count * (2 if pairs else 1)):
            value, begin = unpack(data, begin)
            out.append(value)
        return (dict(zip(out[::2], out[1::2])) if pairs else out), begin
    if kind < 0x80:
        return kind, at
    if kind < 0x90:
        return several(kind & 15, at, True)
    if kind < 0xa0:
        return several(kind & 15, at, False)
    if kind < 0xc0:
        return text(kind & 31, at)
    if kind in (0xcc, 0xcd, 0xce, 0xcf):
        return number({0xcc: ">B", 0xcd: ">H", 0xce: ">I", 0xcf: ">Q"}[kind])
    if kind in (0xd9, 0xda, 0xdb):
        return text(*number({0xd9: ">B", 0xda: ">H", 0xdb: ">I"}[kind]))
    if kind in (0xdc, 0xdd):
        return several(*number({0xdc: ">H", 0xdd: ">I"}[kind]), False)
    if kind in (0xde, 0xdf):
        return several(*number({0xde: ">H", 0xdf: ">I"}[kind]), True)
    if kind == 0xd7:  # eight bytes of an extension: EventTime
        assert data[at] == 0
        seconds, nanoseconds = struct.unpack_from(">II", data, at + 1)
        return (seconds, nanoseconds), at + 9
    raise AssertionError(f"MessagePack: {kind:#x}")


class Forward(Receiver):
    """Fluentd's protocol; `acknowledge` answers what asks for it."""

    acknowledge = True

    def take(self, data, peer):
        while data:
            try:
                (tag, events, options), end = unpack(data)
            except (IndexError, struct.error):
                break
            self.messages.extend((tag, time, record) for time, record in events)
            assert options["size"] == len(events)
            if "chunk" in options and self.acknowledge:
                chunk = options["chunk"].encode()
                peer.sendall(b"\x81\xa3ack" + bytes([0xa0 | len(chunk)]) + chunk)
            data = data[end:]
        return data


def dechunk(datagrams):
    """GELF messages of datagrams, chunked or not, as JSON."""
    parts, out = {}, []
    for data in datagrams:
        if data[:2] == b"\x1e\x0f":
            assert len(data) <= 1420
            message, number, count = data[2:10], data[10], data[11]
            parts.setdefault(message, {})[number] = data[12:]
            if len(parts[message]) < count:
                continue
            pieces = parts.pop(message)
            data = b"".join(pieces[i] for i in range(count))
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        elif data[:1] == b"\x78":
            data = zlib.decompress(data)
        out.append(json.loads(data))
    assert not parts, "a message is not whole"
    return out


class LogsTest(EngineTest):
    def receiver(self, made):
        self.addCleanup(made.close)
        return made

    def start_logged(self, name, driver, options, *args, flags=()):
        given = [word for option in options for word in ("--log-opt", option)]
        return self.start(name, *args, flags=("--log-driver", driver, *given, *flags))

    def lines_of(self, name):
        return self.proa("logs", name).stdout

    def arrived(self, receiver, count):
        until(lambda: len(receiver.messages) >= count, f"{count} messages")
        return receiver.messages

    def forwarders(self):
        out = []
        for process in Path("/proc").iterdir():
            try:
                if process.name.isdigit() and (process / "cmdline").read_bytes().split(b"\0")[1:2] == [b"__logs"]:
                    out.append(int(process.name))
            except OSError:
                pass
        return out

    def refused(self, driver, *options):
        given = [word for option in options for word in ("--log-opt", option)]
        done = self.proa("create", "--network", "none", "--log-driver", driver, *given, "--rootfs", self.root, "true", check=False)
        self.assertNotEqual(0, done.returncode)
        return done.stderr


class Files(LogsTest):
    def test_details(self):
        self.start("box", "sh", "-c", "echo one; echo two >&2",
                   flags=("--log-opt", "tag={{.Name}}/{{.ImageName}}", "--log-opt", "labels=color,none", "--log-opt", "env-regex=^S",
                          "-l", "color=deep blue", "-e", "SIZE=1,2", "-e", "OTHER=3"))
        self.settle("box", "exited")
        text = f"SIZE=1%2C2,color=deep+blue,tag=box%2F{str(self.root).replace('/', '%2F')} "
        done = self.proa("logs", "--details", "box")
        self.assertEqual((f"{text}one\n", f"{text}two\n"), (done.stdout, done.stderr))
        self.assertEqual("one\n", self.proa("logs", "box").stdout)
        record = json.loads((self.data / "containers" / self.look("box", "{{.Id}}") / "log").read_text().splitlines()[0])
        self.assertEqual({"SIZE": "1,2", "color": "deep blue", "tag": f"box/{self.root}"}, record["attrs"])
        time, rest = self.proa("logs", "--details", "-t", "box").stdout.split(" ", 1)
        self.assertRegex(time, r"^\d{4}-.*Z$")
        self.assertEqual(f"{text}one\n", rest)

    def test_details_of_nothing(self):
        self.start("box", "echo", "one")
        self.settle("box", "exited")
        self.assertEqual(" one\n", self.proa("logs", "--details", "box").stdout)

    def test_compressed_files(self):
        self.start("box", "seq", "100001", "106000", flags=("--log-opt", "max-size=64k", "--log-opt", "max-file=4", "--log-opt", "compress=true"))
        self.settle("box", "exited")
        folder = self.data / "containers" / self.look("box", "{{.Id}}")
        self.assertEqual(["log", "log.1.gz", "log.2.gz", "log.3.gz"], sorted(p.name for p in folder.iterdir() if p.name.startswith("log")))
        with gzip.open(folder / "log.1.gz") as file:
            self.assertTrue(json.loads(file.readline())["log"].startswith("10"))
        lines = self.lines_of("box").splitlines()
        self.assertEqual("106000", lines[-1])
        self.assertEqual([str(i) for i in range(int(lines[0]), 106001)], lines)
        self.assertGreater(len(lines), 2000)
        self.assertEqual(lines[-1500:], self.proa("logs", "-n", "1500", "box").stdout.splitlines())

    def test_non_blocking(self):
        """The shim of such a container writes its log from a buffer; all of it is there in the end."""
        for driver, size in (("json-file", "8m"), ("local", "8m"), ("k8s-file", "8m")):
            with self.subTest(driver=driver):
                self.start_logged(driver, driver, ["mode=non-blocking", f"max-buffer-size={size}"], "sh", "-c",
                                  f"until [ -e /tmp/{driver} ]; do sleep 0.02; done; seq 20000")
                state = self.data / "containers" / self.look(driver, "{{.Id}}")
                shims = [words for words in self.command_lines() if any(str(state) in word for word in words) and "--log-buffer" in words]
                self.assertEqual([str(8 << 20)], [words[words.index("--log-buffer") + 1] for words in shims])
                self.proa("exec", driver, "touch", f"/tmp/{driver}")
                self.settle(driver, "exited")
                self.assertEqual([*map(str, range(1, 20_001))], self.lines_of(driver).splitlines())

    @staticmethod
    def command_lines():
        found = []
        for file in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                found.append(file.read_text().split("\0"))
        return found

    def test_follow_through_rotations(self):
        self.start("box", "sh", "-c", "until [ -e /tmp/go ]; do sleep 0.02; done; seq 20000; sleep 1000",
                   flags=("--tmpfs", "/tmp", "--log-opt", "max-size=32k", "--log-opt", "max-file=50", "--log-opt", "compress=true"))
        follower = self.popen("logs", "-f", "box")
        self.proa("exec", "box", "touch", "/tmp/go")
        self.assertEqual([f"{i}\n" for i in range(1, 20001)], [follower.stdout.readline() for _ in range(20000)])
        follower.kill()
        follower.communicate()

    def test_options_are_checked(self):
        for driver, options, message in (
                ("splunk", (), "logger: no log driver named 'splunk' is registered"),
                ("json-file", ("size=1",), "unknown log opt 'size' for json-file log driver"),
                ("local", ("tag=x",), "unknown log opt 'tag' for log driver local"),
                ("none", ("max-size=1k",), "unknown log opt 'max-size' for none log driver"),
                ("json-file", ("max-file=0",), "max-file cannot be less than 1"),
                ("json-file", ("compress=true", "max-file=1"), "compress cannot be true when max-file is less than 2 or max-size is not set"),
                ("json-file", ("compress=perhaps",), "log opt compress: 'perhaps' is neither true nor false"),
                ("json-file", ("max-size=big",), "log opt max-size: 'big' is not a size"),
                ("json-file", ("tag={{.Nope}}",), "log opt tag: "),
                ("json-file", ("env-regex=(",), "error parsing regexp: missing )"),
                ("json-file", ("mode=fast",), "logger: logging mode not supported: fast"),
                ("json-file", ("max-buffer-size=1m",), "logger: max-buffer-size option is only supported with 'mode=non-blocking'"),
                ("syslog", ("syslog-address=127.0.0.1",), "syslog-address should be in form proto://address, got 127.0.0.1"),
                ("syslog", ("syslog-format=rfc1",), "Invalid syslog format"),
                ("syslog", ("syslog-facility=nope",), "invalid syslog facility"),
                ("syslog", ("syslog-address=unixgram:///nope",), "syslog-address: /nope: no such file"),
                ("gelf", (), "gelf-address is a required parameter"),
                ("gelf", ("gelf-address=http://a:1",), "gelf: endpoint needs to be TCP or UDP"),
                ("gelf", ("gelf-address=tcp://a:1", "gelf-compression-type=gzip"), "compression is only supported on UDP"),
                ("gelf", ("gelf-address=udp://a:1", "gelf-compression-type=lz4"), 'unknown value "lz4" for log opt "gelf-compression-type" for gelf log driver'),
                ("gelf", ("gelf-address=udp://a:1", "gelf-tcp-max-reconnect=1"), '"gelf-tcp-max-reconnect" is only valid for TCP'),
                ("fluentd", ("fluentd-address=http://a",), 'unsupported scheme: "http"'),
                ("fluentd", ("fluentd-address=a:99999",), "invalid port in address a:99999"),
                ("fluentd", ("fluentd-async=si",), "log opt fluentd-async: 'si' is neither true nor false"),
                ("journald", ("max-size=1m",), "unknown log opt 'max-size' for journald log driver")):
            with self.subTest(driver=driver, options=options):
                self.assertIn(message, self.refused(driver, *options))


class Syslog(LogsTest):
    def test_datagrams(self):
        box = self.receiver(Receiver(udp()))
        ident = self.start_logged("box", "syslog", [f"syslog-address=udp://127.0.0.1:{box.port}", "syslog-facility=local3", "syslog-format=rfc3164"],
                                  "sh", "-c", "echo out; echo err >&2")
        out, err = self.arrived(box, 2)
        host = socket.gethostname()
        tag = ident[:12].encode()
        self.assertRegex(out.decode(), rf"^<158>\w{{3}} [ \d]\d \d\d:\d\d:\d\d {host} {tag.decode()}\[\d+\]: out$")
        self.assertRegex(err.decode(), rf"^<155>.* {tag.decode()}\[\d+\]: err$")
        self.assertEqual("out\n", self.lines_of("box"))

    def test_streams(self):
        box = self.receiver(Receiver(tcp(), b"\n"))
        self.start_logged("box", "syslog", [f"syslog-address=tcp://127.0.0.1:{box.port}", "tag={{.Name}}", "syslog-format=rfc5424"], "sh", "-c", "seq 2000")
        messages = self.arrived(box, 2000)
        self.assertRegex(messages[0].decode(), r"^<30>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ \S+ box \d+ box - 1$")
        self.assertEqual([str(i) for i in range(1, 2001)], [m.decode().rsplit(" ", 1)[1] for m in messages])
        self.settle("box", "exited")
        until(lambda: not self.forwarders(), "the forwarder to end with its run")

    def test_unix_sockets(self):
        for kind, scheme, split in ((socket.SOCK_DGRAM, "unixgram", None), (socket.SOCK_DGRAM, "unix", None), (socket.SOCK_STREAM, "unix", b"\n")):
            with self.subTest(scheme=scheme, kind=kind):
                path = self.folder / "syslog"
                box = Receiver(unix(path, kind), split)
                self.once("echo", "hello", flags=("--log-driver", "syslog", "--log-opt", f"syslog-address={scheme}://{path}"))
                self.assertRegex(self.arrived(box, 1)[0].decode(), r"^<30>\w{3} [ \d]\d \S+ \w{12}\[\d+\]: hello$")
                box.close()
                path.unlink()

    def test_tls(self):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1", "-subj", "/CN=logs",
                        "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", self.folder / "key", "-out", self.folder / "cert"], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "cert", self.folder / "key")
        box = self.receiver(Octets(tcp(), tls=context))
        address = f"syslog-address=tcp+tls://127.0.0.1:{box.port}"
        refused = self.proa("run", "--name", "none", "--network", "none", "--log-driver", "syslog", "--log-opt", address, "--rootfs", self.root, "true", check=False)
        self.assertIn("failed to initialize logging driver: dial tcp+tls://127.0.0.1:", refused.stderr)
        self.start_logged("box", "syslog", [address, f"syslog-tls-ca-cert={self.folder}/cert", "syslog-format=rfc5424micro"], "sh", "-c", "echo one; echo two")
        one, two = self.arrived(box, 2)
        self.assertRegex(one.decode(), r"^<30>1 \S+\.\d{6}Z .* - one$")
        self.assertTrue(two.endswith(b" two"))

    @unittest.skipUnless(shutil.which("rsyslogd"), "rsyslogd is not installed: run scripts/bootstrap test")
    def test_rsyslog(self):
        """The daemon itself understands what we send."""
        log, port = self.folder / "messages", free_port()
        config = self.folder / "rsyslog.conf"
        config.write_text(f"""global(workDirectory="{self.folder}")
module(load="imtcp")
input(type="imtcp" address="127.0.0.1" port="{port}")
template(name="t" type="string" string="%syslogseverity-text% %syslogfacility-text% %app-name% %procid%:%msg%\\n")
*.* action(type="omfile" file="{log}" template="t")
""")
        daemon = subprocess.Popen(["rsyslogd", "-n", "-f", config, "-i", self.folder / "rsyslog.pid"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(lambda: (daemon.terminate(), daemon.wait()))
        def listens():
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0
        until(listens, "rsyslogd to listen")
        for form in ("", "rfc3164", "rfc5424", "rfc5424micro"):
            with self.subTest(format=form):
                self.once("sh", "-c", f"echo from {form or 'none'} >&2",
                          flags=("--log-driver", "syslog", "--log-opt", f"syslog-address=tcp://127.0.0.1:{port}", "--log-opt", "syslog-facility=local1",
                                 "--log-opt", "tag=shop", *(("--log-opt", f"syslog-format={form}") if form else ())))
                line = until(lambda: [l for l in log.read_text().splitlines() if l.endswith(f"from {form or 'none'}")] if log.exists() else None, "the line")[0]
                self.assertRegex(line, r"^err local1 shop \d+: ?from")

    def test_a_receiver_that_comes_back(self):
        """Every line arrives, whatever happens to the receiver and to who sends. On a unix socket: that alone tells what was
        read; with TCP what the receiver's system has and the receiver does not read is lost."""
        path = self.folder / "syslog"
        first = Receiver(unix(path, socket.SOCK_STREAM), b"\n")
        self.start_logged("box", "syslog", [f"syslog-address=unix://{path}"], "sh", "-c",
                          "i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo line $i; sleep 0.01; done")
        self.arrived(first, 50)
        first.close()
        until(lambda: "line 120\n" in self.lines_of("box"), "more lines")
        os.kill(until(self.forwarders, "the forwarder")[0], signal.SIGKILL)
        path.unlink()
        second = self.receiver(Receiver(unix(path, socket.SOCK_STREAM), b"\n"))
        wanted = {f"line {i}" for i in range(1, 301)}
        got = lambda: {m.decode().split(": ", 1)[1] for m in first.messages + second.messages}
        until(lambda: got() >= wanted, "every line", patience=60)
        self.settle("box", "exited")
        until(lambda: not self.forwarders(), "the forwarder to end")

    def test_what_was_not_sent_is_sent_later(self):
        first = Receiver(tcp(), b"\n")
        port = first.port
        self.start_logged("box", "syslog", [f"syslog-address=tcp://127.0.0.1:{port}"], "sh", "-c", "echo begin; until [ -e /tmp/go ]; do sleep 0.02; done; echo end", flags=("--tmpfs", "/tmp"))
        self.arrived(first, 1)
        first.close()
        for forwarder in self.forwarders():
            os.kill(forwarder, signal.SIGSTOP)
        stopped = self.forwarders()
        self.proa("exec", "box", "touch", "/tmp/go")
        self.settle("box", "exited")
        for forwarder in stopped:
            os.kill(forwarder, signal.SIGKILL)
        until(lambda: not self.forwarders(), "the forwarder to go")
        second = self.receiver(Receiver(tcp(("127.0.0.1", port)), b"\n"))
        self.proa("start", "box")
        self.proa("exec", "box", "touch", "/tmp/go")
        until(lambda: sum(m.endswith(b": end") for m in second.messages) >= 2, "the end of both runs")
        self.assertNotIn(b"begin", second.messages[0])

    def test_removed_while_nobody_listens(self):
        """What cannot be sent does not keep a container from going, nor anything behind."""
        box = Receiver(tcp(), b"\n")
        self.start_logged("box", "syslog", [f"syslog-address=tcp://127.0.0.1:{box.port}"], "sh", "-c", "while :; do echo line; sleep 0.01; done")
        self.arrived(box, 1)
        box.close()
        self.proa("rm", "-f", "box")
        until(lambda: not self.forwarders(), "the forwarder to end", patience=1)
        self.assertEqual([], [*(self.data / "containers").iterdir()])

    def test_a_full_buffer_of_one_that_does_not_block(self):
        box = Receiver(tcp(), b"\n")
        port = box.port
        self.start_logged("box", "syslog", [f"syslog-address=tcp://127.0.0.1:{port}", "mode=non-blocking", "max-buffer-size=4k", "cache-max-size=16k"],
                          "sh", "-c", "echo begin; until [ -e /tmp/go ]; do sleep 0.02; done; seq 20000; echo end; sleep 1000", flags=("--tmpfs", "/tmp"))
        self.arrived(box, 1)
        box.close()
        self.proa("exec", "box", "touch", "/tmp/go")
        until(lambda: self.proa("logs", "-n", "1", "box").stdout == "end\n", "the last line")
        until(lambda: not self.connected(port), "the connection to be noticed as gone")
        second = self.receiver(Receiver(tcp(("127.0.0.1", port)), b"\n"))
        until(lambda: second.messages and second.messages[-1].endswith(b": end"), "the newest lines")
        self.assertLess(len(second.messages), 1000)

    def connected(self, port):
        return f"127.0.0.1:{port}" in command("ss", "-Htn", "state", "established").stdout


class Gelf(LogsTest):
    def test_datagrams(self):
        for options, check in ((("gelf-compression-type=gzip",), lambda d: d[:2] == b"\x1f\x8b"), (("gelf-compression-type=zlib", "gelf-compression-level=9"), lambda d: d[:1] == b"\x78"),
                               (("gelf-compression-type=none",), lambda d: d[:1] == b"{")):
            with self.subTest(options=options):
                box = Receiver(udp())
                given = [word for option in (f"gelf-address=udp://127.0.0.1:{box.port}", "tag=t", "labels=color", *options) for word in ("--log-opt", option)]
                self.once("sh", "-c", "echo out; echo; echo err >&2", flags=("--name", "web", "-l", "color=red", "--log-driver", "gelf", *given))
                self.assertTrue(all(map(check, self.arrived(box, 2))))
                out, err = dechunk(box.messages)
                self.assertEqual(("1.1", "out", 6, "web", "t", "red", socket.gethostname()),
                                 tuple(out[key] for key in ("version", "short_message", "level", "_container_name", "_tag", "_color", "host")))
                self.assertEqual(("err", 3), (err["short_message"], err["level"]))
                self.assertEqual("sh -c echo out; echo; echo err >&2", out["_command"])
                box.close()

    def test_chunks(self):
        """Long lines: of a text that does not get smaller, too."""
        text = os.urandom(6000).hex()
        (self.folder / "in").mkdir()
        (self.folder / "in/text").write_text(text + "\n")
        for kind in ("none", "gzip"):
            with self.subTest(kind=kind):
                box = Receiver(udp())
                given = [word for option in (f"gelf-address=udp://127.0.0.1:{box.port}", f"gelf-compression-type={kind}") for word in ("--log-opt", option)]
                self.once("cat", "/in/text", flags=("-v", f"{self.folder}/in:/in:ro", "--log-driver", "gelf", *given))
                until(lambda: len(box.messages) >= box.messages[0][11] if box.messages else False, "all chunks")
                self.assertEqual([text], [m["short_message"] for m in dechunk(box.messages)])
                self.assertGreater(len(box.messages), 3)
                box.close()
        shutil.rmtree(self.root / "in")

    def test_streams(self):
        box = self.receiver(Receiver(tcp(), b"\0"))
        self.start_logged("box", "gelf", [f"gelf-address=tcp://127.0.0.1:{box.port}", "gelf-tcp-max-reconnect=100", "gelf-tcp-reconnect-delay=1"], "seq", "100")
        self.assertEqual([str(i) for i in range(1, 101)], [json.loads(m)["short_message"] for m in self.arrived(box, 100)])


class Fluentd(LogsTest):
    def test_events(self):
        box = self.receiver(Forward(tcp()))
        ident = self.start_logged("box", "fluentd", [f"fluentd-address=127.0.0.1:{box.port}", "tag=shop.{{.Name}}", "fluentd-sub-second-precision=true", "env=SIZE"],
                                  "sh", "-c", "echo out; echo err >&2", flags=("-e", "SIZE=7"))
        (tag, time, out), (_, _, err) = self.arrived(box, 2)
        self.assertEqual("shop.box", tag)
        self.assertEqual(2, len(time))
        self.assertEqual({"container_id": ident, "container_name": "/box", "source": "stdout", "log": "out", "SIZE": "7"}, out)
        self.assertEqual(("stderr", "err"), (err["source"], err["log"]))

    def test_long_lines_come_in_pieces(self):
        box = self.receiver(Forward(unix(self.folder / "forward", socket.SOCK_STREAM)))
        self.start_logged("box", "fluentd", [f"fluentd-address=unix://{self.folder}/forward"], "sh", "-c", "seq -s, 9000; echo short")
        *pieces, short = [record for _, _, record in self.arrived(box, 4)]
        self.assertEqual(",".join(map(str, range(1, 9001))), "".join(piece["log"] for piece in pieces))
        self.assertEqual([("true", str(i + 1)) for i in range(len(pieces))], [(piece["partial_message"], piece["partial_ordinal"]) for piece in pieces])
        self.assertEqual(1, len({piece["partial_id"] for piece in pieces}))
        self.assertEqual(["false"] * (len(pieces) - 1) + ["true"], [piece["partial_last"] for piece in pieces])
        self.assertNotIn("partial_message", short)

    def test_answers_are_waited_for(self):
        """What was not acknowledged is sent again."""
        box = Forward(tcp())
        port = box.port
        box.acknowledge = False
        self.start_logged("box", "fluentd", [f"fluentd-address=127.0.0.1:{port}", "fluentd-request-ack=true", "fluentd-retry-wait=50ms"], "sh", "-c", "echo hello; sleep 1000")
        self.arrived(box, 1)
        box.close()
        second = self.receiver(Forward(tcp(("127.0.0.1", port))))
        self.assertEqual("hello", self.arrived(second, 1)[0][2]["log"])
        self.proa("stop", "-t", "0", "box")
        until(lambda: not self.forwarders(), "the forwarder to end")
        self.assertEqual(1, len(second.messages))

    def test_nobody_there(self):
        port = free_port()
        refused = self.proa("run", "--name", "box", "--network", "none", "--log-driver", "fluentd", "--log-opt", f"fluentd-address=127.0.0.1:{port}", "--rootfs", self.root, "true", check=False)
        self.assertIn(f"failed to initialize logging driver: dial tcp://127.0.0.1:{port}: connect: connection refused", refused.stderr)
        self.proa("rm", "box", check=False)
        self.start_logged("box", "fluentd", [f"fluentd-address=127.0.0.1:{port}", "fluentd-async=true", "fluentd-retry-wait=20ms"], "sh", "-c", "echo hello; sleep 1000")
        until(self.forwarders, "the forwarder")
        box = self.receiver(Forward(tcp(("127.0.0.1", port))))
        self.assertEqual("hello", self.arrived(box, 1)[0][2]["log"])

    def test_no_more_tries_than_asked_for(self):
        box = Forward(tcp())
        port = box.port
        self.start_logged("box", "fluentd", [f"fluentd-address=127.0.0.1:{port}", "fluentd-max-retries=1", "fluentd-retry-wait=10ms"], "sh", "-c",
                          "echo begin; until [ -e /tmp/go ]; do sleep 0.02; done; echo lost; until [ -e /tmp/on ]; do sleep 0.02; done; echo kept; sleep 1000", flags=("--tmpfs", "/tmp"))
        self.arrived(box, 1)
        box.close()
        position = lambda: next((self.data / "containers").iterdir()).joinpath("log.sent").read_text().split()[2]
        before = position()
        self.proa("exec", "box", "touch", "/tmp/go")
        until(lambda: position() != before, "the line to be given up")
        second = self.receiver(Forward(tcp(("127.0.0.1", port))))
        self.proa("exec", "box", "touch", "/tmp/on")
        self.assertEqual("kept", self.arrived(second, 1)[0][2]["log"])


def fields(datagram):
    """Of the journal's native protocol."""
    out = {}
    while datagram:
        line, _, rest = datagram.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            size = struct.unpack("<Q", rest[:8])[0]
            value, rest = rest[8:8 + size], rest[9 + size:]
        out[name.decode()] = value.decode()
        datagram = rest
    return out


class Journald(LogsTest):
    def setUp(self):
        super().setUp()
        journal = Path("/run/systemd/journal")
        journal.mkdir(parents=True)
        self.journal = Receiver(unix(journal / "socket", socket.SOCK_DGRAM))
        self.addCleanup(shutil.rmtree, "/run/systemd")
        self.addCleanup(self.journal.close)

    def test_fields(self):
        ident = self.start_logged("box", "journald", ["tag=shop/{{.Name}}", "labels=com.example/size"], "sh", "-c", "echo out; echo err >&2", flags=("-l", "com.example/size=9"))
        out, err = map(fields, self.arrived(self.journal, 2))
        time = out.pop("SYSLOG_TIMESTAMP")
        self.assertRegex(time, r"^\d{4}.*Z$")
        self.assertEqual({"MESSAGE": "out", "PRIORITY": "6", "CONTAINER_ID": ident[:12], "CONTAINER_ID_FULL": ident, "CONTAINER_NAME": "box", "CONTAINER_TAG": "shop/box",
                          "IMAGE_NAME": str(self.root), "SYSLOG_IDENTIFIER": "shop/box", "COM_EXAMPLE_SIZE": "9"}, out)
        self.assertEqual(("err", "3"), (err["MESSAGE"], err["PRIORITY"]))
        self.assertEqual("com.example%2Fsize=9,tag=shop%2Fbox out\n", self.proa("logs", "--details", "box").stdout)

    def test_messages_that_no_datagram_holds_go_as_a_file(self):
        """One that nobody can change any more, as the journal takes no other; those before and after it as datagrams."""
        with self.assertRaises(OSError) as refused, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
            probe.sendto(bytes(400_000), "/run/systemd/journal/socket")
        self.assertEqual(errno.EMSGSIZE, refused.exception.errno)
        large = "".join(chr(97 + i % 26) for i in range(400_000))
        (self.folder / "labels").write_text(f"com.example/large={large}\n")
        self.start_logged("box", "journald", ["labels=com.example/large"], "sh", "-c", "echo out; echo err >&2", flags=("--label-file", self.folder / "labels"))
        self.start_logged("small", "journald", [], "echo", "small")
        messages = [fields(message) for message in self.arrived(self.journal, 3)]
        self.assertEqual(["err", "out", "small"], sorted(message["MESSAGE"] for message in messages))
        self.assertEqual([large, large], [message["COM_EXAMPLE_LARGE"] for message in messages if message["CONTAINER_NAME"] == "box"])
        self.assertEqual([fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE] * 2, self.journal.seals)
        self.settle("box", "exited")
        self.assertEqual("out\nerr\n", self.proa("logs", "box").stdout + self.proa("logs", "box").stderr)

    def test_no_journal(self):
        self.journal.close()
        shutil.rmtree("/run/systemd/journal")
        done = self.proa("run", "--name", "box", "--network", "none", "--log-driver", "journald", "--rootfs", self.root, "true", check=False)
        self.assertIn("failed to initialize logging driver: dial unixgram:///run/systemd/journal/socket", done.stderr)


if __name__ == "__main__":
    main()
