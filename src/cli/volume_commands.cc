// `proa volume`.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <filesystem>
#include <set>

#include "base/json.h"
#include "base/text.h"
#include "base/yaml.h"
#include "cli/container_commands.h"
#include "cli/container_filter.h"
#include "cli/container_flags.h"
#include "cli/documents.h"
#include "cli/foreign_flags.h"
#include "cli/human.h"
#include "cli/print.h"
#include "cli/prune.h"
#include "cli/template.h"
#include "engine/engine.h"

namespace proa::cli {
namespace {

namespace bj = boost::json;
using engine::Engine;
using engine::Volume;

bj::object object_of(const engine::StringMap& map) {
  bj::object out;
  for (const auto& [key, value] : map) out[key] = value;
  return out;
}

bj::object describe(const Volume& volume) {
  return {{"CreatedAt", volume.created},
          {"Driver", volume.driver},
          {"Labels", volume.labels.empty() ? bj::value() : bj::value(object_of(volume.labels))},
          {"Mountpoint", volume.path},
          {"Name", volume.name},
          {"Options", volume.options.empty() ? bj::value() : bj::value(object_of(volume.options))},
          {"Scope", "local"}};
}

Result<bool> matches(const Volume& volume, const std::vector<std::string>& filters,
                     const std::map<std::string, std::string>& used) {
  for (const std::string& text : filters) {
    std::string_view rest = text;
    const std::string_view name = cut(rest, '=');
    const std::string value(rest);
    bool yes = false;
    if (name == "dangling")
      yes = used.contains(volume.name) != (value == "true" || value == "1");
    else if (name == "driver")
      yes = volume.driver == value;
    else if (name == "label")
      yes = matches_labels(volume.labels, value);
    else if (name == "label!")
      yes = !matches_labels(volume.labels, value);
    else if (name == "name")
      yes = volume.name.find(value) != std::string::npos;
    else if (name == "until")
      yes = TRY(parse_rfc3339(volume.created)) < TRY_CTX(parse_when(value), "--filter until");
    else if (name == "all")
      yes = true;
    else
      return fail("invalid filter '", name, "'");
    if (!yes) return false;
  }
  return true;
}

}  // namespace

uint64_t size_of_folder(const std::string& path) {
  uint64_t bytes = 0;
  std::error_code code;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(path, code)) {
    struct stat info{};
    if (::lstat(entry.path().c_str(), &info) == 0) bytes += static_cast<uint64_t>(info.st_blocks) * 512;
  }
  return bytes;
}

Result<bj::value> volume_document(Engine& engine, const std::string& name) {
  return describe(TRY(engine.volumes().find(name)));
}

Result<int> volume_create(const Invocation& in) {
  TRY(refuse_cluster_volumes(in));
  Volume volume{.name = in.argument(0), .driver = in.text("driver")};
  for (const auto& [flag, map] : {std::pair("label", &volume.labels), std::pair("opt", &volume.options)})
    for (const std::string& text : in.texts(flag)) {
      const size_t at = text.find('=');
      (*map)[text.substr(0, at)] = at == std::string::npos ? "" : text.substr(at + 1);
    }
  Engine engine = TRY(Engine::open());
  const Volume made = TRY(engine.volumes().create(volume));
  TRY(print_text(made.name + "\n"));
  return 0;
}

Result<int> volume_ls(const Invocation& in) {
  if (in.on("cluster")) return fail("--cluster: this host is no part of a Swarm, which alone has cluster volumes");
  Engine engine = TRY(Engine::open());
  const engine::StringMap used = TRY(engine.volume_users());
  Table table{.header = {"DRIVER", "VOLUME NAME"}, .rows = {}};
  std::vector<bj::value> rows;
  std::string names;
  for (const Volume& volume : TRY(engine.volumes().list())) {
    if (!TRY(matches(volume, in.texts("filter"), used))) continue;
    table.rows.push_back({volume.driver, volume.name});
    names += volume.name + "\n";
    std::string labels;
    for (const auto& [key, value] : volume.labels) labels += cat(labels.empty() ? "" : ",", key, "=", value);
    rows.push_back({{"Driver", volume.driver},
                    {"Labels", labels},
                    {"Links", used.contains(volume.name) ? "1" : "0"},
                    {"Mountpoint", volume.path},
                    {"Name", volume.name},
                    {"Scope", "local"},
                    {"Size", "N/A"},
                    {"CreatedAt", volume.created}});
  }
  if (in.on("quiet"))
    TRY(print_text(names));
  else
    TRY(print_rows(in.text("format"), in.text("output"), rows, table));
  return 0;
}

Result<int> volume_inspect(const Invocation& in) {
  Engine engine = TRY(Engine::open());
  bj::array all;
  for (const std::string& name : in.arguments()) all.push_back(TRY(volume_document(engine, name)));
  TRY(print_documents(in, all));
  return 0;
}

Result<int> volume_rm(const Invocation& in) {
  Engine engine = TRY(Engine::open());
  int status = 0;
  for (const std::string& name : in.arguments()) {
    Result<> done = engine.remove_volume(name);
    if (!done && done.error().code() == ENOENT && in.on("force")) done = {};
    if (!done) {
      print_error(done.error());
      status = 1;
      continue;
    }
    TRY(print_text(name + "\n"));
  }
  return status;
}

Result<int> volume_prune(const Invocation& in) {
  const bool all = in.on("all");
  if (!in.on("force") &&
      !TRY(confirm(all ? "WARNING! This will remove all local volumes not used by at least one container."
                       : "WARNING! This will remove anonymous local volumes not used by at least one container.")))
    return 0;
  Engine engine = TRY(Engine::open());
  const Pruned pruned = TRY(prune_volumes(engine, all, in.texts("filter")));
  TRY(print_pruned(pruned));
  return 0;
}

Result<Pruned> prune_volumes(Engine& engine, bool all, const Filters& filters) {
  TRY(engine.list());  // what is to go by itself has no volumes any more
  Pruned out;
  TRY(engine.prune_volumes([&](const Volume& volume) -> Result<bool> {
    if ((!all && !volume.anonymous) || !TRY(matches(volume, filters, {}))) return false;
    out.bytes += size_of_folder(volume.path);
    out.text += volume.name + "\n";
    return true;
  }));
  if (!out.text.empty()) out.text = cat("Deleted Volumes:\n", out.text, "\n");
  return out;
}

}  // namespace proa::cli
