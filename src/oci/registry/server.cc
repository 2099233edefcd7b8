#include "oci/registry/server.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include <condition_variable>
#include <csignal>
#include <ctime>
#include <mutex>
#include <thread>

#include "base/log.h"
#include "net/server.h"
#include "oci/registry/api.h"
#include "oci/registry/mirror.h"

namespace proa::oci::registry {

namespace {

constexpr std::chrono::seconds kIdleUpload(60);
constexpr std::chrono::seconds kTick(1);

using Steady = std::chrono::steady_clock;

AuthOptions auth_options(const AuthSettings& in) {
  return {.realm = in.realm,
          .htpasswd = in.htpasswd,
          .policy = in.policy,
          .anonymous_pull = in.anonymous_pull,
          .client_certificates = in.client_certificates,
          .own_tokens = in.own_tokens,
          .token_key = in.token_key,
          .token_lifetime = in.token_lifetime,
          .service = in.service,
          .issuer = in.issuer,
          .token_realm = in.token_realm,
          .certificates = in.certificates,
          .jwks = in.jwks};
}

Result<std::shared_ptr<net::TlsServer>> tls_of(const TlsSettings& in) {
  if (in.certificate.empty() && in.key.empty()) {
    if (!in.client_ca.empty()) return fail("tls.client_ca: client certificates need tls.certificate and tls.key");
    return nullptr;
  }
  if (in.certificate.empty()) return fail("tls.certificate: missing beside tls.key");
  if (in.key.empty()) return fail("tls.key: missing beside tls.certificate");
  using Auth = net::TlsServer::ClientAuth;
  return net::TlsServer::create({.certificate_file = in.certificate,
                                 .key_file = in.key,
                                 .client_ca_file = in.client_ca,
                                 .client_auth = in.client_ca.empty() ? Auth::kNone
                                                : in.client_required ? Auth::kRequire
                                                                     : Auth::kRequest,
                                 .allow_tls12 = in.allow_tls12});
}

// When a file was last written, and which it is.
std::string stamp_of(const std::string& path) {
  struct stat info{};
  if (path.empty() || ::stat(path.c_str(), &info) != 0) return {};
  return cat(info.st_ino, ".", info.st_mtim.tv_sec, ".", info.st_mtim.tv_nsec);
}

std::string stamp_of(const TlsSettings& tls) {
  return cat(stamp_of(tls.certificate), " ", stamp_of(tls.key), " ", stamp_of(tls.client_ca));
}

// Each connection and each upload is a descriptor.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

struct RegistryServer::State {
  explicit State(ServeSettings s) : settings(std::move(s)) {}

  ServeSettings settings;
  Metrics metrics;
  std::unique_ptr<net::Loops> loops;
  std::unique_ptr<Authenticator> authenticator;
  std::unique_ptr<Mirror> mirror;
  std::unique_ptr<Api> api;
  std::shared_ptr<net::TlsServer> tls;
  std::string tls_stamp;
  std::unique_ptr<net::Server> server, metrics_server;
  std::vector<std::string> places;
  Steady::time_point collect_at;
  std::thread collector;
  std::atomic<bool> collecting = false;

  Result<> open();
  Result<> listen();
  void reload();
  void collect_when_due();
  void collect_now();
  Result<> evict();
};

RegistryServer::RegistryServer(std::unique_ptr<State> state) : state_(std::move(state)) {}
RegistryServer::~RegistryServer() { stop(); }
const std::vector<std::string>& RegistryServer::places() const { return state_->places; }

Result<> RegistryServer::State::open() {
  const Repositories repositories = TRY(Repositories::open(settings.root));
  authenticator = TRY(Authenticator::create(auth_options(settings.auth), cat(settings.root, "/token.key")));
  tls = TRY(tls_of(settings.tls));
  tls_stamp = stamp_of(settings.tls);
  loops = TRY(net::Loops::start());
  api = std::make_unique<Api>(repositories, *authenticator, metrics,
                              ApiOptions{.read_only = settings.read_only,
                                         .deletes = settings.deletes,
                                         .automatic_mount = settings.automatic_mount,
                                         .sparse = settings.sparse,
                                         .max_blob_bytes = settings.max_blob_bytes,
                                         .max_manifest_bytes = settings.max_manifest_bytes,
                                         .max_requests = settings.max_requests,
                                         .access_log = settings.access_log,
                                         .metrics = settings.metrics_listen.empty()});
  if (!settings.mirrors.empty()) {
    mirror = TRY(Mirror::create(*loops, settings.mirrors, repositories, metrics));
    api->set_mirror(mirror.get());
  }
  collect_at = Steady::now() + settings.gc_interval;
  return {};
}

Result<> RegistryServer::State::listen() {
  server = std::make_unique<net::Server>(
      *loops, [this](net::Request& request, net::Response& response) { return api->handle(request, response); });
  for (const std::string& text : settings.listen) {
    const net::Endpoint endpoint = TRY_CTX(net::Endpoint::parse(text), "listen");
    // Who reaches a unix socket is known by its file's rights.
    const auto secured = endpoint.is_unix() ? nullptr : tls;
    const net::Endpoint where = TRY_CTX(server->listen(endpoint, secured), "listen at ", text);
    places.push_back(where.is_unix() ? where.text() : cat(secured ? "https://" : "http://", where.text()));
  }
  if (settings.metrics_listen.empty()) return {};
  metrics_server = std::make_unique<net::Server>(
      *loops, [this](net::Request& request, net::Response& response) -> net::Task<Result<>> {
        const Place place = route_of(request.path()).place;
        metrics.auth_failures = authenticator->failures();
        if (place == Place::kMetrics)
          co_return co_await response.send(200, "text/plain; version=0.0.4; charset=utf-8", metrics.text());
        const bool health = place == Place::kHealth;
        co_return co_await response.send(health ? 200 : 404, "text/plain; charset=utf-8",
                                         health ? "ok\n" : "no such page\n");
      });
  const net::Endpoint endpoint = TRY_CTX(net::Endpoint::parse(settings.metrics_listen), "metrics.listen");
  const net::Endpoint where = TRY_CTX(metrics_server->listen(endpoint), "listen at ", settings.metrics_listen);
  log::info("metrics at ", where.is_unix() ? where.text() : cat("http://", where.text(), "/metrics"));
  return {};
}

Result<std::unique_ptr<RegistryServer>> RegistryServer::start(ServeSettings settings) {
  raise_descriptor_limit();
  std::unique_ptr<RegistryServer> out(new RegistryServer(std::make_unique<State>(std::move(settings))));
  TRY(out->state_->open());
  TRY(out->state_->listen());
  return out;
}

void RegistryServer::State::reload() {
  for (const Error& error : authenticator->reload_changed())
    log::error(error.message(), "; what was read before stays in force");
  if (tls == nullptr) return;
  std::string stamp = stamp_of(settings.tls);
  if (stamp == tls_stamp) return;
  tls_stamp = std::move(stamp);
  const auto done = tls->reload();
  if (!done) log::error(done.error().message(), "; the certificate read before stays in force");
  if (done) log::info("read the TLS certificate anew");
}

void RegistryServer::State::collect_now() {
  CollectOptions options = settings.gc;
  options.warn = [](std::string_view text) { log::warning(text); };
  const auto report = collect(api->repositories(), options);
  if (!report) {
    log::error("garbage collection: ", report.error().message());
    return;
  }
  ++metrics.collections;
  metrics.collected_blobs += report->blobs;
  metrics.collected_bytes += report->bytes;
  log::info("garbage collection: removed ", report->manifests, " manifests, ", report->links, " links, ", report->blobs,
            " blobs, ", report->uploads, " uploads; ", report->bytes, " bytes");
}

// What a mirror has above its size goes.
Result<> RegistryServer::State::evict() {
  const EvictReport report = TRY(mirror->evict_excess());
  if (report.blobs == 0) return {};
  CollectOptions options = settings.gc;
  options.sweep_only = true;
  TRY(collect(api->repositories(), options));
  metrics.mirror_evicted += report.blobs;
  metrics.mirror_evicted_bytes += report.freed;
  log::info("mirror: evicted ", report.blobs, " blobs and manifests, ", report.freed, " bytes; ", report.kept, " stay");
  return {};
}

void RegistryServer::State::collect_when_due() {
  const bool due = settings.gc_interval.count() != 0 && Steady::now() >= collect_at;
  const bool excess = mirror && mirror->has_excess();
  if (collecting || (!due && !excess)) return;
  if (collector.joinable()) collector.join();
  if (due) collect_at = Steady::now() + settings.gc_interval;
  collecting = true;
  collector = std::thread([this, due, excess] {
    if (due) collect_now();
    if (excess)
      if (const auto evicted = evict(); !evicted) log::error("mirror: evict: ", evicted.error().message());
    collecting = false;
  });
}

void RegistryServer::tick() {
  state_->reload();
  state_->api->uploads().close_idle(kIdleUpload);
  state_->collect_when_due();
}

void RegistryServer::stop() {
  State& state = *state_;
  {
    // Who waits for an upstream is not waited for longer than others.
    std::mutex mutex;
    std::condition_variable drained;
    bool done = false;
    std::thread watch;
    if (state.mirror)
      watch = std::thread([&] {
        std::unique_lock lock(mutex);
        if (!drained.wait_for(lock, state.settings.drain, [&] { return done; })) state.mirror->cancel();
      });
    if (state.server) state.server->stop(state.settings.drain);
    {
      const std::lock_guard lock(mutex);
      done = true;
      drained.notify_one();
    }
    if (watch.joinable()) watch.join();
  }
  if (state_->metrics_server) state_->metrics_server->stop();
  if (state_->collector.joinable()) state_->collector.join();
}

Result<> serve(ServeSettings settings) {
  ::signal(SIGPIPE, SIG_IGN);
  sigset_t ends;
  sigemptyset(&ends);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&ends, number);
  ::pthread_sigmask(SIG_BLOCK, &ends, nullptr);  // before there are other threads
  const auto server = TRY(RegistryServer::start(std::move(settings)));
  for (const std::string& place : server->places()) log::info("listening at ", place);
  for (;;) {
    const timespec wait{.tv_sec = kTick.count(), .tv_nsec = 0};
    const int number = ::sigtimedwait(&ends, nullptr, &wait);
    if (number == SIGTERM || number == SIGINT) break;
    server->tick();
  }
  log::info("stopping: running requests may end");
  server->stop();
  return {};
}

}  // namespace proa::oci::registry
