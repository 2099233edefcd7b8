// The fabric by hand, for its system test: fabric_driver STATE RUN COMMAND ...
//   create NAME [subnet=..] [gateway=..] [range=..] [internal] [ipv6] [OPTION=VALUE ...]
//   attach CONTAINER NETWORK NETNS [name=..] [alias=..] [ip=..] [link=CONTAINER:ALIAS] [port=..] [pid=..] [priority=..]
//          [dns=..] [hold]             prints the endpoint; `hold`: keeps the ports until stdin ends
//   detach CONTAINER [NETWORK] · remove NETWORK · rename CONTAINER NAME · converge · list · warnings · bench NETWORK
//   NETNS COUNT
#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "base/text.h"
#include "fabric/dns/process.h"
#include "fabric/fabric.h"
#include "fabric/records.h"

namespace {

using namespace proa;
using namespace proa::fabric;
using Words = std::vector<std::string>;

void print(const std::string& text) { std::fwrite(text.data(), 1, text.size(), stdout); }

Result<> create(Fabric& fabric, const Words& words) {
  NetworkSpec spec{.name = words.at(0), .subnets = {}, .options = {}, .labels = {}};
  SubnetSpec subnet;
  for (size_t i = 1; i < words.size(); ++i) {
    std::string_view value = words[i];
    const std::string key(cut(value, '='));
    const std::string text(value);
    if (key == "subnet")
      subnet.subnet = text;
    else if (key == "gateway")
      subnet.gateway = text;
    else if (key == "range")
      subnet.ip_range = text;
    else if (key == "internal")
      spec.internal = true;
    else if (key == "ipv6")
      spec.ipv6 = true;
    else
      spec.options.emplace(key, text);
  }
  if (!subnet.subnet.empty()) spec.subnets.push_back(subnet);
  print(network_text(TRY(fabric.create_network(spec))));
  return {};
}

Result<> attach(Fabric& fabric, const Words& words) {
  AttachRequest request{.container = words.at(0), .name = words.at(0), .network = words.at(1), .netns = words.at(2)};
  bool hold = false;
  for (size_t i = 3; i < words.size(); ++i) {
    std::string_view value = words[i];
    const std::string key(cut(value, '='));
    const std::string text(value);
    if (key == "name") request.name = text;
    if (key == "alias") request.aliases.push_back(text);
    if (key == "ip") request.ipv4 = TRY(Ip::parse(text));
    if (key == "dns") request.dns.servers.push_back(text);
    if (key == "link") request.links.emplace_back(cut(value, ':'), value);
    if (key == "port") request.ports.push_back(TRY(parse_port(text)));
    if (key == "pid") request.pid = std::stoi(text);
    if (key == "priority") request.gateway_priority = std::stoi(text);
    if (key == "hold") hold = true;
  }
  Attachment made = TRY(fabric.attach(request));
  print(endpoint_text(made.endpoint));
  std::fflush(stdout);
  char byte;
  while (hold && ::read(STDIN_FILENO, &byte, 1) > 0) {
  }
  return {};
}

// Microseconds of each attach and detach, with a port.
Result<> bench(Fabric& fabric, const Words& words) {
  using Clock = std::chrono::steady_clock;
  for (int i = 0; i < std::stoi(words.at(2)); ++i) {
    AttachRequest request{.container = "bench", .name = "bench", .network = words.at(0), .netns = words.at(1)};
    request.ports = {TRY(parse_port("18080:80"))};
    const auto start = Clock::now();
    const Attachment made = TRY(fabric.attach(request));
    const auto middle = Clock::now();
    TRY(fabric.detach_all("bench"));
    const auto us = [](auto d) {
      return static_cast<long>(std::chrono::duration_cast<std::chrono::microseconds>(d).count());
    };
    print(cat("attach ", us(middle - start), " detach ", us(Clock::now() - middle), "\n"));
  }
  return {};
}

Result<> run(const Words& words) {
  const char* const resolver = std::getenv("PROA_RESOLVER");
  Fabric fabric = TRY(Fabric::open(
      {.state = words.at(0), .run = words.at(1), .resolver = resolver != nullptr ? resolver : "/proc/self/exe"}));
  const std::string& command = words.at(2);
  const Words rest(words.begin() + 3, words.end());
  if (command == "create") return create(fabric, rest);
  if (command == "attach") return attach(fabric, rest);
  if (command == "bench") return bench(fabric, rest);
  if (command == "detach") return rest.size() > 1 ? fabric.detach(rest[0], rest[1]) : fabric.detach_all(rest.at(0));
  if (command == "remove") return fabric.remove_network(rest.at(0));
  if (command == "rename") return fabric.rename(rest.at(0), rest.at(1));
  if (command == "converge") return fabric.converge();
  if (command == "list")
    for (const Endpoint& endpoint : TRY(fabric.endpoints()))
      print(cat(endpoint.container, " ", endpoint.network, "\n"));
  if (command == "warnings")
    for (const std::string& warning : TRY(fabric.warnings())) print(cat(warning, "\n"));
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  const Words words(argv + 1, argv + argc);
  if (!words.empty() && words[0] == "__dns") {
    const auto status = dns::run({.state = words.at(1), .run = words.at(2)});
    return status.value_or(1);
  }
  const Result<> done = run(words);
  if (done) return 0;
  std::fprintf(stderr, "%s\n", done.error().message().c_str());
  return 1;
}
