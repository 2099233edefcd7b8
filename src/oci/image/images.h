// Images as users and the engine handle them: found by name or id, listed, named, removed, saved, loaded, made.
//
// Threads: any number may use one Images. Errors name the image.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "oci/image/archive.h"
#include "oci/image/compression.h"
#include "oci/image/layers.h"
#include "oci/image/snapshot.h"
#include "oci/image/store.h"
#include "oci/image/types.h"

namespace proa::oci::image {

// One image for one platform.
struct Image {
  Digest id;                       // of its config
  std::vector<std::string> names;  // full references that point to it, sorted; empty: unnamed
  Descriptor target;               // what they point to: an index, or the manifest
  Descriptor manifest_descriptor;
  Manifest manifest;
  ImageConfig config;
  std::string tagged;  // RFC 3339, when a name was last given
  bool unpacked = false;
  uint64_t size = 0;     // of its files when unpacked, else of its layers' blobs
  uint64_t content = 0;  // of its blobs
};

struct HistoryLine {
  HistoryEntry entry;
  uint64_t size = 0;
  Digest diff_id;  // empty for an entry without a layer
};

struct ListFilter {
  std::optional<bool> dangling;         // without a name
  std::vector<std::string> references;  // patterns of familiar or full names; any
  std::vector<std::string> labels;      // KEY or KEY=VALUE; all
  std::string before, since;            // images made before or after that one
  std::string until;                    // RFC 3339: made before
};
// KEY=VALUE as on Docker's command line: dangling, reference, label, before, since, until.
Result<> add_filter(ListFilter& filter, std::string_view text);

struct Removed {
  std::vector<std::string> untagged;  // full references
  std::vector<Digest> deleted;        // ids
  uint64_t bytes = 0;
};

struct RemoveOptions {
  bool force = false;               // an id with several names
  bool no_prune = false;            // leave the content for a later prune
  std::vector<Platform> platforms;  // of an image for several, remove these alone
};

// What an image is for one platform.
struct Variant {
  Platform platform;
  Descriptor manifest;
  std::optional<Image> image;  // unset: not in the store
};
struct PruneOptions {
  bool all = false;  // named images too
  ListFilter filter;
  // Images that must stay (a container uses them).
  std::function<bool(const Image&)> in_use;
};

// What `create`, `import` and `commit` set in the new image's config; absent: as in the base.
struct ConfigChanges {
  std::optional<std::vector<std::string>> entrypoint, cmd, shell;
  std::optional<std::string> user, working_dir, stop_signal;
  std::optional<int64_t> stop_timeout;
  std::vector<std::string> env;                     // NAME=VALUE, replaces one of that name
  std::vector<std::string> exposed_ports, volumes;  // are added
  std::vector<std::string> on_build;
  Annotations labels;
  std::optional<HealthCheck> healthcheck;
};
// A line of a Dockerfile: CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, SHELL, STOPSIGNAL, USER, VOLUME,
// WORKDIR.
Result<> add_instruction(ConfigChanges& changes, std::string_view line);
Result<> apply(const ConfigChanges& changes, ContainerConfig& config);

struct CreateOptions {
  std::string base;  // an image; empty: none
  ConfigChanges changes;
  std::optional<Platform> platform;
  std::string author, message, created_by;
  std::string created;  // RFC 3339; empty: now
  Compression compression = Compression::kGzip;
  PackOptions pack;
};

class Images {
 public:
  explicit Images(Store store) : store_(std::move(store)) {}
  const Store& store() const { return store_; }

  // By name, name@digest, id or the beginning of one; ENOENT when there is none.
  Result<Image> find(std::string_view name, const std::optional<Platform>& platform = std::nullopt) const;
  // The newest first. Images whose blobs are not whole are left out.
  Result<std::vector<Image>> list(const ListFilter& filter = {}) const;
  // Of an index each manifest that is for a platform; else the image itself.
  Result<std::vector<Variant>> variants(const Descriptor& target) const;
  // An image that a name points to.
  Result<Image> open(const Descriptor& target, const std::optional<Platform>& platform = std::nullopt) const;

  // Protects all that the target reaches; ENOENT when it has been removed.
  Result<> hold(const Lease& lease, const Descriptor& target) const;

  Result<> tag(std::string_view source, std::string_view name) const;
  // By name: that name; by id: the image. Content that nothing needs any more goes with it.
  Result<Removed> remove(std::string_view name, const RemoveOptions& options = {}) const;
  Result<Removed> prune(const PruneOptions& options = {}) const;

  Result<std::vector<HistoryLine>> history(const Image& image) const;
  // Unpacks what is not yet; the lease must live until the chain is used.
  Result<Chain> unpack(const Lease& lease, const Image& image, const UnpackOptions& options,
                       const OpenLayer& open = {}) const;
  Result<Chain> unpack(const Lease& lease, const Image& image) const;
  // Against another image; without one, the last layer against those below.
  Result<std::vector<Change>> diff(std::string_view name, std::string_view other = {}) const;

  // `platform`: of images for several, that one alone.
  Result<> save(const std::vector<std::string>& names, ArchiveFormat format, Sink& out,
                const std::optional<Platform>& platform = std::nullopt) const;
  Result<> save_layout(const std::vector<std::string>& names, const std::string& path,
                       const std::optional<Platform>& platform = std::nullopt) const;
  // Names what was loaded and unpacks it.
  Result<std::vector<Image>> load(Reader& in, const std::optional<Platform>& platform = std::nullopt) const;
  Result<std::vector<Image>> load_layout(const std::string& path,
                                         const std::optional<Platform>& platform = std::nullopt) const;
  // The merged file system as one tar stream.
  Result<> export_files(const Image& image, Sink& out) const;

  // A new image: the base's layers and one more, from a folder or a tar stream. `name` may be empty.
  Result<Image> create_from_folder(const std::string& folder, std::string_view name,
                                   const CreateOptions& options) const;
  Result<Image> create_from_tar(Reader& in, std::string_view name, const CreateOptions& options) const;
  // ... from a snapshot's changes.
  Result<Image> commit(const std::string& snapshot, std::string_view name, const CreateOptions& options) const;

 private:
  using Produce = std::function<Result<PackedLayer>(const Lease&)>;
  Result<Image> create(const Lease& lease, const Produce& layer, std::string_view name,
                       const CreateOptions& options) const;
  Result<std::vector<ArchivedImage>> to_archive(const std::vector<std::string>& names,
                                                const std::optional<Platform>& platform) const;
  Result<std::vector<Image>> take_in(const Lease& lease, std::vector<ArchivedImage> loaded,
                                     const std::optional<Platform>& platform) const;
  Result<Removed> remove_platforms(std::string_view name, const RemoveOptions& options) const;
  Result<std::vector<Variant>> named_variants(std::string_view name, const Descriptor& target,
                                              const std::vector<Platform>& platforms) const;
  Result<> measure(Image& image) const;
  Result<> export_flat(const Image& image, Sink& out) const;
  Result<std::optional<Image>> find_by_id(std::string_view id, const std::optional<Platform>& platform) const;
  Result<Removed> collected(std::vector<std::string> untagged, const std::vector<Digest>& ids,
                            const CollectOptions& options = {}) const;

  Store store_;
};

}  // namespace proa::oci::image
