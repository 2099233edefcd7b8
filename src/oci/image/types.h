// What images are made of (image-spec 1.1; Docker's schema 2 has the same shape): descriptors, manifests,
// indexes and configs, read from JSON with bounds and written back.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "oci/image/digest.h"

namespace proa::oci::image {

namespace media {
inline constexpr std::string_view kManifest = "application/vnd.oci.image.manifest.v1+json";
inline constexpr std::string_view kIndex = "application/vnd.oci.image.index.v1+json";
inline constexpr std::string_view kConfig = "application/vnd.oci.image.config.v1+json";
inline constexpr std::string_view kLayer = "application/vnd.oci.image.layer.v1.tar";
inline constexpr std::string_view kLayerGzip = "application/vnd.oci.image.layer.v1.tar+gzip";
inline constexpr std::string_view kLayerZstd = "application/vnd.oci.image.layer.v1.tar+zstd";
inline constexpr std::string_view kEmpty = "application/vnd.oci.empty.v1+json";
inline constexpr std::string_view kDockerManifest = "application/vnd.docker.distribution.manifest.v2+json";
inline constexpr std::string_view kDockerList = "application/vnd.docker.distribution.manifest.list.v2+json";
inline constexpr std::string_view kDockerConfig = "application/vnd.docker.container.image.v1+json";
inline constexpr std::string_view kDockerLayer = "application/vnd.docker.image.rootfs.diff.tar.gzip";
inline constexpr std::string_view kDockerLayerPlain = "application/vnd.docker.image.rootfs.diff.tar";

bool is_manifest(std::string_view type);
bool is_index(std::string_view type);
// A config that describes a file system to run, not an artifact's.
bool is_config(std::string_view type);
// Any layer of files, non-distributable ones too.
bool is_layer(std::string_view type);
}  // namespace media

using Annotations = std::map<std::string, std::string>;

struct Platform {
  std::string os, architecture, variant, os_version;
  std::vector<std::string> os_features;

  bool empty() const { return os.empty() && architecture.empty(); }
  // "linux/arm64/v8"
  std::string text() const;
  // OS[/ARCH[/VARIANT]] with the usual other names (x86_64, aarch64, armhf), normalised.
  static Result<Platform> parse(std::string_view text);
  static Platform host();
  Platform normalised() const;
  bool operator==(const Platform&) const = default;
};
// How well an image for `offered` runs where `wanted` is: 0 not at all, more is better. arm/v7 runs v6 and
// v5 too; amd64/v3 runs lesser ones; a wanted os.version must be met in its first three numbers (Windows).
int match(const Platform& wanted, const Platform& offered);

struct Descriptor {
  std::string media_type;
  Digest digest;
  uint64_t size = 0;
  std::vector<std::string> urls;
  Annotations annotations;
  std::optional<Platform> platform;
  std::string artifact_type;
  bool operator==(const Descriptor&) const = default;
};

struct Manifest {
  std::string media_type;  // never empty after parsing
  std::string artifact_type;
  Descriptor config;
  std::vector<Descriptor> layers;
  std::optional<Descriptor> subject;
  Annotations annotations;
};

struct Index {
  std::string media_type;
  std::string artifact_type;
  std::vector<Descriptor> manifests;
  std::optional<Descriptor> subject;
  Annotations annotations;
};

// Durations in nanoseconds, 0: Docker's default.
struct HealthCheck {
  std::vector<std::string> test;  // ["CMD", ...], ["CMD-SHELL", line], ["NONE"]
  int64_t interval = 0, timeout = 0, start_period = 0, start_interval = 0;
  int64_t retries = 0;
};

struct ContainerConfig {
  std::string user, working_dir, stop_signal;
  std::vector<std::string> env, entrypoint, cmd, shell, on_build;
  std::vector<std::string> exposed_ports, volumes;  // sorted
  Annotations labels;
  std::optional<HealthCheck> healthcheck;
  std::optional<int64_t> stop_timeout;  // seconds
  bool args_escaped = false;
};

struct HistoryEntry {
  std::string created, created_by, author, comment;
  bool empty_layer = false;
};

struct ImageConfig {
  std::string created, author;
  Platform platform;
  ContainerConfig config;
  std::vector<Digest> diff_ids;
  std::vector<HistoryEntry> history;
};

// Errors name the field. Bounds: 4 MiB a document, 4096 layers or manifests.
inline constexpr size_t kLargestDocument = 4u << 20;
Result<Descriptor> parse_descriptor(std::string_view json);
Result<Manifest> parse_manifest(std::string_view json);
Result<Index> parse_index(std::string_view json);
Result<ImageConfig> parse_config(std::string_view json);
// The mediaType a manifest or index says it is, or the one its shape tells.
Result<std::string> sniff_media_type(std::string_view json);

std::string emit(const Descriptor& descriptor);
std::string emit(const Manifest& manifest);
std::string emit(const Index& index);
std::string emit(const ImageConfig& config);

// ChainID (image-spec config.md) of the first n layers, for each n from 1.
std::vector<Digest> chain_ids(const std::vector<Digest>& diff_ids);

}  // namespace proa::oci::image
