#include "oci/image/remote/push.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <set>

#include "base/log.h"
#include "oci/image/remote/api_error.h"
#include "oci/image/remote/transfer.h"

namespace proa::oci::image::remote {

using net::Task;

namespace {

constexpr size_t kPiece = 512u << 10;  // read from the disk at once
constexpr size_t kMostSources = 3;     // repositories to mount a blob from that are tried

// A part of a blob as a request's body; tells how far it got.
UploadBody body_of(const std::shared_ptr<Fd>& blob, uint64_t offset, uint64_t size,
                   const std::function<void(uint64_t)>& sent) {
  const auto make = [blob, offset, size, sent] {
    struct State {
      RangeReader reader;
      uint64_t offset;
      std::vector<std::byte> buffer = std::vector<std::byte>(kPiece);
    };
    auto state = std::make_shared<State>(RangeReader(blob->get(), offset, size), offset);
    return net::blocking_source([blob, state, sent]() -> Result<std::string_view> {
      sent(state->offset);
      const size_t got = TRY(state->reader.read(state->buffer));
      state->offset += got;
      return std::string_view(reinterpret_cast<const char*>(state->buffer.data()), got);
    });
  };
  return {.source = make, .size = size};
}

class Push : Transfer {
 public:
  Push(Transfer transfer, const Reference& name, const PushOptions& options)
      : Transfer(std::move(transfer)), name_(name), options_(options) {}

  Result<Pushed> run() {
    const Descriptor target = TRY(choose_target());
    TRY(images_.hold(lease_, target));
    TRY(collect(target, 0));
    TRY(find_sources());
    TRY(send_blobs());
    TRY(send_manifests());
    return Pushed{.target = target, .partial = partial_};
  }

 private:
  Result<Descriptor> choose_target() {
    const auto ref = TRY(store_.find_ref(name_.text()));
    if (!ref)
      return Failure(Error(cat("An image does not exist locally with the tag: ", name_.familiar()), ENOENT))
          .hint("name it first: proa image tag IMAGE " + name_.familiar());
    if (!media::is_index(ref->target.media_type)) return ref->target;
    if (options_.platform) return choose_manifest(store_, ref->target, *options_.platform);
    const auto missing = TRY(first_missing(ref->target, 0));
    if (!missing) return ref->target;
    if (options_.all_platforms)
      return fail(name_.familiar(), ": ", *missing, " is not here")
          .hint(cat("get all of it: proa pull --all-platforms ", name_.familiar()));
    partial_ = true;
    return choose_manifest(store_, ref->target, Platform::host());
  }

  // Of what an index reaches.
  Result<std::optional<std::string>> first_missing(const Descriptor& each, int depth) {
    if (!TRY(store_.has(each.digest)))
      return cat(media::is_manifest(each.media_type) && each.platform ? cat("the image for ", each.platform->text())
                                                                      : cat("blob ", each.digest.text()));
    if (depth > 8) return std::nullopt;
    std::vector<Descriptor> below;
    if (media::is_index(each.media_type)) {
      const std::string text = TRY(store_.read_blob(each.digest));
      below = TRY(parse_index(text)).manifests;
    } else if (media::is_manifest(each.media_type)) {
      const std::string text = TRY(store_.read_blob(each.digest));
      Manifest manifest = TRY(parse_manifest(text));
      below = std::move(manifest.layers);
      std::erase_if(below, [](const Descriptor& layer) { return !layer.urls.empty(); });
      below.push_back(std::move(manifest.config));
    }
    for (const Descriptor& child : below)
      if (auto missing = TRY(first_missing(child, depth + 1))) return missing;
    return std::nullopt;
  }

  // Blobs, and manifests before what needs them.
  Result<> collect(const Descriptor& target, int depth) {
    if (depth > 8 || !seen_.insert(target.digest).second) return {};
    const std::string text = TRY(store_.read_blob(target.digest));
    if (media::is_index(target.media_type)) {
      const Index index = TRY_CTX(parse_index(text), target.digest.text());
      for (const Descriptor& each : index.manifests) {
        if (media::is_index(each.media_type) || media::is_manifest(each.media_type))
          TRY(collect(each, depth + 1));
        else
          add_blob(each);
      }
    } else {
      const Manifest manifest = TRY_CTX(parse_manifest(text), target.digest.text());
      for (const Descriptor& layer : manifest.layers) {
        // What has addresses of its own may not be given on; nor can what is not here.
        if (!layer.urls.empty()) continue;
        add_blob(layer);
      }
      add_blob(manifest.config);
    }
    manifests_.push_back(target);
    return {};
  }

  void add_blob(const Descriptor& blob) {
    if (!seen_.insert(blob.digest).second) return;
    blobs_.push_back(blob);
    tell(blob, Step::kWaiting, 0);
  }

  // Which repositories of this registry have a blob: those whose images are here under their names.
  Result<> find_sources() {
    for (const Ref& ref : TRY(store_.refs())) {
      const auto other = Reference::parse(ref.name);
      if (ref.unnamed() || !other || other->domain != name_.domain || other->path == name_.path) continue;
      visit(ref.target, other->path);
    }
    return {};
  }

  void visit(const Descriptor& target, const std::string& path) {
    // A damaged image is no source.
    static_cast<void>(visit_closure(store_, target, [&](const Descriptor& each) -> Result<> {
      auto& sources = sources_[each.digest];
      if (sources.size() < kMostSources && std::ranges::find(sources, path) == sources.end()) sources.push_back(path);
      return {};
    }));
  }

  Result<> send_blobs() {
    std::atomic<size_t> next = 0;
    const auto work = [&]() -> Task<Result<>> {
      for (size_t i = next++; i < blobs_.size(); i = next++) CO_TRY(co_await send(blobs_[i]));
      co_return Result<>();
    };
    const size_t count = std::min(blobs_.size(), std::max<size_t>(options_.at_once, 1));
    std::vector<std::future<Result<>>> workers;
    // What failed first counts: others may fail because it ended them.
    std::mutex mutex;
    std::optional<Error> failure;
    workers.reserve(count);
    for (size_t i = 0; i < count; ++i)
      workers.push_back(in_background([&]() -> Result<> {
        auto done = wait(work());
        if (done) return done;
        const std::lock_guard lock(mutex);
        if (!failure) failure = std::move(done).error();
        remote_.cancel();
        return {};
      }));
    for (auto& worker : workers) TRY(worker.get());
    if (failure) return std::unexpected(std::move(*failure));
    return {};
  }

  Task<Result<>> send(const Descriptor& blob) {
    if (CO_TRY(co_await there_.head_blob(blob.digest))) {
      tell(blob, Step::kExists, blob.size);
      co_return Result<>();
    }
    auto upload = CO_TRY(co_await begin(blob));
    if (!upload) co_return Result<>();
    auto opened = co_await net::blocking([&] { return store_.open_blob(blob.digest); });
    const auto file = std::make_shared<Fd>(CO_TRY(std::move(opened)));
    CO_TRY(co_await transfer(blob, file, std::move(*upload)));
    tell(blob, Step::kTransferred, blob.size);
    co_return Result<>();
  }

  // Nothing: it was mounted.
  Task<Result<std::optional<Upload>>> begin(const Descriptor& blob) {
    const auto sources = sources_.find(blob.digest);
    if (sources != sources_.end()) {
      for (size_t i = 0; i < sources->second.size(); ++i) {
        const std::string& from = sources->second[i];
        auto mounted = co_await there_.begin_upload(blob.digest, from);
        // Perhaps nothing may be read there.
        if (!mounted && mounted.error().code() == ECANCELED) co_return mounted;
        if (!mounted) continue;
        if (!*mounted) {
          tell(blob, Step::kMounted, blob.size, from);
          co_return std::optional<Upload>();
        }
        if (i + 1 == sources->second.size()) co_return mounted;
        static_cast<void>(co_await there_.cancel_upload(**mounted));
      }
    }
    co_return co_await there_.begin_upload();
  }

  Task<Result<>> transfer(const Descriptor& blob, std::shared_ptr<Fd> file, Upload upload) {
    const RetryPolicy& policy = remote_.retries();
    net::Duration delay = policy.first_delay;
    for (int attempt = 1;; ++attempt) {
      const uint64_t before = upload.offset;
      auto sent = co_await (options_.chunk > 0 ? in_chunks(blob, file, upload) : in_one(blob, file, upload));
      if (sent) co_return sent;
      if (upload.offset > before) attempt = 1, delay = policy.first_delay;
      const bool again = worth_repeating(sent.error()) || sent.error().code() == ECONNREFUSED;
      if (!again || attempt >= policy.attempts) co_return sent;
      tell(blob, Step::kRetrying, upload.offset);
      log::debug(there_.name(), ": blob ", blob.digest.text(), ": ", sent.error().message(), "; once more");
      CO_TRY(co_await remote_.pause(delay));
      delay = std::min(delay * 2, policy.longest_delay);
      CO_TRY(co_await resume(blob, upload));
    }
  }

  // In chunks an upload goes on where it broke; in one it begins anew. It may have been whole already.
  Task<Result<>> resume(const Descriptor& blob, Upload& upload) {
    if (options_.chunk > 0) {
      auto state = co_await there_.refresh_upload(upload);
      if (state && upload.offset <= blob.size) co_return Result<>();
    }
    auto fresh = co_await there_.begin_upload();
    if (fresh && *fresh) upload = std::move(**fresh);
    // If the registry is not back yet, the next attempt says so.
    co_return Result<>();
  }

  Task<Result<>> in_one(const Descriptor& blob, std::shared_ptr<Fd> file, Upload& upload) {
    const auto sent = [this, &blob](uint64_t offset) { tell(blob, Step::kTransferring, offset); };
    co_return co_await there_.finish_upload(upload, blob.digest, body_of(file, 0, blob.size, sent));
  }

  Task<Result<>> in_chunks(const Descriptor& blob, std::shared_ptr<Fd> file, Upload& upload) {
    const auto sent = [this, &blob](uint64_t offset) { tell(blob, Step::kTransferring, offset); };
    const uint64_t chunk = std::max(options_.chunk, upload.min_chunk);
    while (upload.offset < blob.size) {
      const uint64_t size = std::min(chunk, blob.size - upload.offset);
      CO_TRY(co_await there_.upload_chunk(upload, body_of(file, upload.offset, size, sent)));
    }
    co_return co_await there_.finish_upload(upload, blob.digest);
  }

  Result<> send_manifests() {
    for (const Descriptor& manifest : manifests_) {
      const bool last = manifest.digest == manifests_.back().digest;
      const std::string text = TRY(store_.read_blob(manifest.digest));
      const std::string reference = last && name_.digest.empty() ? name_.tag : manifest.digest.text();
      TRY(wait(there_.put_manifest(reference, manifest.media_type, text)));
    }
    return {};
  }

  const Reference& name_;
  const PushOptions& options_;
  bool partial_ = false;
  std::set<Digest> seen_;
  std::vector<Descriptor> blobs_, manifests_;
  std::map<Digest, std::vector<std::string>> sources_;
};

}  // namespace

Result<Pushed> push(Remote& remote, const Images& images, const Reference& name, const PushOptions& options) {
  const Repository to = TRY(remote.repository(name));
  Transfer transfer(remote, images, TRY(to.for_writing()), TRY(images.store().lease()), options.progress);
  return Push(std::move(transfer), name, options).run();
}

}  // namespace proa::oci::image::remote
