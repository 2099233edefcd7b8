// The server that net_test.py and bench/net drive. Prints one line once it listens, ends on SIGTERM.
//   net_server [--threads N] [--cert FILE --key FILE [--client-ca FILE [--require]]] [--file FILE] [--grace MS]
//              [--max-connections N] [--header-timeout MS] ENDPOINT...
// An endpoint behind "tls+" speaks TLS. Paths:
//   /small           13 bytes         /file      the file, sendfile, with ranges
//   /bytes?n=N       N bytes, streamed /echo     the request's body, streamed
//   /sink            counts the body  /watch     one line, then nothing until the client goes or the server stops
//   /ws              WebSocket echo   /raw       upgrade to "tcp", echo
//   /who             client certificate or unix peer
#include "net/server.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#include <charconv>
#include <cstdio>
#include <cstring>
#include <map>

#include "base/text.h"
#include "net/conditional.h"
#include "net/url.h"
#include "net/websocket.h"

namespace {

using namespace proa;
using namespace proa::net;

struct File {
  Fd fd;
  uint64_t size = 0;
};
File served;

Task<Result<>> send_file(Request& request, Response& response) {
  ByteRange part;
  switch (parse_range(request.headers().get("Range"), served.size, part)) {
    case RangeVerdict::kWhole: co_return co_await response.send_file(served.fd.get(), 0, served.size);
    case RangeVerdict::kUnsatisfiable:
      response.headers.set("Content-Range", cat("bytes */", served.size));
      co_return co_await response.send(416, "text/plain", "");
    case RangeVerdict::kPart: break;
  }
  response.status = 206;
  response.headers.set("Content-Range", part.content_range(served.size));
  co_return co_await response.send_file(served.fd.get(), part.first, part.size());
}

Task<Result<>> send_bytes(Request& request, Response& response) {
  uint64_t left = parse_number<uint64_t>(Query(request.query()).get("n")).value_or(0);
  static const std::string piece(64 << 10, 'x');
  while (left > 0) {
    const size_t size = std::min<uint64_t>(left, piece.size());
    CO_TRY(co_await response.write(std::string_view(piece).substr(0, size)));
    left -= size;
  }
  co_return Result<>();
}

Task<Result<>> take_body(Request& request, Response& response, bool echo) {
  request.set_max_body(0);
  uint64_t size = 0;
  for (;;) {
    const std::string_view piece = CO_TRY(co_await request.read());
    if (piece.empty()) break;
    size += piece.size();
    if (echo) CO_TRY(co_await response.write(piece));
  }
  if (echo) co_return Result<>();
  co_return co_await response.send(200, "text/plain", cat(size, "\n"));
}

Task<Result<>> watch(Request& request, Response& response) {
  Event event;
  request.on_close([&] { event.notify(); });
  CO_TRY(co_await response.write("{\"type\":\"ADDED\"}\n"));
  co_await event.wait();
  if (request.stopping()) co_return co_await response.write("{\"type\":\"END\"}\n");
  co_return Result<>();
}

Task<Result<>> websocket(Request& request, Response& response) {
  const auto socket = CO_TRY(co_await WebSocket::accept(request, response, {.subprotocols = {"echo"}}));
  if (!socket) co_return Result<>();
  for (;;) {
    const auto message = CO_TRY(co_await socket->read());
    if (!message) co_return Result<>();
    CO_TRY(co_await socket->write(message->kind, message->data));
  }
}

Task<Result<>> raw(Response& response) {
  const auto stream = CO_TRY(co_await response.upgrade("tcp"));
  char buffer[4096];
  for (;;) {
    const size_t got = CO_TRY(co_await stream->read(buffer));
    if (got == 0) co_return Result<>();
    CO_TRY(co_await stream->write({buffer, got}));
  }
}

std::string describe(const Peer& peer) {
  if (peer.is_unix) return cat("unix ", peer.uid, "\n");
  if (!peer.certificate) return "nobody\n";
  return cat(peer.certificate->common_name, " ",
             peer.certificate->organizations.empty() ? "" : peer.certificate->organizations[0], "\n");
}

Task<Result<>> handle(Request& request, Response& response) {
  const std::string_view path = request.path();
  if (path == "/small")
    return
        [](Response& r) -> Task<Result<>> { co_return co_await r.send(200, "text/plain", "Hello, world\n"); }(response);
  if (path == "/file") return send_file(request, response);
  if (path == "/bytes") return send_bytes(request, response);
  if (path == "/echo") return take_body(request, response, true);
  if (path == "/sink") return take_body(request, response, false);
  if (path == "/watch") return watch(request, response);
  if (path == "/ws") return websocket(request, response);
  if (path == "/raw") return raw(response);
  if (path == "/who")
    return [](Request& q, Response& r) -> Task<Result<>> {
      co_return co_await r.send(200, "text/plain", describe(q.peer()));
    }(request, response);
  return
      [](Response& r) -> Task<Result<>> { co_return co_await r.send(404, "text/plain", "no such path\n"); }(response);
}

Result<> open_file(const std::string& path) {
  served.fd = Fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!served.fd) return fail_errno(errno, path);
  struct stat status{};
  if (::fstat(served.fd.get(), &status) < 0) return fail_errno(errno, path);
  served.size = static_cast<uint64_t>(status.st_size);
  return {};
}

Result<> run(std::map<std::string, std::string>& flags, const std::vector<std::string>& endpoints) {
  const auto number = [&](const char* name, uint64_t otherwise) {
    return parse_number<uint64_t>(flags[name]).value_or(otherwise);
  };
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGHUP);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  const auto loops = TRY(Loops::start({.threads = static_cast<unsigned>(number("--threads", 0))}));
  std::shared_ptr<TlsServer> tls;
  if (!flags["--cert"].empty()) {
    const bool asks = !flags["--client-ca"].empty();
    const auto auth = !asks                         ? TlsServer::ClientAuth::kNone
                      : flags.contains("--require") ? TlsServer::ClientAuth::kRequire
                                                    : TlsServer::ClientAuth::kRequest;
    tls = TRY(TlsServer::create({.certificate_file = flags["--cert"],
                                 .key_file = flags["--key"],
                                 .client_ca_file = flags["--client-ca"],
                                 .client_auth = auth}));
  }
  if (!flags["--file"].empty()) TRY(open_file(flags["--file"]));
  Server::Options options;
  options.max_connections = number("--max-connections", options.max_connections);
  options.header_timeout = Duration(number("--header-timeout", 10'000));
  Server server(*loops, handle, options);
  std::string where;
  for (std::string_view endpoint : endpoints) {
    const bool secure = endpoint.starts_with("tls+");
    if (secure) endpoint.remove_prefix(4);
    const Endpoint wanted = TRY(Endpoint::parse(endpoint));
    where += cat(TRY(server.listen(wanted, secure ? tls : nullptr)).text(), " ");
  }
  std::printf("%s\n", where.c_str());
  std::fflush(stdout);
  for (int signal = 0; sigwait(&signals, &signal) == 0 && signal == SIGHUP;)
    if (tls) TRY(tls->reload());
  server.stop(Duration(number("--grace", 0)));
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  std::map<std::string, std::string> flags;
  std::vector<std::string> endpoints;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--require")
      flags[word] = "yes";
    else if (word.starts_with("--") && i + 1 < argc)
      flags[word] = argv[++i];
    else
      endpoints.push_back(word);
  }
  if (const auto done = run(flags, endpoints); !done) {
    std::fprintf(stderr, "net_server: %s\n", done.error().message().c_str());
    return 1;
  }
}
