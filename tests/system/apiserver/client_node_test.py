#!/usr/bin/env python3
"""@kubernetes/client-node: typed objects, patches, watches, informers, custom resources. client_node.mjs does the work."""

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib import packages  # noqa: E402
from lib.case import main  # noqa: E402
from lib.cluster import ClusterTest  # noqa: E402


class ClientNode(ClusterTest):
    def perform(self, name):
        """Runs one of the script's functions; it exits with 0 when all that it expects is so."""
        script = self.folder / "client_node.mjs"
        script.write_text((Path(__file__).parent / "client_node.mjs").read_text())
        (self.folder / "node_modules").symlink_to(packages.client_node() / "node_modules")
        done = subprocess.run(["node", script, name, self.ns], text=True, capture_output=True, timeout=90, stdin=subprocess.DEVNULL, env=self.environment)
        self.assertEqual((0, f"{name} done"), (done.returncode, (done.stdout.strip().splitlines() or [""])[-1]), done.stdout + done.stderr)

    def test_objects(self):
        self.perform("objects")

    def test_patches(self):
        self.perform("patches")

    def test_errors(self):
        self.perform("errors")

    def test_watch(self):
        self.perform("watch")

    def test_informer(self):
        self.perform("informer")

    def test_custom_resources(self):
        self.perform("customResources")

    def test_generic_objects(self):
        self.perform("genericObjects")

    def test_access(self):
        self.perform("access")


if __name__ == "__main__":
    packages.need(packages.kubectl, packages.client_node)
    main()
