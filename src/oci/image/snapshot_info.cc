#include "oci/image/snapshot_info.h"

#include <boost/json.hpp>

#include "base/json.h"
#include "kernel/file.h"
#include "oci/image/json_fields.h"

namespace proa::oci::image {
namespace {

namespace bj = boost::json;

constexpr int64_t kVersion = 1;

Result<bj::value> read_record(const Store& store, const std::string& path) {
  const std::string text = TRY(kernel::read_file_at(store.root_fd(), path.c_str()));
  bj::value document = TRY_CTX(json::parse(text), path);
  const Fields in = TRY_CTX(Fields::of(document, ""), path);
  if (TRY_CTX(in.integer("version"), path) != kVersion) return fail(path, ": version: must be ", kVersion);
  return document;
}

Result<Digest> optional_digest(const Fields& in, std::string_view key) {
  const std::string text = TRY(in.text(key));
  if (text.empty()) return Digest();
  return TRY_CTX(Digest::parse(text), in.at(key));
}

}  // namespace

std::string layer_name(const Digest& chain, std::string_view map) {
  return map.empty() ? std::string(chain.hex()) : cat(chain.hex(), "-", map);
}

std::string emit(const LayerInfo& info) {
  return json::to_line(bj::object{{"version", kVersion},
                                  {"diffId", info.diff_id.text()},
                                  {"parent", info.parent.text()},
                                  {"bytes", info.bytes},
                                  {"entries", info.entries}});
}

std::string emit(const SnapshotInfo& info) {
  bj::array chain;
  for (const Digest& each : info.chain) chain.emplace_back(each.text());
  return json::to_line(
      bj::object{{"version", kVersion}, {"chain", std::move(chain)}, {"map", info.map}, {"created", info.created}});
}

Result<LayerInfo> read_layer_info(const Store& store, std::string_view layer) {
  const bj::value document = TRY(read_record(store, cat("layers/", layer, "/info.json")));
  const Fields in = TRY(Fields::of(document, ""));
  LayerInfo out;
  out.diff_id = TRY(optional_digest(in, "diffId"));
  out.parent = TRY(optional_digest(in, "parent"));
  out.bytes = static_cast<uint64_t>(TRY(in.integer("bytes")));
  out.entries = static_cast<uint64_t>(TRY(in.integer("entries")));
  return out;
}

Result<SnapshotInfo> read_snapshot_info(const Store& store, std::string_view id) {
  const bj::value document = TRY(read_record(store, cat("snapshots/", id, "/info.json")));
  const Fields in = TRY(Fields::of(document, ""));
  SnapshotInfo out;
  for (const std::string& each : TRY(in.texts("chain"))) out.chain.push_back(TRY(Digest::parse(each)));
  out.map = TRY(in.text("map"));
  out.created = TRY(in.text("created"));
  return out;
}

uint64_t layer_bytes(const Store& store, std::string_view layer) {
  const auto info = read_layer_info(store, layer);
  return info ? info->bytes : 0;
}

}  // namespace proa::oci::image
