#include "oci/registry/mirror.h"

#include <fcntl.h>

#include <algorithm>

#include "base/json.h"
#include "base/log.h"
#include "kernel/file.h"
#include "net/url.h"
#include "oci/image/store_folder.h"
#include "oci/registry/manifest.h"
#include "oci/registry/route.h"

namespace proa::oci::registry {

using image::Digest;
using net::Task;
namespace remote = image::remote;

namespace {

// Clients wait meanwhile.
constexpr remote::RetryPolicy kRetries{.attempts = 2,
                                       .first_delay = net::Duration(200),
                                       .longest_delay = net::Duration(1'000),
                                       .longest_wait = net::Duration(5'000)};
constexpr net::Duration kConnectTimeout(10'000);
constexpr net::Duration kAnswerTimeout(30'000);
constexpr int kAttempts = 5;  // for a blob, in a row without a byte
constexpr size_t kPiece = 512u << 10;
constexpr net::Duration kOtherWriter(200);

bool is_answer(const Error& error) { return error.code() == ENOENT || error.code() == EACCES; }

}  // namespace

struct Mirror::Flight {
  std::vector<std::shared_ptr<net::Event>> waiting;  // guarded by the mirror's mutex
  std::optional<Answer<Digest>> result;              // set before they are woken
};

// --- upstreams

Result<std::unique_ptr<Mirror::Upstream>> Mirror::connect(net::Loops& loops, const UpstreamSettings& settings) {
  if (!settings.prefix.empty() && !valid_repository(settings.prefix))
    return fail("prefix: \"", settings.prefix, "\" is no beginning of a repository's name");
  const net::Url url = TRY_CTX(net::Url::parse(settings.url), "url");
  if (url.scheme != "http" && url.scheme != "https") return fail("url: must begin with https:// or http://");
  if (!url.user.empty()) return fail("url: must not hold a user or a password").hint("set user and password_file");
  auto out = std::make_unique<Upstream>();
  out->settings = settings;
  out->domain = url.authority();
  out->path_prefix = url.path.substr(1);
  while (out->path_prefix.ends_with('/')) out->path_prefix.pop_back();
  if (!out->path_prefix.empty() && !valid_repository(out->path_prefix))
    return fail("url: \"", out->path_prefix, "\" is no beginning of a repository's name");

  const bool insecure = settings.insecure || url.scheme == "http";
  const std::string document =
      cat("{\"registries\":{", json::quote(out->domain), ":{\"insecure\":", insecure ? "true" : "false",
          settings.ca_file.empty() ? "" : cat(",\"ca\":", json::quote(settings.ca_file)), "}}}");
  remote::Remote::Options options{.retries = kRetries, .credential = remote::Credential{}, .client = {}};
  options.client.connect_timeout = kConnectTimeout;
  options.client.response_timeout = options.client.body_timeout = kAnswerTimeout;
  std::string password = settings.password;
  if (!settings.password_file.empty()) {
    password = TRY_CTX(kernel::read_file(settings.password_file.c_str(), 4096), "password_file");
    while (password.ends_with('\n') || password.ends_with('\r')) password.pop_back();
  }
  if (!settings.user.empty()) {
    options.credential->user = settings.user;
    options.credential->password = std::move(password);
  }
  out->remote = std::make_unique<remote::Remote>(loops, TRY(remote::Registries::parse(document)),
                                                 remote::Credentials(std::vector<std::string>()), options);
  return out;
}

Result<std::unique_ptr<Mirror>> Mirror::create(net::Loops& loops, const std::vector<UpstreamSettings>& upstreams,
                                               const Repositories& repositories, Metrics& metrics) {
  std::unique_ptr<Mirror> out(new Mirror(loops, repositories, metrics));
  for (size_t i = 0; i < upstreams.size(); ++i)
    out->upstreams_.push_back(TRY_CTX(connect(loops, upstreams[i]), "mirrors[", i, "]"));
  std::ranges::sort(out->upstreams_, std::greater(), [](const auto& each) { return each->settings.prefix.size(); });
  return out;
}

Mirror::~Mirror() {
  cancel();
  std::unique_lock lock(mutex_);
  ended_.wait(lock, [this] { return running_ == 0; });
}

void Mirror::cancel() {
  cancelled_ = true;
  for (const auto& each : upstreams_) each->remote->cancel();
}

Mirror::Upstream* Mirror::upstream_of(std::string_view repository) const {
  for (const auto& each : upstreams_) {
    const std::string& prefix = each->settings.prefix;
    if (prefix.empty() || (repository.starts_with(prefix) && repository.substr(prefix.size()).starts_with('/')))
      return each.get();
  }
  return nullptr;
}

Result<remote::Repository> Mirror::Upstream::repository(std::string_view name) const {
  if (!settings.prefix.empty()) name.remove_prefix(settings.prefix.size() + 1);
  return remote->repository(domain, path_prefix.empty() ? std::string(name) : cat(path_prefix, "/", name));
}

Refusal Mirror::refusal_of(const Error& error, Code unknown) {
  if (error.code() == ENOENT) return {unknown, cat("upstream has none: ", error.message())};
  ++metrics_.mirror_errors;
  log::warning("mirror: ", error.message());
  if (error.code() == EACCES) return {Code::kDenied, cat("upstream does not let this mirror: ", error.message())};
  return {502, Code::kUnknown, cat("upstream cannot be reached: ", error.message())};
}

// --- manifests

Task<Answer<Digest>> Mirror::once(std::string key, Work work) {
  std::shared_ptr<Flight> flight;
  std::shared_ptr<net::Event> event;
  {
    const std::lock_guard lock(mutex_);
    auto& place = flights_[key];
    if (place != nullptr) {
      event = std::make_shared<net::Event>();
      place->waiting.push_back(event);
    } else {
      place = std::make_shared<Flight>();
    }
    flight = place;
  }
  if (event != nullptr) {
    co_await event->wait();
    co_return *flight->result;
  }
  Answer<Digest> result = co_await work();
  {
    const std::lock_guard lock(mutex_);
    flight->result = result;
    flights_.erase(key);
  }
  for (const auto& each : flight->waiting) each->notify();
  co_return result;
}

Task<Answer<Digest>> Mirror::resolve_tag(std::string repository, std::string tag) {
  const auto ttl = upstream_of(repository)->settings.tag_ttl;
  const auto fresh = CO_TRY(co_await net::blocking([&]() -> Result<std::optional<Digest>> {
    const auto age = TRY(repositories_.tag_age(repository, tag));
    if (!age || *age >= ttl) return std::nullopt;
    auto digest = TRY(repositories_.find_tag(repository, tag));
    if (digest) repositories_.renew_manifest(repository, *digest);
    return digest;
  }));
  if (fresh) {
    ++metrics_.mirror_hits;
    co_return *fresh;
  }
  co_return co_await once(cat("tag ", repository, ":", tag), [&] { return revalidate(repository, tag); });
}

Task<Answer<Digest>> Mirror::revalidate(std::string repository, std::string tag) {
  const auto here = CO_TRY(co_await net::blocking([&] { return repositories_.find_tag(repository, tag); }));
  const remote::Repository from = CO_TRY(upstream_of(repository)->repository(repository));
  const auto there = co_await from.head_manifest(tag);
  if (!there && (!here || is_answer(there.error())))
    co_return std::unexpected(refusal_of(there.error(), Code::kManifestUnknown));
  if (!there) {
    ++metrics_.mirror_stale;
    log::warning("mirror: ", there.error().message(), "; ", repository, ":", tag, " is served as it was");
    co_return *here;
  }
  if (!*there) {
    if (here) CO_TRY(co_await net::blocking([&] { return repositories_.remove_tag(repository, tag); }));
    co_return refuse(Code::kManifestUnknown, "upstream has no ", from.name(), ":", tag);
  }
  if (here && (*there)->digest == *here) {
    co_await net::blocking([&] {
      repositories_.renew_tag(repository, tag);
      repositories_.renew_manifest(repository, *here);
      return true;
    });
    co_return *here;
  }
  co_return co_await fetch_manifest(repository, tag);
}

Task<Answer<>> Mirror::get_manifest(std::string repository, Digest digest) {
  const auto type = CO_TRY(co_await net::blocking([&] {
    repositories_.renew_manifest(repository, digest);
    return repositories_.manifest_type(repository, digest);
  }));
  if (type) {
    ++metrics_.mirror_hits;
    co_return Answer<>();
  }
  CO_TRY(co_await once(cat("manifest ", repository, "@", digest.text()),
                       [&] { return fetch_manifest(repository, digest.text()); }));
  co_return Answer<>();
}

Task<Answer<Digest>> Mirror::fetch_manifest(std::string repository, std::string reference) {
  ++metrics_.mirror_misses;
  const remote::Repository from = CO_TRY(upstream_of(repository)->repository(repository));
  const auto manifest = co_await from.manifest(reference);
  if (!manifest) co_return std::unexpected(refusal_of(manifest.error(), Code::kManifestUnknown));
  const bool is_tag = reference.find(':') == std::string::npos;
  CO_TRY(co_await net::blocking([&] { return keep_manifest(repository, *manifest, is_tag ? reference : ""); }));
  co_return manifest->descriptor.digest;
}

Result<> Mirror::keep_manifest(const std::string& repository, const remote::FetchedManifest& manifest,
                               const std::string& tag) const {
  const image::Lease lease = TRY(repositories_.store().lease());
  const Digest& digest = manifest.descriptor.digest;
  TRY(repositories_.store().put_blob(lease, manifest.text, digest));
  NewManifest fresh{.digest = digest, .media_type = manifest.descriptor.media_type};
  if (!tag.empty()) fresh.tags.push_back(tag);
  // What it names comes when it is asked for.
  if (const auto details = read_details(manifest.text, fresh.media_type); details && !details->subject.empty()) {
    fresh.subject = details->subject;
    fresh.descriptor = referrer_descriptor(manifest.text, *details, digest);
  }
  TRY(repositories_.put_manifest(repository, fresh));
  upstream_of(repository)->kept += manifest.text.size();
  return {};
}

// --- blobs

Task<Answer<uint64_t>> Mirror::blob_size(std::string repository, Digest digest) {
  const remote::Repository from = CO_TRY(upstream_of(repository)->repository(repository));
  const auto size = co_await from.head_blob(digest);
  if (!size) co_return std::unexpected(refusal_of(size.error(), Code::kBlobUnknown));
  if (!*size) co_return refuse(Code::kBlobUnknown, "upstream ", from.name(), " has no blob ", digest.text());
  co_return **size;
}

Task<Answer<std::shared_ptr<Fetch>>> Mirror::get_blob(std::string repository, Digest digest) {
  const std::string key = cat(repository, "@", digest.text());
  const auto running = [&]() -> std::shared_ptr<Fetch> {
    const std::lock_guard lock(mutex_);
    const auto found = fetches_.find(key);
    return found == fetches_.end() ? nullptr : found->second;
  };
  if (auto found = running()) co_return found;
  // Whether upstream has it there, too: the store may have it from elsewhere.
  const uint64_t size = CO_TRY(co_await blob_size(repository, digest));
  ++metrics_.mirror_misses;
  std::shared_ptr<Fetch> fetch;
  {
    const std::lock_guard lock(mutex_);
    auto& place = fetches_[key];
    if (place != nullptr) co_return place;
    fetch = place = std::make_shared<Fetch>(size);
    ++running_;
  }
  loops_.next().spawn(run(fetch, key, repository, digest));
  co_return fetch;
}

Task<> Mirror::run(std::shared_ptr<Fetch> fetch, std::string key, std::string repository, Digest digest) {
  const auto done = co_await fetch_blob(*fetch, repository, digest);
  if (!done) {
    ++metrics_.mirror_errors;
    log::warning("mirror: ", done.error().message());
    fetch->fail(done.error());
  }
  fetch_ended(key);
}

void Mirror::fetch_ended(const std::string& key) {
  const std::lock_guard lock(mutex_);
  fetches_.erase(key);
  --running_;
  ended_.notify_all();
}

Result<> Mirror::still_wanted() const {
  if (cancelled_) return fail_errno(ECANCELED, "the mirror is stopping");
  return {};
}

Task<Result<>> Mirror::fetch_blob(Fetch& fetch, const std::string& repository, const Digest& digest) {
  const image::Store& store = repositories_.store();
  const image::Lease lease = CO_TRY(co_await net::blocking([&] { return store.lease(); }));
  const image::IngestOptions options{.expected = digest, .size = fetch.total(), .wait = false};
  auto ingest = co_await net::blocking([&] { return store.ingest(lease, options); });
  // Another process, or another repository's fetch, may be at it.
  while (!ingest && ingest.error().code() == EWOULDBLOCK) {
    CO_TRY(still_wanted());
    co_await net::sleep(kOtherWriter);
    ingest = co_await net::blocking([&] { return store.ingest(lease, options); });
  }
  if (!ingest) co_return std::unexpected(std::move(ingest).error());
  CO_TRY(co_await net::blocking([&]() -> Result<> {
    const std::string part = image::detail::part_path(digest);
    fetch.set_file(ingest->complete() ? TRY(store.open_blob(digest))
                                      : TRY(kernel::open_at(store.root_fd(), part.c_str(), O_RDONLY)));
    return {};
  }));
  if (!ingest->complete()) {
    const remote::Repository from = CO_TRY(upstream_of(repository)->repository(repository));
    fetch.advance(ingest->offset());
    CO_TRY(co_await take_rest(fetch, *ingest, from, digest));
  }
  CO_TRY(co_await net::blocking([&]() -> Result<> {
    TRY(ingest->commit());
    return repositories_.link_blob(repository, digest);
  }));
  upstream_of(repository)->kept += fetch.total();
  fetch.succeed();
  co_return Result<>();
}

// Goes on where it broke, a few times.
Task<Result<>> Mirror::take_rest(Fetch& fetch, image::Ingest& ingest, const remote::Repository& from,
                                 const Digest& digest) {
  for (int failed = 0; ingest.offset() < fetch.total();) {
    const uint64_t before = ingest.offset();
    remote::BlobBody body = CO_TRY(co_await from.blob(digest, before));
    if (body.start != before) CO_TRY(co_await net::blocking([&] { return ingest.restart(); }));
    Result<> outcome;
    std::string gathered;
    for (bool more = true; more && outcome;) {
      CO_TRY(still_wanted());
      const auto piece = co_await body.response.read();
      if (!piece) outcome = std::unexpected(piece.error());
      more = piece && !piece->empty();
      if (more) gathered.append(*piece);
      if (gathered.empty() || (more && gathered.size() < kPiece)) continue;
      CO_TRY(co_await net::blocking([&] { return ingest.write(gathered); }));
      gathered.clear();
      fetch.advance(ingest.offset());
    }
    if (ingest.offset() > before) failed = 0;
    if (ingest.offset() < fetch.total() && ++failed == kAttempts)
      co_return outcome ? Result<>(fail(from.name(), ": get blob ", digest.text(), ": ended early")) : outcome;
  }
  co_return Result<>();
}

// --- the cache's size

bool Mirror::Upstream::has_excess() const { return settings.max_bytes != 0 && (!counted || kept > settings.max_bytes); }

bool Mirror::has_excess() const {
  return std::ranges::any_of(upstreams_, [](const auto& each) { return each->has_excess(); });
}

Result<EvictReport> Mirror::evict_excess() {
  EvictReport all;
  for (const auto& each : upstreams_) {
    if (!each->has_excess()) continue;
    const Upstream* own = each.get();
    const uint64_t before = each->kept;
    const EvictReport done =
        TRY(evict(repositories_, {.holds = [&](std::string_view name) { return upstream_of(name) == own; },
                                  .max_bytes = each->settings.max_bytes}));
    // With what came meanwhile.
    each->kept = done.kept + (each->kept - before);
    each->counted = true;
    all.blobs += done.blobs, all.freed += done.freed, all.kept += done.kept;
  }
  return all;
}

// --- lists

Task<Answer<std::vector<std::string>>> Mirror::tags(std::string repository) {
  const remote::Repository from = CO_TRY(upstream_of(repository)->repository(repository));
  auto there = co_await from.all_tags();
  if (there) co_return std::move(*there);
  if (is_answer(there.error())) co_return std::unexpected(refusal_of(there.error(), Code::kNameUnknown));
  ++metrics_.mirror_stale;
  log::warning("mirror: ", there.error().message(), "; the tags that are here are listed");
  co_return CO_TRY(co_await net::blocking([&] { return repositories_.tags(repository); }));
}

Task<Answer<std::vector<std::string>>> Mirror::referrers(std::string repository, Digest subject) {
  const remote::Repository from = CO_TRY(upstream_of(repository)->repository(repository));
  const auto there = co_await from.referrers(subject);
  if (!there && is_answer(there.error())) co_return std::unexpected(refusal_of(there.error(), Code::kNameUnknown));
  if (!there) {
    ++metrics_.mirror_stale;
    co_return CO_TRY(co_await net::blocking([&] { return repositories_.referrers(repository, subject); }));
  }
  std::vector<std::string> out;
  for (const image::Descriptor& each : there->index.manifests) out.push_back(image::emit(each));
  std::ranges::sort(out);
  co_return out;
}

}  // namespace proa::oci::registry
