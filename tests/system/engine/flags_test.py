#!/usr/bin/env python3
"""Docker's rarer flags: what users see of them."""

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import engine_test  # noqa: E402
from lib.case import main  # noqa: E402


class NetworkFlags(engine_test.EngineTest):
    def network(self, *args, **kwargs):
        return self.proa("network", *args, **kwargs)

    def inspect(self, name):
        return json.loads(self.network("inspect", name).stdout)[0]

    def on_network(self, name, network, *flags):
        return self.proa("run", "-d", "--name", name, "--network", network, *flags, "--rootfs", self.root, "sleep", "1000").stdout.strip()

    def setUp(self):
        super().setUp()
        self.addCleanup(lambda: self.network("prune", "-f", check=False))
        self.addCleanup(self.remove_all)

    def test_configuration_networks(self):
        self.network("create", "--config-only", "--subnet", "10.91.0.0/24", "--label", "a=1", "--label", "b=1",
                     "-o", "com.docker.network.driver.mtu=1400", "plan")
        shown = self.inspect("plan")
        self.assertEqual((True, "null", ""), (shown["ConfigOnly"], shown["Driver"], shown["ConfigFrom"]["Network"]))
        refused = self.proa("run", "--rm", "--network", "plan", "--rootfs", self.root, "true", check=False)
        self.assertIn("network plan: is a configuration network, nothing can be on it", refused.stderr)

        self.network("create", "--config-from", "plan", "--label", "b=2", "office")
        made = self.inspect("office")
        self.assertEqual(("bridge", "plan", False), (made["Driver"], made["ConfigFrom"]["Network"], made["ConfigOnly"]))
        self.assertEqual(({"a": "1", "b": "2"}, "10.91.0.0/24"), (made["Labels"], made["IPAM"]["Config"][0]["Subnet"]))
        self.on_network("box", "office")
        self.assertEqual("1400", self.proa("exec", "box", "cat", "/sys/class/net/eth0/mtu").stdout.strip())

        in_use = self.network("rm", "plan", check=False)
        self.assertIn("configuration network plan is in use: office", in_use.stderr)
        self.assertIn("overlaps", self.network("create", "--config-from", "plan", "second", check=False).stderr)
        both = self.network("create", "--config-from", "plan", "--subnet", "10.92.0.0/24", "third", check=False)
        self.assertIn("not supported if the network depends on a configuration network", both.stderr)
        self.assertIn("is not a configuration network", self.network("create", "--config-from", "office", "x", check=False).stderr)
        self.assertIn("no --driver", self.network("create", "--config-only", "-d", "bridge", "x", check=False).stderr)
        self.proa("rm", "-f", "box")
        self.network("rm", "office")
        self.network("rm", "plan")

    def test_kept_and_shown(self):
        self.network("create", "--attachable", "--scope", "local", "--ipam-driver", "default", "--ipam-opt", "a=b", "net")
        shown = self.inspect("net")
        self.assertEqual((True, {"a": "b"}), (shown["Attachable"], shown["IPAM"]["Options"]))

    def test_link_local_addresses(self):
        self.network("create", "net")
        self.on_network("box", "net", "--link-local-ip", "169.254.7.7", "--link-local-ip", "fe80::77")
        addresses = self.proa("exec", "box", "ip", "address", "show", "dev", "eth0").stdout
        self.assertIn("169.254.7.7/16", addresses)
        self.assertIn("fe80::77/64", addresses)
        self.assertEqual('["169.254.7.7","fe80::77"]', self.look("box", "{{json .NetworkSettings.Networks.net.IPAMConfig.LinkLocalIPs}}"))
        self.on_network("other", "net")
        self.network("create", "two")
        self.network("connect", "--link-local-ip", "169.254.8.8", "two", "other")
        self.assertIn("169.254.8.8/16", self.proa("exec", "other", "ip", "address").stdout)
        wrong = self.proa("run", "--network", "net", "--link-local-ip", "10.0.0.1", "--rootfs", self.root, "true", check=False)
        self.assertEqual(125, wrong.returncode)
        self.assertIn("invalid link local IP address: 10.0.0.1", wrong.stderr)

    def test_driver_options(self):
        self.network("create", "net")
        self.on_network("box", "name=net,driver-opt=com.docker.network.endpoint.ifname=lan7,"
                        "driver-opt=com.docker.network.endpoint.sysctls=net.ipv4.conf.IFNAME.log_martians=1")
        self.assertEqual("1", self.proa("exec", "box", "cat", "/proc/sys/net/ipv4/conf/lan7/log_martians").stdout.strip())
        self.network("create", "two")
        self.network("connect", "--driver-opt", "com.docker.network.endpoint.ifname=wan3", "two", "box")
        self.assertIn("wan3", self.proa("exec", "box", "ls", "/sys/class/net").stdout.split())
        for option in ("com.docker.network.endpoint.ifnam=x", "com.docker.network.endpoint.sysctls=kernel.domainname=x",
                       "com.docker.network.endpoint.sysctls=net.ipv4.conf.all.forwarding=1",
                       "com.docker.network.endpoint.sysctls=net.ipv4.../../..IFNAME.forwarding=1"):
            wrong = self.network("connect", "--driver-opt", option, "bridge", "box", check=False)
            self.assertNotEqual(0, wrong.returncode)
            self.assertIn("--driver-opt", wrong.stderr)

    def test_links_end(self):
        self.network("create", "net")
        self.on_network("db", "net")
        self.on_network("web", "net", "--link", "db:database", "--link", "db:store")
        self.proa("exec", "web", "nslookup", "database")
        self.assertEqual("web/database\n", self.proa("rm", "--link", "web/database").stdout)
        self.assertNotEqual(0, self.proa("exec", "web", "nslookup", "database", check=False).returncode)
        self.proa("exec", "web", "nslookup", "store")
        self.assertIn("has no link database", self.proa("rm", "--link", "/web/database", check=False).stderr)
        self.assertIn("CONTAINER/ALIAS", self.proa("rm", "--link", "web", check=False).stderr)
        self.assertEqual("running", self.status("web"))


class OtherFlags(engine_test.EngineTest):
    def test_version_as_docker_shows_it(self):
        version = self.proa("version", "--format", "{{.Server.Version}} {{.Client.Os}}/{{.Client.Arch}}").stdout.split()
        self.assertEqual([self.proa("--version").stdout.split()[-1], "linux/amd64"], version)
        self.assertEqual(os.uname().release, json.loads(self.proa("version", "-f", "json").stdout)["Server"]["KernelVersion"])

    def test_other_names_of_commands(self):
        self.start("box", "sleep", "1000")
        for words in (("container", "list"), ("container", "ps")):
            self.assertIn("box", self.proa(*words).stdout)
        self.proa("volume", "create", "vol")
        self.assertIn("vol", self.proa("volume", "list").stdout)
        self.proa("volume", "remove", "vol")
        self.proa("container", "remove", "-f", "box")

    def test_globals(self):
        self.assertEqual(0, self.proa("-l", "error", "--context", "default", "-D", "ps").returncode)
        self.assertIn("--log-level", self.proa("-l", "loud", "ps", check=False).stderr)
        self.assertIn("no daemon", self.proa("-H", "tcp://127.0.0.1:2375", "ps", check=False).stderr)
        self.assertIn("unknown flag -H", self.proa("ps", "-H", "x", check=False).stderr)

    def test_kernel_memory_is_deprecated(self):
        done = self.once("true", flags=("--kernel-memory", "50m"))
        self.assertIn("--kernel-memory is deprecated", done.stderr)
        self.assertEqual("", self.once("true", flags=("--disable-content-trust",)).stderr)

    def test_timeout(self):
        self.start("box", "sh", "-c", engine_test.PATIENT)
        self.ready("box")
        self.proa("stop", "-t", "30", "box")
        self.assertEqual("7", self.look("box", "{{.State.ExitCode}}"))


if __name__ == "__main__":
    main()
