#include "kube/openapi/openapi.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <vector>

#include "base/error.h"
#include "base/text.h"
#include "kube/object/json.h"

namespace proa::kube {
namespace {

// Appends members of an object, with commas between.
class JsonObject {
 public:
  explicit JsonObject(std::string& out) : out_(out) { out_ += '{'; }
  ~JsonObject() { out_ += '}'; }
  JsonObject(const JsonObject&) = delete;
  JsonObject& operator=(const JsonObject&) = delete;

  std::string& key(std::string_view key) {
    if (!first_) out_ += ',';
    first_ = false;
    write_json_string(out_, key);
    out_ += ':';
    return out_;
  }
  void text(std::string_view name, std::string_view value) { write_json_string(key(name), value); }
  void raw(std::string_view name, std::string_view json) { key(name) += json; }

 private:
  std::string& out_;
  bool first_ = true;
};

std::string quoted_json(std::string_view text) {
  std::string out;
  write_json_string(out, text);
  return out;
}

class Generator {
 public:
  explicit Generator(OpenApiVersion version) : v3_(version == OpenApiVersion::kV3) {}

  void add_paths(JsonObject& paths, GroupVersionView gv) {
    for (size_t i = 0; i < gv.resource_count(); ++i) add_resource(paths, gv.resource(i));
  }

  // Everything referred to, by name.
  void add_definitions(std::string& out) {
    JsonObject all(out);
    std::set<std::string> done;
    while (true) {
      const auto next = std::ranges::find_if(wanted_, [&](const auto& entry) { return !done.contains(entry.first); });
      if (next == wanted_.end()) break;
      const auto [name, type] = *next;
      done.insert(name);
      define(all.key(name), type);
    }
    for (const auto& [name, resource] : lists_) define_list(all.key(name), resource);
  }

 private:
  static bool named(TypeView type) { return !type.name().empty(); }

  std::string reference(TypeView type) {
    const std::string name = definition_name(type);
    wanted_.emplace(name, type);
    return cat(v3_ ? "#/components/schemas/" : "#/definitions/", name);
  }

  static std::string list_kind(const ResourceView& resource) {
    return resource.list_kind().empty() ? cat(resource.kind(), "List") : std::string(resource.list_kind());
  }

  // Of a custom resource: its table has no type for lists.
  std::string list_reference(const ResourceView& resource) {
    std::string name = definition_name(resource.type());
    name.replace(name.rfind('.') + 1, std::string::npos, list_kind(resource));
    lists_.emplace(name, resource);
    reference(resource.type());
    reference(builtin().find_type("meta", "v1", "ListMeta"));
    return cat(v3_ ? "#/components/schemas/" : "#/definitions/", name);
  }

  void define_list(std::string& out, const ResourceView& resource) {
    JsonObject object(out);
    object.text("description", cat("A list of ", resource.kind(), "."));
    object.text("type", "object");
    object.raw("required", R"(["items"])");
    {
      JsonObject properties(object.key("properties"));
      add_kind(properties);
      {
        JsonObject items(properties.key("items"));
        items.text("type", "array");
        items.raw("items", cat("{\"$ref\":", quoted_json(reference(resource.type())), "}"));
      }
      JsonObject metadata(properties.key("metadata"));
      add_reference(metadata, builtin().find_type("meta", "v1", "ListMeta"), false);
    }
    add_kinds(object, resource.group_version(), list_kind(resource));
  }

  static void add_kinds(JsonObject& object, const GroupVersionView& gv, std::string_view kind) {
    std::string& list = object.key("x-kubernetes-group-version-kind");
    list += '[';
    {
      JsonObject gvk(list);
      gvk.text("group", gv.group() == "meta" ? "" : gv.group());
      gvk.text("kind", kind);
      gvk.text("version", gv.version());
    }
    list += ']';
  }

  static void add_kind(JsonObject& properties) {
    properties.raw("apiVersion",
                   R"({"type":"string","description":"The group and version of this form of the object."})");
    properties.raw("kind", R"({"type":"string","description":"The kind of the object."})");
  }

  void define(std::string& out, TypeView type) {
    JsonObject object(out);
    if (!type.description().empty()) object.text("description", type.description());
    members(object, type);
    if (type.is_kind()) add_kinds(object, type.group_version(), type.name());
    if (type.atomic()) object.text("x-kubernetes-map-type", "atomic");
  }

  void members(JsonObject& object, TypeView type) {
    object.text("type", "object");
    std::vector<std::string_view> required;
    if (type.size() > 0 || type.is_kind()) {
      JsonObject properties(object.key("properties"));
      if (type.is_kind()) add_kind(properties);
      add_properties(properties, type, required);
    }
    if (required.empty()) return;
    std::string& list = object.key("required");
    for (size_t i = 0; i < required.size(); ++i) list += cat(i == 0 ? "[" : ",", quoted_json(required[i]));
    list += ']';
  }

  void add_properties(JsonObject& properties, TypeView type, std::vector<std::string_view>& required) {
    for (size_t i = 0; i < type.size(); ++i) {
      const FieldView field = type.field(i);
      if (field.has(FieldRecord::kInline)) {
        add_properties(properties, field.node().type(), required);
        continue;
      }
      if (field.has(FieldRecord::kRequired)) required.push_back(field.name());
      std::string& out = properties.key(field.name());
      JsonObject schema(out);
      if (!field.description().empty()) schema.text("description", field.description());
      add_schema(schema, field.node());
    }
  }

  void nested(JsonObject& schema, std::string_view key, NodeView node) {
    JsonObject inner(schema.key(key));
    add_schema(inner, node);
  }

  void add_reference(JsonObject& schema, TypeView type, bool bare) {
    const std::string target = quoted_json(reference(type));
    // In v3 a reference stands alone, so others go beside an allOf.
    if (v3_ && !bare)
      schema.raw("allOf", cat("[{\"$ref\":", target, "}]"));
    else
      schema.raw("$ref", target);
  }

  void add_form(JsonObject& schema, NodeView node) {
    const auto simple = [&](std::string_view type, std::string_view format) {
      schema.text("type", type);
      if (!format.empty()) schema.text("format", format);
    };
    switch (node.form()) {
      case Form::kString: return simple("string", "");
      case Form::kInt32: return simple("integer", "int32");
      case Form::kInt64: return simple("integer", "int64");
      case Form::kDouble: return simple("number", "double");
      case Form::kBool: return simple("boolean", "");
      case Form::kBytes: return simple("string", "byte");
      case Form::kTime:
      case Form::kMicroTime: return simple("string", "date-time");
      case Form::kDuration: return simple("string", "");
      case Form::kQuantity:
        if (!v3_) return simple("string", "");
        return schema.raw("oneOf", R"([{"type":"string"},{"type":"number"}])");
      case Form::kIntOrString:
        schema.text("format", "int-or-string");
        if (!v3_) return schema.text("type", "string");
        return schema.raw("oneOf", R"([{"type":"integer"},{"type":"string"}])");
      case Form::kRaw:
      case Form::kFields: return simple("object", "");
      case Form::kStrings: schema.text("type", "array"); return schema.raw("items", R"({"type":"string"})");
      case Form::kStruct:
        if (named(node.type())) return add_reference(schema, node.type(), false);
        return members(schema, node.type());
      case Form::kList: schema.text("type", "array"); return nested(schema, "items", node.element());
      case Form::kMap: schema.text("type", "object"); return nested(schema, "additionalProperties", node.element());
      case Form::kAny:
      case Form::kSchemaOrBool:
      case Form::kSchemaOrList:
      case Form::kSchemaOrStrings: return;
    }
  }

  void add_schema(JsonObject& schema, NodeView node) {
    add_form(schema, node);
    if (node.has(NodeRecord::kSet))
      schema.text("x-kubernetes-list-type", "set");
    else if (node.has(NodeRecord::kKeyed))
      schema.text("x-kubernetes-list-type", "map");
    else if (node.has(NodeRecord::kAtomic))
      schema.text(node.is_list() ? "x-kubernetes-list-type" : "x-kubernetes-map-type", "atomic");
    if (node.has(NodeRecord::kPreserve)) schema.raw("x-kubernetes-preserve-unknown-fields", "true");
    if (node.has(NodeRecord::kEmbedded)) schema.raw("x-kubernetes-embedded-resource", "true");
    if (node.has(NodeRecord::kIntOrStringForm)) schema.raw("x-kubernetes-int-or-string", "true");
    add_facets(schema, node);
    const std::span<const TextId> values = node.enumeration();
    if (values.empty()) return;
    std::string& list = schema.key("enum");
    for (size_t i = 0; i < values.size(); ++i) list += cat(i == 0 ? "[" : ",", node.text(values[i]));
    list += ']';
  }

  static void add_facets(JsonObject& schema, NodeView node) {
    const FacetRecord* facets = node.facets();
    if (facets == nullptr) return;
    if (const std::string_view text = node.default_json(); !text.empty()) schema.raw("default", text);
    if (const std::string_view keys = node.keys(); !keys.empty()) {
      std::string list;
      for (const std::string_view key : split(keys, ',')) list += cat(list.empty() ? "[" : ",", quoted_json(key));
      schema.raw("x-kubernetes-list-map-keys", cat(list, "]"));
    }
    static constexpr std::string_view kPatches[] = {"", "merge", "replace", "retainKeys", "merge,retainKeys"};
    if (facets->patch != FacetRecord::kNone) schema.text("x-kubernetes-patch-strategy", kPatches[facets->patch]);
    if (const std::string_view key = node.merge_key(); !key.empty()) schema.text("x-kubernetes-patch-merge-key", key);
    if (const std::string_view format = node.text(facets->format); !format.empty()) schema.text("format", format);
    if (const std::string_view pattern = node.text(facets->pattern); !pattern.empty()) schema.text("pattern", pattern);
    if (std::abs(facets->minimum) < 1e300) schema.raw("minimum", write_json(Value::real(facets->minimum)));
    if (std::abs(facets->maximum) < 1e300) schema.raw("maximum", write_json(Value::real(facets->maximum)));
  }

  // --- paths

  enum class Place : uint8_t { kItem, kCollection, kEverywhere };  // of what is namespaced, in all namespaces
  struct Operation {
    std::string_view method, action, prefix;
    uint16_t verb;
  };

  static std::string camel(std::string_view text) {
    std::string out;
    bool up = true;
    for (const char c : text) {
      if (c == '.' || c == '-' || c == '/') {
        up = true;
        continue;
      }
      out += up && c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
      up = false;
    }
    return out;
  }

  void add_parameters(std::string& out, const ResourceView& resource, std::string_view action, Place place) {
    std::string list;
    const auto query = [&](std::string_view name, std::string_view type) {
      list += cat(list.empty() ? "" : ",", "{\"name\":\"", name, "\",\"in\":\"query\",", v3_ ? "\"schema\":{" : "",
                  "\"type\":\"", type, "\"", v3_ ? "}" : "", ",\"uniqueItems\":true}");
    };
    const auto path = [&](std::string_view name) {
      list += cat(list.empty() ? "" : ",", "{\"name\":\"", name, "\",\"in\":\"path\",\"required\":true,",
                  v3_ ? "\"schema\":{" : "", "\"type\":\"string\"", v3_ ? "}" : "", ",\"uniqueItems\":true}");
    };
    if (place == Place::kItem) path("name");
    if (resource.namespaced() && place != Place::kEverywhere) path("namespace");
    query("pretty", "string");
    if (action == "post" || action == "put" || action == "patch") {
      for (const std::string_view name : {"dryRun", "fieldManager", "fieldValidation"}) query(name, "string");
      if (action == "patch") query("force", "boolean");
    }
    if (action == "list" || action == "deletecollection") {
      for (const std::string_view name :
           {"continue", "fieldSelector", "labelSelector", "resourceVersion", "resourceVersionMatch"})
        query(name, "string");
      for (const std::string_view name : {"limit", "timeoutSeconds"}) query(name, "integer");
      query("sendInitialEvents", "boolean");
    }
    if (action == "list")
      for (const std::string_view name : {"allowWatchBookmarks", "watch"}) query(name, "boolean");
    if (action == "delete" || action == "deletecollection") {
      query("dryRun", "string");
      query("gracePeriodSeconds", "integer");
      query("orphanDependents", "boolean");
      query("propagationPolicy", "string");
    }
    const bool body =
        action == "post" || action == "put" || action == "patch" || action == "delete" || action == "deletecollection";
    if (!v3_ && body)
      list += cat(",{\"name\":\"body\",\"in\":\"body\",\"schema\":", body_schema(resource, action), "}");
    out += cat("[", list, "]");
  }

  std::string body_schema(const ResourceView& resource, std::string_view action) {
    if (action == "patch") return R"({"type":"object"})";
    const TypeView type =
        action.starts_with("delete") ? builtin().find_type("meta", "v1", "DeleteOptions") : resource.type();
    if (!named(type)) return R"({"type":"object"})";
    return cat("{\"$ref\":", quoted_json(reference(type)), "}");
  }

  void add_operation(JsonObject& item, const ResourceView& resource, const Operation& operation, Place place,
                     std::string_view subresource) {
    const GroupVersionView gv = resource.group_version();
    JsonObject object(item.key(operation.method));
    object.raw("tags", cat("[",
                           quoted_json(cat(gv.group().empty() ? "core" : gv.group().substr(0, gv.group().find('.')),
                                           "_", gv.version())),
                           "]"));
    object.text("operationId",
                cat(operation.prefix, camel(gv.group().empty() ? "core" : gv.group().substr(0, gv.group().find('.'))),
                    camel(gv.version()), resource.namespaced() && place != Place::kEverywhere ? "Namespaced" : "",
                    resource.kind(), camel(subresource), place == Place::kEverywhere ? "ForAllNamespaces" : ""));
    add_parameters(object.key("parameters"), resource, operation.action, place);
    const bool body = operation.action == "post" || operation.action == "put" || operation.action == "patch";
    if (v3_ && body) {
      const std::string schema = body_schema(resource, operation.action);
      static constexpr std::string_view kPatches[] = {"application/apply-patch+yaml", "application/json-patch+json",
                                                      "application/merge-patch+json",
                                                      "application/strategic-merge-patch+json"};
      // Custom resources have no strategic merges; kubectl looks here for that.
      const bool custom = !builtin().find_type(gv.group(), gv.version(), resource.kind());
      std::string content;
      if (operation.action == "patch")
        for (const std::string_view media : std::span(kPatches).first(custom ? 3 : 4))
          content += cat(content.empty() ? "" : ",", quoted_json(media), ":{\"schema\":", schema, "}");
      else
        content = cat("\"*/*\":{\"schema\":", schema, "}");
      object.raw("requestBody", cat("{\"content\":{", content, "},\"required\":true}"));
    }
    if (!v3_)
      object.raw("produces", R"(["application/json","application/yaml","application/vnd.kubernetes.protobuf"])");
    const TypeView list = gv.find_type(cat(resource.kind(), "List"));
    const TypeView answer = operation.action == "list" && list       ? list
                            : operation.action.starts_with("delete") ? builtin().find_type("meta", "v1", "Status")
                                                                     : resource.type();
    const bool own_list = operation.action == "list" && !list && named(resource.type());
    const std::string schema = own_list        ? cat("{\"$ref\":", quoted_json(list_reference(resource)), "}")
                               : named(answer) ? cat("{\"$ref\":", quoted_json(reference(answer)), "}")
                                               : std::string(R"({"type":"object"})");
    object.raw(
        "responses",
        v3_ ? cat("{\"200\":{\"description\":\"OK\",\"content\":{\"application/json\":{\"schema\":", schema, "}}}}")
            : cat("{\"200\":{\"description\":\"OK\",\"schema\":", schema, "}}"));
    object.text("x-kubernetes-action", operation.action);
    JsonObject gvk(object.key("x-kubernetes-group-version-kind"));
    gvk.text("group", gv.group());
    gvk.text("kind", resource.kind());
    gvk.text("version", gv.version());
  }

  void add_resource(JsonObject& paths, const ResourceView& resource) {
    static constexpr Operation kCollection[] = {{"get", "list", "list", kList},
                                                {"post", "post", "create", kCreate},
                                                {"delete", "deletecollection", "deleteCollection", kDeleteCollection}};
    static constexpr Operation kItem[] = {{"get", "get", "read", kGet},
                                          {"put", "put", "replace", kUpdate},
                                          {"patch", "patch", "patch", kPatch},
                                          {"delete", "delete", "delete", kDelete}};
    static constexpr Operation kPart[] = {{"get", "get", "read", kGet},
                                          {"put", "put", "replace", kUpdate},
                                          {"patch", "patch", "patch", kPatch},
                                          {"post", "post", "create", kCreate}};
    const GroupVersionView gv = resource.group_version();
    const std::string base = cat("/", openapi_v3_path(gv.group(), gv.version()), "/",
                                 resource.namespaced() ? "namespaces/{namespace}/" : "", resource.plural());
    const auto add = [&](const std::string& path, std::span<const Operation> operations, uint16_t verbs, Place place,
                         std::string_view subresource) {
      if (std::ranges::none_of(operations, [&](const Operation& operation) { return (operation.verb & verbs) != 0; }))
        return;
      JsonObject item(paths.key(path));
      for (const Operation& operation : operations)
        if ((operation.verb & verbs) != 0) add_operation(item, resource, operation, place, subresource);
    };
    add(base, kCollection, resource.verbs(), Place::kCollection, "");
    add(cat(base, "/{name}"), kItem, resource.verbs(), Place::kItem, "");
    if (resource.namespaced())
      add(cat("/", openapi_v3_path(gv.group(), gv.version()), "/", resource.plural()), std::span(kCollection).first(1),
          resource.verbs(), Place::kEverywhere, "");
    for (size_t i = 0; i < resource.subresource_count(); ++i) {
      const SubresourceView part = resource.subresource(i);
      add(cat(base, "/{name}/", part.name), kPart, part.verbs, Place::kItem, part.name);
    }
  }

  bool v3_;
  std::map<std::string, TypeView> wanted_;
  std::map<std::string, ResourceView> lists_;  // of custom resources
};

constexpr std::string_view kInfo = R"({"title":"Kubernetes","version":"v1.34.0"})";

}  // namespace

std::string definition_name(TypeView type) {
  std::string stem(type.group_version().package());
  if (stem.starts_with("k8s.io.")) stem.replace(0, 6, "io.k8s");
  std::ranges::replace(stem, '_', '-');
  return cat(stem, ".", type.name());
}

std::string openapi_v3_path(std::string_view group, std::string_view version) {
  return group.empty() ? cat("api/", version) : cat("apis/", group, "/", version);
}

std::string openapi_v2(std::span<const Table* const> tables) {
  std::string out;
  {
    JsonObject document(out);
    document.text("swagger", "2.0");
    document.raw("info", kInfo);
    Generator generator(OpenApiVersion::kV2);
    {
      JsonObject paths(document.key("paths"));
      for (const Table* table : tables)
        for (size_t i = 0; i < table->group_version_count(); ++i) generator.add_paths(paths, table->group_version(i));
    }
    generator.add_definitions(document.key("definitions"));
  }
  return out;
}

std::string openapi_v3(std::span<const GroupVersionView> group_versions) {
  std::string out;
  {
    JsonObject document(out);
    document.text("openapi", "3.0.0");
    document.raw("info", kInfo);
    Generator generator(OpenApiVersion::kV3);
    {
      JsonObject paths(document.key("paths"));
      for (const GroupVersionView& gv : group_versions) generator.add_paths(paths, gv);
    }
    JsonObject components(document.key("components"));
    generator.add_definitions(components.key("schemas"));
  }
  return out;
}

std::string openapi_v3_index(std::span<const OpenApiEntry> entries) {
  std::string out;
  {
    JsonObject document(out);
    JsonObject paths(document.key("paths"));
    for (const OpenApiEntry& entry : entries)
      paths.raw(
          entry.path,
          cat("{\"serverRelativeURL\":", quoted_json(cat("/openapi/v3/", entry.path, "?hash=", entry.hash)), "}"));
  }
  return out;
}

}  // namespace proa::kube
