#include "oci/image/images.h"

#include <fcntl.h>
#include <fnmatch.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/clock.h"
#include "base/ids.h"
#include "base/log.h"
#include "kernel/file.h"
#include "oci/image/reference.h"
#include "oci/image/snapshot_info.h"
#include "oci/image/staging.h"
#include "oci/image/tar_writer.h"

namespace proa::oci::image {
namespace {

constexpr size_t kShortestId = 2;

bool is_hex(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::string unnamed(const Digest& digest) { return cat("@", digest.text()); }

// An RFC 3339 text as a time; the beginning of time when it is none.
WallTime time_of(const std::string& text) { return parse_rfc3339(text).value_or(WallTime{}); }

bool matches_reference(const Image& image, const std::string& pattern) {
  return std::ranges::any_of(image.names, [&](const std::string& name) {
    const auto reference = Reference::parse(name);
    if (!reference) return false;
    for (const std::string& each :
         {reference->familiar(), reference->familiar_repository(), reference->text(), reference->repository()})
      if (::fnmatch(pattern.c_str(), each.c_str(), FNM_PATHNAME) == 0) return true;
    return false;
  });
}

bool matches_label(const Image& image, std::string_view label) {
  const size_t equals = label.find('=');
  const auto found = image.config.config.labels.find(std::string(label.substr(0, equals)));
  if (found == image.config.config.labels.end()) return false;
  return equals == std::string_view::npos || found->second == label.substr(equals + 1);
}

}  // namespace

Result<Image> Images::open(const Descriptor& target, const std::optional<Platform>& platform) const {
  Image out;
  out.target = target;
  out.manifest_descriptor = TRY(choose_manifest(store_, target, platform.value_or(Platform::host())));
  const std::string manifest = TRY(store_.read_blob(out.manifest_descriptor.digest));
  out.manifest = TRY(parse_manifest(manifest));
  out.id = out.manifest.config.digest;
  const std::string config = TRY(store_.read_blob(out.id));
  out.config = TRY(parse_config(config));
  TRY(measure(out));
  return out;
}

Result<> Images::measure(Image& image) const {
  const auto chain = chain_ids(image.config.diff_ids);
  image.unpacked = true;
  uint64_t unpacked = 0;
  for (const Digest& each : chain) {
    const auto info = read_layer_info(store_, each.hex());
    if (!info) {
      image.unpacked = false;
      break;
    }
    unpacked += info->bytes;
  }
  image.content = image.manifest.config.size + image.manifest_descriptor.size;
  for (const Descriptor& layer : image.manifest.layers) image.content += layer.size;
  image.size = image.unpacked ? unpacked : image.content;
  return {};
}

Result<std::vector<Image>> Images::list(const ListFilter& filter) const {
  std::map<Digest, Image> by_target;
  for (const Ref& ref : TRY(store_.refs())) {
    auto known = by_target.find(ref.target.digest);
    if (known == by_target.end()) {
      auto image = open(ref.target);
      if (!image) {
        log::debug("image ", ref.name, ": ", image.error().message());
        continue;
      }
      known = by_target.emplace(ref.target.digest, std::move(*image)).first;
    }
    if (!ref.unnamed()) known->second.names.push_back(ref.name);
    known->second.tagged = std::max(known->second.tagged, ref.tagged);
  }
  std::vector<Image> out;
  out.reserve(by_target.size());
  for (auto& [digest, image] : by_target) out.push_back(std::move(image));
  std::ranges::sort(out, std::greater(),
                    [](const Image& each) { return std::pair(time_of(each.config.created), each.id); });

  const auto time_of_image = [&](const std::string& name) -> Result<WallTime> {
    const Image image = TRY(find(name));
    return time_of(image.config.created);
  };
  const auto keep = [&](const auto& condition) {
    std::erase_if(out, [&](const Image& each) { return !condition(each); });
  };
  if (filter.dangling) keep([&](const Image& each) { return each.names.empty() == *filter.dangling; });
  if (!filter.references.empty())
    keep([&](const Image& each) {
      return std::ranges::any_of(filter.references,
                                 [&](const std::string& pattern) { return matches_reference(each, pattern); });
    });
  for (const std::string& label : filter.labels) keep([&](const Image& each) { return matches_label(each, label); });
  if (!filter.before.empty()) {
    const WallTime time = TRY_CTX(time_of_image(filter.before), "filter before");
    keep([&](const Image& each) { return time_of(each.config.created) < time; });
  }
  if (!filter.since.empty()) {
    const WallTime time = TRY_CTX(time_of_image(filter.since), "filter since");
    keep([&](const Image& each) { return time_of(each.config.created) > time; });
  }
  if (!filter.until.empty()) {
    const WallTime time = TRY_CTX(parse_rfc3339(filter.until), "filter until");
    keep([&](const Image& each) { return time_of(each.config.created) < time; });
  }
  return out;
}

Result<Image> Images::find(std::string_view name, const std::optional<Platform>& platform) const {
  const auto named = [&](const Descriptor& target) -> Result<Image> {
    Image image = TRY_CTX(open(target, platform), "image ", name);
    for (const Ref& ref : TRY(store_.refs()))
      if (ref.target.digest == target.digest) {
        if (!ref.unnamed()) image.names.push_back(ref.name);
        image.tagged = std::max(image.tagged, ref.tagged);
      }
    return image;
  };
  const auto reference = Reference::parse(name);
  if (reference) {
    if (const auto ref = TRY(store_.find_ref(reference->text()))) return named(ref->target);
    // NAME[:TAG]@DIGEST of an image that has the name's repository.
    if (!reference->digest.empty())
      for (const Ref& ref : TRY(store_.refs())) {
        const auto own = Reference::parse(ref.name);
        if (own && own->repository() == reference->repository() && ref.target.digest == reference->digest)
          return named(ref.target);
      }
  }
  const std::string_view hex = name.starts_with("sha256:") ? name.substr(7) : name;
  if (hex.size() >= kShortestId && is_hex(hex))
    if (auto image = TRY(find_by_id(hex, platform))) return std::move(*image);
  if (!reference && !is_hex(hex)) return std::unexpected(reference.error());
  return Failure(Error(cat("no such image: ", name), ENOENT)).hint("'image ls' lists those there are");
}

// By the beginning of its id, or of its manifest's or index's digest.
Result<std::optional<Image>> Images::find_by_id(std::string_view hex, const std::optional<Platform>& platform) const {
  std::optional<Image> out;
  for (Image& image : TRY(list())) {
    const bool meant = image.id.hex().starts_with(hex) || image.target.digest.hex().starts_with(hex) ||
                       image.manifest_descriptor.digest.hex().starts_with(hex);
    if (!meant) continue;
    if (out && out->id != image.id) return fail("image id ", hex, " is the beginning of several");
    // The same image under two manifests: the one that has names.
    if (!out || out->names.empty()) out = std::move(image);
  }
  if (!out || !platform) return out;
  Image chosen = TRY(open(out->target, platform));
  chosen.names = out->names;
  chosen.tagged = out->tagged;
  return chosen;
}

Result<> Images::tag(std::string_view source, std::string_view name) const {
  const Reference reference = TRY(Reference::parse(name));
  if (!reference.digest.empty()) return fail("image reference \"", name, "\": a new name may not have a digest");
  const Image image = TRY(find(source));
  return store_.put_ref(reference.text(), image.target);
}

Result<Removed> Images::collected(std::vector<std::string> untagged, const std::vector<Digest>& ids,
                                  const CollectOptions& options) const {
  Removed out;
  out.untagged = std::move(untagged);
  const Collected done = TRY(store_.collect(options));
  out.bytes = done.bytes;
  for (const Digest& id : ids)
    if (!TRY(store_.has(id))) out.deleted.push_back(id);
  return out;
}

Result<std::vector<Variant>> Images::variants(const Descriptor& target) const {
  std::vector<Variant> out;
  if (!media::is_index(target.media_type)) {
    Image image = TRY(open(target));
    out.push_back({.platform = image.config.platform, .manifest = target, .image = {}});
    out.back().image = std::move(image);
    return out;
  }
  const std::string text = TRY(store_.read_blob(target.digest));
  for (const Descriptor& each : TRY_CTX(parse_index(text), target.digest.text()).manifests) {
    // Attestations and the like are for no platform.
    if (!each.platform || each.platform->os == "unknown" || !media::is_manifest(each.media_type)) continue;
    out.push_back({.platform = *each.platform, .manifest = each, .image = {}});
    if (auto image = open(each, each.platform)) out.back().image = std::move(*image);
  }
  return out;
}

// Those of an image that are for just these platforms and here.
Result<std::vector<Variant>> Images::named_variants(std::string_view name, const Descriptor& target,
                                                    const std::vector<Platform>& platforms) const {
  const std::vector<Variant> all = TRY(variants(target));
  std::vector<Variant> out;
  for (const Platform& platform : platforms) {
    const auto found = std::ranges::find_if(
        all, [&](const Variant& each) { return each.image && each.platform.normalised() == platform.normalised(); });
    if (found != all.end()) {
      out.push_back(*found);
      continue;
    }
    std::string here;
    for (const Variant& each : all)
      if (each.image) here += cat(here.empty() ? "" : ", ", each.platform.text());
    return fail_errno(ENOENT, "image ", name, " was found but does not provide the platform ", platform.text())
        .hint(cat("here it is for ", here.empty() ? "none" : here));
  }
  return out;
}

// An image that is for no platform but these goes altogether.
Result<Removed> Images::remove_platforms(std::string_view name, const RemoveOptions& options) const {
  if (options.no_prune) return fail("image ", name, ": a platform's content cannot both be removed and stay");
  const Image image = TRY(find(name));
  CollectOptions collect{.index = image.target.digest, .unwanted = {}};
  std::vector<Digest> ids;
  for (const Variant& each : TRY(named_variants(name, image.target, options.platforms))) {
    collect.unwanted.insert(each.manifest.digest);
    ids.push_back(each.image->id);
  }
  const auto others = TRY(variants(image.target));
  if (std::ranges::none_of(
          others, [&](const Variant& each) { return each.image && !collect.unwanted.contains(each.manifest.digest); }))
    return remove(name, {.force = options.force, .no_prune = false, .platforms = {}});
  for (const Ref& ref : TRY(store_.refs())) {
    if (ref.target.digest == image.target.digest) continue;
    TRY(visit_closure(store_, ref.target, [&](const Descriptor& each) -> Result<> {
      if (!collect.unwanted.contains(each.digest)) return {};
      return fail_errno(EBUSY, "image ", name, ": ", ref.name, " needs the platform's image, too")
          .hint("remove that first");
    }));
  }
  return collected({}, ids, collect);
}

Result<Removed> Images::remove(std::string_view name, const RemoveOptions& options) const {
  if (!options.platforms.empty()) return remove_platforms(name, options);
  std::vector<std::string> untagged;
  const auto reference = Reference::parse(name);
  const auto ref = reference ? TRY(store_.find_ref(reference->text())) : std::nullopt;
  std::vector<Digest> ids;
  if (ref) {
    // Also what is damaged can be removed.
    if (const auto image = open(ref->target)) ids.push_back(image->id);
    if (TRY(store_.remove_ref(ref->name))) untagged.push_back(ref->name);
  } else {
    const Image image = TRY(find(name));
    if (image.names.size() > 1 && !options.force)
      return fail("image ", name, " has ", image.names.size(), " names").hint("name one of them, or use --force");
    ids.push_back(image.id);
    for (const std::string& each : image.names)
      if (TRY(store_.remove_ref(each, image.target.digest))) untagged.push_back(each);
    TRY(store_.remove_ref(unnamed(image.target.digest)));
  }
  if (options.no_prune) return Removed{std::move(untagged), {}, 0};
  return collected(std::move(untagged), ids);
}

Result<Removed> Images::prune(const PruneOptions& options) const {
  ListFilter filter = options.filter;
  if (!options.all) filter.dangling = true;
  std::vector<std::string> untagged;
  std::vector<Digest> ids;
  for (const Image& image : TRY(list(filter))) {
    if (options.in_use && options.in_use(image)) continue;
    ids.push_back(image.id);
    for (const std::string& each : image.names)
      if (TRY(store_.remove_ref(each, image.target.digest))) untagged.push_back(each);
    TRY(store_.remove_ref(unnamed(image.target.digest)));
  }
  return collected(std::move(untagged), ids);
}

Result<std::vector<HistoryLine>> Images::history(const Image& image) const {
  const auto chain = chain_ids(image.config.diff_ids);
  std::vector<HistoryLine> out;
  size_t layer = 0;
  const auto add = [&](const HistoryEntry& entry) {
    HistoryLine line{entry, 0, {}};
    if (!entry.empty_layer && layer < chain.size()) {
      line.diff_id = image.config.diff_ids[layer];
      const auto info = read_layer_info(store_, chain[layer].hex());
      line.size = info ? info->bytes : layer < image.manifest.layers.size() ? image.manifest.layers[layer].size : 0;
      ++layer;
    }
    out.push_back(std::move(line));
  };
  for (const HistoryEntry& entry : image.config.history) add(entry);
  // Layers that the history does not speak of.
  while (layer < chain.size()) add({.created = image.config.created});
  std::ranges::reverse(out);
  return out;
}

Result<Chain> Images::unpack(const Lease& lease, const Image& image) const {
  UnpackOptions options;
  options.rootless = is_rootless();
  return unpack(lease, image, options);
}

Result<Chain> Images::unpack(const Lease& lease, const Image& image, const UnpackOptions& options,
                             const OpenLayer& open) const {
  const auto layers = TRY(layer_blobs(image.manifest, image.config));
  return unpack_layers(store_, lease, layers, options, open);
}

Result<std::vector<Change>> Images::diff(std::string_view name, std::string_view other) const {
  const Image image = TRY(find(name));
  const Lease lease = TRY(store_.lease());
  const Chain to = TRY_CTX(unpack(lease, image), "image ", name);
  if (!other.empty()) {
    const Image second = TRY(find(other));
    const Chain chain = TRY_CTX(unpack(lease, second), "image ", other);
    return chain_changes(store_, to, chain);
  }
  Chain from = to;
  if (!from.ids.empty()) from.ids.pop_back();
  return chain_changes(store_, from, to);
}

Result<> Images::hold(const Lease& lease, const Descriptor& target) const {
  const auto keep = [&](const Digest& digest) -> Result<> {
    if (TRY(store_.keep(lease, digest))) return {};
    return fail_errno(ENOENT, "image ", target.digest.text(), " was removed meanwhile");
  };
  TRY(keep(target.digest));
  return visit_closure(store_, target, [&](const Descriptor& each) { return keep(each.digest); });
}

Result<std::vector<ArchivedImage>> Images::to_archive(const std::vector<std::string>& names,
                                                      const std::optional<Platform>& platform) const {
  std::vector<ArchivedImage> out;
  for (const std::string& name : names) {
    const Image image = TRY(find(name));
    const Descriptor target =
        platform ? TRY(named_variants(name, image.target, {*platform})).front().manifest : image.target;
    const auto same = std::ranges::find(out, target.digest, [](const auto& each) { return each.target.digest; });
    ArchivedImage& item = same == out.end() ? out.emplace_back(ArchivedImage{target, {}}) : *same;
    // An id stands for the image without a name.
    const auto reference = Reference::parse(name);
    if (reference && std::ranges::find(image.names, reference->text()) != image.names.end())
      item.names.push_back(reference->text());
  }
  return out;
}

Result<> Images::save(const std::vector<std::string>& names, ArchiveFormat format, Sink& out,
                      const std::optional<Platform>& platform) const {
  const Lease lease = TRY(store_.lease());
  const auto images = TRY(to_archive(names, platform));
  for (const ArchivedImage& each : images) TRY(hold(lease, each.target));
  return save_archive(store_, images, format, out);
}

Result<> Images::save_layout(const std::vector<std::string>& names, const std::string& path,
                             const std::optional<Platform>& platform) const {
  const Lease lease = TRY(store_.lease());
  const auto images = TRY(to_archive(names, platform));
  for (const ArchivedImage& each : images) TRY(hold(lease, each.target));
  return image::save_layout(store_, images, path);
}

Result<std::vector<Image>> Images::take_in(const Lease& lease, std::vector<ArchivedImage> loaded,
                                           const std::optional<Platform>& platform) const {
  if (platform)
    for (ArchivedImage& each : loaded) {
      const std::string what(each.names.empty() ? each.target.digest.text() : each.names.front());
      each.target = TRY(named_variants(what, each.target, {*platform})).front().manifest;
    }
  std::vector<Image> out;
  for (const ArchivedImage& each : loaded) {
    const std::string what(each.names.empty() ? each.target.digest.text() : each.names.front());
    // An image for other machines is kept, but cannot be unpacked as this one's.
    auto image = open(each.target, platform);
    if (image) TRY_CTX(unpack(lease, *image), "image ", what);
    for (const std::string& name : each.names) TRY(store_.put_ref(name, each.target));
    if (each.names.empty()) TRY(store_.put_ref(unnamed(each.target.digest), each.target));
    if (!image) {
      log::warning("image ", what, ": ", image.error().message());
      continue;
    }
    TRY(measure(*image));
    image->names = each.names;
    out.push_back(std::move(*image));
  }
  return out;
}

Result<std::vector<Image>> Images::load(Reader& in, const std::optional<Platform>& platform) const {
  const Lease lease = TRY(store_.lease());
  return take_in(lease, TRY(load_archive(store_, lease, in)), platform);
}

Result<std::vector<Image>> Images::load_layout(const std::string& path, const std::optional<Platform>& platform) const {
  const Lease lease = TRY(store_.lease());
  return take_in(lease, TRY(image::load_layout(store_, lease, path)), platform);
}

Result<> Images::export_files(const Image& image, Sink& out) const {
  const Lease lease = TRY(store_.lease());
  TRY(hold(lease, image.target));
  if (image.config.diff_ids.empty()) return TarWriter(out).finish();
  if (is_rootless()) return export_flat(image, out);
  const Chain chain = TRY(unpack(lease, image));
  const Fd mounted = TRY(mount_chain(store_, chain));
  const Fd root = TRY(kernel::open_at(mounted.get(), ".", O_RDONLY | O_DIRECTORY));
  return pack_tree(root.get(), out);
}

// Without the right to mount, the layers are put together in a folder.
Result<> Images::export_flat(const Image& image, Sink& out) const {
  const Staging staging = TRY(Staging::make(store_, "layers"));
  const auto layers = TRY(layer_blobs(image.manifest, image.config));
  UnpackOptions options;
  options.rootless = true;
  TRY(unpack_flat(store_, layers, staging.fd(), options));
  return pack_tree(staging.fd(), out);
}

Result<> add_filter(ListFilter& filter, std::string_view text) {
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos) return fail("filter \"", text, "\": must be NAME=VALUE");
  const std::string_view name = text.substr(0, equals);
  const std::string value(text.substr(equals + 1));
  if (name == "dangling") {
    if (value != "true" && value != "false" && value != "1" && value != "0")
      return fail("filter \"", text, "\": must be true or false");
    filter.dangling = value == "true" || value == "1";
  } else if (name == "reference") {
    filter.references.push_back(value);
  } else if (name == "label") {
    filter.labels.push_back(value);
  } else if (name == "before") {
    filter.before = value;
  } else if (name == "since") {
    filter.since = value;
  } else if (name == "until") {
    filter.until = value;
  } else {
    return fail("filter \"", text, "\": no such filter")
        .hint("there are before, dangling, label, reference, since, until");
  }
  return {};
}

}  // namespace proa::oci::image
