#include "oci/image/remote/pull.h"

#include <algorithm>

#include "base/log.h"
#include "oci/image/remote/download.h"
#include "oci/image/remote/transfer.h"

namespace proa::oci::image::remote {
namespace {

constexpr int kDeepest = 4;  // indexes in indexes

class Pull : Transfer {
 public:
  Pull(Transfer transfer, const Reference& reference, const PullOptions& options)
      : Transfer(std::move(transfer)), reference_(reference), options_(options) {}

  Result<Pulled> run() {
    if (auto here = TRY(already_here())) return std::move(*here);
    const Descriptor target = TRY(take_target());
    TRY(choose(target, 0));
    TRY(take_content());
    TRY(store_.put_ref(name(), target));
    return Pulled{.name = name(), .target = target, .fresh = true};
  }

 private:
  // A digest says all; a tag beside it would only seem to.
  std::string wanted() const { return reference_.digest.empty() ? reference_.tag : reference_.digest.text(); }
  std::string name() const {
    Reference out = reference_;
    if (!out.digest.empty()) out.tag.clear();
    return out.text();
  }
  Platform platform() const { return options_.platform.value_or(Platform::host()); }
  // The name points to what the registry has, and nothing of that is missing.
  Result<std::optional<Pulled>> already_here() {
    const auto ref = TRY(store_.find_ref(name()));
    if (!ref || options_.all_platforms) return std::nullopt;
    if (reference_.digest.empty()) {
      const auto there = TRY(wait(there_.head_manifest(wanted())));
      if (!there || there->digest != ref->target.digest) return std::nullopt;
    }
    if (!images_.hold(lease_, ref->target)) return std::nullopt;
    const auto image = images_.open(ref->target, platform());
    if (!image || match(platform(), image->config.platform) == 0) return std::nullopt;
    for (const Descriptor& layer : image->manifest.layers)
      if (!TRY(store_.has(layer.digest))) return std::nullopt;
    if (options_.unpack && !image->unpacked) return std::nullopt;
    return Pulled{.name = name(), .target = ref->target, .fresh = false};
  }

  Result<> put(const FetchedManifest& document) {
    Ingest ingest = TRY(store_.ingest(lease_, {.expected = document.descriptor.digest, .size = document.text.size()}));
    if (ingest.complete()) return {};
    TRY(ingest.restart());
    TRY(ingest.write(document.text));
    TRY(ingest.commit());
    return {};
  }

  Result<Descriptor> take_target() {
    const FetchedManifest document = TRY(wait(there_.manifest(wanted())));
    TRY(put(document));
    return document.descriptor;
  }

  // A manifest's or index's text, from the store if it is there.
  Result<std::string> document(const Descriptor& descriptor) {
    if (TRY(store_.keep(lease_, descriptor.digest))) return store_.read_blob(descriptor.digest);
    FetchedManifest fetched = TRY(wait(there_.manifest(descriptor.digest.text())));
    if (fetched.descriptor.size != descriptor.size || fetched.descriptor.media_type != descriptor.media_type)
      return fail_errno(EPROTO, there_.name(), ": manifest ", descriptor.digest.text(),
                        " is not of the size and type that its index says");
    TRY(put(fetched));
    return std::move(fetched.text);
  }

  // The manifests that are wanted; of an image for one platform the one to unpack.
  Result<> choose(const Descriptor& target, int depth) {
    const std::string text = TRY(document(target));
    if (media::is_manifest(target.media_type)) {
      manifests_.push_back(TRY_CTX(parse_manifest(text), there_.name(), ": manifest ", target.digest.text()));
      if (depth == 0) unpacked_ = manifests_.size() - 1;
      return {};
    }
    if (depth == kDeepest) return fail(there_.name(), ": more than ", kDeepest, " indexes in each other");
    const Index index = TRY_CTX(parse_index(text), there_.name(), ": index ", target.digest.text());
    if (!options_.all_platforms) {
      const Descriptor best = TRY_CTX(best_manifest(index, platform()), there_.name());
      if (media::is_manifest(best.media_type)) unpacked_ = manifests_.size();
      return choose(best, depth + 1);
    }
    const auto best = best_manifest(index, platform());
    for (const Descriptor& each : index.manifests) {
      if (!media::is_manifest(each.media_type) && !media::is_index(each.media_type)) continue;
      if (depth == 0 && best && each.digest == best->digest && media::is_manifest(each.media_type))
        unpacked_ = manifests_.size();
      TRY(choose(each, depth + 1));
    }
    return {};
  }

  Result<> take_content() {
    Downloads downloads(remote_, there_, store_, lease_, options_.at_once, progress_);
    // The config to unpack by comes first.
    if (unpacked_) downloads.add(manifests_[*unpacked_].config);
    if (unpacked_)
      for (const Descriptor& layer : manifests_[*unpacked_].layers) downloads.add(layer);
    for (const Manifest& manifest : manifests_) {
      downloads.add(manifest.config);
      for (const Descriptor& layer : manifest.layers) downloads.add(layer);
    }
    std::optional<Image> image;
    if (options_.unpack && unpacked_) {
      TRY(downloads.wait(manifests_[*unpacked_].config.digest));
      image = TRY(image_of(manifests_[*unpacked_]));
    }
    const auto follow = [&](const LayerBlob& layer) { return downloads.follow(layer.digest); };
    const auto unpacked = image ? unpack(*image, follow) : Result<>();
    TRY(downloads.wait_all());
    // It may have read bytes that were found wrong later; now all is verified.
    if (!unpacked) TRY(unpack(*image, {}));
    tell_complete();
    return {};
  }

  Result<Image> image_of(const Manifest& manifest) {
    if (!media::is_config(manifest.config.media_type))
      return fail(there_.name(), ": ", wanted(), " is no image but an artifact of type ",
                  manifest.artifact_type.empty() ? manifest.config.media_type : manifest.artifact_type);
    Image out;
    out.manifest = manifest;
    const std::string config = TRY(store_.read_blob(manifest.config.digest));
    out.config = TRY_CTX(parse_config(config), there_.name(), ": config ", manifest.config.digest.text());
    out.id = manifest.config.digest;
    return out;
  }

  Result<> unpack(const Image& image, const OpenLayer& open) {
    UnpackOptions options;
    options.rootless = is_rootless();
    TRY_CTX(images_.unpack(lease_, image, options, open), there_.name(), ": unpack");
    return {};
  }

  void tell_complete() const {
    for (const Manifest& manifest : manifests_)
      for (const Descriptor& layer : manifest.layers) tell(layer, Step::kComplete, layer.size);
  }

  const Reference& reference_;
  const PullOptions& options_;
  std::vector<Manifest> manifests_;
  std::optional<size_t> unpacked_;
};

}  // namespace

Result<Pulled> pull(Remote& remote, const Images& images, const Reference& reference, const PullOptions& options) {
  Transfer transfer(remote, images, TRY(remote.repository(reference)), TRY(images.store().lease()), options.progress);
  return Pull(std::move(transfer), reference, options).run();
}

}  // namespace proa::oci::image::remote
