// Cluster: calls to an etcd cluster, whichever of its members answers.
//
// What only reads is repeated at the next member until one answers or the time is up. What changes something is sent
// again only if the member cannot have got it, or says that it did nothing: nothing is ever done twice. If an answer
// does not come, the error is kUncertain.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kube/store/etcd/messages.h"
#include "net/client.h"
#include "net/grpc.h"

namespace proa::kube::store::etcd {

struct ClusterOptions {
  std::vector<std::string> endpoints;  // "https://host:2379"
  std::string ca_file;                 // PEM; empty: the system's
  std::string certificate_file;        // the client's; empty: none
  std::string key_file;
  std::chrono::milliseconds connect_timeout{2'000};
  std::chrono::milliseconds call_timeout{5'000};    // of one member, for an answer
  std::chrono::milliseconds total_timeout{15'000};  // of all attempts
  std::chrono::milliseconds watch_silence{6'000};  // of a member that is asked for signs of life, before it is given up
};

enum class Effect : uint8_t { kReads, kChanges };

class Cluster {
 public:
  // Errors name the endpoint that is none.
  static Result<std::unique_ptr<Cluster>> create(net::Loops& loops, const ClusterOptions& options);

  // `method`: "KV/Range". The answer's message.
  net::Task<Result<std::string>> call(Effect effect, std::string_view method, std::string message);
  // A stream at the member whose turn it is; on an error it is the next one's.
  net::Task<Result<std::unique_ptr<net::GrpcStream>>> open(std::string_view method, std::string message);

  // Where streams live.
  net::Loop& loop() const { return streams_.loop(); }
  void turn_to_next() { turn_.fetch_add(1, std::memory_order_relaxed); }
  const std::string& endpoint() const {
    return endpoints_[turn_.load(std::memory_order_relaxed) % endpoints_.size()].text;
  }

 private:
  struct Endpoint {
    std::string text;
    net::Url url;
  };
  Cluster(net::Loops& loops, const ClusterOptions& options, std::vector<Endpoint> endpoints);
  net::GrpcRequest request(std::string_view method, std::string message) const;

  const ClusterOptions options_;
  const std::vector<Endpoint> endpoints_;
  std::atomic<size_t> turn_ = 0;
  net::Client calls_;
  net::Client streams_;
};

}  // namespace proa::kube::store::etcd
