#!/usr/bin/env python3
"""Terminals: made in the container's own devpts, handed to an engine or relayed from the user's."""

import fcntl
import os
import signal
import struct
import sys
import termios
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib.case import main, until  # noqa: E402
from lib.container import ContainerTest, is_proa, listen, read_terminal, receive_terminal  # noqa: E402


def set_size(fd, rows, columns):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


class Console(ContainerTest):
    def terminal(self, script):
        bundle = self.sh(script)
        bundle.config["process"]["terminal"] = True
        return bundle

    def attached(self, bundle, command="create"):
        """Makes the container and returns its terminal's master as an engine gets it."""
        path = self.folder / "console"
        self.forget("box")
        with listen(path) as listener:
            options = ["--detach"] if command == "run" else []
            self.runtime(command, *options, "--console-socket", path, "--bundle", bundle.save().path, "box", stdout=None, stderr=None)
            master = receive_terminal(listener)
        self.addCleanup(os.close, master)
        return master

    def test_console_socket(self):
        master = self.attached(self.terminal("tty; read line; echo got $line"))
        self.runtime("start", "box")
        os.write(master, b"hello\n")
        text = read_terminal(master)
        self.assertIn("/dev/", text)
        self.assertIn("got hello", text)
        self.until_stopped()

    def test_console_socket_of_run(self):
        text = read_terminal(self.attached(self.terminal("echo from run"), "run"))
        self.assertIn("from run", text)

    def test_it_is_the_controlling_terminal(self):
        master = self.attached(self.terminal("echo to the tty > /dev/tty; echo to the console > /dev/console; ls -l /proc/self/fd/"))
        self.runtime("start", "box")
        text = read_terminal(master)
        self.assertIn("to the tty", text)
        self.assertIn("to the console", text)
        self.assertNotIn("ptmx", text)

    @unittest.skipUnless(is_proa(), "runc 1.1 sets the size only after it sent the terminal")
    def test_size(self):
        bundle = self.terminal("trap 'stty size; exit' WINCH; stty size; while :; do sleep 0.02; done")
        bundle.config["process"]["consoleSize"] = {"height": 33, "width": 77}
        master = self.attached(bundle)
        self.runtime("start", "box")
        self.assertIn("33 77", read_terminal(master, "33 77"))
        set_size(master, 44, 99)
        self.assertIn("44 99", read_terminal(master))

    def test_owner(self):
        bundle = self.terminal("ls -ln $(tty); echo mine > $(tty)")
        bundle.config["process"]["user"] = {"uid": 1000, "gid": 1000}
        master = self.attached(bundle)
        self.runtime("start", "box")
        text = read_terminal(master)
        self.assertIn(" 1000 ", text)
        self.assertIn("mine", text)

    def test_foreground(self):
        """The user's terminal: made raw, its input and size passed on, and put back at the end."""
        bundle = self.terminal("stty size; read line; echo got $line; exit 4").save()
        master, slave = os.openpty()
        self.addCleanup(os.close, master)
        self.addCleanup(os.close, slave)
        set_size(slave, 21, 43)
        before = termios.tcgetattr(slave)
        self.forget("box")
        runner = self.background("run", "--bundle", bundle.path, "box", stdin=slave, stdout=slave, stderr=slave)
        text = read_terminal(master, "21 43")
        os.write(master, b"hello\n")
        text += read_terminal(master, "got hello")
        self.assertEqual(4, runner.wait(20))
        self.assertEqual(before, termios.tcgetattr(slave))

    def test_foreground_interrupt_goes_to_the_container(self):
        bundle = self.terminal("trap 'echo interrupted; exit 5' INT; echo ready; while :; do sleep 0.02; done").save()
        master, slave = os.openpty()
        self.addCleanup(os.close, master)
        self.forget("box")
        runner = self.background("run", "--bundle", bundle.path, "box", stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)
        read_terminal(master, "ready")
        os.write(master, b"\x03")
        self.assertIn("interrupted", read_terminal(master, "interrupted"))
        self.assertEqual(5, runner.wait(20))

    def test_foreground_resize(self):
        bundle = self.terminal("echo ready; until stty size | grep -q '31 57'; do sleep 0.02; done; echo resized").save()
        master, slave = os.openpty()
        self.addCleanup(os.close, master)
        self.addCleanup(os.close, slave)
        self.forget("box")
        runner = self.background("run", "--bundle", bundle.path, "box", stdin=slave, stdout=slave, stderr=slave)
        read_terminal(master, "ready")
        set_size(slave, 31, 57)
        runner.send_signal(signal.SIGWINCH)
        self.assertIn("resized", read_terminal(master, "resized"))
        self.assertEqual(0, runner.wait(20))

    def test_hangup_of_the_engine(self):
        """An engine that dies takes the terminal along; the program hears of it."""
        path = self.folder / "console"
        bundle = self.terminal("trap 'exit 0' HUP; echo ready; while :; do sleep 0.02; done")
        with listen(path) as listener:
            self.create(bundle, "--console-socket", path)
            master = receive_terminal(listener)
        self.runtime("start", "box")
        read_terminal(master, "ready")
        os.close(master)
        self.until_stopped()

    def test_wrong_options(self):
        bundle = self.terminal("true").save()
        self.fails("create", "--bundle", bundle.path, "box", word="console")
        self.fails("run", "--detach", "--bundle", bundle.path, "box", word="console")
        self.fails("create", "--console-socket", self.folder / "none", "--bundle", bundle.path, "box", word="none")
        plain = self.bundle("true", name="plain")
        self.fails("create", "--console-socket", self.folder / "none", "--bundle", plain.path, "box")
        if is_proa():
            done = self.runtime.call("create", "--console-socket", self.folder / "none", "--bundle", plain.path, "box")
            self.assertIn("process.terminal", done.stderr)


if __name__ == "__main__":
    main()
