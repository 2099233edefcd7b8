#!/usr/bin/env python3
"""The tour of scripts/quickstart: an image made, pushed, pulled back and run with a port that answers."""

import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from lib import runtime  # noqa: E402
from lib.case import SystemTest, main  # noqa: E402


class Tour(SystemTest):
    def test_tour(self):
        done = subprocess.run([runtime.REPOSITORY / "examples/web/tour", runtime.path()], capture_output=True, text=True, check=False)
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        self.assertRegex(done.stdout, re.compile(r"^Hello from container [0-9a-f]{12}", re.MULTILINE))
        self.assertIn("Status: Downloaded newer image", done.stdout + done.stderr)


if __name__ == "__main__":
    main()
