// Every kind as upstream writes it, in JSON, YAML and protobuf: each form has to give the others, byte by byte. The
// vectors are upstream's and stand beside the repository; without them this is skipped.
#include <gtest/gtest.h>
#include <zstd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "base/text.h"
#include "kube/codec/conform.h"
#include "kube/codec/protobuf.h"
#include "kube/object/json.h"
#include "kube/object/yaml.h"
#include "kube/schema/source.h"

namespace proa::kube {
namespace {
namespace fs = std::filesystem;

std::string contents(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return std::move(out).str();
}

// Where "shared" stands beside the repository or one of the folders above it.
fs::path vectors() {
  for (fs::path at = PROA_SOURCE_DIR; at.has_relative_path(); at = at.parent_path())
    if (const fs::path found = at / "shared/data/k8s-1.34/roundtrip-vectors.tar.zst"; fs::exists(found)) return found;
  return {};
}

std::string decompressed(const std::string& bytes) {
  std::string out(64u << 20, '\0');
  const size_t size = ZSTD_decompress(out.data(), out.size(), bytes.data(), bytes.size());
  out.resize(ZSTD_isError(size) != 0 ? 0 : size);
  return out;
}

// The files of a tar archive, by name.
std::map<std::string, std::string> files_of(std::string_view tar) {
  std::map<std::string, std::string> out;
  while (tar.size() >= 512 && tar[0] != 0) {
    const std::string name = tar.substr(0, 100).data();
    const size_t size = std::stoul(std::string(tar.substr(124, 11)), nullptr, 8);
    if (tar[156] == '0') out[fs::path(name).filename()] = tar.substr(512, size);
    tar.remove_prefix(512 + (size + 511) / 512 * 512);
  }
  return out;
}

// The kinds served and those of older and newer versions, which the program does not have.
const std::string& whole_table() {
  static const std::string bytes = [] {
    std::vector<SchemaFile> files;
    for (const auto& entry : fs::recursive_directory_iterator(fs::path(PROA_SOURCE_DIR) / "schema"))
      if (entry.path().extension() == ".schema") files.push_back({entry.path().filename(), contents(entry.path())});
    const auto table = build_table(files);
    EXPECT_TRUE(table) << table.error().message();
    return table.value_or("");
  }();
  return bytes;
}

TypeView type_of(const Table& table, std::string_view name) {
  const size_t dot = name.rfind('.');
  const size_t version = name.rfind('.', dot - 1);
  const std::string_view group = name.substr(0, version);
  return table.find_type(group == "core" ? "" : group, name.substr(version + 1, dot - version - 1),
                         name.substr(dot + 1));
}

void check(TypeView type, const std::string& json, const std::string& yaml, const std::string& protobuf) {
  Arena arena;
  const auto given = read_json(arena, json);
  ASSERT_TRUE(given);
  std::vector<std::string> unknown;
  const auto object = conform(arena, type, *given, {.defaults = false, .unknown = &unknown});
  ASSERT_TRUE(object) << object.error().message();
  EXPECT_TRUE(unknown.empty()) << unknown[0];
  const std::string text = write_json(*object);
  EXPECT_EQ(text, write_json(*given));
  EXPECT_EQ(write_yaml(*object), yaml);
  EXPECT_TRUE(write_protobuf(type, *object) == protobuf);

  const auto from_yaml = read_yaml(arena, yaml, true);
  ASSERT_TRUE(from_yaml) << from_yaml.error().message();
  EXPECT_EQ(write_json(conform(arena, type, *from_yaml, {.defaults = false}).value()), text);

  const auto envelope = open_envelope(protobuf);
  ASSERT_TRUE(envelope) << envelope.error().message();
  const auto decoded = read_protobuf(arena, type, envelope->raw, envelope->api_version, envelope->kind);
  ASSERT_TRUE(decoded) << decoded.error().message();
  EXPECT_EQ(write_json(conform(arena, type, *decoded, {.defaults = false}).value()), text);
}

TEST(Vectors, RoundTrip) {
  const fs::path archive = vectors();
  if (archive.empty()) GTEST_SKIP() << "upstream's vectors (shared/data/k8s-1.34) are not beside the repository";
  const auto files = files_of(decompressed(contents(archive)));
  const Table table(whole_table());
  size_t kinds = 0;
  for (const auto& [name, json] : files) {
    if (!name.ends_with(".json")) continue;
    const std::string stem = name.substr(0, name.size() - 5);
    SCOPED_TRACE(stem);
    const TypeView type = type_of(table, stem);
    EXPECT_TRUE(type) << "is in no schema file";
    if (!type) continue;
    check(type, json, files.at(stem + ".yaml"), files.at(stem + ".pb"));
    ++kinds;
  }
  EXPECT_EQ(kinds, 182u);
}

}  // namespace
}  // namespace proa::kube
