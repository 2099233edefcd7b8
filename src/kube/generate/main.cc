// schema_table OUTPUT FILE...: makes the schema's files one table (schema/table.h), at build time.
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <sstream>

#include "kube/schema/source.h"

int main(int argc, char** argv) {
  using namespace proa::kube;
  if (argc < 3) {
    std::fprintf(stderr, "usage: schema_table OUTPUT FILE...\n");
    return 2;
  }
  std::vector<SchemaFile> files;
  for (int i = 2; i < argc; ++i) {
    std::ifstream in(argv[i]);
    std::ostringstream text;
    text << in.rdbuf();
    if (!in) {
      std::fprintf(stderr, "schema_table: %s: cannot be read\n", argv[i]);
      return 1;
    }
    files.push_back({argv[i], std::move(text).str()});
  }
  const auto table = build_table(files);
  if (!table) {
    std::fprintf(stderr, "%s\n", table.error().message().c_str());
    return 1;
  }
  std::ofstream out(argv[1], std::ios::binary);
  out.write(table->data(), static_cast<std::streamsize>(table->size()));
  out.close();
  return out ? 0 : 1;
}
