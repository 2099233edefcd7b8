#!/usr/bin/env python3
"""fabric/ on a real kernel: what containers, the host and the world beyond it see of each other."""

import concurrent.futures
import json
import os
import random
import signal
import struct
import subprocess
import sys
import textwrap
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from lib import runtime  # noqa: E402
from lib.case import SystemTest, command, main, until  # noqa: E402

REPOSITORY = Path(__file__).resolve().parents[2]
DRIVER = os.environ.get("PROA_FABRIC_DRIVER", str(REPOSITORY / "build/release/tests/system/fabric/fabric_driver"))

# Run inside a namespace: answers every TCP connection and datagram with the asker's address.
SERVER = textwrap.dedent("""
    import select, socket, sys
    port, family = int(sys.argv[1]), socket.AF_INET6 if ":" in sys.argv[2] else socket.AF_INET
    tcp = socket.create_server((sys.argv[2], port), family=family)
    udp = socket.socket(family, socket.SOCK_DGRAM)
    udp.bind((sys.argv[2], port))
    print("ready", flush=True)
    while True:
        for ready in select.select([tcp, udp], [], [])[0]:
            if ready is tcp:
                connection, peer = tcp.accept()
                connection.sendall(peer[0].encode())
                connection.close()
            else:
                data, peer = udp.recvfrom(65536)
                udp.sendto(f"{peer[0]} {len(data)}".encode(), peer)
""")
CLIENT = textwrap.dedent("""
    import socket, sys
    kind, host, port, size = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM) as s:
        s.settimeout(1.5)
        try:
            s.connect((host, port))
            if kind == "udp":
                s.send(b"x" * size)
            print(s.recv(4096).decode())
        except OSError as error:
            print(type(error).__name__)
""")
ASK = textwrap.dedent("""
    import json, socket, struct, sys
    name, kind, tcp, size = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "tcp", 0
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    query = struct.pack(">6H", 77, 0x100, 1, 0, 0, 0) + labels + b"\\0" + struct.pack(">2H", kind, 1)
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM)
    s.settimeout(4)
    s.connect(("127.0.0.11", 53))
    s.sendall(struct.pack(">H", len(query)) + query if tcp else query)
    answer = s.recv(4096)[2 if tcp else 0:]
    count, at, found = struct.unpack(">H", answer[6:8])[0], len(query), []
    for _ in range(count):
        length = struct.unpack(">H", answer[at + 10:at + 12])[0]
        found.append(answer[at + 12:at + 12 + length].hex())
        at += 12 + length
    print(json.dumps([answer[3] & 15, found]))
""")
# Stands in for the world's name servers: example.test is 203.0.113.7, all else does not exist.
UPSTREAM = textwrap.dedent("""
    import select, socket, struct, sys
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind((sys.argv[1], 53))
    tcp = socket.create_server((sys.argv[1], 53))
    print("ready", flush=True)
    def answer(query):
        known = b"\\7example\\4test\\0" in query.lower()
        head = query[:2] + struct.pack(">5H", 0x8180 if known else 0x8183, 1, int(known), 0, 0)
        record = b"\\xc0\\x0c" + struct.pack(">2HIH", 1, 1, 60, 4) + bytes([203, 0, 113, 7])
        return head + query[12:] + (record if known else b"")
    while True:
        for ready in select.select([udp, tcp], [], [])[0]:
            if ready is udp:
                query, peer = udp.recvfrom(4096)
                udp.sendto(answer(query), peer)
            else:
                connection, _ = tcp.accept()
                query = connection.recv(4096)[2:]
                reply = answer(query)
                connection.sendall(struct.pack(">H", len(reply)) + reply)
                connection.close()
""")


class Space:
    """A network namespace, held by a sleeping process."""

    def __init__(self, test):
        self.test = test
        self.process = subprocess.Popen(["unshare", "-n", "sleep", "infinity"])
        self.pid = self.process.pid
        self.path = f"/proc/{self.pid}/ns/net"
        own = os.stat("/proc/self/ns/net").st_ino
        until(lambda: Path(f"/proc/{self.pid}/comm").read_text().strip() == "sleep" and os.stat(self.path).st_ino != own,
              "a network namespace")
        self.servers = []
        test.addCleanup(self.end)
        self("ip", "link", "set", "lo", "up")

    def __call__(self, *argv, **kwargs):
        return command("nsenter", "-t", self.pid, "-n", *argv, **kwargs).stdout

    def python(self, script, *args):
        return self(sys.executable, "-c", script, *args).strip()

    def background(self, script, *args):
        server = subprocess.Popen(["nsenter", "-t", str(self.pid), "-n", sys.executable, "-c", script, *map(str, args)],
                                  stdout=subprocess.PIPE, text=True)
        self.servers.append(server)
        self.test.assertEqual("ready\n", server.stdout.readline())

    def serve(self, port, address="0.0.0.0"):
        self.background(SERVER, port, address)

    def get(self, host, port, kind="tcp", size=1):
        return self.python(CLIENT, kind, host, port, size)

    def resolve(self, name, kind=1, over="udp"):
        return json.loads(self.python(ASK, name, kind, over))

    def end(self):
        for process in [*self.servers, self.process]:
            process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()
        self.servers = []


class Host(Space):
    """The namespace of the test itself, which is the host's."""

    def __init__(self, test):  # pylint: disable=super-init-not-called
        self.test, self.servers, self.pid = test, [], os.getpid()
        self.process = subprocess.Popen(["sleep", "infinity"])
        test.addCleanup(self.end)


class FabricTest(SystemTest):
    def setUp(self):
        super().setUp()
        self.state, self.run_folder = self.folder / "networks", self.folder / "run"
        self.addCleanup(self.check_all_gone)
        self.host = Host(self)

    def driver(self, *argv, check=True, **kwargs):
        return command(DRIVER, self.state, self.run_folder, *argv, check=check, **kwargs)

    def refusal(self, *argv):
        done = self.driver(*argv, check=False)
        self.assertEqual(1, done.returncode, done.stdout)
        return done.stderr.strip()

    def box(self, name, network="bridge", *words, space=None):
        space = space or Space(self)
        space.endpoint = json.loads(self.driver("attach", name, network, space.path, f"pid={space.pid}", *words).stdout)
        space.ip, space.ip6 = space.endpoint["ipv4"], space.endpoint["ipv6"]
        return space

    def outside(self):
        """Another machine: 198.51.100.2 and 2001:db8::2, on the host's link to the world."""
        world = Space(self)
        command("ip", "link", "add", "up0", "type", "veth", "peer", "name", "eth0", "netns", world.pid)
        self.addCleanup(lambda: command("ip", "link", "del", "up0", check=False))
        for address in ("198.51.100.1/24", "2001:db8::1/64"):
            command("ip", "addr", "add", address, "dev", "up0", *(["nodad"] if ":" in address else []))
        command("ip", "link", "set", "up0", "up")
        for address in ("198.51.100.2/24", "2001:db8::2/64"):
            world("ip", "addr", "add", address, "dev", "eth0", *(["nodad"] if ":" in address else []))
        world("ip", "link", "set", "eth0", "up")
        world("ip", "route", "add", "default", "via", "198.51.100.1")
        world("ip", "-6", "route", "add", "default", "via", "2001:db8::1")
        return world

    def firewall(self, *rules, hook="input", policy="accept"):
        """A table of the host's own, as ufw or an administrator would make it."""
        text = f"table inet hostfw {{ chain c {{ type filter hook {hook} priority filter; policy {policy};\n"
        command("nft", "-f", "-", stdin=None, input=text + "\n".join(rules) + "\n}\n}\n")
        self.addCleanup(lambda: command("nft", "delete", "table", "inet", "hostfw", check=False))

    def ruleset(self):
        listed = json.loads(command("nft", "-j", "list", "ruleset").stdout)["nftables"]
        return [item for item in listed if "metainfo" not in item]

    def resolvers(self):
        """Pids of the resolver of this test's folder."""
        pids = []
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = entry.read_bytes().split(b"\0")
            except OSError:
                continue
            if b"__dns" in words and str(self.run_folder).encode() in words:
                pids.append(int(entry.parent.name))
        return pids

    def devices(self):
        links = [link["ifname"] for link in json.loads(command("ip", "-j", "link").stdout)]
        return [name for name in links if name.startswith(("proa", "pr-", "pv", "pin"))]

    def check_all_gone(self):
        """Runs after all namespaces ended: nothing may be left once converge() has looked."""
        self.driver("converge")
        self.assertEqual([], self.ruleset())
        self.assertEqual([], self.devices())
        until(lambda: not self.resolvers(), "the resolver to end")
        leases = [str(path) for path in (self.run_folder / "leases").glob("*/*")]
        self.assertEqual([], leases + [str(path) for path in (self.run_folder / "endpoints").glob("*")])


class Traffic(FabricTest):
    def test_containers_reach_each_other_and_the_world(self):
        world = self.outside()
        a, b = self.box("a"), self.box("b")
        self.assertEqual(["172.17.0.2", "172.17.0.3"], [a.ip, b.ip])
        self.assertEqual("02:42:ac:11:00:02", a.endpoint["mac"])
        b.serve(80)
        world.serve(80)
        self.assertEqual(a.ip, a.get(b.ip, 80))
        self.assertEqual(f"{a.ip} 5", a.get(b.ip, 80, "udp", 5))
        self.assertEqual("198.51.100.1", a.get("198.51.100.2", 80), "masqueraded")

    def test_published_port_from_everywhere(self):
        world = self.outside()
        a, b = self.box("a", "bridge", "port=8080:80", "port=8080:80/udp"), self.box("b")
        a.serve(80)
        self.assertEqual("198.51.100.2", world.get("198.51.100.1", 8080), "the source stays")
        self.assertEqual("198.51.100.2 3000", world.get("198.51.100.1", 8080, "udp", 3000))
        self.assertEqual("172.17.0.1", self.host.get("127.0.0.1", 8080))
        self.assertEqual("172.17.0.1 5", self.host.get("127.0.0.1", 8080, "udp", 5))
        self.assertEqual("198.51.100.1", self.host.get("198.51.100.1", 8080))
        self.assertEqual("172.17.0.1", b.get("198.51.100.1", 8080), "another container, through the host")
        self.assertEqual("172.17.0.1", a.get("198.51.100.1", 8080), "itself, through the host")
        self.assertEqual("timeout", world.get(a.ip, 80).lower().replace("error", ""), "not around the published port")

    def test_published_on_one_address(self):
        world = self.outside()
        a = self.box("a", "bridge", "port=127.0.0.1:8080:80", "port=198.51.100.1:8081:80")
        a.serve(80)
        self.assertEqual("172.17.0.1", self.host.get("127.0.0.1", 8080))
        self.assertEqual("ConnectionRefusedError", world.get("198.51.100.1", 8080))
        self.assertEqual("198.51.100.2", world.get("198.51.100.1", 8081))
        self.assertEqual("ConnectionRefusedError", self.host.get("127.0.0.1", 8081))

    def test_strict_reverse_path_filter(self):
        world = self.outside()
        self.host.serve(81)
        before = Path("/proc/sys/net/ipv4/conf/all/rp_filter").read_text()
        self.addCleanup(Path("/proc/sys/net/ipv4/conf/all/rp_filter").write_text, before)
        Path("/proc/sys/net/ipv4/conf/all/rp_filter").write_text("1")
        a = self.box("a", "bridge", "port=8080:80")
        a.serve(80)
        self.assertEqual("198.51.100.2", world.get("198.51.100.1", 8080))
        self.assertEqual("198.51.100.2", world.get("198.51.100.1", 81), "the host's own ports are as they were")

    def test_ipv6(self):
        world = self.outside()
        self.driver("create", "six", "ipv6")
        a, b = self.box("a", "six", "port=8080:80"), self.box("b", "six")
        self.assertTrue(a.ip6.startswith("fd"))
        a.serve(80, "::")
        self.assertEqual(b.ip6, b.get(a.ip6, 80))
        self.assertEqual("2001:db8::2", world.get("2001:db8::1", 8080))
        self.assertEqual("2001:db8::1", self.host.get("2001:db8::1", 8080))
        self.assertEqual("ConnectionRefusedError", self.host.get("::1", 8080), "at once, so that clients try 127.0.0.1")
        world.serve(80, "::")
        self.assertEqual("2001:db8::1", b.get("2001:db8::2", 80), "masqueraded")

    def test_udp_flow_follows_the_port_to_its_next_owner(self):
        world = self.outside()
        client = textwrap.dedent("""
            import socket, sys
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.bind(("", 5555))
            s.settimeout(1.5)
            s.sendto(b"x", ("198.51.100.1", 8080))
            try:
                print(s.recv(100).decode())
            except OSError as error:
                print(type(error).__name__)
        """)
        world.python(client)  # before there is an owner: remembered by the kernel
        a = self.box("a", "bridge", "port=8080:80/udp")
        a.serve(80)
        self.assertEqual("198.51.100.2 1", world.python(client))
        a.end()
        b = self.box("b", "bridge", "ip=172.17.0.99", "port=8080:80/udp")
        b.serve(80)
        self.assertEqual("198.51.100.2 1", world.python(client))


class Firewall(FabricTest):
    """Published ports respect the host's own rules."""

    def published(self):
        world = self.outside()
        box = self.box("web", "bridge", "port=8080:80", "port=8081:80")
        box.serve(80)
        self.assertEqual("198.51.100.2", world.get("198.51.100.1", 8080))
        return world

    def test_drop_of_the_published_port(self):
        world = self.published()
        self.firewall("tcp dport 8080 drop")
        self.assertEqual("TimeoutError", world.get("198.51.100.1", 8080))
        self.assertEqual("198.51.100.2", world.get("198.51.100.1", 8081))
        self.assertEqual("172.17.0.1", self.host.get("127.0.0.1", 8080))

    def test_default_deny_with_exceptions(self):
        world = self.published()
        self.firewall("ct state established,related accept", 'iifname "lo" accept', 'iifname "up0" tcp dport 8081 accept',
                      policy="drop")
        self.assertEqual("TimeoutError", world.get("198.51.100.1", 8080))
        self.assertEqual("198.51.100.2", world.get("198.51.100.1", 8081))

    def test_rule_by_source_and_reject(self):
        world = self.published()
        self.firewall("ip saddr 198.51.100.2 tcp dport 8080 reject with tcp reset")
        self.assertEqual("ConnectionRefusedError", world.get("198.51.100.1", 8080))

    def test_iptables_rule(self):
        world = self.published()
        command("iptables-nft", "-A", "INPUT", "-p", "tcp", "--dport", "8080", "-j", "DROP")
        self.addCleanup(command, "nft", "delete", "table", "ip", "filter")
        self.assertEqual("TimeoutError", world.get("198.51.100.1", 8080))

    def test_flushed_ruleset_comes_back_with_the_next_container(self):
        world = self.published()
        command("nft", "flush", "ruleset")
        self.assertNotEqual("198.51.100.2", world.get("198.51.100.1", 8080))
        self.box("other")
        self.assertEqual("198.51.100.2", world.get("198.51.100.1", 8080))

    def test_removed_bridge_comes_back_with_its_containers(self):
        world = self.published()
        command("ip", "link", "del", next(name for name in self.devices() if name.startswith("proa0")))
        self.driver("converge")
        self.assertEqual("198.51.100.2", world.get("198.51.100.1", 8080))

    def test_warns_of_a_forward_policy(self):
        self.firewall(hook="forward", policy="drop")
        self.assertIn("table hostfw", self.driver("warnings").stdout)


class SideBySide(FabricTest):
    """Fabrics with folders of their own, on one host."""

    def other(self, *argv):
        return command(DRIVER, self.folder / "other", self.folder / "other-run", *argv).stdout

    def test_two_leave_each_other_alone(self):
        world = self.outside()
        a, b = self.box("a", "bridge", "port=8080:80"), Space(self)
        address = json.loads(self.other("attach", "b", "bridge", b.path, f"pid={b.pid}", "port=8081:80"))["ipv4"]
        for box in (a, b):
            box.serve(80)
        self.assertEqual("172.18.0.2", address)
        self.driver("converge")
        self.other("converge")
        self.assertEqual(["198.51.100.2"] * 2, [world.get("198.51.100.1", port) for port in (8080, 8081)])
        self.assertEqual("TimeoutError", a.get(address, 80), "other networks see published ports only")
        b.end()
        self.other("converge")
        self.assertEqual("198.51.100.2", world.get("198.51.100.1", 8080))
        self.assertEqual("ConnectionRefusedError", world.get("198.51.100.1", 8081))

    def test_the_last_network_takes_all_away(self):
        self.driver("create", "one")
        a = self.box("a", "one", "port=8080:80")
        self.driver("detach", "a", "one")
        a.end()
        self.assertNotEqual([], self.devices())
        self.driver("remove", "one")
        self.assertEqual(([], []), (self.devices(), self.ruleset()))


class Isolation(FabricTest):
    def test_networks_do_not_see_each_other_but_published_ports(self):
        self.outside()
        self.driver("create", "one")
        self.driver("create", "two")
        a, b = self.box("a", "one"), self.box("b", "two", "port=8080:80")
        b.serve(80)
        self.assertEqual("TimeoutError", a.get(b.ip, 80))
        self.assertNotIn("Error", a.get("198.51.100.1", 8080))

    def test_internal_network(self):
        world = self.outside()
        world.serve(80)
        self.driver("create", "inner", "internal")
        a, b = self.box("a", "inner"), self.box("b", "inner")
        b.serve(80)
        self.assertEqual(a.ip, a.get(b.ip, 80))
        self.assertEqual("", a("ip", "route", "show", "default"))
        a("ip", "route", "add", "default", "via", a.ip.rsplit(".", 1)[0] + ".1")
        self.assertEqual("TimeoutError", a.get("198.51.100.2", 80), "even with a route")
        self.assertIn("internal", self.refusal("attach", "c", "inner", Space(self).path, "port=80:80"))

    def test_without_inter_container_communication(self):
        self.outside()
        self.driver("create", "apart", "com.docker.network.bridge.enable_icc=false")
        a, b = self.box("a", "apart"), self.box("b", "apart")
        b.serve(80)
        self.assertIn("Error", a.get(b.ip, 80))
        self.host.serve(81)
        gateway = a.endpoint["gateway"]
        self.assertEqual(a.ip, a.get(gateway, 81), "the host is still there")
        self.assertEqual(gateway, self.host.get(b.ip, 80))

    def test_host_loopback_is_not_reachable(self):
        a = self.box("a")
        self.host.background(SERVER, 82, "127.0.0.1")
        a("ip", "route", "del", "local", "127.0.0.0/8", "dev", "lo", "table", "local", check=False)
        a("ip", "addr", "flush", "dev", "lo")
        a("ip", "route", "add", "127.0.0.1/32", "via", "172.17.0.1", check=False)
        self.assertNotEqual(a.ip, a.get("127.0.0.1", 82))


class Endpoints(FabricTest):
    def test_port_taken_by_a_container(self):
        self.box("a", "bridge", "port=8080:80")
        other = Space(self)
        self.assertEqual("Bind for 0.0.0.0:8080 failed: port is already allocated",
                         self.refusal("attach", "b", "bridge", other.path, "port=8080:80"))
        self.assertEqual("a bridge\n", self.driver("list").stdout)
        self.assertEqual(["lo"], [link["ifname"] for link in json.loads(other("ip", "-j", "link"))])

    def test_port_taken_by_a_process(self):
        self.host.serve(8080)
        for port in ("8080:80", "8080:80/udp", "127.0.0.1:8080:80"):
            self.assertIn("failed: port is already allocated",
                          self.refusal("attach", "b", "bridge", Space(self).path, f"port={port}"))
        self.assertIn("this host has no such address",
                      self.refusal("attach", "b", "bridge", Space(self).path, "port=192.0.2.77:8080:80"))

    def test_held_port_is_not_given_to_processes(self):
        space = Space(self)
        holder = subprocess.Popen([DRIVER, self.state, self.run_folder, "attach", "a", "bridge", space.path, "port=8080:80",
                                   "hold"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        until(lambda: self.driver("list").stdout == "a bridge\n", "the endpoint")
        while holder.stdout.readline().strip() != "}":
            pass
        done = command(sys.executable, "-c", "import socket; socket.create_server(('', 8080))", check=False)
        self.assertIn("Address already in use", done.stderr)
        holder.communicate("")

    def test_ranges_and_any_port(self):
        self.host.serve(9000)
        a = self.box("a", "bridge", "port=9000-9002:80", "port=7000-7002:70-72", "port=81")
        ports = [(port["hostPort"], port["containerPort"]) for port in a.endpoint["ports"]]
        self.assertEqual([(9001, 80), (7000, 70), (7001, 71), (7002, 72)], ports[:4])
        self.assertGreater(ports[4][0], 1023)

    def test_several_networks(self):
        self.driver("create", "one", "subnet=10.61.0.0/24")
        self.driver("create", "two", "subnet=10.62.0.0/24", "gateway=10.62.0.254", "range=10.62.0.128/25")
        a = self.box("a")
        self.box("a", "one", space=a)
        self.box("a", "two", "priority=5", space=a)
        self.assertEqual(["eth0", "eth1", "eth2"], [l["ifname"] for l in json.loads(a("ip", "-j", "link"))][1:])
        self.assertIn("via 10.62.0.254 dev eth2", a("ip", "route", "show", "default"))
        self.assertEqual("10.62.0.129" if a.ip != "10.62.0.128" else a.ip, a.ip)
        self.driver("detach", "a", "two")
        self.assertIn("dev eth", a("ip", "route", "show", "default"))
        self.assertIn("active endpoints", self.refusal("remove", "one"))
        self.driver("detach", "a", "one")
        self.driver("remove", "one")
        self.assertIn("172.17.0.1 dev eth0", a("ip", "route", "show", "default"))

    def test_subnets_keep_clear_of_routes_and_each_other(self):
        command("ip", "link", "add", "other0", "type", "bridge")
        self.addCleanup(command, "ip", "link", "del", "other0")
        command("ip", "addr", "add", "172.18.5.1/24", "dev", "other0")
        command("ip", "link", "set", "other0", "up")
        chosen = [json.loads(self.driver("create", name).stdout)["subnets"][0]["subnet"] for name in ("x", "y")]
        self.assertEqual(["172.19.0.0/16", "172.20.0.0/16"], chosen)
        self.assertIn("overlaps", self.refusal("create", "z", "subnet=172.19.4.0/24"))
        self.assertIn("host bits", self.refusal("create", "z", "subnet=10.0.0.1/24"))

    def test_no_address_twice_under_concurrency_and_kills(self):
        """Many attach at once; half of them are killed at a random moment."""
        self.driver("create", "busy", "subnet=10.63.0.0/24")
        chance = random.Random(7)
        spaces = [Space(self) for _ in range(24)]

        def attach(i):
            process = subprocess.Popen([DRIVER, self.state, self.run_folder, "attach", f"c{i}", "busy", spaces[i].path,
                                        f"port={6000 + i}:80"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            try:
                process.wait(timeout=chance.random() * 0.05 if i % 2 else 60)
            except subprocess.TimeoutExpired:
                process.kill()
            out = process.communicate()[0]
            return json.loads(out)["ipv4"] if process.returncode == 0 else None

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            given = [ip for ip in pool.map(attach, range(24)) if ip]
        self.assertGreaterEqual(len(given), 12)
        self.assertEqual(len(given), len(set(given)))
        in_use = [address["local"] for space in spaces for link in json.loads(space("ip", "-j", "-4", "addr"))
                  for address in link["addr_info"] if link["ifname"] == "eth0"]
        self.assertEqual(len(in_use), len(set(in_use)))
        for i in range(24):
            self.driver("detach", f"c{i}")

    def test_dead_containers_free_what_they_had(self):
        self.driver("create", "tiny", "subnet=10.64.0.0/29")
        for round_ in range(3):
            boxes = [self.box(f"r{round_}-{i}", "tiny", f"port={5000 + i}:80") for i in range(5)]
            self.assertIn("no available addresses", self.refusal("attach", "more", "tiny", Space(self).path))
            for box in boxes:
                box.end()


class Names(FabricTest):
    def a_record(self, space, name, over="udp"):
        code, found = space.resolve(name, over=over)
        return code, [".".join(str(byte) for byte in bytes.fromhex(item)) for item in found]

    def test_names_aliases_links_and_reverse(self):
        self.driver("create", "net", "ipv6")
        a, b = self.box("web", "net", "alias=www"), self.box("db", "net", "link=web:front")
        for name in ("web", "WEB", "www", "web.net", "front"):
            for over in ("udp", "tcp"):
                self.assertEqual((0, [a.ip]), self.a_record(b, name, over), name)
        self.assertEqual((0, [b.ip]), self.a_record(a, "db"))
        self.assertNotEqual((0, [a.ip]), self.a_record(a, "front"), "a link is its owner's alone")
        self.assertEqual([0, 1], [b.resolve("web", 28)[0], len(b.resolve("web", 28)[1])])
        reverse = ".".join(reversed(a.ip.split("."))) + ".in-addr.arpa"
        self.assertEqual([0, [b"\3web\3net\0".hex()]], b.resolve(reverse, 12))

    def test_rename_and_disconnect(self):
        self.driver("create", "net")
        a, b = self.box("a", "net"), self.box("b", "net")
        self.box("a", space=a)
        self.driver("rename", "a", "other")
        until(lambda: self.a_record(b, "other") == (0, [json.loads(self.picture("a"))["ipv4"]]), "the new name")
        self.driver("detach", "a", "net")
        until(lambda: self.a_record(b, "other")[0] != 0, "the name to go")
        self.assertEqual("", a("nft", "list", "ruleset"), "the container is left as it was")
        self.driver("detach", "a")

    def picture(self, container):
        return (self.run_folder / f"endpoints/{container}@net").read_text()

    def test_only_names_of_own_networks(self):
        self.driver("create", "one")
        self.driver("create", "two")
        a, b = self.box("a", "one"), self.box("b", "two")
        self.assertNotEqual(0, self.a_record(a, "b")[0])
        self.box("b", "one", space=b)
        self.assertEqual(0, self.a_record(a, "b")[0])

    def test_other_names_are_asked_of_servers(self):
        world = self.outside()
        world.background(UPSTREAM, "198.51.100.2")
        self.driver("create", "net")
        self.driver("create", "inner", "internal")
        a = self.box("a", "net", "dns=198.51.100.77", "dns=198.51.100.2")
        for over in ("udp", "tcp"):
            self.assertEqual((0, ["203.0.113.7"]), self.a_record(a, "example.test", over))
            self.assertEqual(3, self.a_record(a, "nothing.test", over)[0])
        b = self.box("b", "inner", "dns=198.51.100.2")
        self.assertEqual(2, self.a_record(b, "example.test")[0], "an internal network asks nobody")

    def test_port_53_stays_the_containers(self):
        self.driver("create", "net")
        a, b = self.box("a", "net"), self.box("b", "net")
        a.serve(53)
        self.assertEqual(b.ip, b.get(a.ip, 53))
        self.assertEqual((0, [b.ip]), self.a_record(a, "b"))

    def test_killed_resolver_comes_back(self):
        self.driver("create", "net")
        a = self.box("a", "net")
        (resolver,) = self.resolvers()
        os.kill(resolver, signal.SIGKILL)
        b = self.box("b", "net")
        self.assertEqual((0, [b.ip]), self.a_record(a, "b"))
        self.assertEqual((0, [a.ip]), self.a_record(b, "a"))

    def test_resolver_is_alone(self):
        self.driver("create", "net")
        for i in range(8):
            self.box(f"c{i}", "net")
        self.assertEqual(1, len(self.resolvers()))

    def test_resolver_is_small(self):
        """The product's own role: the driver is linked to shared libraries that nothing else here maps."""
        self.driver("create", "net")
        space = Space(self)
        self.driver("attach", "a", "net", space.path, f"pid={space.pid}", env={"PROA_RESOLVER": str(runtime.path())})
        (resolver,) = self.resolvers()
        smaps = Path(f"/proc/{resolver}/smaps_rollup").read_text()
        pss = next(int(line.split()[1]) for line in smaps.splitlines() if line.startswith("Pss:"))
        print(f"resolver: {pss} KiB PSS", file=sys.stderr)
        self.assertLess(pss, 1536)

    def test_garbage_does_no_harm(self):
        self.driver("create", "net")
        a = self.box("a", "net")
        chance = random.Random(3)
        blobs = [chance.randbytes(chance.randrange(0, 80)).hex() for _ in range(200)]
        blobs.append(struct.pack(">6H", 1, 0, 1, 0, 0, 0).hex() + "c00c00010001")  # a name that points at itself
        a.python("import socket, sys\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
                 "for blob in sys.argv[1:]:\n    s.sendto(bytes.fromhex(blob), ('127.0.0.11', 53))", *blobs)
        self.assertEqual((0, [a.ip]), self.a_record(a, "a"))


class Crashes(FabricTest):
    def test_killed_at_any_system_call(self):
        """attach, killed as it enters its Nth system call of a kind, is as good as never called after detach and converge."""
        self.driver("create", "net")
        keeper = self.box("keeper", "net")
        before = self.picture()
        for call in ("sendto", "renameat2", "symlink", "setns", "bind", "flock"):
            for number in range(1, 30):
                space = Space(self)
                done = subprocess.run(["strace", "-f", "-o", "/dev/null", "-e", f"trace={call}", "-e",
                                       f"inject={call}:signal=SIGKILL:when={number}", DRIVER, self.state, self.run_folder,
                                       "attach", "victim", "net", space.path, f"pid={space.pid}", "port=8080:80"],
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
                self.driver("detach", "victim")
                space.end()
                self.driver("converge")
                self.assertEqual(before, self.picture(), f"killed at {call} number {number}")
                if done.returncode == 0:
                    break
        self.assertEqual(0, keeper.resolve("keeper")[0])

    def picture(self):
        """All that must not change: devices, rules, leases, records."""
        links = sorted(link["ifname"] for link in json.loads(command("ip", "-j", "link").stdout))
        rules = [{kind: {key: value for key, value in item[kind].items() if key != "handle"} for kind in item}
                 for item in self.ruleset()]
        files = sorted(str(path) for path in self.run_folder.rglob("*") if path.name != "dns.sock")
        return links, rules, files


if __name__ == "__main__":
    main()
