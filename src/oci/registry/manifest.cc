#include "oci/registry/manifest.h"

#include "oci/image/types.h"

namespace proa::oci::registry {
namespace {

// Layers that may not be distributed, and what is to be had elsewhere, are not pushed (image-spec layer.md).
bool is_elsewhere(const image::Descriptor& layer) {
  return !layer.urls.empty() || layer.media_type.find(".nondistributable.") != std::string::npos ||
         layer.media_type.starts_with("application/vnd.docker.image.rootfs.foreign.");
}

// What a descriptor in a list of referrers has of its manifest.
struct Shown {
  std::string artifact_type;
  image::Annotations annotations;
};

Shown shown(const image::Manifest& manifest) {
  return {manifest.artifact_type.empty() ? manifest.config.media_type : manifest.artifact_type, manifest.annotations};
}
Shown shown(const image::Index& index) { return {index.artifact_type, index.annotations}; }

Result<> agree(std::string_view said, const std::string& is) {
  if (said == is) return {};
  return fail("mediaType: is ", is, ", but Content-Type ", said);
}

}  // namespace

Result<ManifestDetails> read_details(std::string_view text, std::string_view media_type) {
  ManifestDetails out;
  out.media_type = media_type;
  if (media_type.empty()) out.media_type = TRY(image::sniff_media_type(text));
  const auto take_subject = [&](const auto& document) {
    if (document.subject) out.subject = document.subject->digest;
  };
  if (image::media::is_manifest(out.media_type)) {
    const image::Manifest manifest = TRY(image::parse_manifest(text));
    TRY(agree(out.media_type, manifest.media_type));
    out.needs.push_back({manifest.config.digest, false});
    for (const image::Descriptor& layer : manifest.layers)
      if (!is_elsewhere(layer)) out.needs.push_back({layer.digest, false});
    take_subject(manifest);
    return out;
  }
  if (image::media::is_index(out.media_type)) {
    const image::Index index = TRY(image::parse_index(text));
    TRY(agree(out.media_type, index.media_type));
    for (const image::Descriptor& each : index.manifests) out.needs.push_back({each.digest, true});
    take_subject(index);
    return out;
  }
  return fail("mediaType: \"", out.media_type, "\" is no manifest or index that this registry knows")
      .hint("push application/vnd.oci.image.manifest.v1+json or one of its siblings");
}

std::string referrer_descriptor(std::string_view text, const ManifestDetails& details, const image::Digest& digest) {
  Shown seen;
  if (image::media::is_index(details.media_type)) {
    if (const auto index = image::parse_index(text)) seen = shown(*index);
  } else if (const auto manifest = image::parse_manifest(text)) {
    seen = shown(*manifest);
  }
  return image::emit(image::Descriptor{.media_type = details.media_type,
                                       .digest = digest,
                                       .size = text.size(),
                                       .annotations = std::move(seen.annotations),
                                       .artifact_type = std::move(seen.artifact_type)});
}

std::string artifact_type_of(std::string_view descriptor) {
  const auto parsed = image::parse_descriptor(descriptor);
  return parsed ? parsed->artifact_type : std::string();
}

}  // namespace proa::oci::registry
