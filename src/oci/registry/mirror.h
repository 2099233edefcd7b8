// A pull-through mirror: repositories whose content comes from other registries when it is asked for, and stays.
//
// Tags are believed for a while, then upstream is asked by HEAD whether they still point there; if it does not answer,
// they are served as they were. Content by digest never changes and is fetched once. What several clients want at the
// same time is fetched once too, and streamed to all of them while it comes.
//
// Threads: any loop's, but for the constructor and destructor.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "net/task.h"
#include "oci/image/remote/session.h"
#include "oci/registry/evict.h"
#include "oci/registry/fetch.h"
#include "oci/registry/metrics.h"
#include "oci/registry/refusal.h"
#include "oci/registry/repositories.h"
#include "oci/registry/server.h"

namespace proa::oci::registry {

class Mirror {
 public:
  // Errors name the field.
  static Result<std::unique_ptr<Mirror>> create(net::Loops& loops, const std::vector<UpstreamSettings>& upstreams,
                                                const Repositories& repositories, Metrics& metrics);
  // Ends what is being fetched; its part stays for the next time.
  ~Mirror();

  // Whether this repository's content comes from elsewhere.
  bool has(std::string_view repository) const { return upstream_of(repository) != nullptr; }
  // Whether an upstream may have more here than it should; it is not known before the first eviction.
  bool has_excess() const;
  // Takes away what was asked for the longest ago. Blocks; one thread at a time.
  Result<EvictReport> evict_excess();
  // What is being fetched ends with errors, and so does all that is begun from now on.
  void cancel();

  // After these the manifest is here. MANIFEST_UNKNOWN if upstream has none, DENIED if it lets us not, status 502 if
  // it cannot be reached.
  net::Task<Answer<image::Digest>> resolve_tag(std::string repository, std::string tag);
  net::Task<Answer<>> get_manifest(std::string repository, image::Digest digest);
  net::Task<Answer<uint64_t>> blob_size(std::string repository, image::Digest digest);
  net::Task<Answer<std::shared_ptr<Fetch>>> get_blob(std::string repository, image::Digest digest);
  // As upstream has them; what is here when it cannot be reached.
  net::Task<Answer<std::vector<std::string>>> tags(std::string repository);
  // Descriptors; those here when upstream cannot be reached.
  net::Task<Answer<std::vector<std::string>>> referrers(std::string repository, image::Digest subject);

 private:
  struct Upstream {
    UpstreamSettings settings;
    std::string domain, path_prefix;
    std::unique_ptr<image::remote::Remote> remote;
    std::atomic<uint64_t> kept = 0;     // bytes here, by what this process knows
    std::atomic<bool> counted = false;  // that was found out

    bool has_excess() const;
    // The repository there of one here.
    Result<image::remote::Repository> repository(std::string_view name) const;
  };
  struct Flight;
  using Work = std::function<net::Task<Answer<image::Digest>>()>;

  Mirror(net::Loops& loops, const Repositories& repositories, Metrics& metrics)
      : loops_(loops), repositories_(repositories), metrics_(metrics) {}
  static Result<std::unique_ptr<Upstream>> connect(net::Loops& loops, const UpstreamSettings& settings);
  Upstream* upstream_of(std::string_view repository) const;
  // Runs the work, unless it is running under this key already: then waits for what it gives.
  net::Task<Answer<image::Digest>> once(std::string key, Work work);
  net::Task<Answer<image::Digest>> revalidate(std::string repository, std::string tag);
  net::Task<Answer<image::Digest>> fetch_manifest(std::string repository, std::string reference);
  Result<> keep_manifest(const std::string& repository, const image::remote::FetchedManifest& manifest,
                         const std::string& tag) const;
  net::Task<> run(std::shared_ptr<Fetch> fetch, std::string key, std::string repository, image::Digest digest);
  net::Task<Result<>> fetch_blob(Fetch& fetch, const std::string& repository, const image::Digest& digest);
  net::Task<Result<>> take_rest(Fetch& fetch, image::Ingest& ingest, const image::remote::Repository& from,
                                const image::Digest& digest);
  void fetch_ended(const std::string& key);
  Result<> still_wanted() const;
  Refusal refusal_of(const Error& error, Code unknown);

  net::Loops& loops_;
  const Repositories repositories_;
  Metrics& metrics_;
  std::vector<std::unique_ptr<Upstream>> upstreams_;  // the longest prefix first

  std::mutex mutex_;  // guards the rest
  std::condition_variable ended_;
  std::map<std::string, std::shared_ptr<Flight>> flights_;
  std::map<std::string, std::shared_ptr<Fetch>> fetches_;
  size_t running_ = 0;
  std::atomic<bool> cancelled_ = false;
};

}  // namespace proa::oci::registry
