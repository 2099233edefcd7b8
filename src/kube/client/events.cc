#include "kube/client/events.h"

#include "base/log.h"
#include "kube/codec/time.h"

namespace proa::kube::api {
namespace {

std::string hex(uint64_t number) {
  static constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (int shift = 60; shift >= 0; shift -= 4) out += kDigits[(number >> shift) & 15];
  return out;
}

Value reference_to(Arena& arena, const Value& object) {
  Value out = Value::object(arena);
  for (const std::string_view field : {"kind", "apiVersion"}) out.add(arena, field, object.get(field));
  for (const std::string_view field : {"namespace", "name", "uid", "resourceVersion"})
    if (const Value value = object.get({"metadata", field}); !value.is_null()) out.add(arena, field, value);
  return out;
}

}  // namespace

net::Task<> record_event(Client& client, const Surroundings& around, EventNote note) {
  Arena arena;
  const std::string_view own = note.object.string({"metadata", "namespace"});
  const std::string_view ns = own.empty() ? "default" : own;
  const Value time = Value::text(
      arena,
      format_time(std::chrono::duration_cast<std::chrono::seconds>(around.clock.wall().time_since_epoch()).count()));
  Value metadata = Value::object(arena), source = Value::object(arena), event = Value::object(arena);
  metadata.add(arena, "name",
               Value::text(arena, cat(note.object.string({"metadata", "name"}), ".", hex(around.random()))));
  metadata.add(arena, "namespace", Value::view(ns));
  source.add(arena, "component", Value::view(note.component));
  event.add(arena, "apiVersion", Value::view("v1"));
  event.add(arena, "kind", Value::view("Event"));
  event.add(arena, "metadata", metadata);
  event.add(arena, "involvedObject", reference_to(arena, note.object));
  event.add(arena, "reason", Value::view(note.reason));
  event.add(arena, "message", Value::view(note.message));
  event.add(arena, "source", source);
  event.add(arena, "firstTimestamp", time);
  event.add(arena, "lastTimestamp", time);
  event.add(arena, "count", Value::integer(1));
  event.add(arena, "type", Value::view(note.type));
  event.add(arena, "reportingComponent", Value::view(note.component));
  const auto done = co_await client.create(
      arena, {.group = "", .version = "v1", .resource = "events", .ns = std::string(ns), .name = "", .subresource = ""},
      event);
  if (!done) log::warning("event ", note.reason, " in ", ns, ": ", done.error().message);
}

}  // namespace proa::kube::api
