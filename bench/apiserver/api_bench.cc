// One measurement of a Kubernetes API server, over HTTPS, printed as a line of JSON.
//   api_bench URL FOLDER create CLIENTS SECONDS BYTES
//   api_bench URL FOLDER get CLIENTS SECONDS
//   api_bench URL FOLDER fill COUNT
//   api_bench URL FOLDER list TIMES
//   api_bench URL FOLDER watch WATCHERS RATE SECONDS
// FOLDER has ca.pem, and client.pem and client.key if the server asks for a certificate. Each client of create and get
// has a connection of its own; the watchers share some by HTTP/2, as informers of one process do.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "net/client.h"
#include "net/loop.h"

namespace {

using namespace proa;
using namespace proa::net;

constexpr std::string_view kNamespace = "/api/v1/namespaces/bench";
constexpr std::string_view kMark = "\"at\":\"";

int64_t nanoseconds() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

[[noreturn]] void die(const std::string& what) {
  std::fprintf(stderr, "api_bench: %s\n", what.c_str());
  std::exit(1);
}

template <typename T>
T must(Result<T> result) {
  if (!result) die(result.error().message());
  return std::move(*result);
}

double percentile(std::vector<int64_t>& times, double part) {
  if (times.empty()) return 0;
  std::ranges::sort(times);
  return static_cast<double>(times[static_cast<size_t>(part * static_cast<double>(times.size() - 1))]) / 1000;
}

struct Server {
  std::string url;
  std::string folder;
  std::unique_ptr<Loops> loops = must(Loops::start({.threads = 1}));

  std::unique_ptr<Client> client(size_t connections, bool http2) {
    Client::Options options{.http2 = http2, .proxy_from_environment = false, .max_connections_per_host = connections};
    options.tls.ca_file = folder + "/ca.pem";
    if (std::filesystem::exists(folder + "/client.pem")) {
      options.tls.certificate_file = folder + "/client.pem";
      options.tls.key_file = folder + "/client.key";
    }
    options.body_timeout = Duration(0);
    return std::make_unique<Client>(*loops, std::move(options));
  }
  ClientRequest request(std::string method, std::string_view path, std::string body = {}) {
    ClientRequest made{.method = std::move(method), .url = must(Url::parse(cat(url, path)))};
    if (!body.empty()) made.headers.add("Content-Type", "application/json");
    made.body = std::move(body);
    return made;
  }
};

// Sends, reads the whole answer, and dies unless the status is one of the wanted ones.
Task<size_t> exchange(Client& client, ClientRequest request, int wanted, int also) {
  auto response = must(co_await client.send(std::move(request)));
  const std::string body = must(co_await response.read_all(256 << 20));
  if (response.status != wanted && response.status != also)
    die(cat("status ", response.status, ": ", body.substr(0, 400)));
  co_return body.size();
}

// --- create, get ------------------------------------------------------------------------------------------------

struct Load {
  Server& server;
  Client& client;
  size_t bytes = 0;  // 0: get
  int64_t end = 0;
  std::vector<std::vector<int64_t>> times;  // of each client
};

std::string settings(std::string_view name, size_t bytes) {
  return cat(R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":")", name, R"("},"data":{"k":")",
             std::string(bytes, 'x'), "\"}}");
}

Task<bool> client_of(Load& load, size_t number) {
  const std::string maps = cat(kNamespace, "/configmaps");
  for (int64_t serial = 0, begin = nanoseconds(); begin < load.end; ++serial) {
    ClientRequest request =
        load.bytes ? load.server.request("POST", maps, settings(cat("c", number, "-", serial, "-", begin), load.bytes))
                   : load.server.request("GET", cat(maps, "/read"));
    co_await exchange(load.client, std::move(request), load.bytes ? 201 : 200, 0);
    const int64_t now = nanoseconds();
    load.times[number].push_back(now - begin);
    begin = now;
  }
  co_return true;
}

void run_load(Server& server, size_t clients, long seconds, size_t bytes) {
  auto client = server.client(clients, false);
  const std::string maps = cat(kNamespace, "/configmaps");
  if (!bytes)
    Loops::wait(server.loops->at(0), exchange(*client, server.request("POST", maps, settings("read", 1024)), 201, 409));
  Load load{.server = server, .client = *client, .bytes = bytes, .times = {}};
  load.times.resize(clients);
  const int64_t begin = nanoseconds();
  load.end = begin + seconds * 1'000'000'000;
  {
    std::vector<std::jthread> waiting;
    for (size_t i = 0; i < clients; ++i)
      waiting.emplace_back([&, i] { Loops::wait(server.loops->at(0), client_of(load, i)); });
  }
  const double took = static_cast<double>(nanoseconds() - begin) / 1e9;
  std::vector<int64_t> all;
  for (const auto& times : load.times) all.insert(all.end(), times.begin(), times.end());
  std::printf("{\"per_second\": %.0f, \"p50_us\": %.0f, \"p99_us\": %.0f}\n", static_cast<double>(all.size()) / took,
              percentile(all, 0.5), percentile(all, 0.99));
}

// --- fill, list -------------------------------------------------------------------------------------------------

// A pod as a deployment's would be, 1.5 KiB of JSON.
std::string pod(size_t number) {
  return cat(
      R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"web-)", number,
      R"(","labels":{"app":"web","pod-template-hash":"6d4cf56db6","tier":"frontend"},"annotations":{"example.com/owner":"team-a","example.com/config-hash":"c4ca4238a0b923820dcc509a6f75849b"}},"spec":{"containers":[{"name":"web","image":"registry.example.com/team/web:1.2.3","ports":[{"name":"http","containerPort":8080}],"env":[{"name":"POD_NAME","valueFrom":{"fieldRef":{"fieldPath":"metadata.name"}}},{"name":"MODE","value":"production"}],"resources":{"requests":{"cpu":"100m","memory":"128Mi"},"limits":{"memory":"256Mi"}},"livenessProbe":{"httpGet":{"path":"/healthz","port":"http"}},"readinessProbe":{"httpGet":{"path":"/ready","port":"http"}}}],"terminationGracePeriodSeconds":30}})");
}

void fill(Server& server, size_t count) {
  constexpr size_t kClients = 32;
  auto client = server.client(kClients, false);
  std::vector<std::jthread> waiting;
  for (size_t i = 0; i < kClients; ++i)
    waiting.emplace_back([&, i] {
      Loops::wait(server.loops->at(0), [](Server& of, Client& with, size_t first, size_t end) -> Task<bool> {
        for (size_t number = first; number < end; number += kClients)
          co_await exchange(with, of.request("POST", cat(kNamespace, "/pods"), pod(number)), 201, 0);
        co_return true;
      }(server, *client, i, count));
    });
  waiting.clear();
  std::printf("{\"objects\": %zu}\n", count);
}

struct Listed {
  std::vector<int64_t> first, whole;
  size_t bytes = 0;
};

Task<bool> list(Server& server, Client& client, size_t times, Listed& to) {
  for (size_t i = 0; i < times; ++i) {
    const int64_t begin = nanoseconds();
    auto response = must(co_await client.send(server.request("GET", cat(kNamespace, "/pods?resourceVersion=0"))));
    if (response.status != 200) die(cat("status ", response.status));
    to.bytes = 0;
    for (;;) {
      const std::string_view piece = must(co_await response.read());
      if (piece.empty()) break;
      if (!to.bytes) to.first.push_back(nanoseconds() - begin);
      to.bytes += piece.size();
    }
    to.whole.push_back(nanoseconds() - begin);
  }
  co_return true;
}

void run_list(Server& server, size_t times) {
  auto client = server.client(1, false);
  Listed listed;
  Loops::wait(server.loops->at(0), list(server, *client, times, listed));
  const double whole = percentile(listed.whole, 0.5);
  std::printf("{\"bytes\": %zu, \"first_us\": %.0f, \"whole_us\": %.0f, \"mb_per_second\": %.0f}\n", listed.bytes,
              percentile(listed.first, 0.5), whole, static_cast<double>(listed.bytes) / whole);
}

// --- watch ------------------------------------------------------------------------------------------------------

struct Fanout {
  size_t events;
  std::atomic<size_t> open = 0, ended = 0;
  std::vector<std::vector<int64_t>> delays;  // of each watcher
};

// Notes for every event how long ago its change was sent.
Task<> watcher(Server& server, Client& client, Fanout& fanout, size_t number) {
  auto response = must(
      co_await client.send(server.request("GET", cat(kNamespace, "/configmaps?watch=true&labelSelector=watched"))));
  if (response.status != 200) die(cat("watch: status ", response.status));
  ++fanout.open;
  std::string rest;
  auto& delays = fanout.delays[number];
  while (delays.size() < fanout.events) {
    rest += must(co_await response.read());
    const int64_t now = nanoseconds();
    size_t line = 0;
    for (size_t end; (end = rest.find('\n', line)) != std::string::npos; line = end + 1) {
      const size_t mark = rest.find(kMark, line);
      if (mark < end) delays.push_back(now - std::strtoll(rest.c_str() + mark + kMark.size(), nullptr, 10));
    }
    rest.erase(0, line);
  }
  ++fanout.ended;
}

void watch(Server& server, size_t watchers, size_t rate, size_t seconds) {
  Fanout fanout{.events = rate * seconds};
  fanout.delays.resize(watchers);
  auto reader = server.client(32, true);
  auto writer = server.client(4, false);
  for (size_t i = 0; i < watchers; ++i) {
    fanout.delays[i].reserve(fanout.events);
    server.loops->at(0).spawn(watcher(server, *reader, fanout, i));
  }
  while (fanout.open < watchers) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  const auto begin = std::chrono::steady_clock::now();
  const std::string run = std::to_string(nanoseconds());
  for (size_t i = 0; i < fanout.events; ++i) {
    std::this_thread::sleep_until(begin + std::chrono::nanoseconds(1'000'000'000 / rate * i));
    std::string body = cat(R"({"metadata":{"name":"w-)", run, "-", i, R"(","labels":{"watched":"yes"}},"data":{"at":")",
                           nanoseconds(), "\"}}");
    Loops::wait(server.loops->at(0),
                exchange(*writer, server.request("POST", cat(kNamespace, "/configmaps"), std::move(body)), 201, 0));
  }
  const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (fanout.ended < watchers && std::chrono::steady_clock::now() < patience)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  std::vector<int64_t> all;
  for (const auto& each : fanout.delays) all.insert(all.end(), each.begin(), each.end());
  std::printf("{\"events\": %zu, \"wanted\": %zu, \"p50_us\": %.0f, \"p99_us\": %.0f}\n", all.size(),
              watchers * fanout.events, percentile(all, 0.5), percentile(all, 0.99));
  std::fflush(stdout);
  std::_Exit(fanout.ended == watchers ? 0 : 1);
}

}  // namespace

int main(int count, char** words) {
  const std::vector<std::string> given(words + 1, words + count);
  const auto number = [&](size_t index) -> size_t { return index < given.size() ? std::stoul(given[index]) : 0; };
  if (given.size() < 4) die("want: URL FOLDER create|get|fill|list|watch …");
  Server server{.url = given[0], .folder = given[1]};
  const std::string& what = given[2];
  if (what == "create") run_load(server, number(3), static_cast<long>(number(4)), number(5));
  if (what == "get") run_load(server, number(3), static_cast<long>(number(4)), 0);
  if (what == "fill") fill(server, number(3));
  if (what == "list") run_list(server, number(3));
  if (what == "watch") watch(server, number(3), number(4), number(5));
}
