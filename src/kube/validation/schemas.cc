// Schemas of custom resources: which are structural (KEP-20190425), and whether their defaults fit them. The tables
// that objects are handled by (custom/table.cc) are made of what passes here.
#include <algorithm>
#include <set>

#include "base/error.h"
#include "kube/custom/custom.h"
#include "kube/custom/invariants.h"
#include "kube/object/json.h"
#include "kube/validation/rules.h"

namespace proa::kube {
namespace {

constexpr int kMaxDepth = 64;

enum class Level : uint8_t { kRoot, kItem, kField };

bool set(const Spot& spot) { return spot.present() && !spot.empty(); }
bool on(const Spot& schema, std::string_view field) { return schema[field].value().as_bool(); }

void check_unsupported(const Spot& schema) {
  for (const std::string_view field :
       {"$ref", "definitions", "patternProperties", "dependencies", "additionalItems", "id", "$schema"})
    if (set(schema[field]) || schema[field].value().is_object())
      schema[field].forbidden(cat(field, " is not supported"));
  if (on(schema, "uniqueItems"))
    schema["uniqueItems"].forbidden("uniqueItems cannot be set to true since the runtime complexity becomes quadratic");
  if (schema["items"].value().is_array()) schema["items"].forbidden("items must be a schema object and not an array");
  if (schema["additionalProperties"].present() && schema["properties"].size() > 0 &&
      !schema["additionalProperties"].value().as_bool())
    schema["additionalProperties"].forbidden("additionalProperties and properties are mutual exclusive");
  if (schema["type"].text() == "null")
    schema["type"].forbidden("type cannot be set to null, use nullable as an alternative");
}

void check_map_keys(const Spot& schema) {
  const Spot keys = schema["x-kubernetes-list-map-keys"], items = schema["items"];
  if (keys.size() == 0) return keys.required("must not be empty if x-kubernetes-list-type is map");
  if (!items.value().is_object()) return items.required("must have a schema if x-kubernetes-list-type is map");
  if (items["type"].text() != "object")
    items["type"].invalid("must be object if parent array's x-kubernetes-list-type is map");
  const Value required = items.value().get("required");
  std::set<std::string_view> seen;
  for (size_t i = 0; i < keys.size(); ++i) {
    const std::string_view key = keys.item(i).text();
    const Spot property = items["properties"].key(key);
    if (!seen.insert(key).second) keys.item(i).duplicate();
    if (!property.value().is_object()) {
      keys.item(i).invalid("entries must all be names of item properties");
      continue;
    }
    const std::string_view type = property["type"].text();
    if (type == "array" || type == "object")
      property["type"].invalid("must be a scalar type if parent array's x-kubernetes-list-type is map");
    const auto is_key = [&](const Value& one) { return one.as_string() == key; };
    if (!property["default"].present() && std::ranges::none_of(required.items(), is_key))
      property["default"].required(
          "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property");
    if (on(property, "nullable"))
      property["nullable"].forbidden("this property is in x-kubernetes-list-map-keys, so it cannot be nullable");
  }
}

void check_list_type(const Spot& schema) {
  const Spot kind = schema["x-kubernetes-list-type"], type = schema["type"];
  if (schema["x-kubernetes-list-map-keys"].size() > 0 && kind.text() != "map") {
    constexpr std::string_view kWhy = "must be map if x-kubernetes-list-map-keys is non-empty";
    kind.empty() ? kind.required(kWhy) : kind.invalid(kWhy);
  }
  if (kind.present()) {
    constexpr std::string_view kWhy = "must be array if x-kubernetes-list-type is specified";
    if (type.text() != "array") type.empty() ? type.required(kWhy) : type.invalid(kWhy);
    if (kind.text() == "map")
      check_map_keys(schema);
    else if (kind.text() != "set" && kind.text() != "atomic")
      kind.unsupported({"atomic", "map", "set"});
    else if (kind.text() == "set" && !schema["items"].value().is_object())
      schema["items"].required("must have a schema if x-kubernetes-list-type is set");
    else if (kind.text() == "set" && on(schema["items"], "nullable"))
      schema["items"]["nullable"].forbidden("cannot be nullable when x-kubernetes-list-type is set");
  }
  const Spot map = schema["x-kubernetes-map-type"];
  if (!map.present()) return;
  constexpr std::string_view kWhy = "must be object if x-kubernetes-map-type is specified";
  if (type.text() != "object") type.empty() ? type.required(kWhy) : type.invalid(kWhy);
  if (map.text() != "atomic" && map.text() != "granular") map.unsupported({"atomic", "granular"});
}

void check_type(const Spot& schema, Level level) {
  const Spot type = schema["type"];
  const bool whole = on(schema, "x-kubernetes-embedded-resource");
  const bool any = on(schema, "x-kubernetes-int-or-string"), kept = on(schema, "x-kubernetes-preserve-unknown-fields");
  if (whole && type.text() != "object") {
    constexpr std::string_view kWhy = "must be object if x-kubernetes-embedded-resource is true";
    type.empty() ? type.required(kWhy) : type.invalid(kWhy);
  } else if (type.empty() && !any && !kept) {
    type.required(level == Level::kRoot   ? "must not be empty at the root"
                  : level == Level::kItem ? "must not be empty for specified array items"
                                          : "must not be empty for specified object fields");
  }
  if (!type.empty() && any) type.invalid("must be empty if x-kubernetes-int-or-string is true");
  if (level == Level::kRoot && !type.empty() && type.text() != "object") type.invalid("must be object at the root");
  constexpr std::string_view kTypes[] = {"array", "boolean", "integer", "null", "number", "object", "string"};
  if (!type.empty() && std::ranges::find(kTypes, type.text()) == std::end(kTypes))
    type.unsupported({"array", "boolean", "integer", "number", "object", "string"});
  if (whole && schema["additionalProperties"].present())
    schema["additionalProperties"].forbidden("must not be used if x-kubernetes-embedded-resource is set");
  if (whole && schema["properties"].size() == 0 && !kept)
    schema["properties"].required(
        "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields");
  const Spot keep = schema["x-kubernetes-preserve-unknown-fields"];
  if (keep.value().is_bool() && !kept) keep.invalid("must be true or undefined");
  if (type.text() == "array" && !schema["items"].present()) schema["items"].required("must be specified");
}

// The parts that all objects have are described by the server.
void check_frame(const Spot& schema, Level level) {
  if (level != Level::kRoot && !on(schema, "x-kubernetes-embedded-resource")) return;
  const Spot properties = schema["properties"];
  for (const std::string_view name : {"kind", "apiVersion"})
    if (const Spot property = properties.key(name); property.present() && property["type"].text() != "string")
      property["type"].invalid("must be string");
  const Spot metadata = properties.key("metadata");
  if (!metadata.present()) return;
  if (metadata["type"].text() != "object") metadata["type"].invalid("must be object");
  const Value named = metadata.value().get("properties");
  for (const Member& member : named.members())
    if (member.key != "name" && member.key != "generateName")
      metadata["properties"].forbidden(
          "must not specify anything other than name and generateName, but metadata is implicitly specified");
}

void check_rules(const Spot& schema) {
  const Spot rules = schema["x-kubernetes-validations"];
  for (size_t i = 0; i < rules.size(); ++i) {
    const Spot rule = rules.item(i)["rule"], message = rules.item(i)["message"];
    if (rule.text().find_first_not_of(" \t\n") == std::string_view::npos) rule.required("rule is not specified");
    if (message.present() && !message.empty() && message.text().find_first_not_of(" \t\n") == std::string_view::npos)
      message.invalid("message must be non-empty if specified");
    if (message.text().find('\n') != std::string_view::npos) message.invalid("message must not contain line breaks");
    if (message.text().size() > 2048) message.invalid("message must have a maximum length of 2048 characters");
  }
}

// A default has to be an object of the schema that it is in.
void check_default(const Spot& schema) {
  const Spot given = schema["default"];
  if (!given.present()) return;
  Arena arena;
  Value properties = Value::object(arena), root = Value::object(arena), version = Value::object(arena);
  Value versions = Value::array(arena), spec = Value::object(arena), definition = Value::object(arena);
  Value bare = Value::object_of(arena, schema.value().members());
  bare.erase("default");
  properties.add(arena, "default", bare);
  root.add(arena, "type", Value::view("object"));
  root.add(arena, "properties", properties);
  version.add(arena, "name", Value::view("v1"));
  version.child(arena, "schema").add(arena, "openAPIV3Schema", root);
  versions.push(arena, version);
  spec.add(arena, "versions", versions);
  definition.add(arena, "spec", spec);
  const auto bytes = build_custom_table(definition, "v1");
  if (!bytes) return;  // what is wrong with the schema is told elsewhere
  const Table table(*bytes, &builtin());
  const ResourceView resource(&table, table.resources().data());
  Value object = Value::object(arena);
  object.add(arena, "default", given.value());
  std::vector<std::string> unknown;
  const auto conformed = conform_custom(arena, resource, object, {.defaults = false, .unknown = &unknown});
  if (!conformed) return;
  if (!unknown.empty()) given.invalid("must not have unknown fields");
  const NodeView node = resource.type().find("default").node();
  Checks embedded;
  check_embedded(node, embedded.root(given.value()));
  given.add(embedded.errors().empty() ? validate_custom_part(node, given.value(), given.path())
                                      : placed(given.path(), embedded.take()));
}

// Below allOf, anyOf, oneOf and not: values only, no types.
void check_values(const Spot& schema, int depth, bool int_or_string) {
  if (depth > kMaxDepth) return;
  for (const std::string_view field : {"description", "title", "default", "additionalProperties"})
    if (schema[field].present() && !(schema[field].value().is_string() && schema[field].empty()))
      schema[field].forbidden("must be empty to be structural");
  if (!schema["type"].empty() && !int_or_string) schema["type"].forbidden("must be empty to be structural");
  if (on(schema, "nullable")) schema["nullable"].forbidden("must be false to be structural");
  for (const std::string_view field :
       {"x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource", "x-kubernetes-int-or-string"})
    if (on(schema, field)) schema[field].forbidden("must be false to be structural");
  for (const std::string_view field : {"x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type"})
    if (set(schema[field])) schema[field].forbidden("must be undefined to be structural");
  if (schema["items"].value().is_object()) check_values(schema["items"], depth + 1, false);
  for (const Member& member : schema["properties"].value().members())
    check_values(schema["properties"].key(member.key), depth + 1, false);
  for (const std::string_view list : {"allOf", "anyOf", "oneOf"})
    for (size_t i = 0; i < schema[list].size(); ++i) check_values(schema[list].item(i), depth + 1, int_or_string);
  if (schema["not"].value().is_object()) check_values(schema["not"], depth + 1, false);
}

// What the values speak of has to be there as a type.
void check_complete(const Spot& values, const Spot& types, int depth) {
  if (depth > kMaxDepth || !values.value().is_object()) return;
  for (const std::string_view list : {"allOf", "anyOf", "oneOf"})
    for (size_t i = 0; i < values[list].size(); ++i) check_complete(values[list].item(i), types, depth + 1);
  check_complete(values["not"], types, depth + 1);
  const bool map = types["additionalProperties"].value().is_object();
  for (const Member& member : values["properties"].value().members()) {
    const Spot there = map ? types["additionalProperties"] : types["properties"].key(member.key);
    const Spot here = values["properties"].key(member.key);
    if (!there.present() && !on(types, "x-kubernetes-preserve-unknown-fields"))
      types["properties"].key(member.key).required(cat("because it is defined in ", here.path()));
    else
      check_complete(here, there, depth + 1);
  }
  if (values["items"].value().is_object()) {
    if (!types["items"].present())
      types["items"].required(cat("because it is defined in ", values["items"].path()));
    else
      check_complete(values["items"], types["items"], depth + 1);
  }
}

void check_schema(const Spot& schema, Level level, int depth) {
  if (depth > kMaxDepth) return schema.forbidden("nested too deeply");
  check_unsupported(schema);
  check_type(schema, level);
  check_frame(schema, level);
  check_list_type(schema);
  check_rules(schema);
  check_default(schema);
  const bool any = on(schema, "x-kubernetes-int-or-string");
  for (const std::string_view list : {"allOf", "anyOf", "oneOf"})
    for (size_t i = 0; i < schema[list].size(); ++i) {
      check_values(schema[list].item(i), depth + 1, any);
      check_complete(schema[list].item(i), schema, depth + 1);
    }
  if (schema["not"].value().is_object()) {
    check_values(schema["not"], depth + 1, false);
    check_complete(schema["not"], schema, depth + 1);
  }
  if (schema["items"].value().is_object()) check_schema(schema["items"], Level::kItem, depth + 1);
  if (schema["additionalProperties"].value().is_object())
    check_schema(schema["additionalProperties"], Level::kField, depth + 1);
  for (const Member& member : schema["properties"].value().members())
    check_schema(schema["properties"].key(member.key), Level::kField, depth + 1);
}

}  // namespace

void check_custom_schema(const Spot& schema) { check_schema(schema, Level::kRoot, 0); }

}  // namespace proa::kube
