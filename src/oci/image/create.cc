// New images from folders, tar streams and snapshots.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <chrono>

#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "kernel/file.h"
#include "oci/image/images.h"
#include "oci/image/reference.h"

namespace proa::oci::image {
namespace {

namespace bj = boost::json;

std::string upper(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return out;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// ["a", "b"], or nothing when it is not of that form.
std::optional<std::vector<std::string>> exec_form(std::string_view text) {
  if (!text.starts_with('[')) return std::nullopt;
  const auto document = json::parse(text);
  if (!document || !document->is_array()) return std::nullopt;
  std::vector<std::string> out;
  for (const bj::value& each : document->get_array()) {
    if (!each.is_string()) return std::nullopt;
    out.emplace_back(each.get_string());
  }
  return out;
}

std::vector<std::string> command_of(std::string_view text) {
  if (auto words = exec_form(text)) return std::move(*words);
  return {"/bin/sh", "-c", std::string(text)};
}

// Words parted by blanks; quotes and backslashes as in a Dockerfile.
Result<std::vector<std::string>> words_of(std::string_view text) {
  std::vector<std::string> out;
  std::string word;
  bool inside = false;
  char quote = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\\' && quote != '\'' && i + 1 < text.size()) {
      word += text[++i];
      inside = true;
    } else if (quote != 0) {
      if (c == quote)
        quote = 0;
      else
        word += c;
    } else if (c == '"' || c == '\'') {
      quote = c;
      inside = true;
    } else if (c == ' ' || c == '\t') {
      if (inside) out.push_back(std::move(word));
      word.clear();
      inside = false;
    } else {
      word += c;
      inside = true;
    }
  }
  if (quote != 0) return fail("quote is not closed");
  if (inside) out.push_back(std::move(word));
  return out;
}

// KEY=VALUE ..., or the old form KEY VALUE.
Result<std::vector<std::pair<std::string, std::string>>> pairs_of(std::string_view text) {
  std::vector<std::pair<std::string, std::string>> out;
  const auto words = TRY(words_of(text));
  if (words.empty()) return fail("needs NAME=VALUE");
  if (words[0].find('=') == std::string::npos) {
    if (words.size() < 2) return fail("needs NAME=VALUE");
    const size_t blank = text.find_first_of(" \t");
    out.emplace_back(words[0], trimmed(text.substr(blank)));
    return out;
  }
  for (const std::string& word : words) {
    const size_t equals = word.find('=');
    if (equals == std::string::npos || equals == 0) return fail("\"", word, "\" must be NAME=VALUE");
    out.emplace_back(word.substr(0, equals), word.substr(equals + 1));
  }
  return out;
}

Result<std::string> port_of(std::string_view text) {
  std::string_view rest = text;
  const std::string_view number = cut(rest, '/');
  const std::string protocol = rest.empty() ? "tcp" : std::string(rest);
  std::string_view last = number;
  const auto first = parse_number<uint16_t>(cut(last, '-'));
  const bool range = number.find('-') != std::string_view::npos;
  const bool good = first && *first > 0 && (!range || parse_number<uint16_t>(last).value_or(0) >= *first);
  if (!good || (protocol != "tcp" && protocol != "udp" && protocol != "sctp"))
    return fail("port \"", text, "\": must be NUMBER[-NUMBER][/tcp|udp|sctp]");
  return cat(number, "/", protocol);
}

Result<int64_t> nanoseconds_of(std::string_view text) {
  // Go's durations of one unit each: "1m30s".
  static constexpr std::pair<std::string_view, double> kUnits[] = {{"ns", 1},  {"us", 1e3},     {"ms", 1e6},
                                                                   {"s", 1e9}, {"m", 60 * 1e9}, {"h", 3600 * 1e9}};
  double total = 0;
  std::string_view rest = text;
  while (!rest.empty()) {
    const size_t digits = std::min(rest.find_first_not_of("0123456789."), rest.size());
    const auto number = parse_number<double>(rest.substr(0, digits));
    rest.remove_prefix(digits);
    const size_t letters = std::min(rest.find_first_of("0123456789."), rest.size());
    const auto unit = std::ranges::find(kUnits, rest.substr(0, letters), &std::pair<std::string_view, double>::first);
    if (!number || unit == std::end(kUnits)) return fail("duration \"", text, "\": must be like 1m30s");
    total += *number * unit->second;
    rest.remove_prefix(letters);
  }
  return static_cast<int64_t>(total);
}

Result<HealthCheck> healthcheck_of(std::string_view text) {
  HealthCheck out;
  while (text.starts_with("--")) {
    const size_t blank = std::min(text.find_first_of(" \t"), text.size());
    std::string_view value = text.substr(2, blank - 2);
    const std::string_view name = cut(value, '=');
    text = trimmed(text.substr(blank));
    if (name == "retries") {
      const auto retries = parse_number<int64_t>(value);
      if (!retries || *retries < 0) return fail("--retries: must be a number");
      out.retries = *retries;
      continue;
    }
    int64_t* field = name == "interval"         ? &out.interval
                     : name == "timeout"        ? &out.timeout
                     : name == "start-period"   ? &out.start_period
                     : name == "start-interval" ? &out.start_interval
                                                : nullptr;
    if (field == nullptr) return fail("--", name, ": no such option");
    *field = TRY_CTX(nanoseconds_of(value), "--", name);
  }
  const size_t blank = std::min(text.find_first_of(" \t"), text.size());
  const std::string kind = upper(text.substr(0, blank));
  const std::string_view rest = trimmed(text.substr(blank));
  if (kind == "NONE") {
    out.test = {"NONE"};
  } else if (kind == "CMD" && !rest.empty()) {
    if (const auto words = exec_form(rest)) {
      out.test = *words;
      out.test.insert(out.test.begin(), "CMD");
    } else {
      out.test = {"CMD-SHELL", std::string(rest)};
    }
  } else {
    return fail("must be CMD COMMAND or NONE");
  }
  return out;
}

void add_sorted(std::vector<std::string>& to, const std::vector<std::string>& from) {
  to.insert(to.end(), from.begin(), from.end());
  std::ranges::sort(to);
  to.erase(std::ranges::unique(to).begin(), to.end());
}

Result<> instruction(ConfigChanges& changes, const std::string& name, std::string_view rest) {
  if (rest.empty()) return fail("needs a value");
  if (name == "CMD") {
    changes.cmd = command_of(rest);
  } else if (name == "ENTRYPOINT") {
    changes.entrypoint = command_of(rest);
  } else if (name == "SHELL") {
    changes.shell = exec_form(rest);
    if (!changes.shell) return fail("must be [\"PROGRAM\", ...]");
  } else if (name == "ENV") {
    for (const auto& [key, value] : TRY(pairs_of(rest))) changes.env.push_back(cat(key, "=", value));
  } else if (name == "LABEL") {
    for (const auto& [key, value] : TRY(pairs_of(rest))) changes.labels[key] = value;
  } else if (name == "EXPOSE") {
    for (const std::string& word : TRY(words_of(rest))) changes.exposed_ports.push_back(word);
  } else if (name == "VOLUME") {
    const auto words = exec_form(rest);
    const std::vector<std::string> paths = words ? *words : TRY(words_of(rest));
    changes.volumes.insert(changes.volumes.end(), paths.begin(), paths.end());
  } else if (name == "USER") {
    changes.user = rest;
  } else if (name == "WORKDIR") {
    changes.working_dir = rest;
  } else if (name == "STOPSIGNAL") {
    changes.stop_signal = rest;
  } else if (name == "ONBUILD") {
    changes.on_build.emplace_back(rest);
  } else if (name == "HEALTHCHECK") {
    changes.healthcheck = TRY(healthcheck_of(rest));
  } else {
    return fail("no such instruction, or none that an image's config has");
  }
  return {};
}

}  // namespace

Result<> add_instruction(ConfigChanges& changes, std::string_view line) {
  const std::string_view text = trimmed(line);
  const size_t blank = std::min(text.find_first_of(" \t"), text.size());
  const std::string name = upper(text.substr(0, blank));
  TRY_CTX(instruction(changes, name, trimmed(text.substr(blank))), "instruction ", name);
  return {};
}

Result<> apply(const ConfigChanges& changes, ContainerConfig& config) {
  // A new entrypoint makes the base's command meaningless.
  if (changes.entrypoint) {
    config.entrypoint = *changes.entrypoint;
    if (!changes.cmd) config.cmd.clear();
  }
  if (changes.cmd) config.cmd = *changes.cmd;
  if (changes.shell) config.shell = *changes.shell;
  if (changes.user) config.user = *changes.user;
  if (changes.working_dir) {
    if (!changes.working_dir->starts_with('/'))
      return fail("working directory \"", *changes.working_dir, "\": must be absolute");
    config.working_dir = *changes.working_dir;
  }
  if (changes.stop_signal) config.stop_signal = *changes.stop_signal;
  if (changes.stop_timeout) config.stop_timeout = changes.stop_timeout;
  if (changes.healthcheck) config.healthcheck = changes.healthcheck;
  for (const std::string& each : changes.env) {
    const size_t equals = each.find('=');
    if (equals == std::string::npos || equals == 0) return fail("environment \"", each, "\": must be NAME=VALUE");
    std::erase_if(config.env, [&](const std::string& old) { return old.starts_with(each.substr(0, equals + 1)); });
    config.env.push_back(each);
  }
  std::vector<std::string> ports;
  ports.reserve(changes.exposed_ports.size());
  for (const std::string& each : changes.exposed_ports) ports.push_back(TRY(port_of(each)));
  add_sorted(config.exposed_ports, ports);
  for (const std::string& each : changes.volumes)
    if (!each.starts_with('/')) return fail("volume \"", each, "\": must be an absolute path");
  add_sorted(config.volumes, changes.volumes);
  for (const auto& [key, value] : changes.labels) config.labels[key] = value;
  config.on_build.insert(config.on_build.end(), changes.on_build.begin(), changes.on_build.end());
  return {};
}

Result<Image> Images::create(const Lease& lease, const Produce& layer, std::string_view name,
                             const CreateOptions& options) const {
  std::string full;
  if (!name.empty()) full = TRY(Reference::parse(name)).text();
  Manifest manifest;
  ImageConfig config;
  if (options.base.empty()) {
    config.platform = options.platform.value_or(Platform::host());
    // amd64's only variant that is written is a better one.
    if (config.platform.architecture == "amd64" && config.platform.variant == "v1") config.platform.variant.clear();
  } else {
    const Image base = TRY(find(options.base, options.platform));
    TRY(hold(lease, base.target));
    manifest.layers = base.manifest.layers;
    for (Descriptor& each : manifest.layers)
      if (each.media_type == media::kDockerLayer) each.media_type = media::kLayerGzip;
    config = base.config;
  }
  TRY(apply(options.changes, config.config));
  config.created = options.created.empty() ? format_rfc3339(Clock::system().wall()) : options.created;
  if (!options.author.empty()) config.author = options.author;

  PackedLayer packed = TRY(layer(lease));
  manifest.layers.push_back(packed.descriptor);
  config.diff_ids.push_back(packed.diff_id);
  config.history.push_back({config.created, options.created_by, options.author, options.message, false});

  const std::string config_text = emit(config);
  manifest.media_type = media::kManifest;
  manifest.config.media_type = media::kConfig;
  manifest.config.digest = TRY(store_.put_blob(lease, config_text));
  manifest.config.size = config_text.size();
  const std::string manifest_text = emit(manifest);
  Descriptor target;
  target.media_type = media::kManifest;
  target.digest = TRY(store_.put_blob(lease, manifest_text));
  target.size = manifest_text.size();

  Image out = TRY(open(target, config.platform));
  TRY(unpack(lease, out));  // whatever was given is an image's layer only if it can be unpacked
  TRY(measure(out));
  TRY(store_.put_ref(full.empty() ? cat("@", target.digest.text()) : full, target));
  if (!full.empty()) out.names.push_back(full);
  return out;
}

Result<Image> Images::create_from_folder(const std::string& folder, std::string_view name,
                                         const CreateOptions& options) const {
  const Fd root = TRY(kernel::open(folder.c_str(), O_RDONLY | O_DIRECTORY));
  const Lease lease = TRY(store_.lease());
  const Produce layer = [&](const Lease& held) {
    return add_layer(store_, held, options.compression,
                     [&](Sink& sink) { return pack_tree(root.get(), sink, options.pack); });
  };
  return create(lease, layer, name, options);
}

Result<Image> Images::create_from_tar(Reader& in, std::string_view name, const CreateOptions& options) const {
  const auto plain = TRY(decompress(in));
  const Lease lease = TRY(store_.lease());
  const Produce layer = [&](const Lease& held) {
    return add_layer(store_, held, options.compression, [&](Sink& sink) -> Result<> {
      TRY(copy(*plain, sink));
      return {};
    });
  };
  return create(lease, layer, name, options);
}

Result<Image> Images::commit(const std::string& snapshot, std::string_view name, const CreateOptions& options) const {
  const Lease lease = TRY(store_.lease());
  const Produce layer = [&](const Lease& held) {
    return commit_snapshot(store_, held, snapshot, options.compression, options.pack);
  };
  return create(lease, layer, name, options);
}

}  // namespace proa::oci::image
