#include "oci/image/types.h"

#include <algorithm>

#include "base/json.h"
#include "oci/image/json_fields.h"

namespace proa::oci::image {
namespace {

namespace bj = boost::json;

constexpr size_t kMostChildren = 4096;
constexpr json::ParseLimits kLimits{.max_bytes = kLargestDocument, .max_depth = 32};

Result<Digest> digest_of(const Fields& in, std::string_view key) {
  const std::string text = TRY(in.text(key));
  return TRY_CTX(Digest::parse(text), in.at(key));
}

Result<Platform> platform_of(const Fields& in) {
  Platform out;
  out.os = TRY(in.text("os"));
  out.architecture = TRY(in.text("architecture"));
  out.variant = TRY(in.text("variant"));
  out.os_version = TRY(in.text("os.version"));
  out.os_features = TRY(in.texts("os.features"));
  return out;
}

Result<Descriptor> descriptor_of(const Fields& in) {
  Descriptor out;
  out.media_type = TRY(in.text("mediaType"));
  out.digest = TRY(digest_of(in, "digest"));
  const int64_t size = TRY(in.integer("size"));
  if (size < 0 || in.find("size") == nullptr) return fail(in.at("size"), ": must be a number of bytes");
  out.size = static_cast<uint64_t>(size);
  out.urls = TRY(in.texts("urls"));
  out.annotations = TRY(in.map("annotations"));
  if (const auto platform = TRY(in.fields("platform"))) out.platform = TRY(platform_of(*platform));
  out.artifact_type = TRY(in.text("artifactType"));
  return out;
}

Result<std::vector<Descriptor>> descriptors_of(const Fields& in, std::string_view key) {
  std::vector<Descriptor> out;
  for (const Fields& each : TRY(in.list(key, kMostChildren))) out.push_back(TRY(descriptor_of(each)));
  return out;
}

Result<std::optional<Descriptor>> subject_of(const Fields& in) {
  const auto subject = TRY(in.fields("subject"));
  if (!subject) return std::nullopt;
  return TRY(descriptor_of(*subject));
}

Result<> check_schema(const Fields& in) {
  const int64_t version = TRY(in.integer("schemaVersion"));
  if (version == 1)
    return fail("schemaVersion: Docker's manifest schema 1 is not supported").hint("push the image anew");
  if (version != 2) return fail("schemaVersion: must be 2");
  return {};
}

std::string shape(const Fields& in, std::string_view media_type) {
  if (!media_type.empty()) return std::string(media_type);
  if (in.find("manifests") != nullptr) return std::string(media::kIndex);
  return std::string(in.find("layers") != nullptr || in.find("config") != nullptr ? media::kManifest : "");
}

Result<HealthCheck> healthcheck_of(const Fields& in) {
  HealthCheck out;
  out.test = TRY(in.texts("Test"));
  out.interval = TRY(in.integer("Interval"));
  out.timeout = TRY(in.integer("Timeout"));
  out.start_period = TRY(in.integer("StartPeriod"));
  out.start_interval = TRY(in.integer("StartInterval"));
  out.retries = TRY(in.integer("Retries"));
  return out;
}

Result<ContainerConfig> container_config_of(const Fields& in) {
  ContainerConfig out;
  out.user = TRY(in.text("User"));
  out.working_dir = TRY(in.text("WorkingDir"));
  out.stop_signal = TRY(in.text("StopSignal"));
  out.env = TRY(in.texts("Env"));
  out.entrypoint = TRY(in.texts("Entrypoint"));
  out.cmd = TRY(in.texts("Cmd"));
  out.shell = TRY(in.texts("Shell"));
  out.on_build = TRY(in.texts("OnBuild"));
  out.exposed_ports = TRY(in.keys("ExposedPorts"));
  out.volumes = TRY(in.keys("Volumes"));
  out.labels = TRY(in.map("Labels"));
  if (const auto check = TRY(in.fields("Healthcheck"))) out.healthcheck = TRY(healthcheck_of(*check));
  if (in.find("StopTimeout") != nullptr) out.stop_timeout = TRY(in.integer("StopTimeout"));
  out.args_escaped = TRY(in.flag("ArgsEscaped"));
  return out;
}

Result<HistoryEntry> history_of(const Fields& in) {
  HistoryEntry out;
  out.created = TRY(in.text("created"));
  out.created_by = TRY(in.text("created_by"));
  out.author = TRY(in.text("author"));
  out.comment = TRY(in.text("comment"));
  out.empty_layer = TRY(in.flag("empty_layer"));
  return out;
}

bj::array array_of(const std::vector<std::string>& texts) { return bj::array(texts.begin(), texts.end()); }

bj::object object_of(const Annotations& map) {
  bj::object out;
  for (const auto& [key, value] : map) out[key] = value;
  return out;
}

bj::object set_of(const std::vector<std::string>& keys) {
  bj::object out;
  for (const std::string& key : keys) out[key] = bj::object();
  return out;
}

void put(bj::object& out, std::string_view key, std::string_view text) {
  if (!text.empty()) out[key] = text;
}
void put(bj::object& out, std::string_view key, const std::vector<std::string>& texts) {
  if (!texts.empty()) out[key] = array_of(texts);
}
void put(bj::object& out, std::string_view key, const Annotations& map) {
  if (!map.empty()) out[key] = object_of(map);
}
void put(bj::object& out, std::string_view key, int64_t number) {
  if (number != 0) out[key] = number;
}

void put_platform(bj::object& out, const Platform& platform) {
  out["architecture"] = platform.architecture;
  out["os"] = platform.os;
  put(out, "os.version", platform.os_version);
  put(out, "os.features", platform.os_features);
  put(out, "variant", platform.variant);
}

bj::object to_json(const Descriptor& in) {
  bj::object out;
  out["mediaType"] = in.media_type;
  out["digest"] = in.digest.text();
  out["size"] = in.size;
  put(out, "urls", in.urls);
  put(out, "annotations", in.annotations);
  if (in.platform) put_platform(out["platform"].emplace_object(), *in.platform);
  put(out, "artifactType", in.artifact_type);
  return out;
}

bj::array to_json(const std::vector<Descriptor>& in) {
  bj::array out;
  for (const Descriptor& each : in) out.push_back(to_json(each));
  return out;
}

bj::object to_json(const HealthCheck& in) {
  bj::object out;
  put(out, "Test", in.test);
  put(out, "Interval", in.interval);
  put(out, "Timeout", in.timeout);
  put(out, "StartPeriod", in.start_period);
  put(out, "StartInterval", in.start_interval);
  put(out, "Retries", in.retries);
  return out;
}

bj::object to_json(const ContainerConfig& in) {
  bj::object out;
  put(out, "User", in.user);
  if (!in.exposed_ports.empty()) out["ExposedPorts"] = set_of(in.exposed_ports);
  put(out, "Env", in.env);
  put(out, "Entrypoint", in.entrypoint);
  put(out, "Cmd", in.cmd);
  if (!in.volumes.empty()) out["Volumes"] = set_of(in.volumes);
  put(out, "WorkingDir", in.working_dir);
  put(out, "Labels", in.labels);
  put(out, "StopSignal", in.stop_signal);
  if (in.stop_timeout) out["StopTimeout"] = *in.stop_timeout;
  if (in.healthcheck) out["Healthcheck"] = to_json(*in.healthcheck);
  put(out, "Shell", in.shell);
  put(out, "OnBuild", in.on_build);
  if (in.args_escaped) out["ArgsEscaped"] = true;
  return out;
}

bj::object to_json(const HistoryEntry& in) {
  bj::object out;
  put(out, "created", in.created);
  put(out, "created_by", in.created_by);
  put(out, "author", in.author);
  put(out, "comment", in.comment);
  if (in.empty_layer) out["empty_layer"] = true;
  return out;
}

}  // namespace

namespace media {

bool is_manifest(std::string_view type) { return type == kManifest || type == kDockerManifest; }
bool is_index(std::string_view type) { return type == kIndex || type == kDockerList; }
bool is_config(std::string_view type) { return type == kConfig || type == kDockerConfig; }
bool is_layer(std::string_view type) {
  return type.starts_with("application/vnd.oci.image.layer.") ||
         type.starts_with("application/vnd.docker.image.rootfs.diff.tar") ||
         type.starts_with("application/vnd.docker.image.rootfs.foreign.diff.tar");
}

}  // namespace media

Result<Descriptor> parse_descriptor(std::string_view text) {
  const bj::value document = TRY_CTX(json::parse(text, kLimits), "descriptor");
  const Fields in = TRY_CTX(Fields::of(document, ""), "descriptor");
  return TRY_CTX(descriptor_of(in), "descriptor");
}

Result<Manifest> parse_manifest(std::string_view text) {
  const auto read = [&]() -> Result<Manifest> {
    const bj::value document = TRY(json::parse(text, kLimits));
    const Fields in = TRY(Fields::of(document, ""));
    TRY(check_schema(in));
    if (in.find("manifests") != nullptr) return fail("manifests: has no place in a manifest");
    Manifest out;
    out.media_type = shape(in, TRY(in.text("mediaType")));
    if (!media::is_manifest(out.media_type)) return fail("mediaType: \"", out.media_type, "\" is no manifest");
    out.artifact_type = TRY(in.text("artifactType"));
    const auto config = TRY(in.fields("config"));
    if (!config) return fail("config: missing");
    out.config = TRY(descriptor_of(*config));
    out.layers = TRY(descriptors_of(in, "layers"));
    out.subject = TRY(subject_of(in));
    out.annotations = TRY(in.map("annotations"));
    return out;
  };
  return TRY_CTX(read(), "manifest");
}

Result<Index> parse_index(std::string_view text) {
  const auto read = [&]() -> Result<Index> {
    const bj::value document = TRY(json::parse(text, kLimits));
    const Fields in = TRY(Fields::of(document, ""));
    TRY(check_schema(in));
    if (in.find("layers") != nullptr) return fail("layers: have no place in an index");
    Index out;
    out.media_type = shape(in, TRY(in.text("mediaType")));
    if (!media::is_index(out.media_type)) return fail("mediaType: \"", out.media_type, "\" is no index");
    out.artifact_type = TRY(in.text("artifactType"));
    out.manifests = TRY(descriptors_of(in, "manifests"));
    out.subject = TRY(subject_of(in));
    out.annotations = TRY(in.map("annotations"));
    return out;
  };
  return TRY_CTX(read(), "index");
}

Result<ImageConfig> parse_config(std::string_view text) {
  const auto read = [&]() -> Result<ImageConfig> {
    const bj::value document = TRY(json::parse(text, kLimits));
    const Fields in = TRY(Fields::of(document, ""));
    ImageConfig out;
    out.created = TRY(in.text("created"));
    out.author = TRY(in.text("author"));
    out.platform = TRY(platform_of(in));
    if (const auto config = TRY(in.fields("config"))) out.config = TRY(container_config_of(*config));
    if (const auto rootfs = TRY(in.fields("rootfs"))) {
      if (TRY(rootfs->text("type")) != "layers") return fail("rootfs.type: must be \"layers\"");
      const auto ids = TRY(rootfs->texts("diff_ids"));
      if (ids.size() > kMostChildren) return fail("rootfs.diff_ids: more than ", kMostChildren, " entries");
      for (size_t i = 0; i < ids.size(); ++i)
        out.diff_ids.push_back(TRY_CTX(Digest::parse(ids[i]), "rootfs.diff_ids[", i, "]"));
    }
    for (const Fields& each : TRY(in.list("history", 4 * kMostChildren))) out.history.push_back(TRY(history_of(each)));
    return out;
  };
  return TRY_CTX(read(), "image config");
}

Result<std::string> sniff_media_type(std::string_view text) {
  const bj::value document = TRY_CTX(json::parse(text, kLimits), "manifest");
  const Fields in = TRY_CTX(Fields::of(document, ""), "manifest");
  const std::string given = TRY_CTX(in.text("mediaType"), "manifest");
  std::string type = shape(in, given);
  if (!media::is_manifest(type) && !media::is_index(type))
    return fail("manifest: mediaType: \"", type, "\" is neither a manifest nor an index");
  return type;
}

std::string emit(const Descriptor& in) { return json::to_line(to_json(in)); }

std::string emit(const Manifest& in) {
  bj::object out;
  out["schemaVersion"] = 2;
  put(out, "mediaType", in.media_type);
  put(out, "artifactType", in.artifact_type);
  out["config"] = to_json(in.config);
  out["layers"] = to_json(in.layers);
  if (in.subject) out["subject"] = to_json(*in.subject);
  put(out, "annotations", in.annotations);
  return json::to_line(out);
}

std::string emit(const Index& in) {
  bj::object out;
  out["schemaVersion"] = 2;
  put(out, "mediaType", in.media_type);
  put(out, "artifactType", in.artifact_type);
  out["manifests"] = to_json(in.manifests);
  if (in.subject) out["subject"] = to_json(*in.subject);
  put(out, "annotations", in.annotations);
  return json::to_line(out);
}

std::string emit(const ImageConfig& in) {
  bj::object out;
  put(out, "created", in.created);
  put(out, "author", in.author);
  put_platform(out, in.platform);
  out["config"] = to_json(in.config);
  bj::array ids;
  for (const Digest& id : in.diff_ids) ids.emplace_back(id.text());
  out["rootfs"] = bj::object{{"type", "layers"}, {"diff_ids", std::move(ids)}};
  bj::array history;
  for (const HistoryEntry& each : in.history) history.push_back(to_json(each));
  out["history"] = std::move(history);
  return json::to_line(out);
}

std::vector<Digest> chain_ids(const std::vector<Digest>& diff_ids) {
  std::vector<Digest> out;
  out.reserve(diff_ids.size());
  for (const Digest& id : diff_ids)
    out.push_back(out.empty() ? id : Digest::of(cat(out.back().text(), " ", id.text())));
  return out;
}

}  // namespace proa::oci::image
