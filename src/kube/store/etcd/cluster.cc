#include "kube/store/etcd/cluster.h"

#include "kube/store/errors.h"

namespace proa::kube::store::etcd {

namespace {

constexpr net::Duration kPause{100};  // once every member has been tried

net::Client::Options client_options(const ClusterOptions& options, std::chrono::milliseconds silence) {
  return {
      .tls = {.ca_file = options.ca_file, .certificate_file = options.certificate_file, .key_file = options.key_file},
      .http2_prior_knowledge = true,
      .proxy_from_environment = false,
      .connect_timeout = options.connect_timeout,
      .response_timeout = silence,
      .body_timeout = silence};
}

// etcd's own words (api/v3rpc/rpctypes); other causes share their codes.
bool says(const net::GrpcStatus& status, std::string_view words) {
  return status.message.find(words) != std::string::npos;
}

// Refused before anything was proposed.
bool did_nothing(const net::GrpcStatus& status) {
  return says(status, "no leader") || says(status, "too many requests");
}

bool worth_another_member(Effect effect, const net::GrpcStatus& status) {
  if (did_nothing(status)) return true;
  return effect == Effect::kReads &&
         (status.code == net::GrpcCode::kUnavailable || status.code == net::GrpcCode::kDeadlineExceeded);
}

Failure failure(Effect effect, const net::GrpcStatus& status, std::string_view endpoint) {
  const auto as = [&](Code code) { return fail_as(code, "etcd ", endpoint, ": ", status.message); };
  if (says(status, "has been compacted")) return as(Code::kCompacted);
  if (says(status, "future revision")) return as(Code::kFutureRevision);
  if (says(status, "lease not found")) return as(Code::kLeaseNotFound);
  if (says(status, "lease already exists")) return as(Code::kLeaseExists);
  if (says(status, "request is too large") || says(status, "too many operations")) return as(Code::kTooLarge);
  if (says(status, "database space exceeded"))
    return fail_errno(ENOSPC, "etcd ", endpoint, ": ", status.message)
        .hint("compact and defragment etcd, then clear its alarm: etcdctl alarm disarm");
  switch (status.code) {
    case net::GrpcCode::kInvalidArgument: return as(Code::kInvalid);
    case net::GrpcCode::kUnavailable:
    case net::GrpcCode::kDeadlineExceeded:
      return as(effect == Effect::kReads || did_nothing(status) ? Code::kUnavailable : Code::kUncertain);
    default: return fail("etcd ", endpoint, ": ", status.message, " (gRPC code ", static_cast<int>(status.code), ")");
  }
}

}  // namespace

Result<std::unique_ptr<Cluster>> Cluster::create(net::Loops& loops, const ClusterOptions& options) {
  if (options.endpoints.empty()) return fail_as(Code::kInvalid, "no endpoint of an etcd cluster was given");
  std::vector<Endpoint> endpoints;
  for (const std::string& text : options.endpoints) {
    Endpoint endpoint{text, TRY_CTX(net::Url::parse(text), "etcd endpoint ", text)};
    if (endpoint.url.scheme != "http" && endpoint.url.scheme != "https")
      return fail_as(Code::kInvalid, "etcd endpoint ", text, ": scheme is neither http nor https");
    endpoints.push_back(std::move(endpoint));
  }
  return std::unique_ptr<Cluster>(new Cluster(loops, options, std::move(endpoints)));
}

Cluster::Cluster(net::Loops& loops, const ClusterOptions& options, std::vector<Endpoint> endpoints)
    : options_(options),
      endpoints_(std::move(endpoints)),
      calls_(loops, client_options(options, options.call_timeout)),
      streams_(loops, client_options(options, options.watch_silence)) {}

net::GrpcRequest Cluster::request(std::string_view method, std::string message) const {
  const Endpoint& endpoint = endpoints_[turn_.load(std::memory_order_relaxed) % endpoints_.size()];
  // A member cut off from the others answers at once that it has no leader.
  return {.server = endpoint.url,
          .method = cat("/etcdserverpb.", method),
          .message = std::move(message),
          .headers = {{"hasleader", "true"}}};
}

net::Task<Result<std::string>> Cluster::call(Effect effect, std::string_view method, std::string message) {
  const auto deadline = net::Clock::now() + options_.total_timeout;
  for (size_t attempt = 1;; ++attempt) {
    const size_t turn = turn_.load(std::memory_order_relaxed);
    const std::string name = endpoint();
    bool sent = false;
    net::GrpcRequest wanted = request(method, message);
    wanted.sent = &sent;
    auto answer = co_await net::grpc_call(calls_, std::move(wanted));
    if (answer && answer->status.ok()) co_return std::move(answer->message);
    const bool late = net::Clock::now() >= deadline;
    if (answer && (late || !worth_another_member(effect, answer->status)))
      co_return failure(effect, answer->status, name);
    if (!answer) {
      Error error = std::move(answer).error();
      // EAGAIN: the member refused it.
      const bool untouched = !sent || error.code() == EAGAIN;
      if (effect == Effect::kChanges && !untouched)
        co_return fail_as(Code::kUncertain, "etcd ", name, ": ", error.message());
      if (late) co_return fail_as(Code::kUnavailable, "etcd: ", error.message());
    }
    // Several calls that fail at once are one turn.
    size_t seen = turn;
    turn_.compare_exchange_strong(seen, turn + 1);
    if (attempt % endpoints_.size() == 0) co_await net::sleep(kPause);
  }
}

net::Task<Result<std::unique_ptr<net::GrpcStream>>> Cluster::open(std::string_view method, std::string message) {
  const std::string name = endpoint();
  auto stream = co_await net::GrpcStream::open(streams_, request(method, std::move(message)));
  if (!stream) {
    turn_to_next();
    co_return std::unexpected(std::move(stream).error().with_context(cat("etcd ", name)));
  }
  co_return std::move(*stream);
}

}  // namespace proa::kube::store::etcd
