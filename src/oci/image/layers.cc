#include "oci/image/layers.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <thread>

#include "base/ids.h"
#include "base/log.h"
#include "kernel/file.h"
#include "oci/image/snapshot_info.h"
#include "oci/image/staging.h"
#include "oci/image/store_folder.h"

namespace proa::oci::image {

using detail::FileLock;

namespace {

// A layer being unpacked.
struct Staged {
  size_t index = 0;  // in the chain
  std::optional<Staging> folder;
  Fd fs;
  Unpacked unpacked;
  std::optional<Error> error;
};

std::string map_key(const UnpackOptions& options) {
  std::string text;
  for (const IdMap* map : {&options.uids, &options.gids}) {
    for (const IdRange& range : map->ranges) text += cat(range.container, ":", range.host, ":", range.size, " ");
    text += "/";
  }
  if (text == "//") return {};
  return std::string(Digest::of(text).hex().substr(0, 16));
}

class ChainUnpacker {
 public:
  ChainUnpacker(const Store& store, const Lease& lease, const std::vector<LayerBlob>& layers,
                const UnpackOptions& options, const OpenLayer& open)
      : store_(store), lease_(lease), layers_(layers), options_(options), open_(open) {
    options_.form = LayerForm::kOverlay;
    chain_.map = map_key(options);
    std::vector<Digest> ids;
    ids.reserve(layers.size());
    for (const LayerBlob& layer : layers) ids.push_back(layer.diff_id);
    chain_.ids = chain_ids(ids);
  }

  Result<Chain> run() {
    TRY(find_missing());
    unpack_all();
    for (Staged& staged : missing_)
      if (staged.error) return std::unexpected(std::move(*staged.error).with_context(what(staged.index)));
    for (Staged& staged : missing_) TRY_CTX(complete(staged), what(staged.index));
    TRY(settle());
    for (Staged& staged : missing_) TRY_CTX(show(staged), what(staged.index));
    return chain_;
  }

 private:
  std::string what(size_t index) const { return cat("layer ", layers_[index].digest.text()); }
  std::string name(size_t index) const { return layer_name(chain_.ids[index], chain_.map); }

  Result<> find_missing() {
    const FileLock lock = TRY(FileLock::shared(store_.root_fd(), detail::kLock));
    for (size_t i = 0; i < layers_.size(); ++i) {
      TRY(lease_.protect(chain_.ids[i]));
      if (::faccessat(store_.root_fd(), cat("layers/", name(i), "/info.json").c_str(), F_OK, 0) == 0) continue;
      missing_.emplace_back();
      missing_.back().index = i;
    }
    return {};
  }

  void unpack_all() {
    allow_descriptors(missing_.size());
    std::atomic<size_t> next = 0;
    std::atomic<bool> failed = false;
    const auto work = [&] {
      for (size_t i = next++; i < missing_.size() && !failed; i = next++)
        if (auto done = unpack(missing_[i]); !done) {
          missing_[i].error = std::move(done).error();
          failed = true;
        }
    };
    const size_t count = std::min<size_t>(missing_.size(), std::max(2u, std::thread::hardware_concurrency()));
    std::vector<std::thread> threads;
    try {
      for (size_t i = 1; i < count; ++i) threads.emplace_back(work);
    } catch (const std::system_error& error) {
      log::debug("unpack with ", threads.size() + 1, " threads: ", error.what());  // it takes longer
    }
    if (count > 0) work();
    for (std::thread& thread : threads) thread.join();
  }

  Result<> unpack(Staged& staged) {
    staged.folder.emplace(TRY(Staging::make(store_, "layers")));
    TRY(kernel::make_dir_at(staged.folder->fd(), "fs", 0755));
    staged.fs = TRY(kernel::open_at(staged.folder->fd(), "fs", O_RDONLY | O_DIRECTORY));
    if (::fchmod(staged.fs.get(), 0755) != 0) return fail_errno(errno, "set mode");
    const auto work = [&](Source& source) -> Result<> {
      staged.unpacked = TRY(unpack_layer(source, staged.fs.get(), options_));
      return {};
    };
    return with_layer(store_, layers_[staged.index], options_.ratio, work, open_);
  }

  // A layer must not be there with files that a loss of power has emptied.
  Result<> settle() {
    if (missing_.empty() || store_.sync() == Sync::kNone) return {};
    if (::syncfs(store_.root_fd()) != 0) return fail_errno(errno, "put unpacked layers on the disk");
    return {};
  }

  // What comes from the layers below, which may not be shown yet.
  Result<> complete(Staged& staged) {
    std::vector<Fd> folders;
    std::vector<int> below;
    for (size_t i = staged.index; i-- > 0;) {
      const auto own = std::ranges::find(missing_, i, &Staged::index);
      if (own != missing_.end()) {
        below.push_back(own->fs.get());
        continue;
      }
      folders.push_back(TRY(kernel::open_at(store_.root_fd(), cat("layers/", name(i), "/fs").c_str(), O_PATH)));
      below.push_back(folders.back().get());
    }
    TRY(take_from_below(staged.fs.get(), below, staged.unpacked, options_));
    LayerInfo info;
    info.diff_id = layers_[staged.index].diff_id;
    if (staged.index > 0) info.parent = chain_.ids[staged.index - 1];
    info.bytes = staged.unpacked.bytes;
    info.entries = staged.unpacked.entries;
    return staged.folder->write("info.json", emit(info));
  }

  Result<> show(Staged& staged) {
    // Another process may have been faster: its layer is as good.
    return staged.folder->place(cat("layers/", name(staged.index)), /*must_be_new=*/false);
  }

  const Store& store_;
  const Lease& lease_;
  const std::vector<LayerBlob>& layers_;
  UnpackOptions options_;
  const OpenLayer& open_;
  Chain chain_;
  std::vector<Staged> missing_;
};

}  // namespace

Result<Chain> unpack_layers(const Store& store, const Lease& lease, const std::vector<LayerBlob>& layers,
                            const UnpackOptions& options, const OpenLayer& open) {
  return ChainUnpacker(store, lease, layers, options, open).run();
}

Result<std::vector<LayerBlob>> layer_blobs(const Manifest& manifest, const ImageConfig& config) {
  std::vector<LayerBlob> out;
  for (const Descriptor& layer : manifest.layers) {
    if (!media::is_layer(layer.media_type))
      return fail("manifest: layers[", out.size(), "].mediaType: \"", layer.media_type, "\" is no layer of files");
    if (out.size() < config.diff_ids.size()) out.push_back({layer.digest, config.diff_ids[out.size()]});
  }
  if (manifest.layers.size() != config.diff_ids.size())
    return fail("image config: rootfs.diff_ids: has ", config.diff_ids.size(), " entries for ", manifest.layers.size(),
                " layers");
  return out;
}

namespace {

// A blob of the store.
class BlobReader : public Reader {
 public:
  explicit BlobReader(Fd blob) : blob_(std::move(blob)), reader_(blob_.get()) {
    ::posix_fadvise(blob_.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
  }
  Result<size_t> read(std::span<std::byte> into) override { return reader_.read(into); }

 private:
  Fd blob_;
  FdReader reader_;
};

}  // namespace

Result<> with_layer(const Store& store, const LayerBlob& layer, const RatioLimit& ratio,
                    const std::function<Result<>(Source&)>& work, const OpenLayer& open) {
  const std::unique_ptr<Reader> blob =
      open ? TRY(open(layer)) : std::make_unique<BlobReader>(TRY(store.open_blob(layer.digest)));
  if (layer.digest == layer.diff_id) {  // not compressed, and verified when it came in
    BufferedSource source(*blob);
    return work(source);
  }
  const auto reader = TRY(decompress(*blob, ratio));
  ThreadedSource source(*reader, true);
  TRY(work(source));
  const Digest got = source.digest();
  if (got != layer.diff_id) return fail("content has diff id ", got.text(), ", the config says ", layer.diff_id.text());
  return {};
}

Result<> unpack_flat(const Store& store, const std::vector<LayerBlob>& layers, int target,
                     const UnpackOptions& options) {
  UnpackOptions plain = options;
  plain.form = LayerForm::kPlain;
  for (const LayerBlob& layer : layers)
    TRY_CTX(with_layer(store, layer, options.ratio,
                       [&](Source& source) -> Result<> {
                         TRY(unpack_layer(source, target, plain));
                         return {};
                       }),
            "layer ", layer.digest.text());
  return {};
}

void allow_descriptors(size_t layers) {
  constexpr size_t kFewLayers = 64;
  struct rlimit limit{};
  if (layers <= kFewLayers || ::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);  // without it the opening that fails says so
}

bool is_rootless() { return ::geteuid() != 0; }

}  // namespace proa::oci::image
