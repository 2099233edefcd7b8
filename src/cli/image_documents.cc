#include "cli/image_documents.h"

#include <algorithm>
#include <boost/json.hpp>

#include "base/ids.h"
#include "base/json.h"
#include "cli/human.h"
#include "oci/image/reference.h"

namespace proa::cli {
namespace {

namespace bj = boost::json;
using oci::image::Image;
using oci::image::Reference;

// The config's own object, as it stands in the config document.
bj::value config_of(const Image& image) {
  const auto document = json::parse(emit(image.config));
  return document ? document->at("config") : bj::value();
}

std::string shortened(std::string_view text, size_t most) {
  if (text.size() <= most) return std::string(text);
  return cat(text.substr(0, most - 3), "...");
}

}  // namespace

bj::value inspect_document(const Image& image) {
  bj::array tags, digests, layers;
  for (const std::string& name : image.names) {
    const auto reference = Reference::parse(name);
    if (!reference) continue;
    if (!reference->tag.empty()) tags.emplace_back(reference->familiar());
    const bj::value digest(cat(reference->familiar_repository(), "@", image.target.digest.text()));
    if (std::ranges::find(digests, digest) == digests.end()) digests.push_back(digest);
  }
  for (const auto& id : image.config.diff_ids) layers.emplace_back(id.text());
  bj::object out;
  out["Id"] = image.id.text();
  out["RepoTags"] = std::move(tags);
  out["RepoDigests"] = std::move(digests);
  out["Comment"] = image.config.history.empty() ? "" : image.config.history.back().comment;
  out["Created"] = image.config.created;
  out["Author"] = image.config.author;
  out["Config"] = config_of(image);
  out["Architecture"] = image.config.platform.architecture;
  if (!image.config.platform.variant.empty()) out["Variant"] = image.config.platform.variant;
  out["Os"] = image.config.platform.os;
  if (!image.config.platform.os_version.empty()) out["OsVersion"] = image.config.platform.os_version;
  out["Size"] = image.size;
  out["RootFS"] = bj::object{{"Type", "layers"}, {"Layers", std::move(layers)}};
  out["Metadata"] = bj::object{{"LastTagTime", image.tagged}};
  out["Descriptor"] = json::parse(emit(image.target)).value_or(bj::value());
  out["Manifest"] = json::parse(emit(image.manifest_descriptor)).value_or(bj::value());
  return out;
}

std::vector<ImageRow> rows_of(const std::vector<Image>& images) {
  std::vector<ImageRow> out;
  for (const Image& image : images) {
    if (image.names.empty()) out.push_back({&image, "<none>", "<none>"});
    for (const std::string& name : image.names) {
      const auto reference = Reference::parse(name);
      if (!reference) continue;
      out.push_back({&image, reference->familiar_repository(), reference->tag.empty() ? "<none>" : reference->tag});
    }
  }
  return out;
}

bj::value row_document(const ImageRow& row, bool whole_id) {
  const Image& image = *row.image;
  return bj::object{{"ID", whole_id ? image.id.text() : std::string(short_id(image.id.hex()))},
                    {"Repository", row.repository},
                    {"Tag", row.tag},
                    {"Digest", image.target.digest.text()},
                    {"CreatedSince", human_since(image.config.created)},
                    {"CreatedAt", human_time(image.config.created)},
                    {"Size", human_size(image.size)},
                    {"VirtualSize", human_size(image.size)},
                    {"SharedSize", "N/A"},
                    {"UniqueSize", "N/A"},
                    {"Containers", "N/A"},
                    {"Platform", image.config.platform.text()}};
}

namespace {

struct Sizes {
  uint64_t disk = 0, content = 0;
};
Sizes sizes_of(const Image& image) { return {image.content + (image.unpacked ? image.size : 0), image.content}; }

std::string names_of(const Image& image) {
  std::string out;
  for (const std::string& name : image.names) {
    const auto reference = Reference::parse(name);
    out += cat(out.empty() ? "" : ", ", reference ? reference->familiar() : name);
  }
  return out.empty() ? "<untagged>" : out;
}

}  // namespace

std::pair<bj::value, Table> tree_of(const std::vector<ImageTree>& trees) {
  bj::array all;
  Table table{{"IMAGE", "ID", "DISK USAGE", "CONTENT SIZE", "EXTRA"}, {}};
  for (const ImageTree& tree : trees) {
    Sizes sum;
    bj::array platforms;
    std::vector<std::vector<std::string>> rows;
    for (size_t i = 0; i < tree.variants.size(); ++i) {
      const auto& variant = tree.variants[i];
      const Sizes sizes = variant.image ? sizes_of(*variant.image) : Sizes();
      sum.disk += sizes.disk, sum.content += sizes.content;
      const bool last = i + 1 == tree.variants.size();
      rows.push_back({cat(last ? "└─ " : "├─ ", variant.platform.text()),
                      std::string(short_id(variant.manifest.digest.hex())), human_size(sizes.disk),
                      human_size(sizes.content), tree.used[i] ? "U" : ""});
      platforms.emplace_back(bj::object{{"Platform", variant.platform.text()},
                                        {"ID", variant.manifest.digest.text()},
                                        {"Available", variant.image.has_value()},
                                        {"DiskUsage", sizes.disk},
                                        {"ContentSize", sizes.content},
                                        {"InUse", bool(tree.used[i])}});
    }
    const bool used = std::ranges::find(tree.used, true) != tree.used.end();
    table.rows.push_back({names_of(*tree.image), std::string(short_id(tree.image->target.digest.hex())),
                          human_size(sum.disk), human_size(sum.content), used ? "U" : ""});
    std::ranges::move(rows, std::back_inserter(table.rows));
    bj::array names;
    for (const std::string& name : tree.image->names) names.emplace_back(name);
    all.emplace_back(bj::object{{"Names", std::move(names)},
                                {"ID", tree.image->target.digest.text()},
                                {"DiskUsage", sum.disk},
                                {"ContentSize", sum.content},
                                {"InUse", used},
                                {"Platforms", std::move(platforms)}});
  }
  return {std::move(all), std::move(table)};
}

bj::value history_document(const oci::image::HistoryLine& line, const std::string& id, bool human, bool whole) {
  const auto& entry = line.entry;
  return bj::object{{"ID", id},
                    {"CreatedSince", human ? human_since(entry.created) : entry.created},
                    {"CreatedAt", entry.created},
                    {"CreatedBy", whole ? entry.created_by : shortened(entry.created_by, 45)},
                    {"Size", human ? human_size(line.size) : std::to_string(line.size)},
                    {"Comment", entry.comment}};
}

}  // namespace proa::cli
