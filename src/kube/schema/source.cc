#include "kube/schema/source.h"

#include <algorithm>
#include <map>
#include <optional>

#include "base/text.h"

namespace proa::kube {
namespace {

constexpr std::pair<std::string_view, Form> kForms[] = {
    {"json", Form::kAny},
    {"raw", Form::kRaw},
    {"fields", Form::kFields},
    {"string", Form::kString},
    {"int32", Form::kInt32},
    {"int64", Form::kInt64},
    {"double", Form::kDouble},
    {"bool", Form::kBool},
    {"bytes", Form::kBytes},
    {"time", Form::kTime},
    {"microTime", Form::kMicroTime},
    {"duration", Form::kDuration},
    {"quantity", Form::kQuantity},
    {"intOrString", Form::kIntOrString},
    {"strings", Form::kStrings},
    {"schemaOrBool", Form::kSchemaOrBool},
    {"schemaOrList", Form::kSchemaOrList},
    {"schemaOrStrings", Form::kSchemaOrStrings},
};

// A line without its description.
struct Line {
  size_t number = 0;
  bool indented = false;
  std::vector<std::string_view> words;
  std::string_view description;
};

// A resource or type with its indented lines.
struct Block {
  Line head;
  std::vector<Line> lines;
};

struct GroupVersion {
  const SchemaFile* file = nullptr;
  std::string group, version, package;
  std::vector<Block> resources, types, enums;
  // By name.
  std::map<std::string, uint16_t, std::less<>> type_ids, enum_ids;
};

std::vector<Line> lines_of(std::string_view text) {
  std::vector<Line> out;
  for (size_t number = 1; !text.empty(); ++number) {
    std::string_view line = cut(text, '\n');
    Line parsed{.number = number, .indented = line.starts_with("  "), .words = {}, .description = {}};
    if (line.starts_with('#')) continue;
    if (const size_t at = line.find(" -- "); at != std::string_view::npos) {
      parsed.description = line.substr(at + 4);
      line = line.substr(0, at);
    }
    parsed.words = split(line, ' ');
    if (!parsed.words.empty()) out.push_back(std::move(parsed));
  }
  return out;
}

Failure bad(const SchemaFile& file, const Line& line, const auto&... what) {
  return fail(file.name, ":", line.number, ": ", what...);
}

Result<GroupVersion> read_file(const SchemaFile& file) {
  GroupVersion out;
  out.file = &file;
  Block* open = nullptr;
  for (const Line& line : lines_of(file.text)) {
    if (line.indented) {
      if (open == nullptr) return bad(file, line, "an indented line belongs to no resource or type");
      open->lines.push_back(line);
      continue;
    }
    open = nullptr;
    const std::string_view word = line.words[0];
    if (line.words.size() < 2) return bad(file, line, word, ": a value is missing");
    const std::string_view value = line.words[1];
    if (word == "group")
      out.group = value == "core" ? "" : value;
    else if (word == "version")
      out.version = value;
    else if (word == "package")
      out.package = value;
    else if (word == "resource")
      open = &out.resources.emplace_back(line, std::vector<Line>());
    else if (word == "enum")
      open = &out.enums.emplace_back(line, std::vector<Line>());
    else if (word == "type" || word == "kind")
      open = &out.types.emplace_back(line, std::vector<Line>());
    else
      return bad(file, line, "'", word, "' is not known here");
  }
  return out;
}

class Compiler {
 public:
  explicit Compiler(std::vector<GroupVersion> all) : all_(std::move(all)) {}

  Result<std::string> run() {
    for (GroupVersion& gv : all_) TRY(declare(gv));
    // Fields after all types are known, resources in the order of their group versions.
    for (GroupVersion& gv : all_)
      for (const Block& block : gv.types) TRY(add_type(gv, block));
    for (GroupVersion& gv : all_) TRY(add_lists(gv));
    return builder_.finish();
  }

 private:
  Result<> declare(GroupVersion& gv) {
    builder_.begin_group_version(gv.group, gv.version, gv.package);
    for (const Block& block : gv.enums) {
      std::vector<std::string> values;
      for (size_t i = 2; i < block.head.words.size(); ++i) {
        std::string word(block.head.words[i]);
        std::ranges::replace(word, '_', ' ');
        values.push_back(word == "\"\"" ? "\"\"" : cat("\"", word, "\""));
      }
      gv.enum_ids.emplace(block.head.words[1], builder_.enumeration(block.head.words[1], values));
    }
    for (const Block& block : gv.types) {
      uint16_t flags = block.head.words[0] == "kind" ? TypeRecord::kKind : 0;
      for (size_t i = 2; i < block.head.words.size(); ++i) {
        if (block.head.words[i] != "atomic")
          return bad(*gv.file, block.head, "'", block.head.words[i], "' is not known");
        flags |= TypeRecord::kAtomic;
      }
      const auto [at, added] =
          gv.type_ids.emplace(block.head.words[1], builder_.declare_type(block.head.words[1], flags));
      if (!added) return bad(*gv.file, block.head, "type ", block.head.words[1], " is there twice");
      builder_.describe_type(at->second, builder_.prose(block.head.description));
    }
    for (const Block& block : gv.resources)
      if (listed(block) && block.head.words.size() > 2) {
        const std::string name = cat(block.head.words[2], "List");
        gv.type_ids.emplace(name, builder_.declare_type(name, TypeRecord::kKind));
      }
    for (const Block& block : gv.resources) TRY(add_resource(gv, block));
    return {};
  }

  static bool listed(const Block& block) {
    const auto verbs = std::ranges::find_if(block.lines, [](const Line& line) { return line.words[0] == "verbs"; });
    return verbs == block.lines.end() || std::ranges::find(verbs->words, "list") != verbs->words.end();
  }

  static uint16_t verb(std::string_view name) {
    const auto at = std::ranges::find(kVerbNames, name);
    return at == std::end(kVerbNames) ? 0 : static_cast<uint16_t>(1u << (at - std::begin(kVerbNames)));
  }

  // "GROUP/VERSION.KIND", "VERSION.KIND" of the core group or "KIND" of the resource's own.
  SubresourceRecord subresource(const GroupVersion& gv, const Line& line) {
    SubresourceRecord out{};
    out.name = builder_.text(line.words[1]);
    std::string_view verbs = line.words[2];
    while (!verbs.empty()) out.verbs |= verb(cut(verbs, ','));
    if (line.words.size() < 4) return out;
    const std::string_view body = line.words[3];
    const size_t slash = body.find('/');
    const size_t dot = body.rfind('.');
    if (dot == std::string_view::npos) {
      out.group = builder_.text(gv.group);
      out.version = builder_.text(gv.version);
      out.kind = builder_.text(body);
      return out;
    }
    const size_t start = slash == std::string_view::npos ? 0 : slash + 1;
    out.group = builder_.text(slash == std::string_view::npos ? "" : body.substr(0, slash));
    out.version = builder_.text(body.substr(start, dot - start));
    out.kind = builder_.text(body.substr(dot + 1));
    return out;
  }

  Result<ColumnRecord> column(const GroupVersion& gv, const Line& line) {
    if (line.words.size() != 5) return bad(*gv.file, line, "column: wants NAME TYPE[/FORMAT] PRIORITY SOURCE");
    std::string name(line.words[1]);
    std::ranges::replace(name, '_', ' ');
    const std::string_view type = line.words[2];
    const size_t slash = type.find('/');
    const auto priority = parse_number<uint32_t>(line.words[3]);
    if (!priority) return bad(*gv.file, line, "column: the priority is not a number");
    return ColumnRecord{.name = builder_.text(name),
                        .type = builder_.text(type.substr(0, slash)),
                        .format = builder_.text(slash == std::string_view::npos ? "" : type.substr(slash + 1)),
                        .description = builder_.prose(line.description),
                        .source = builder_.text(line.words[4]),
                        .priority = *priority};
  }

  Result<> add_resource(GroupVersion& gv, const Block& block) {
    const auto& head = block.head.words;
    if (head.size() != 3) return bad(*gv.file, block.head, "resource: wants PLURAL KIND");
    const auto type = gv.type_ids.find(head[2]);
    if (type == gv.type_ids.end()) return bad(*gv.file, block.head, "kind ", head[2], " is not described");
    std::string singular(head[2]);
    std::ranges::transform(singular, singular.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; });
    ResourceRecord record{};
    record.plural = builder_.text(head[1]);
    record.kind = builder_.text(head[2]);
    record.type = type->second;
    record.flags = ResourceRecord::kNamespaced;
    record.verbs = 0xff;
    std::vector<SubresourceRecord> subresources;
    std::vector<ColumnRecord> columns;
    for (const Line& line : block.lines) {
      const std::string_view word = line.words[0];
      std::string rest;
      for (size_t i = 1; i < line.words.size(); ++i) rest += cat(i > 1 ? " " : "", line.words[i]);
      if (word == "cluster")
        record.flags = 0;
      else if (word == "singular")
        singular = rest;
      else if (word == "short")
        record.short_names = builder_.text(rest);
      else if (word == "categories")
        record.categories = builder_.text(rest);
      else if (word == "select")
        record.selectable = builder_.text(rest);
      else if (word == "column")
        columns.push_back(TRY(column(gv, line)));
      else if (word == "subresource" && line.words.size() > 2)
        subresources.push_back(subresource(gv, line));
      else if (word == "scale" && line.words.size() == 4) {
        record.scale_spec = builder_.text(line.words[1]);
        record.scale_status = builder_.text(line.words[2]);
        record.scale_selector = builder_.text(line.words[3]);
      } else if (word == "verbs") {
        record.verbs = 0;
        for (size_t i = 1; i < line.words.size(); ++i) {
          if (verb(line.words[i]) == 0) return bad(*gv.file, line, "verb ", line.words[i], " is not known");
          record.verbs |= verb(line.words[i]);
        }
      } else {
        return bad(*gv.file, line, "'", word, "' is not known in a resource, or lacks values");
      }
    }
    record.singular = builder_.text(singular);
    builder_.add_resource(record, subresources, columns);
    return {};
  }

  // `name` is "Type", of this group version or meta's, or "GROUP/VERSION.Type" with the first label of the group.
  std::optional<NodeRecord> named(const GroupVersion& gv, std::string_view name) const {
    NodeRecord out{};
    const auto form = std::ranges::find(kForms, name, &std::pair<std::string_view, Form>::first);
    if (form != std::end(kForms)) {
      out.form = form->second;
      return out;
    }
    const size_t dot = name.rfind('.');
    const std::string_view type = name.substr(dot == std::string_view::npos ? 0 : dot + 1);
    for (const GroupVersion& other : all_) {
      const std::string_view label = std::string_view(other.group).substr(0, other.group.find('.'));
      const bool wanted = dot == std::string_view::npos
                              ? &other == &gv || other.group == "meta"
                              : name.substr(0, dot) == cat(label.empty() ? "core" : label, "/", other.version);
      if (!wanted) continue;
      if (const auto at = other.type_ids.find(type); at != other.type_ids.end()) {
        out.form = Form::kStruct;
        out.target = at->second;
        return out;
      }
      if (const auto at = other.enum_ids.find(type); at != other.enum_ids.end()) {
        out.form = Form::kString;
        out.enumeration = at->second;
        return out;
      }
    }
    return std::nullopt;
  }

  std::optional<NodeRecord> node(const GroupVersion& gv, std::string_view type) {
    const bool list = type.starts_with('[') && type.ends_with(']');
    const bool map = type.starts_with('{') && type.ends_with('}');
    if (!list && !map) return named(gv, type);
    const auto element = node(gv, type.substr(1, type.size() - 2));
    if (!element) return std::nullopt;
    NodeRecord out{};
    out.form = list ? Form::kList : Form::kMap;
    out.target = builder_.node(*element);
    return out;
  }

  static std::optional<uint16_t> patch_of(std::string_view name) {
    if (name == "merge") return FacetRecord::kMerge;
    if (name == "replace") return FacetRecord::kReplace;
    if (name == "retainKeys") return FacetRecord::kRetainKeys;
    if (name == "merge,retainKeys") return FacetRecord::kMergeRetainKeys;
    return std::nullopt;
  }

  // One attribute of a field; false if it is not known.
  bool attribute(std::string_view word, NodeRecord& node, FacetRecord& facets, uint16_t& flags) {
    std::string_view value = word;
    const std::string_view key = cut(value, '=');
    const auto number = [&] { return parse_number<double>(value).value_or(0); };
    if (word == "required")
      flags |= FieldRecord::kRequired;
    else if (word == "inline")
      flags |= FieldRecord::kInline;
    else if (word == "fixed")
      flags |= FieldRecord::kFixed;
    else if (word == "atomic")
      node.flags |= NodeRecord::kAtomic;
    else if (word == "set")
      node.flags |= NodeRecord::kSet;
    else if (key == "keys") {
      node.flags |= NodeRecord::kKeyed;
      facets.keys = builder_.text(value);
    } else if (key == "patch") {
      const auto patch = patch_of(cut(value, ':'));
      if (!patch) return false;
      facets.patch = *patch;
      facets.merge_key = builder_.text(value);
    } else if (key == "default")
      facets.default_json = builder_.text(value);
    else if (key == "format")
      facets.format = builder_.text(value);
    else if (key == "pattern")
      facets.pattern = builder_.text(value);
    else if (key == "min")
      facets.minimum = number();
    else if (key == "max")
      facets.maximum = number();
    else if (key == "minlen")
      facets.min_length = static_cast<uint32_t>(number());
    else if (key == "maxlen")
      facets.max_length = static_cast<uint32_t>(number());
    else
      return false;
    return true;
  }

  Result<FieldRecord> field(const GroupVersion& gv, const Line& line) {
    if (line.words.size() < 3) return bad(*gv.file, line, "a field wants NAME TYPE NUMBER");
    FieldRecord out{};
    std::string_view type = line.words[1];
    if (type.ends_with('!')) {
      out.flags |= FieldRecord::kKeep;
      type.remove_suffix(1);
    }
    if (type.ends_with('?')) {
      out.flags |= FieldRecord::kPointer;
      type.remove_suffix(1);
    }
    auto record = node(gv, type);
    if (!record) return bad(*gv.file, line, "type ", type, " is not known");
    const auto number = parse_number<uint16_t>(line.words[2]);
    if (!number) return bad(*gv.file, line, "the field's number is not one");
    FacetRecord facets = no_facets();
    for (size_t i = 3; i < line.words.size(); ++i)
      if (!attribute(line.words[i], *record, facets, out.flags))
        return bad(*gv.file, line, "'", line.words[i], "' is not known in a field");
    if (const FacetRecord none = no_facets(); std::memcmp(&facets, &none, sizeof none) != 0)
      record->facets = builder_.facets(facets);
    out.name = builder_.text(line.words[0]);
    out.description = builder_.prose(line.description);
    out.node = builder_.node(*record);
    out.number = *number;
    return out;
  }

  Result<> add_type(GroupVersion& gv, const Block& block) {
    std::vector<FieldRecord> fields;
    for (const Line& line : block.lines) {
      const FieldRecord added = TRY(field(gv, line));
      for (const FieldRecord& other : fields)
        if (other.name == added.name || (other.number == added.number && added.number != 0))
          return bad(*gv.file, line, "the name or number of ", line.words[0], " is there twice");
      fields.push_back(added);
    }
    builder_.set_fields(gv.type_ids.find(block.head.words[1])->second, fields);
    return {};
  }

  // The kinds of lists, which are all alike.
  Result<> add_lists(GroupVersion& gv) {
    for (const Block& block : gv.resources) {
      if (!listed(block)) continue;
      const std::string items = cat("[", block.head.words[2], "]!");
      Line metadata{
          .number = block.head.number, .indented = true, .words = {"metadata", "ListMeta!", "1"}, .description = {}};
      Line list{
          .number = block.head.number, .indented = true, .words = {"items", items, "2", "required"}, .description = {}};
      const std::vector<FieldRecord> fields = {TRY(field(gv, metadata)), TRY(field(gv, list))};
      builder_.set_fields(gv.type_ids.find(cat(block.head.words[2], "List"))->second, fields);
    }
    return {};
  }

  std::vector<GroupVersion> all_;
  TableBuilder builder_;
};

}  // namespace

Result<std::string> build_table(const std::vector<SchemaFile>& files) {
  std::vector<GroupVersion> all;
  for (const SchemaFile& file : files) all.push_back(TRY(read_file(file)));
  return Compiler(std::move(all)).run();
}

}  // namespace proa::kube
