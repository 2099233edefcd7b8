#!/usr/bin/env python3
"""The documentation tells the truth: its links lead somewhere, the pages that are made are current, and the commands of
blocks marked `test` do what the page shows.

A block begins with ```console test. Lines after "$ " are commands ("> " goes on with one); the lines below are what it
prints, stdout and stderr, where … stands for anything. A last line [N] is its exit status when that is not 0. The blocks of
a page are one shell session in an empty folder, with proa, proa-runtime and proa-shim in PATH; with `test=repository` it is the
repository's folder.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib import runtime, shim  # noqa: E402
from lib.case import SystemTest, main  # noqa: E402

REPOSITORY = runtime.REPOSITORY
BLOCK = re.compile(r"^```console test(?:=(\w+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
MARK = "\x01"


def pages():
    # As git does: neither build folders nor what others keep beside the sources.
    found = subprocess.run(["git", "-c", f"safe.directory={REPOSITORY}", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
                           cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.split()
    return [REPOSITORY / name for name in found if (REPOSITORY / name).exists()]


def steps(block):
    """[(command, expected output lines, exit status)] of one block."""
    found = []
    for line in block.splitlines():
        if line.startswith("$ "):
            found.append([line[2:], [], 0])
        elif line.startswith("> ") and found and not found[-1][1]:
            found[-1][0] += "\n" + line[2:]
        elif found and (status := re.fullmatch(r"\[(\d+)\]", line)):
            found[-1][2] = int(status[1])
        elif found:
            found[-1][1].append(line)
        else:
            raise AssertionError(f"a block begins with output: {line}")
    return found


def agrees(wanted, said):
    pattern = r"\s*\n\s*".join(".*".join(map(re.escape, re.split("…", line.strip()))) for line in wanted)
    # Columns of a table may be wider or narrower than shown.
    return re.fullmatch(re.sub(r"(\\ )+", r"[ ]+", pattern), said.strip()) is not None


def anchors(page):
    """Anchors of a page's headings, as code hosts make them."""
    heads = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


class Docs(SystemTest):
    # The state root itself stays, empty.
    def ignored_leftover(self, item):
        return super().ignored_leftover(item) or re.fullmatch(r"\w+ /run/proa(/runtime)?", item) is not None

    def play(self, page, block_steps, where):
        """Runs the steps in one shell; its output goes to a file, which a container left running may keep open."""
        tools = self.folder / "bin"
        tools.mkdir(exist_ok=True)
        # A copy: the build may be where users without rights cannot go.
        if not (tools / "proa").exists():
            shutil.copy2(runtime.path(), tools / "proa")
            (tools / "proa-runtime").symlink_to("proa")
            shutil.copy2(shim.path(), tools / "proa-shim")
        script = "".join(f"printf '{MARK}{number}:'\n{command}\nprintf '{MARK}%s:' $?\n"
                         for number, (command, _, _) in enumerate(block_steps))
        with open(self.folder / "output", "w+", errors="replace") as output:
            shell = subprocess.run(["bash", "-c", script], cwd=where, stdin=subprocess.DEVNULL, stdout=output, stderr=output, timeout=300,
                                   env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "PROA_ROOT": str(self.folder / "data"), "PROA_RUN": str(self.folder / "run")})
            output.seek(0)
            parts = output.read().split(MARK)[1:]
        for number, (command, wanted, status) in enumerate(block_steps):
            with self.subTest(page=page.name, command=command):
                self.assertLess(2 * number + 1, len(parts), f"the shell ended (status {shell.returncode}) before this")
                said = parts[2 * number].split(":", 1)[1]
                self.assertEqual(str(status), parts[2 * number + 1].split(":")[0], f"exit status; it said: {said}")
                self.assertTrue(agrees(wanted, said), f"the page shows:\n{chr(10).join(wanted)}\nit says:\n{said}")

    def test_commands(self):
        self.folder.chmod(0o755)  # some commands play a user without rights
        played = 0
        for page in pages():
            sessions = {}
            for place, block in BLOCK.findall(page.read_text()):
                sessions.setdefault(place, []).extend(steps(block))
            for place, block_steps in sessions.items():
                home = self.folder / f"session-{played}"
                home.mkdir()
                self.play(page, block_steps, REPOSITORY if place == "repository" else home)
                played += 1
        self.assertGreater(played, 0, "no page has a block marked `test`")

    def test_links(self):
        for page in pages():
            for target in LINK.findall(page.read_text()):
                if re.match(r"\w+:", target):
                    continue
                name, _, anchor = target.partition("#")
                to = (page.parent / name).resolve() if name else page
                with self.subTest(page=page.name, link=target):
                    self.assertTrue(to.exists(), "leads nowhere")
                    if anchor:
                        self.assertIn(anchor, anchors(to))

    def test_made_pages_are_current(self):
        done = subprocess.run([sys.executable, REPOSITORY / "scripts/docs", "--check", "--proa", str(runtime.path())],
                              capture_output=True, text=True)
        self.assertEqual(0, done.returncode, done.stderr)


if __name__ == "__main__":
    main()
