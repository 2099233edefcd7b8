// A registry for tests, in this process: it answers as it is told, and remembers what it was asked.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "net/auth.h"
#include "net/server.h"
#include "net/url.h"
#include "oci/image/remote/session.h"

namespace proa::oci::image::remote {

class FakeRegistry {
 public:
  FakeRegistry()
      : loops_(net::Loops::start({.threads = 1, .blocking_threads = 2}).value()),
        server_(*loops_, [this](net::Request& request, net::Response& response) { return answer(request, response); },
                {.max_body_bytes = 0}) {
    where_ = server_.listen(net::Endpoint::parse("127.0.0.1:0").value()).value().text();
  }
  const std::string& where() const { return where_; }

  // What it has.
  std::map<std::string, std::string> blobs;      // by digest
  std::map<std::string, std::string> manifests;  // by reference
  std::map<std::string, std::string> types;      // of manifests; OCI's otherwise
  // Whom it lets in: "" everybody.
  std::string basic;   // the whole Authorization
  std::string bearer;  // the token; "/token" gives it to whoever shows token_for
  std::string token_for;
  std::string realm;  // of the token service; its own otherwise
  // Looks at a request first; true: it has answered.
  using Override = std::function<net::Task<Result<bool>>(net::Request&, net::Response&)>;
  Override override;
  bool ranges = true;

  struct Seen {
    std::string line;  // "GET /v2/a/blobs/sha256:..."
    std::string authorization, range, body;
  };
  std::vector<Seen> seen() {
    const std::lock_guard lock(mutex_);
    return seen_;
  }
  size_t count(std::string_view begin) {
    size_t out = 0;
    for (const Seen& each : seen()) out += each.line.starts_with(begin) ? 1 : 0;
    return out;
  }

 private:
  using Done = Result<>;

  net::Task<Done> answer(net::Request& request, net::Response& response) {
    Seen record{.line = cat(request.method(), " ", request.target()),
                .authorization = std::string(request.headers().get("Authorization")),
                .range = std::string(request.headers().get("Range"))};
    request.set_max_body(0);
    if (request.method() != "GET" && request.method() != "HEAD")
      record.body = CO_TRY(co_await request.read_all(64u << 20));
    const std::string body = record.body;
    {
      const std::lock_guard lock(mutex_);
      seen_.push_back(std::move(record));
    }
    if (override && CO_TRY(co_await override(request, response))) co_return Done();
    if (request.path() == "/token") co_return co_await give_token(request, response);
    if (!allowed(request)) {
      const std::string own = cat("http://", where_, "/token");
      response.headers.set("WWW-Authenticate", bearer.empty()
                                                   ? std::string("Basic realm=\"fake\"")
                                                   : cat("Bearer realm=\"", realm.empty() ? own : realm,
                                                         "\",service=\"fake\",scope=\"repository:a/b:pull\""));
      co_return co_await refuse(response, 401, "UNAUTHORIZED", "authentication required");
    }
    co_return co_await serve(request, response, body);
  }

  bool allowed(const net::Request& request) const {
    const std::string_view given = request.headers().get("Authorization");
    if (!basic.empty()) return given == basic;
    if (!bearer.empty()) return given == cat("Bearer ", bearer);
    return true;
  }

  net::Task<Done> give_token(net::Request& request, net::Response& response) {
    if (!token_for.empty() && request.headers().get("Authorization") != token_for && request.method() == "GET")
      co_return co_await refuse(response, 401, "UNAUTHORIZED", "incorrect username or password");
    co_return co_await response.send(200, "application/json", cat("{\"token\":\"", bearer, "\",\"expires_in\":300}"));
  }

  net::Task<Done> refuse(net::Response& response, int status, std::string_view code, std::string_view message) {
    co_return co_await response.send(status, "application/json",
                                     cat("{\"errors\":[{\"code\":\"", code, "\",\"message\":\"", message, "\"}]}"));
  }

  net::Task<Done> serve(net::Request& request, net::Response& response, const std::string& body) {
    const std::string path(request.path());
    if (path == "/v2/") co_return co_await response.send(200, "application/json", "{}");
    const size_t manifest = path.find("/manifests/"), blob = path.find("/blobs/"),
                 upload = path.find("/blobs/uploads/");
    if (manifest != std::string::npos)
      co_return co_await serve_manifest(request, response, path.substr(manifest + 11), body);
    if (upload != std::string::npos) co_return co_await take_upload(request, response, path, body);
    if (blob != std::string::npos) co_return co_await serve_blob(request, response, path.substr(blob + 7));
    co_return co_await refuse(response, 404, "NAME_UNKNOWN", "no such page");
  }

  net::Task<Done> serve_manifest(net::Request& request, net::Response& response, std::string reference,
                                 const std::string& body) {
    if (request.method() == "PUT") {
      manifests[reference] = manifests[Digest::of(body).text()] = body;
      types[reference] = types[Digest::of(body).text()] = std::string(request.headers().get("Content-Type"));
      response.headers.set("Docker-Content-Digest", Digest::of(body).text());
      co_return co_await response.send(201, "", "");
    }
    const auto found = manifests.find(reference);
    if (found == manifests.end()) co_return co_await refuse(response, 404, "MANIFEST_UNKNOWN", "manifest unknown");
    response.headers.set("Docker-Content-Digest", Digest::of(found->second).text());
    const auto type = types.find(reference);
    co_return co_await response.send(200, type == types.end() ? media::kManifest : type->second, found->second);
  }

  net::Task<Done> serve_blob(net::Request& request, net::Response& response, std::string digest) {
    const auto found = blobs.find(digest);
    if (found == blobs.end()) co_return co_await refuse(response, 404, "BLOB_UNKNOWN", "blob unknown to registry");
    std::string_view rest = found->second;
    const std::string_view range = request.headers().get("Range");
    if (ranges && range.starts_with("bytes=")) {
      const size_t from = std::stoull(std::string(range.substr(6)));
      if (from >= rest.size()) co_return co_await refuse(response, 416, "RANGE_INVALID", "range");
      response.headers.set("Content-Range", cat("bytes ", from, "-", rest.size() - 1, "/", rest.size()));
      rest.remove_prefix(from);
      co_return co_await response.send(206, "application/octet-stream", rest);
    }
    co_return co_await response.send(200, "application/octet-stream", rest);
  }

  net::Task<Done> take_upload(net::Request& request, net::Response& response, std::string path,
                              const std::string& body) {
    const net::Query query(request.query());
    if (request.method() == "POST") {
      if (query.contains("mount") && blobs.contains(std::string(query.get("mount"))))
        co_return co_await response.send(201, "", "");
      const std::string id = std::to_string(++last_upload_);
      response.headers.set("Location", cat(path, id, "?state=x"));
      uploads_[path + id].clear();
      co_return co_await response.send(202, "", "");
    }
    std::string& have = uploads_[path];
    have += body;
    response.headers.set("Location", cat(path, "?state=y"));
    response.headers.set("Range", cat("0-", have.empty() ? 0 : have.size() - 1));
    if (request.method() != "PUT") co_return co_await response.send(request.method() == "GET" ? 204 : 202, "", "");
    const std::string digest(query.get("digest"));
    if (Digest::of(have).text() != digest) co_return co_await refuse(response, 400, "DIGEST_INVALID", "digest");
    blobs[digest] = have;
    co_return co_await response.send(201, "", "");
  }

  std::string where_;
  std::mutex mutex_;
  std::vector<Seen> seen_;
  std::map<std::string, std::string> uploads_;
  int last_upload_ = 0;
  std::unique_ptr<net::Loops> loops_;  // one, so that nothing here needs a lock but what tests look at meanwhile
  net::Server server_;                 // last: it ends first
};

// Two registries and a way to them.
class RemoteTest : public testing::Test {
 protected:
  RemoteTest() : loops(net::Loops::start({.threads = 2, .blocking_threads = 8}).value()) {
    options.retries.first_delay = options.retries.longest_delay = net::Duration(1);
  }
  Remote& remote() {
    if (!remote_) remote_ = std::make_unique<Remote>(*loops, registries, credentials, options);
    return *remote_;
  }
  Repository repository() { return remote().repository(registry.where(), "a/b").value(); }
  template <typename T>
  T wait(net::Task<T> task) {
    return loops->wait(std::move(task));
  }

  std::unique_ptr<net::Loops> loops;
  FakeRegistry registry, other;
  Registries registries;
  Credentials credentials{std::vector<std::string>()};
  Remote::Options options;

 private:
  std::unique_ptr<Remote> remote_;
};

}  // namespace proa::oci::image::remote
