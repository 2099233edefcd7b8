#include <algorithm>

#include "base/text.h"
#include "base/values.h"
#include "cli/container_flag_parts.h"
#include "cli/container_flags.h"

namespace proa::cli {

using engine::ContainerConfig;
using engine::MountConfig;

Result<MountConfig> parse_volume(const std::string& text) {
  std::vector<std::string> parts;
  for (std::string_view rest = text; parts.size() < 2 && !rest.empty();) {
    parts.emplace_back(cut(rest, ':'));
    if (parts.size() == 2 && !rest.empty()) parts.emplace_back(rest);
  }
  if (parts.empty() || text.find("::") != std::string::npos || text.ends_with(':') || text.starts_with(':'))
    return fail("invalid spec: ", text, ": empty section between colons");
  MountConfig out;
  std::string options;
  if (parts.size() == 1) {
    out.target = parts[0];
    out.anonymous = true;
    return out;
  }
  out.source = parts[0], out.target = parts[1];
  if (parts.size() > 2) options = parts[2];
  if (!out.target.starts_with('/'))
    return fail("invalid volume specification: '", text,
                "': invalid mount config for type \"volume\": invalid mount path: '", out.target,
                "' mount path must be absolute");
  if (out.source.starts_with('/') || out.source.starts_with('.') || out.source.starts_with('~')) {
    out.type = "bind";
    out.source = TRY(absolute_path(out.source));
    out.make_source = true;
  }
  for (const std::string_view option : split(options, ',')) {
    static constexpr std::string_view kPropagations[] = {"shared", "rshared", "slave", "rslave", "private", "rprivate"};
    if (option == "ro" || option == "readonly")
      out.read_only = true;
    else if (option == "rw" || option == "z" || option == "Z" || option == "cached" || option == "delegated" ||
             option == "consistent")
      continue;
    else if (option == "nocopy")
      out.no_copy = true;
    else if (option == "idmap")
      out.id_mapped = true;
    else if (std::ranges::find(kPropagations, option) != std::end(kPropagations))
      out.propagation = option;
    else
      return fail("invalid mode: ", option)
          .hint(cat("in --volume ", text,
                    "; there are ro, rw, nocopy, idmap, z, Z and the propagations, such as rslave"));
  }
  return out;
}

namespace {

// `tmpfs`: an option of such a mount was given.
Result<> check_mount(const std::string& text, MountConfig& out, bool tmpfs) {
  if (out.type != "bind" && out.type != "volume" && out.type != "tmpfs")
    return fail("invalid argument \"", text, "\" for \"--mount\" flag: unknown mount type '", out.type, "'");
  if (out.target.empty()) return fail("invalid argument \"", text, "\" for \"--mount\" flag: target is required");
  if (out.type == "bind") {
    if (out.source.empty()) return fail("invalid argument \"", text, "\" for \"--mount\" flag: source is required");
    out.source = TRY(absolute_path(out.source));
  }
  if (out.type == "tmpfs" && !out.source.empty())
    return fail("invalid mount config for type \"tmpfs\": field Source must not be specified");
  const auto only_for = [&](const char* type, bool given, const char* options) -> Result<> {
    if (!given || out.type == type) return {};
    return fail("invalid argument \"", text, "\" for \"--mount\" flag: cannot mix '", options,
                "' options with mount type '", out.type, "'");
  };
  const bool of_volume =
      out.no_copy || !out.driver.empty() || !out.driver_options.empty() || !out.labels.empty() || !out.subpath.empty();
  TRY(only_for("volume", of_volume, "volume-*"));
  TRY(only_for("bind", out.non_recursive || out.read_only_below || !out.propagation.empty(), "bind-*"));
  TRY(only_for("tmpfs", tmpfs, "tmpfs-*"));
  if (out.read_only_below && !out.read_only)
    return fail("invalid argument \"", text,
                "\" for \"--mount\" flag: option 'bind-recursive=readonly' requires 'readonly'");
  return {};
}

}  // namespace

Result<MountConfig> parse_mount(const std::string& text) {
  MountConfig out;
  std::string tmpfs;
  for (const std::string_view part : split(text, ',')) {
    std::string_view value = part;
    const std::string_view key = cut(value, '=');
    const bool valued = part.find('=') != std::string_view::npos;
    const bool on = !valued || parse_bool(value).value_or(false);
    const auto bad = [&](std::string_view why) {
      return Failure(Error(cat("invalid argument \"", text, "\" for \"--mount\" flag: ", why)));
    };
    static constexpr std::string_view kSwitches[] = {"readonly", "ro", "bind-nonrecursive", "volume-nocopy"};
    if (valued && std::ranges::find(kSwitches, key) != std::end(kSwitches) && !parse_bool(value))
      return bad(cat("invalid value for '", key, "': ", value));
    if (key == "type")
      out.type = value;
    else if (key == "source" || key == "src")
      out.source = value;
    else if (key == "target" || key == "dst" || key == "destination")
      out.target = value;
    else if (key == "readonly" || key == "ro")
      out.read_only = on;
    else if (key == "bind-propagation")
      out.propagation = value;
    else if (key == "bind-nonrecursive")
      out.non_recursive = on;
    else if (key == "bind-recursive") {
      if (value != "enabled" && value != "disabled" && value != "writable" && value != "readonly")
        return bad(cat("invalid value for bind-recursive: ", value,
                       " (must be \"enabled\", \"disabled\", \"writable\", or \"readonly\")"));
      out.non_recursive = value == "disabled";
      out.read_only_below = value == "readonly";
    } else if (key == "idmap")
      out.id_mapped = on;
    else if (key == "volume-subpath")
      out.subpath = value;
    else if (key == "volume-label")
      add_pair(std::string(value), out.labels);
    else if (key == "volume-nocopy")
      out.no_copy = on;
    else if (key == "volume-driver")
      out.driver = value;
    else if (key == "volume-opt")
      add_pair(std::string(value), out.driver_options);
    else if (key == "tmpfs-size")
      tmpfs += cat(",size=", TRY_CTX(parse_bytes(value), "--mount tmpfs-size"));
    else if (key == "tmpfs-mode") {
      if (value.empty() || value.size() > 5 || value.find_first_not_of("01234567") != std::string_view::npos)
        return bad(cat("invalid value for tmpfs-mode: ", value));
      tmpfs += cat(",mode=", value);
    } else if (key != "consistency")
      return fail("invalid argument \"", text, "\" for \"--mount\" flag: unknown option '", key, "'");
  }
  TRY(check_mount(text, out, !tmpfs.empty()));
  if (out.type == "volume" && out.source.empty()) out.anonymous = true;
  if (!tmpfs.empty()) out.options = tmpfs.substr(1);
  return out;
}

Result<> read_storage(const Invocation& in, ContainerConfig& to) {
  for (const std::string& text : in.texts("volume")) to.mounts.push_back(TRY(parse_volume(text)));
  for (const std::string& text : in.texts("mount")) to.mounts.push_back(TRY(parse_mount(text)));
  for (const std::string& text : in.texts("tmpfs")) {
    const size_t at = text.find(':');
    to.mounts.push_back(
        {.type = "tmpfs", .target = text.substr(0, at), .options = at == std::string::npos ? "" : text.substr(at + 1)});
  }
  to.volumes_from = in.texts("volumes-from");
  to.volume_driver = in.text("volume-driver");
  to.read_only = in.on("read-only");
  to.shm_size = in.bytes("shm-size").value_or(0);
  return {};
}

}  // namespace proa::cli
