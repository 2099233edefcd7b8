#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <deque>
#include <future>
#include <map>
#include <set>

#include "base/json.h"
#include "base/text.h"
#include "kernel/file.h"
#include "oci/image/archive.h"
#include "oci/image/compression.h"
#include "oci/image/json_fields.h"
#include "oci/image/layer_root.h"
#include "oci/image/reference.h"
#include "oci/image/tar_reader.h"

namespace proa::oci::image {
namespace {

namespace bj = boost::json;

constexpr size_t kMostImages = 4096;
constexpr const char* kNameKeys[] = {"io.containerd.image.name", "org.opencontainers.image.ref.name"};

// What an archive holds, each file already a blob of the store.
struct Held {
  Digest digest;
  uint64_t size = 0;
};
using Contents = std::map<std::string, Held, std::less<>>;

// A blob's file must hold what its name says.
Result<> check_blob_name(const std::string& path, const Held& held) {
  constexpr std::string_view kSha256 = "blobs/sha256/";
  if (!path.starts_with(kSha256)) return {};
  if (held.digest.hex() == std::string_view(path).substr(kSha256.size())) return {};
  return fail("\"", path, "\" has the content of ", held.digest.text());
}

// Blobs are put on the disk while the next ones are read.
class Committer {
 public:
  explicit Committer(Contents& contents) : contents_(contents) {}
  ~Committer() {
    for (Waiting& each : waiting_) each.done.wait();
  }

  Result<> add(std::string path, Ingest ingest) {
    if (waiting_.size() >= kAtOnce) TRY(take());
    auto done = in_background([ingest = std::move(ingest)]() mutable -> Result<Held> {
      const uint64_t size = ingest.offset();
      return Held{TRY(ingest.commit()), size};
    });
    waiting_.push_back({std::move(path), std::move(done)});
    return {};
  }
  Result<> finish() {
    while (!waiting_.empty()) TRY(take());
    return {};
  }

 private:
  static constexpr size_t kAtOnce = 8;
  struct Waiting {
    std::string path;
    std::future<Result<Held>> done;
  };

  Result<> take() {
    Waiting first = std::move(waiting_.front());
    waiting_.pop_front();
    const Held held = TRY_CTX(first.done.get(), "\"", first.path, "\"");
    TRY(check_blob_name(first.path, held));
    contents_[first.path] = held;
    return {};
  }

  Contents& contents_;
  std::deque<Waiting> waiting_;
};

Result<Ingest> read_entry(const Store& store, const Lease& lease, TarReader& tar) {
  Ingest ingest = TRY(store.ingest(lease, {}));
  for (;;) {
    const auto ahead = TRY(tar.data());
    if (ahead.empty()) return ingest;
    TRY(ingest.write(ahead));
    tar.consume(ahead.size());
  }
}

// Layers that occur twice are symlinks or hardlinks to each other in archives of older programs.
Result<> resolve_links(Contents& contents, const std::map<std::string, std::string>& links) {
  for (const auto& [path, first] : links) {
    std::string target = first;
    for (int hops = 0; hops < 8 && !contents.contains(target); ++hops) {
      const auto next = links.find(target);
      if (next == links.end()) break;
      target = next->second;
    }
    if (const auto held = contents.find(target); held != contents.end()) contents[path] = held->second;
  }
  return {};
}

Result<Contents> read_contents(const Store& store, const Lease& lease, Reader& in) {
  const auto plain = TRY(decompress(in));
  ThreadedSource source(*plain);
  TarReader tar(source);
  Contents contents;
  Committer committer(contents);
  std::map<std::string, std::string> links;
  TarEntry entry;
  while (TRY(tar.next(entry))) {
    const std::string path = TRY_CTX(path_in_root(entry.path), "\"", entry.path, "\"");
    if (entry.type == EntryType::kSymlink) {
      const std::string folder = path.substr(0, path.rfind('/') + 1);
      links[path] =
          TRY_CTX(path_in_root(entry.link.starts_with('/') ? entry.link : folder + entry.link), "\"", path, "\"");
    } else if (entry.type == EntryType::kHardlink) {
      links[path] = TRY_CTX(path_in_root(entry.link), "\"", path, "\"");
    } else if (entry.type == EntryType::kFile && entry.sparse) {
      return fail("\"", path, "\" is a sparse file");
    } else if (entry.type == EntryType::kFile) {
      Ingest ingest = TRY_CTX(read_entry(store, lease, tar), "\"", path, "\"");
      TRY(committer.add(path, std::move(ingest)));
    }
  }
  TRY(committer.finish());
  TRY(resolve_links(contents, links));
  return contents;
}

Result<std::optional<std::string>> document(const Store& store, const Contents& contents, std::string_view path) {
  const auto held = contents.find(path);
  if (held == contents.end()) return std::nullopt;
  return TRY_CTX(store.read_blob(held->second.digest), path);
}

// A name that stands for an image by itself; only a tag does not.
std::vector<std::string> names_of(const Descriptor& entry) {
  for (const char* key : kNameKeys) {
    const auto name = entry.annotations.find(key);
    if (name == entry.annotations.end()) continue;
    if (name->second.find_first_of(":/@") == std::string::npos) continue;
    const auto reference = Reference::parse(name->second);
    if (reference) return {reference->text()};
  }
  return {};
}

// Names of the same image are put together.
void add_image(std::vector<ArchivedImage>& out, Descriptor target, const std::vector<std::string>& names) {
  target.annotations.clear();
  const auto same = std::ranges::find(out, target.digest, [](const ArchivedImage& each) { return each.target.digest; });
  ArchivedImage& image = same == out.end() ? out.emplace_back(ArchivedImage{std::move(target), {}}) : *same;
  for (const std::string& name : names)
    if (std::ranges::find(image.names, name) == image.names.end()) image.names.push_back(name);
}

// Everything the layout's images need is there, at least for one platform of an index.
Result<> check_whole(const Store& store, const Descriptor& target) {
  if (!TRY(store.has(target.digest))) return fail("blob ", target.digest.text(), " is missing");
  const std::string text = TRY(store.read_blob(target.digest));
  if (media::is_index(target.media_type)) {
    const Index index = TRY(parse_index(text));
    size_t there = 0;
    for (const Descriptor& each : index.manifests) {
      if (!TRY(store.has(each.digest))) continue;
      ++there;
      TRY(check_whole(store, each));
    }
    return there > 0 ? Result<>() : fail("index ", target.digest.text(), ": none of its manifests is there");
  }
  if (!media::is_manifest(target.media_type)) return {};
  const Manifest manifest = TRY(parse_manifest(text));
  if (!TRY(store.has(manifest.config.digest))) return fail("blob ", manifest.config.digest.text(), " is missing");
  for (const Descriptor& layer : manifest.layers)
    if (layer.urls.empty() && !TRY(store.has(layer.digest))) return fail("blob ", layer.digest.text(), " is missing");
  return {};
}

Result<std::vector<ArchivedImage>> images_of_index(const Store& store, std::string_view text) {
  const Index index = TRY_CTX(parse_index(text), "index.json");
  std::vector<ArchivedImage> out;
  for (Descriptor each : index.manifests) {
    if (each.media_type.empty()) {
      const std::string manifest = TRY(store.read_blob(each.digest));
      each.media_type = TRY(sniff_media_type(manifest));
    }
    TRY_CTX(check_whole(store, each), "index.json");
    add_image(out, each, names_of(each));
  }
  return out;
}

Result<std::string_view> layer_type(const Store& store, const Digest& digest) {
  const Fd blob = TRY(store.open_blob(digest));
  std::byte head[8];
  FdReader reader(blob.get());
  const size_t got = TRY(read_full(reader, head));
  const Compression compression = TRY(detect(std::span<const std::byte>(head).first(got)));
  return layer_media_type(compression);
}

// Docker's manifest.json has configs and layers by path; the manifest is made here.
Result<ArchivedImage> image_of_item(const Store& store, const Lease& lease, const Contents& contents,
                                    const Fields& item) {
  const auto held = [&](const std::string& path) -> Result<Held> {
    const auto at = contents.find(TRY(path_in_root(path)));
    if (at == contents.end()) return fail("\"", path, "\" is not in the archive");
    return at->second;
  };
  const std::string config_path = TRY(item.text("Config"));
  const Held config = TRY_CTX(held(config_path), item.at("Config"));
  const std::string config_text = TRY(store.read_blob(config.digest));
  const ImageConfig parsed = TRY(parse_config(config_text));
  Manifest manifest;
  manifest.media_type = media::kManifest;
  manifest.config = {.media_type = std::string(media::kConfig), .digest = config.digest, .size = config.size};
  for (const std::string& path : TRY(item.texts("Layers"))) {
    const size_t index = manifest.layers.size();
    const Held layer = TRY_CTX(held(path), item.at("Layers"), "[", index, "]");
    const std::string_view type = TRY_CTX(layer_type(store, layer.digest), "\"", path, "\"");
    if (index >= parsed.diff_ids.size()) return fail(item.at("Layers"), ": more than the config's rootfs.diff_ids");
    if (type == media::kLayer && layer.digest != parsed.diff_ids[index])
      return fail("\"", path, "\" has the content of ", layer.digest.text(), ", the config says ",
                  parsed.diff_ids[index].text());
    manifest.layers.push_back({.media_type = std::string(type), .digest = layer.digest, .size = layer.size});
  }
  if (manifest.layers.size() != parsed.diff_ids.size())
    return fail(item.at("Layers"), ": fewer than the config's rootfs.diff_ids");
  const std::string text = emit(manifest);
  ArchivedImage out;
  out.target.media_type = media::kManifest;
  out.target.digest = TRY(store.put_blob(lease, text));
  out.target.size = text.size();
  for (const std::string& tag : TRY(item.texts("RepoTags"))) {
    const Reference reference = TRY_CTX(Reference::parse(tag), item.at("RepoTags"));
    out.names.push_back(reference.text());
  }
  return out;
}

Result<std::vector<ArchivedImage>> images_of_docker(const Store& store, const Lease& lease, const Contents& contents,
                                                    std::string_view text) {
  const auto read = [&]() -> Result<std::vector<ArchivedImage>> {
    // Wrapped, as the fields of an object are what is read.
    const bj::object wrapped{{"images", TRY(json::parse(text))}};
    const bj::value document = wrapped;
    const Fields in = TRY(Fields::of(document, ""));
    std::vector<ArchivedImage> out;
    for (const Fields& item : TRY(in.list("images", kMostImages))) {
      ArchivedImage image = TRY(image_of_item(store, lease, contents, item));
      add_image(out, image.target, image.names);
    }
    return out;
  };
  return TRY_CTX(read(), "manifest.json");
}

}  // namespace

Result<std::vector<ArchivedImage>> load_archive(const Store& store, const Lease& lease, Reader& in) {
  const Contents contents = TRY_CTX(read_contents(store, lease, in), "archive");
  const auto layout = TRY_CTX(document(store, contents, "oci-layout"), "archive");
  const auto index = TRY_CTX(document(store, contents, "index.json"), "archive");
  const auto docker = TRY_CTX(document(store, contents, "manifest.json"), "archive");
  std::vector<ArchivedImage> out;
  if (layout && index)
    out = TRY_CTX(images_of_index(store, *index), "archive");
  else if (docker)
    out = TRY_CTX(images_of_docker(store, lease, contents, *docker), "archive");
  else if (contents.contains("repositories"))
    return fail("archive: was saved by a Docker older than 1.10").hint("load it there, and save it anew");
  else
    return fail("archive: has neither manifest.json nor index.json, so it is no saved image")
        .hint("a root file system becomes an image by 'import'");
  if (out.empty()) return fail("archive: holds no image");
  return out;
}

Result<std::vector<ArchivedImage>> load_layout(const Store& store, const Lease& lease, const std::string& path) {
  const auto read = [&]() -> Result<std::vector<ArchivedImage>> {
    const Fd root = TRY(kernel::open(path.c_str(), O_RDONLY | O_DIRECTORY));
    TRY(kernel::read_file_at(root.get(), "oci-layout", kLargestDocument));
    const std::string text = TRY(kernel::read_file_at(root.get(), "index.json", kLargestDocument));
    std::set<Digest> seen;
    // Depth first; a blob that the layout lacks is found out afterwards.
    std::function<Result<>(const Descriptor&, int)> take = [&](const Descriptor& each, int depth) -> Result<> {
      if (depth > 8 || !seen.insert(each.digest).second) return {};
      const std::string blob = cat("blobs/", each.digest.algorithm(), "/", each.digest.hex());
      auto fd = kernel::open_beneath_no_links(root.get(), blob.c_str(), O_RDONLY);
      if (!fd && fd.error().code() == ENOENT) return {};
      if (!fd) return std::unexpected(std::move(fd).error());
      Ingest ingest = TRY(store.ingest(lease, {.expected = each.digest, .size = each.size}));
      if (!ingest.complete()) {
        TRY(ingest.restart());
        FdReader reader(fd->get());
        FunctionSink sink([&](std::span<const std::byte> bytes) { return ingest.write(bytes); });
        TRY(copy(reader, sink));
      }
      TRY(ingest.commit());
      if (!media::is_index(each.media_type) && !media::is_manifest(each.media_type)) return {};
      const std::string document = TRY(store.read_blob(each.digest));
      std::vector<Descriptor> children;
      if (media::is_index(each.media_type)) {
        children = TRY(parse_index(document)).manifests;
      } else {
        const Manifest manifest = TRY(parse_manifest(document));
        children = manifest.layers;
        children.push_back(manifest.config);
      }
      for (const Descriptor& child : children) TRY(take(child, depth + 1));
      return {};
    };
    const Index index = TRY_CTX(parse_index(text), "index.json");
    for (const Descriptor& each : index.manifests) TRY(take(each, 0));
    return images_of_index(store, text);
  };
  return TRY_CTX(read(), "layout ", path);
}

Result<Descriptor> best_manifest(const Index& index, const Platform& platform,
                                 const std::function<Result<bool>(const Descriptor&)>& usable) {
  const Descriptor* best = nullptr;
  int rank = 0;
  std::string offered;
  for (const Descriptor& each : index.manifests) {
    if (usable && !TRY(usable(each))) continue;
    // Without a platform it is for any; "unknown" ones are attestations.
    const int own = each.platform && !each.platform->empty() ? match(platform, *each.platform) : 1;
    if (each.platform && each.platform->os == "unknown") continue;
    if (each.platform) offered += (offered.empty() ? "" : ", ") + each.platform->text();
    if (own > rank) {
      best = &each;
      rank = own;
    }
  }
  if (best == nullptr)
    return fail("has no image for ", platform.text(), offered.empty() ? "" : cat("; there are ", offered));
  return *best;
}

Result<Descriptor> choose_manifest(const Store& store, const Descriptor& target, const Platform& platform) {
  if (media::is_manifest(target.media_type)) return target;
  if (!media::is_index(target.media_type)) return fail("\"", target.media_type, "\" is no image");
  const std::string text = TRY(store.read_blob(target.digest));
  const Index index = TRY(parse_index(text));
  Descriptor best = TRY(best_manifest(index, platform, [&](const Descriptor& each) { return store.has(each.digest); }));
  if (media::is_index(best.media_type)) return choose_manifest(store, best, platform);
  return best;
}

}  // namespace proa::oci::image
