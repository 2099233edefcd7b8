// schema_structs TABLE FOLDER KIND...: makes C++ structs of these kinds and all they refer to, at build time: one
// header and one .cc file per group version. KIND is GROUP/VERSION.KIND with the first label of the group
// ("apps/v1.Deployment").
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <vector>

#include "base/error.h"
#include "base/text.h"
#include "kube/schema/table.h"

namespace proa::kube {
namespace {

std::string label_of(GroupVersionView gv) {
  const std::string_view group = gv.group();
  return std::string(group.empty() ? "core" : group.substr(0, group.find('.')));
}

// "core_v1": the namespace and the file.
std::string space_of(GroupVersionView gv) { return cat(label_of(gv), "_", gv.version()); }

// Words of C++ get an underscore.
std::string member_name(std::string_view name) {
  static const std::set<std::string_view> kWords = {"namespace", "template", "default", "operator", "continue", "enum",
                                                    "static",    "export",   "case",    "new",      "delete",   "class",
                                                    "public",    "private",  "union",   "const"};
  return kWords.contains(name) ? cat(name, "_") : std::string(name);
}

struct File {
  std::set<std::string> uses;
  std::vector<TypeView> types;  // each after those it has as members
};

class Structs {
 public:
  void add(TypeView type) {
    const std::string key = cat(space_of(type.group_version()), ".", type.name());
    if (!known_.insert(key).second) return;
    add_members(type);
    files_[space_of(type.group_version())].types.push_back(type);
  }

  const std::map<std::string, File>& files() const { return files_; }

  static std::string header(const std::string& name, const File& file) {
    std::ostringstream out;
    out << "// Made by schema_structs from schema/.\n#pragma once\n\n";
    for (const std::string& used : file.uses)
      if (used != name) out << "#include \"kube/types/" << used << ".h\"\n";
    out << "#include \"kube/types/codec.h\"\n\nnamespace proa::kube::" << name << " {\n\n";
    for (const TypeView& type : file.types) {
      out << "struct " << type.name() << " {\n";
      if (type.is_kind()) out << "  std::string apiVersion, kind;\n";
      declare(out, type);
      out << "};\n\n";
    }
    for (const TypeView& type : file.types)
      out << "void read_struct(const Value& in, " << type.name() << "& out);\n"
          << "void write_struct(Arena& arena, const " << type.name() << "& in, Value& out);\n";
    out << "\n}  // namespace proa::kube::" << name << "\n";
    return out.str();
  }

  static std::string source(const std::string& name, const File& file) {
    std::ostringstream out;
    out << "// Made by schema_structs from schema/.\n#include \"kube/types/" << name
        << ".h\"\n\nnamespace proa::kube::" << name << " {\n\n";
    for (const TypeView& type : file.types) {
      out << "void read_struct([[maybe_unused]] const Value& in, [[maybe_unused]] " << type.name() << "& out) {\n";
      if (type.is_kind())
        out << "  read_field(in, \"apiVersion\", out.apiVersion);\n  read_field(in, \"kind\", out.kind);\n";
      fields(out, type, true);
      out << "}\nvoid write_struct([[maybe_unused]] Arena& arena, [[maybe_unused]] const " << type.name()
          << "& in, [[maybe_unused]] Value& out) {\n";
      if (type.is_kind())
        out << "  write_field(arena, out, \"kind\", in.kind, false);\n  write_field(arena, out, \"apiVersion\", "
               "in.apiVersion, false);\n";
      fields(out, type, false);
      out << "}\n";
    }
    out << "\n}  // namespace proa::kube::" << name << "\n";
    return out.str();
  }

 private:
  void add_members(TypeView type) {
    const std::string own = space_of(type.group_version());
    for (size_t i = 0; i < type.size(); ++i) {
      NodeView node = type.field(i).node();
      const bool is_inline = type.field(i).has(FieldRecord::kInline);
      while (node.form() == Form::kList || node.form() == Form::kMap) node = node.element();
      if (node.form() != Form::kStruct) continue;
      if (is_inline)
        add_members(node.type());
      else {
        add(node.type());
        files_[own].uses.insert(space_of(node.type().group_version()));
      }
    }
  }

  static std::string cpp_type(NodeView node) {
    switch (node.form()) {
      case Form::kInt32: return "int32_t";
      case Form::kInt64: return "int64_t";
      case Form::kDouble: return "double";
      case Form::kBool: return "bool";
      case Form::kBytes: return "Bytes";
      case Form::kTime: return "Instant";
      case Form::kMicroTime: return "MicroTime";
      case Form::kDuration: return "Nanoseconds";
      case Form::kQuantity: return "Quantity";
      case Form::kIntOrString: return "IntOrString";
      case Form::kString: return "std::string";
      case Form::kStrings: return "std::vector<std::string>";
      case Form::kStruct: return cat(space_of(node.type().group_version()), "::", node.type().name());
      case Form::kList: return cat("std::vector<", cpp_type(node.element()), ">");
      case Form::kMap: return cat("std::map<std::string, ", cpp_type(node.element()), ", std::less<>>");
      default: return "RawJson";
    }
  }

  static void declare(std::ostream& out, TypeView type) {
    for (size_t i = 0; i < type.size(); ++i) {
      const FieldView field = type.field(i);
      if (field.has(FieldRecord::kInline)) {
        declare(out, field.node().type());
        continue;
      }
      const std::string base = cpp_type(field.node());
      if (!field.description().empty()) out << "  // " << field.description() << "\n";
      out << "  " << (field.has(FieldRecord::kPointer) ? cat("std::optional<", base, ">") : base) << " "
          << member_name(field.name()) << "{};\n";
    }
  }

  static void fields(std::ostream& out, TypeView type, bool read) {
    for (size_t i = 0; i < type.size(); ++i) {
      const FieldView field = type.field(i);
      if (field.has(FieldRecord::kInline)) {
        fields(out, field.node().type(), read);
      } else if (read) {
        out << "  read_field(in, \"" << field.name() << "\", out." << member_name(field.name()) << ");\n";
      } else {
        const bool keep = field.has(FieldRecord::kKeep) && !field.has(FieldRecord::kPointer);
        out << "  write_field(arena, out, \"" << field.name() << "\", in." << member_name(field.name()) << ", "
            << (keep ? "true" : "false") << ");\n";
      }
    }
  }

  std::set<std::string> known_;
  std::map<std::string, File> files_;
};

// Left alone when it would not change, so that nothing is compiled again.
bool write_file(const std::string& path, const std::string& text) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream old;
  old << in.rdbuf();
  if (in && old.str() == text) return true;
  std::ofstream out(path, std::ios::binary);
  out << text;
  return static_cast<bool>(out);
}

TypeView find(const Table& table, std::string_view name) {
  std::string_view kind = name;
  const std::string_view label = cut(kind, '/');
  const std::string_view version = cut(kind, '.');
  for (size_t i = 0; i < table.group_version_count(); ++i)
    if (const GroupVersionView gv = table.group_version(i); label_of(gv) == label && gv.version() == version)
      return gv.find_type(kind);
  return {};
}

}  // namespace
}  // namespace proa::kube

int main(int argc, char** argv) {
  using namespace proa::kube;
  if (argc < 4) {
    std::fprintf(stderr, "usage: schema_structs TABLE FOLDER KIND...\n");
    return 2;
  }
  std::ifstream in(argv[1], std::ios::binary);
  std::ostringstream bytes;
  bytes << in.rdbuf();
  const std::string table_bytes = std::move(bytes).str();
  if (!in || table_bytes.size() < sizeof(TableHeader)) {
    std::fprintf(stderr, "schema_structs: %s: cannot be read\n", argv[1]);
    return 1;
  }
  const Table table(table_bytes);
  Structs structs;
  for (int i = 3; i < argc; ++i) {
    const TypeView type = find(table, argv[i]);
    if (!type) {
      std::fprintf(stderr, "schema_structs: no kind %s\n", argv[i]);
      return 1;
    }
    structs.add(type);
  }
  for (const auto& [name, file] : structs.files())
    if (!write_file(proa::cat(argv[2], "/", name, ".h"), Structs::header(name, file)) ||
        !write_file(proa::cat(argv[2], "/", name, ".cc"), Structs::source(name, file))) {
      std::fprintf(stderr, "schema_structs: cannot write to %s\n", argv[2]);
      return 1;
    }
  return 0;
}
