#!/usr/bin/env python3
"""docker's own list of flags, of whichever version is installed, is in docker_flags.tsv: what it has and the list has not
is a flag that its users will miss. What becomes of each here the unit tests hold proa to; what is refused says so."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib import runtime  # noqa: E402
from lib.case import SystemTest, command, main  # noqa: E402
from lib.client import tool  # noqa: E402

# docker shows the flags that its API version has.
ENVIRONMENT = os.environ | {"DOCKER_API_VERSION": "1.50", "COLUMNS": "400", "DOCKER_CONFIG": "/nonexistent"}
TWINS = {"images": "image ls", "rmi": "image rm", "ps": "container ls", "info": "system info", "events": "system events",
         "build": "image build"}
OPTION = re.compile(r"\s{1,8}(?:-(\w), |\s+)--([\w-]+)(?: (\S+))?")


def rows():
    """{command: {flag: (letter, value, stance, why)}}"""
    found = {}
    for line in Path(__file__).with_name("docker_flags.tsv").read_text().splitlines():
        if not line.startswith("#"):
            words, flag, letter, value, stance, why = (line.split("\t") + [""] * 5)[:6]
            found.setdefault(words, {})[flag] = (letter, value, stance, why)
    return found


def sections(docker, words):
    """{heading: [lines]} of a command's help"""
    text = subprocess.run([docker, *words, "--help"], env=ENVIRONMENT, capture_output=True, text=True, check=False).stdout
    found, lines = {}, []
    for line in text.splitlines():
        if line and not line.startswith((" ", "\t")):
            lines = found.setdefault(line.removesuffix(":"), [])
        elif line.strip():
            lines.append(line)
    return found


def docker_commands(docker, words=()):
    """{words: {flag: (letter, takes a value)}}"""
    found, flags = {}, {}
    for heading, lines in sections(docker, words).items():
        for line in lines:
            if heading.endswith("Options") and (option := OPTION.match(line)):
                flags[option[2]] = (option[1] or "", bool(option[3]) and line[option.end(2):][:2] != "  ")
            elif heading.endswith("Commands") and len(words) < 2 and (name := re.match(r"\s+([\w-]+)\*?\s", line)):
                found |= docker_commands(docker, (*words, name[1]))
    flags.pop("help", None)
    return found | {words: flags}


def canonical(words, known):
    """The list's name of a command: what docker has twice stands there once."""
    line = " ".join(words) or "docker"
    if line in TWINS:
        return TWINS[line]
    return next((longer for group in ("container", "image") if (longer := f"{group} {line}") in known and line not in known), line)


class DockerFlags(SystemTest):
    def test_all_of_dockers_are_listed(self):
        for docker in {tool("docker"), shutil.which("docker")}:
            with self.subTest(docker=docker):
                self.check(docker_commands(docker))

    def check(self, commands):
        known, missing = rows(), []
        self.assertGreater(len(commands), 60)
        for words, flags in commands.items():
            line = canonical(words, known)
            if words and "*" in known.get(words[0], {}) or "*" in known.get(line, {}) or words[:1] == ("completion",):
                continue
            here = known.get(line, {})
            for flag, (letter, value) in flags.items():
                if flag not in here:
                    missing.append(f"{line} --{flag}")
                elif bool(here[flag][1]) != value or (letter and here[flag][0] != letter and not here[flag][3]):
                    missing.append(f"{line} --{flag}: letter {letter or 'none'}, {'a' if value else 'no'} value; listed are {here[flag]}")
        self.assertEqual([], missing)

    def test_what_is_refused_names_the_flag(self):
        values = {"isolation": "hyperv", "runtime": "kata", "scope": "swarm", "ipam-driver": "other", "host": "tcp://127.0.0.1:1"}
        arguments = {"container start": ["box"], "network create": ["net"], "volume create": ["vol"], "volume ls": [], "docker": ["ps"]}
        env = os.environ | {"PROA_ROOT": str(self.folder / "data"), "PROA_RUN": str(self.folder / "run")}
        for line, flags in rows().items():
            for flag, (_, value, stance, _) in flags.items():
                if stance != "refused":
                    continue
                given = f"--{flag}={values.get(flag, '1' if value in ('int', 'uint', 'bytes') else 'x')}" if value else f"--{flag}"
                words = [given, "ps"] if line == "docker" else [*line.split(), given, *arguments.get(line, ["image"])]
                done = command(runtime.path(), *words, env=env, check=False)
                with self.subTest(words=words):
                    self.assertNotEqual(0, done.returncode)
                    self.assertRegex(done.stderr, rf"--{flag}|invalid {flag}|{flag} name|--io-maxbandwidth and --io-maxiops")
        self.assertFalse((self.folder / "data/network/net.json").exists())


if __name__ == "__main__":
    main()
