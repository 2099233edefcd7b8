// From a CRD's OpenAPI v3 schema to a table.
#include <algorithm>

#include "base/error.h"
#include "kube/custom/custom.h"
#include "kube/object/json.h"
#include "kube/openapi/discovery.h"
#include "kube/schema/builder.h"

namespace proa::kube {
namespace {

constexpr int kMaxDepth = 64;

class SchemaCompiler {
 public:
  SchemaCompiler(TableBuilder& builder, std::string_view kind) : builder_(builder), kind_(kind) {}

  // `value_only`: below allOf, anyOf, oneOf, not, where no types are told.
  Result<uint16_t> node(const Value& schema, int depth, bool root = false, bool value_only = false) {
    if (depth > kMaxDepth) return fail("nested too deeply");
    NodeRecord record{};
    const std::string_view type = schema.string("type");
    const bool preserve = schema.get("x-kubernetes-preserve-unknown-fields").as_bool();
    if (schema.get("nullable").as_bool()) record.flags |= NodeRecord::kNullable;
    if (preserve || value_only) record.flags |= NodeRecord::kPreserve;
    if (schema.get("x-kubernetes-embedded-resource").as_bool()) record.flags |= NodeRecord::kEmbedded;
    if (schema.get("x-kubernetes-int-or-string").as_bool()) {
      record.form = Form::kIntOrString;
      record.flags |= NodeRecord::kIntOrStringForm;
    } else if (type == "object" ||
               (value_only && (schema.get("properties").size() > 0 || schema.get("required").size() > 0))) {
      TRY(object(schema, record, depth, root, value_only));
    } else if (type == "array") {
      TRY(list(schema, record, depth));
    } else if (type == "string")
      record.form = Form::kString;
    else if (type == "integer")
      record.form = schema.string("format") == "int32" ? Form::kInt32 : Form::kInt64;
    else if (type == "number")
      record.form = Form::kDouble;
    else if (type == "boolean")
      record.form = Form::kBool;
    else if (type.empty() && (preserve || value_only))
      record.form = Form::kAny;
    else if (type.empty())
      return fail("type: Required value: must not be empty for specified object fields");
    else
      return fail("type: Unsupported value: \"", type, "\"");
    record.facets = TRY(facets(schema, depth));
    record.enumeration = enumeration(schema);
    return builder_.node(record);
  }

 private:
  Result<> object(const Value& schema, NodeRecord& record, int depth, bool root, bool value_only) {
    const Value properties = schema.get("properties"), additional = schema.get("additionalProperties");
    if (schema.string("x-kubernetes-map-type") == "atomic") record.flags |= NodeRecord::kAtomic;
    if (additional.is_object() && properties.size() == 0) {
      record.form = Form::kMap;
      record.target = TRY_CTX(node(additional, depth + 1, false, value_only), "additionalProperties");
      return {};
    }
    // Any values, or any fields: no schema says more.
    if (additional.as_bool()) record.flags |= NodeRecord::kPreserve;
    const bool whole = root || (record.flags & NodeRecord::kEmbedded) != 0;
    const uint16_t type = builder_.declare_type(root ? kind_ : "", whole ? TypeRecord::kKind : 0);
    std::vector<FieldRecord> fields;
    if (whole) fields.push_back(metadata());
    for (const Member& property : properties.members()) {
      if (whole && (property.key == "metadata" || property.key == "apiVersion" || property.key == "kind")) continue;
      FieldRecord field{};
      field.name = builder_.text(property.key);
      field.description = builder_.prose(property.value.string("description"));
      field.node = TRY_CTX(node(property.value, depth + 1, false, value_only), "properties[", property.key, "]");
      field.flags = FieldRecord::kPointer;
      fields.push_back(field);
    }
    for (const Value& name : schema.get("required").items()) require(fields, name.as_string(), whole);
    builder_.set_fields(type, fields);
    builder_.describe_type(type, builder_.prose(schema.string("description")));
    record.form = Form::kStruct;
    record.target = type;
    return {};
  }

  void require(std::vector<FieldRecord>& fields, std::string_view name, bool whole) {
    const TextId id = builder_.text(name);
    const auto at = std::ranges::find(fields, id, &FieldRecord::name);
    if (at != fields.end())
      at->flags |= FieldRecord::kRequired;
    else if (!(whole && (name == "apiVersion" || name == "kind"))) {
      FieldRecord field{};
      field.name = id;
      field.node = builder_.node(
          {.form = Form::kAny, .flags = NodeRecord::kPreserve, .target = 0, .facets = 0, .enumeration = 0});
      field.flags = FieldRecord::kPointer | FieldRecord::kRequired;
      fields.push_back(field);
    }
  }

  FieldRecord metadata() {
    FieldRecord field{};
    field.name = builder_.text("metadata");
    const TypeView type = builtin().find_type("meta", "v1", "ObjectMeta");
    const auto index = static_cast<uint16_t>(type.record() - builtin().types().data());
    field.node = builder_.node(
        {.form = Form::kStruct, .flags = NodeRecord::kBase, .target = index, .facets = 0, .enumeration = 0});
    return field;
  }

  Result<> list(const Value& schema, NodeRecord& record, int depth) {
    record.form = Form::kList;
    const Value items = schema.get("items");
    if (!items.is_object()) return fail("items: Required value: must be specified");
    record.target = TRY_CTX(node(items, depth + 1), "items");
    const std::string_view kind = schema.string("x-kubernetes-list-type");
    if (kind == "set")
      record.flags |= NodeRecord::kSet;
    else if (kind == "map")
      record.flags |= NodeRecord::kKeyed;
    else
      record.flags |= NodeRecord::kAtomic;
    return {};
  }

  static uint32_t limit(const Value& schema, std::initializer_list<std::string_view> names, uint32_t otherwise) {
    for (const std::string_view name : names)
      if (const Value found = schema.get(name); found.is_number())
        return static_cast<uint32_t>(std::clamp<int64_t>(found.as_int(), 0, 0xffffffff));
    return otherwise;
  }

  Result<uint16_t> facets(const Value& schema, int depth) {
    FacetRecord out = no_facets();
    if (const Value* value = schema.find("default"); value != nullptr && !value->is_null())
      out.default_json = builder_.text(write_json(*value));
    std::string keys;
    for (const Value& key : schema.get("x-kubernetes-list-map-keys").items())
      keys += cat(keys.empty() ? "" : ",", key.as_string());
    if (!keys.empty()) out.keys = builder_.text(keys);
    out.format = builder_.text(schema.string("format"));
    out.pattern = builder_.text(schema.string("pattern"));
    out.min_length = limit(schema, {"minLength", "minItems", "minProperties"}, 0);
    out.max_length = limit(schema, {"maxLength", "maxItems", "maxProperties"}, 0xffffffff);
    if (const Value least = schema.get("minimum"); least.is_number()) out.minimum = least.as_double();
    if (const Value most = schema.get("maximum"); most.is_number()) out.maximum = most.as_double();
    out.multiple_of = schema.get("multipleOf").as_double();
    out.flags = static_cast<uint16_t>((schema.get("exclusiveMinimum").as_bool() ? 1 : 0) |
                                      (schema.get("exclusiveMaximum").as_bool() ? 2 : 0) |
                                      (schema.get("uniqueItems").as_bool() ? 4 : 0));
    TRY(branches(schema, out, depth));
    const FacetRecord none = no_facets();
    return std::memcmp(&out, &none, sizeof none) == 0 ? uint16_t{0} : builder_.facets(out);
  }

  Result<> branches(const Value& schema, FacetRecord& out, int depth) {
    std::vector<BranchRecord> all;
    // The pattern that goes with int-or-string says what the form says.
    const bool skip_any = schema.get("x-kubernetes-int-or-string").as_bool();
    static constexpr std::pair<std::string_view, BranchRecord::Kind> kLists[] = {
        {"allOf", BranchRecord::kAllOf}, {"anyOf", BranchRecord::kAnyOf}, {"oneOf", BranchRecord::kOneOf}};
    for (const auto& [name, kind] : kLists) {
      if (skip_any) break;
      for (const Value& branch : schema.get(name).items())
        all.push_back({kind, TRY_CTX(node(branch, depth + 1, false, true), name)});
    }
    if (const Value no = schema.get("not"); no.is_object())
      all.push_back({BranchRecord::kNot, TRY_CTX(node(no, depth + 1, false, true), "not")});
    out.branch_count = static_cast<uint16_t>(all.size());
    out.first_branch = all.empty() ? 0 : builder_.branches(all);
    return {};
  }

  uint16_t enumeration(const Value& schema) {
    const Value values = schema.get("enum");
    if (values.size() == 0) return 0;
    std::vector<std::string> texts;
    for (const Value& value : values.items()) texts.push_back(write_json(value));
    return builder_.enumeration("", texts);
  }

  TableBuilder& builder_;
  std::string_view kind_;
};

std::string joined(const Value& list) {
  std::string out;
  for (const Value& item : list.items()) out += cat(out.empty() ? "" : " ", item.as_string());
  return out;
}

// "example.com" names definitions "com.example".
std::string reversed(std::string_view group) {
  std::string out;
  while (!group.empty()) {
    const std::string_view part = group.substr(0, group.find('.'));
    group.remove_prefix(std::min(part.size() + 1, group.size()));
    out = out.empty() ? std::string(part) : cat(part, ".", out);
  }
  return out;
}

// Names the newest version that is better.
std::string deprecation_of(const Value& spec, const Value& names, std::string_view version) {
  std::string_view better;
  for (const Value& candidate : spec.get("versions").items()) {
    const std::string_view name = candidate.string("name");
    if (!candidate.get("served").as_bool() || candidate.get("deprecated").as_bool()) continue;
    if (version_before(name, version) && (better.empty() || version_before(name, better))) better = name;
  }
  const auto spelled = [&](std::string_view one) {
    return cat(spec.string("group"), "/", one, " ", names.string("kind"));
  };
  return cat(spelled(version), " is deprecated", better.empty() ? "" : "; use ", better.empty() ? "" : spelled(better));
}

constexpr uint16_t kPartVerbs = kGet | kPatch | kUpdate;

}  // namespace

Result<std::string> build_custom_table(const Value& definition, std::string_view version) {
  const Value spec = definition.get("spec"), accepted = definition.get({"status", "acceptedNames"});
  const Value names = accepted.string("plural").empty() ? spec.get("names") : accepted;
  Value found;
  for (const Value& candidate : spec.get("versions").items())
    if (candidate.string("name") == version) found = candidate;
  if (found.is_null()) return fail("spec.versions: no version ", version);
  TableBuilder builder;
  builder.begin_group_version(spec.string("group"), version, cat(reversed(spec.string("group")), ".", version));
  Value schema = found.get({"schema", "openAPIV3Schema"});
  Arena arena;
  if (schema.is_null()) {
    schema = Value::object(arena);
    schema.add(arena, "type", Value::view("object"));
    schema.add(arena, "x-kubernetes-preserve-unknown-fields", Value::boolean(true));
  }
  SchemaCompiler compiler(builder, names.string("kind"));
  const uint16_t root = TRY_CTX(compiler.node(schema, 0, true), "spec.versions[", version, "].schema.openAPIV3Schema");
  ResourceRecord record{};
  record.plural = builder.text(names.string("plural"));
  record.kind = builder.text(names.string("kind"));
  record.singular = builder.text(names.string("singular"));
  record.short_names = builder.text(joined(names.get("shortNames")));
  record.categories = builder.text(joined(names.get("categories")));
  record.flags = spec.string("scope") == "Namespaced" ? ResourceRecord::kNamespaced : 0;
  if (const std::string_view kind = names.string("listKind"); kind != cat(names.string("kind"), "List"))
    record.list_kind = builder.text(kind);
  if (found.get("deprecated").as_bool()) {
    const std::string_view words = found.string("deprecationWarning");
    record.deprecation = builder.text(words.empty() ? deprecation_of(spec, names, version) : std::string(words));
  }
  // No new ones while the definition goes.
  record.verbs = definition.get({"metadata", "deletionTimestamp"}).is_null() ? 0xff : 0xff & ~kCreate;
  record.type = builder.type_of(root);
  std::string selectable;
  for (const Value& field : found.get("selectableFields").items()) {
    std::string_view path = field.string("jsonPath");
    if (path.starts_with('.')) path.remove_prefix(1);
    selectable += cat(selectable.empty() ? "" : " ", path);
  }
  record.selectable = builder.text(selectable);
  std::vector<SubresourceRecord> parts;
  const Value subresources = found.get("subresources");
  if (!subresources.get("status").is_null()) parts.push_back({builder.text("status"), 0, 0, 0, kPartVerbs, 0});
  if (const Value scale = subresources.get("scale"); !scale.is_null()) {
    record.scale_spec = builder.text(scale.string("specReplicasPath"));
    record.scale_status = builder.text(scale.string("statusReplicasPath"));
    record.scale_selector = builder.text(scale.string("labelSelectorPath"));
    parts.push_back(
        {builder.text("scale"), builder.text("autoscaling"), builder.text("v1"), builder.text("Scale"), kPartVerbs, 0});
  }
  std::vector<ColumnRecord> columns = {
      {builder.text("Name"), builder.text("string"), builder.text("name"), 0, builder.text(".metadata.name"), 0}};
  for (const Value& column : found.get("additionalPrinterColumns").items())
    columns.push_back({builder.text(column.string("name")), builder.text(column.string("type")),
                       builder.text(column.string("format")), builder.prose(column.string("description")),
                       builder.text(column.string("jsonPath")),
                       static_cast<uint32_t>(column.get("priority").as_int())});
  if (columns.size() == 1) columns.push_back({builder.text("Age"), builder.text("date"), 0, 0, builder.text("age"), 0});
  builder.add_resource(record, parts, columns);
  return builder.finish();
}

}  // namespace proa::kube
