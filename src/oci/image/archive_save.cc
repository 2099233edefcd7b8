#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <map>
#include <set>

#include "base/json.h"
#include "kernel/file.h"
#include "oci/image/archive.h"
#include "oci/image/reference.h"
#include "oci/image/tar_writer.h"

namespace proa::oci::image {
namespace {

namespace bj = boost::json;

constexpr std::string_view kLayoutText = "{\"imageLayoutVersion\":\"1.0.0\"}";
constexpr std::string_view kFullName = "io.containerd.image.name";
constexpr std::string_view kRefName = "org.opencontainers.image.ref.name";

std::string path_of(const Digest& digest) { return cat("blobs/", digest.algorithm(), "/", digest.hex()); }

// Digests in order, each once, with their sizes.
Result<std::map<Digest, uint64_t>> blobs_of(const Store& store, const std::vector<ArchivedImage>& images) {
  std::map<Digest, uint64_t> out;
  for (const ArchivedImage& image : images)
    TRY(visit_closure(store, image.target, [&](const Descriptor& each) -> Result<> {
      if (!out.contains(each.digest)) out[each.digest] = TRY(store.blob_size(each.digest));
      return {};
    }));
  return out;
}

// An entry for each name, or one without.
void add_to_index(Index& index, const ArchivedImage& image) {
  Descriptor entry = image.target;
  if (image.names.empty()) index.manifests.push_back(entry);
  for (const std::string& name : image.names) {
    const auto reference = Reference::parse(name);
    entry.annotations[std::string(kFullName)] = name;
    entry.annotations[std::string(kRefName)] = reference && !reference->tag.empty() ? reference->tag : name;
    index.manifests.push_back(entry);
  }
}

Result<std::string> docker_manifest(const Store& store, const std::vector<ArchivedImage>& images) {
  bj::array out;
  for (const ArchivedImage& image : images) {
    const auto chosen = choose_manifest(store, image.target, Platform::host());
    if (!chosen) continue;  // an index for other machines: the OCI half has it
    const std::string text = TRY(store.read_blob(chosen->digest));
    const Manifest manifest = TRY(parse_manifest(text));
    bj::array layers, tags;
    for (const Descriptor& layer : manifest.layers) layers.emplace_back(path_of(layer.digest));
    for (const std::string& name : image.names) {
      const auto reference = Reference::parse(name);
      tags.emplace_back(reference ? reference->familiar() : name);
    }
    out.push_back(bj::object{
        {"Config", path_of(manifest.config.digest)}, {"RepoTags", std::move(tags)}, {"Layers", std::move(layers)}});
  }
  return json::to_line(out);
}

Result<> add_blob(const Store& store, TarWriter& tar, const Digest& digest, uint64_t size) {
  const Fd blob = TRY(store.open_blob(digest));
  TarEntry entry;
  entry.path = path_of(digest);
  entry.mode = 0644;
  entry.size = size;
  TRY(tar.add(entry));
  TRY_CTX(tar.write_from(blob.get(), size), "blob ", digest.text());
  return {};
}

Result<> add_folder(TarWriter& tar, std::string path) {
  TarEntry entry;
  entry.type = EntryType::kDirectory;
  entry.path = std::move(path);
  entry.mode = 0755;
  return tar.add(entry);
}

Result<> copy_blob(const Store& store, const Digest& digest, const std::string& to) {
  if (kernel::path_exists(to.c_str())) return {};
  const Fd from = TRY(store.open_blob(digest));
  const std::string aside = cat(to, ".", ::getpid(), ".tmp");
  const Fd file = TRY(kernel::open(aside.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644));
  Defer discard([&] { ::unlink(aside.c_str()); });
  FdReader reader(from.get());
  FdSink sink(file.get());
  TRY_CTX(copy(reader, sink), to);
  if (::rename(aside.c_str(), to.c_str()) != 0) return fail_errno(errno, "rename to ", to);
  discard.dismiss();
  return {};
}

// The layout's index without what the new images replace.
Result<Index> index_without(const std::string& path, const std::vector<ArchivedImage>& images) {
  Index out;
  out.media_type = media::kIndex;
  const auto before = kernel::read_file(path.c_str(), kLargestDocument);
  if (!before && before.error().code() == ENOENT) return out;
  if (!before) return std::unexpected(before.error());
  out = TRY_CTX(parse_index(*before), path);
  std::set<std::string> names;
  std::set<Digest> targets;
  for (const ArchivedImage& image : images) {
    names.insert(image.names.begin(), image.names.end());
    targets.insert(image.target.digest);
  }
  std::erase_if(out.manifests, [&](const Descriptor& each) {
    const auto name = each.annotations.find(std::string(kFullName));
    return name == each.annotations.end() ? targets.contains(each.digest) : names.contains(name->second);
  });
  return out;
}

}  // namespace

Result<> save_archive(const Store& store, const std::vector<ArchivedImage>& images, ArchiveFormat format, Sink& out) {
  const auto blobs = TRY(blobs_of(store, images));
  TarWriter tar(out);
  Index index;
  index.media_type = media::kIndex;
  for (const ArchivedImage& image : images) add_to_index(index, image);
  TRY(add_folder(tar, "blobs/"));
  TRY(add_folder(tar, "blobs/sha256/"));
  for (const auto& [digest, size] : blobs) TRY(add_blob(store, tar, digest, size));
  TRY(tar.add_file("index.json", emit(index)));
  if (format == ArchiveFormat::kDocker) {
    const std::string manifest = TRY(docker_manifest(store, images));
    TRY(tar.add_file("manifest.json", manifest));
  }
  TRY(tar.add_file("oci-layout", kLayoutText));
  return tar.finish();
}

Result<> save_layout(const Store& store, const std::vector<ArchivedImage>& images, const std::string& path) {
  const auto blobs = TRY(blobs_of(store, images));
  for (const char* folder : {"/blobs/sha256", "/blobs/sha512"}) {
    const bool used = std::ranges::any_of(
        blobs, [&](const auto& each) { return std::string_view(folder).ends_with(each.first.algorithm()); });
    if (used) TRY(kernel::make_dirs(path + folder, 0755));
  }
  for (const auto& [digest, size] : blobs) TRY(copy_blob(store, digest, cat(path, "/", path_of(digest))));
  Index index = TRY(index_without(path + "/index.json", images));
  for (const ArchivedImage& image : images) add_to_index(index, image);
  TRY(kernel::replace_file(path + "/index.json", emit(index), 0644));
  return kernel::replace_file(path + "/oci-layout", kLayoutText, 0644);
}

}  // namespace proa::oci::image
