#include "kube/printer/columns.h"

#include "base/text.h"
#include "kube/codec/time.h"
#include "kube/object/json.h"
#include "kube/printer/functions.h"

namespace proa::kube {
namespace {

// ".spec.replicas"; with a question mark at the end, "<none>" where nothing is. With a plus it is a number in a column
// of text, as upstream has them.
Value by_path(std::string_view source, const Value& object) {
  const bool optional = source.ends_with('?');
  if (optional || source.ends_with('+')) source.remove_suffix(1);
  std::string_view rest = source.substr(1);
  const Value* at = &object;
  while (!rest.empty() && at != nullptr) at = at->find(cut(rest, '.'));
  const bool nothing = at == nullptr || at->is_null() || (at->is_string() && at->as_string().empty());
  if (!nothing) return *at;
  return optional ? Value::view("<none>") : Value();
}

Value cell(Arena& arena, const ColumnView& column, const Value& object, int64_t now) {
  if (!column.source.starts_with('.')) {
    const CellFunction function = cell_function(column.source);
    return function == nullptr ? Value() : function({arena, object, now});
  }
  const Value found = by_path(column.source, object);
  if (found.is_null()) {
    if (column.type == "integer" || column.source.ends_with('+')) return Value::integer(0);
    return column.type == "boolean" ? Value::boolean(false) : Value::view("");
  }
  if (column.type == "date") {
    const auto since = parse_time(found.is_string() ? found.as_string() : "");
    return since ? Value::text(arena, human_duration(now - since->seconds)) : Value::view("<unknown>");
  }
  if (column.source.ends_with('+')) return found;
  if (column.type == "string" && !found.is_string()) return Value::text(arena, write_json(found));
  return found;
}

// What the row carries besides its cells.
Value row_object(Arena& arena, const Value& object, IncludeObject include) {
  return include == IncludeObject::kObject ? object : partial_metadata(arena, object);
}

}  // namespace

Value partial_metadata(Arena& arena, const Value& object) {
  Value out = Value::object(arena, 3);
  out.add(arena, "kind", Value::view("PartialObjectMetadata"));
  out.add(arena, "apiVersion", Value::view("meta.k8s.io/v1"));
  out.add(arena, "metadata", object.get("metadata"));
  return out;
}

Value table_cells(Arena& arena, const ResourceView& resource, const Value& object, int64_t now) {
  const size_t count = resource.column_count();
  Value cells = Value::array(arena, count + 2);
  for (size_t i = 0; i < count; ++i) cells.push(arena, cell(arena, resource.column(i), object, now));
  if (count > 0) return cells;
  cells.push(arena, object.get({"metadata", "name"}));
  const Value created = object.get({"metadata", "creationTimestamp"});
  cells.push(arena, created.is_null() ? Value::view("<unknown>") : created);
  return cells;
}

Value make_table(Arena& arena, const ResourceView& resource, std::span<const Value> objects, const Value& list_metadata,
                 const TableOptions& options) {
  Value definitions = Value::array(arena, resource.column_count() + 2);
  const auto define = [&](const ColumnView& column) {
    Value definition = Value::object(arena, 5);
    definition.add(arena, "name", Value::view(column.name));
    definition.add(arena, "type", Value::view(column.type));
    definition.add(arena, "format", Value::view(column.format));
    definition.add(arena, "description", Value::view(column.description));
    definition.add(arena, "priority", Value::integer(column.priority));
    definitions.push(arena, definition);
  };
  for (size_t i = 0; i < resource.column_count(); ++i) define(resource.column(i));
  if (resource.column_count() == 0) {
    define({.name = "Name",
            .type = "string",
            .format = "name",
            .description = "Name of the object.",
            .source = "",
            .priority = 0});
    define({.name = "Created At",
            .type = "date",
            .format = "",
            .description = "When the object was made.",
            .source = "",
            .priority = 0});
  }
  Value rows = Value::array(arena, objects.size());
  for (const Value& object : objects) {
    Value row = Value::object(arena, 2);
    row.add(arena, "cells", table_cells(arena, resource, object, options.now));
    row.add(arena, "object",
            options.include == IncludeObject::kNone ? Value() : row_object(arena, object, options.include));
    rows.push(arena, row);
  }
  Value table = Value::object(arena, 5);
  table.add(arena, "kind", Value::view("Table"));
  table.add(arena, "apiVersion", Value::view("meta.k8s.io/v1"));
  table.add(arena, "metadata", list_metadata.is_null() ? Value::object(arena) : list_metadata);
  table.add(arena, "columnDefinitions", options.no_headers ? Value() : definitions);
  table.add(arena, "rows", rows);
  return table;
}

}  // namespace proa::kube
