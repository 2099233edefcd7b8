#include "kube/apiserver/serve/shape.h"

#include <algorithm>

#include "kube/apiserver/registry/convert.h"
#include "kube/apiserver/registry/scan.h"
#include "kube/apiserver/registry/splice.h"
#include "kube/apiserver/serve/resource_calls.h"
#include "kube/codec/protobuf.h"
#include "kube/object/json.h"
#include "kube/object/yaml.h"
#include "net/url.h"

namespace proa::kube::api {
namespace {

constexpr std::string_view kPartialHead = R"({"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/)";

void append_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

void set_api_version(Arena& arena, Value& object, std::string_view version) {
  object.set(arena, "apiVersion", Value::text(arena, cat("meta.k8s.io/", version)));
}

Value partial(Arena& arena, const Value& object, std::string_view version) {
  Value out = partial_metadata(arena, object);
  if (version != "v1") set_api_version(arena, out, version);
  return out;
}

std::string list_kind(const Call& call) {
  if (call.format.shape == Shape::kPartialList) return "PartialObjectMetadataList";
  const std::string_view own = call.resource->view.list_kind();
  return own.empty() ? cat(call.resource->kind(), "List") : std::string(own);
}

std::string list_version(const Call& call) {
  if (call.format.shape == Shape::kPlain) return call.resource->api_version();
  return cat("meta.k8s.io/", call.format.version);
}

}  // namespace

void append_field(std::string& out, uint32_t number, std::string_view bytes) {
  append_varint(out, number << 3 | 2);
  append_varint(out, bytes.size());
  out.append(bytes);
}

Answer<IncludeObject> include_object(const Call& call) {
  const net::Query query(call.request.query());
  const std::string_view text = query.get("includeObject");
  if (text.empty() || text == "Metadata") return IncludeObject::kMetadata;
  if (text == "Object") return IncludeObject::kObject;
  if (text == "None") return IncludeObject::kNone;
  return refuse(bad_request(cat("unrecognized includeObject value: \"", text, "\"")));
}

Value shaped(Call& call, Arena& arena, const Value& object, IncludeObject include, bool no_headers) {
  const Format& format = call.format;
  if (format.shape == Shape::kPlain) return object;
  if (format.shape != Shape::kTable) return partial(arena, object, format.version);
  Value metadata = Value::object(arena, 1);
  if (const std::string_view version = object.string({"metadata", "resourceVersion"}); !version.empty())
    metadata.add(arena, "resourceVersion", Value::view(version));
  const Value rows[] = {object};
  Value table = make_table(arena, call.resource->view, rows, metadata,
                           {.include = include, .no_headers = no_headers, .now = call.service.objects.parts().now()});
  if (format.version != "v1") set_api_version(arena, table, format.version);
  return table;
}

Served send_shaped(Call& call, int status, const Value& object, const BodyKind* kind) {
  const IncludeObject include = CO_TRY(include_object(call));
  const bool own_kind = object.string("kind") == call.resource->kind();
  TypeView type = kind != nullptr ? kind->type : call.resource->custom ? TypeView() : call.resource->view.type();
  if (object.string("kind") == "Status") type = meta_type("Status");
  if (call.format.shape == Shape::kPartial && own_kind) type = meta_type("PartialObjectMetadata");
  if (call.format.shape != Shape::kPlain && !own_kind) call.format.shape = Shape::kPlain;
  co_return co_await send_object(call, status, shaped(call, call.arena, object, include), type);
}

// --- lists

Value ListWriter::list_metadata(Arena& arena) const {
  Value out = Value::object(arena, 3);
  out.add(arena, "resourceVersion", Value::text(arena, cat(head_.revision)));
  if (!head_.continue_token.empty() || call_.resource->custom)
    out.add(arena, "continue", Value::text(arena, head_.continue_token));
  if (head_.remaining) out.add(arena, "remainingItemCount", Value::integer(*head_.remaining));
  return out;
}

Served ListWriter::begin() {
  include_ = CO_TRY(include_object(call_));
  Arena arena;
  std::string& out = by_pieces() ? body_.out() : whole_;
  if (call_.format.encoding == Encoding::kProtobuf) {
    append_field(whole_, 1, write_protobuf_message(meta_type("ListMeta"), list_metadata(arena)));
    co_return Answer<>();
  }
  if (call_.format.shape == Shape::kTable) {
    Value table = make_table(arena, call_.resource->view, {}, list_metadata(arena), {.include = include_});
    if (call_.format.version != "v1") set_api_version(arena, table, call_.format.version);
    write_json(out, table);
    out.resize(out.size() - 2);  // the rows come in here
  } else {
    out.append(R"({"kind":")").append(list_kind(call_)).append(R"(","apiVersion":")").append(list_version(call_));
    out.append(R"(","metadata":)");
    write_json(out, list_metadata(arena));
    out.append(R"(,"items":[)");
  }
  co_return Answer<>();
}

// An item as the list's form has it: objects of built-in kinds do not repeat what the list says of their kind.
Answer<> ListWriter::append(const store::Record& record) {
  std::string& out = by_pieces() ? body_.out() : whole_;
  const Resource& resource = *call_.resource;
  const bool proto = call_.format.encoding == Encoding::kProtobuf;
  const bool as_stored = served_as_stored(resource, record);
  if (!proto && !std::exchange(first_, false)) out += ',';
  if (!proto && as_stored && call_.format.shape == Shape::kPlain) {
    Spliced text = splice(record);
    if (!resource.custom) {
      out += '{';
      text.before.remove_prefix(resource.head.size());
    }
    text.append_to(out);
    return {};
  }
  if (!proto && as_stored) {
    const std::string_view metadata = scan_member(record.value(), "metadata");
    Spliced text = splice(record);
    const auto begin = static_cast<size_t>(metadata.data() - record.value().data());
    text.before.remove_prefix(begin);
    text.after = text.after.substr(0, begin + metadata.size() - splice_offset(record.note()));
    out.append(kPartialHead).append(call_.format.version).append(R"(","metadata":)");
    text.append_to(out);
    out += '}';
    return {};
  }
  Arena arena(record.value().size() * 3);
  Value object = TRY(read_record(arena, *call_.catalog, resource, record));
  if (call_.format.shape == Shape::kPartialList) object = partial(arena, object, call_.format.version);
  if (proto) {
    const bool whole = call_.format.shape == Shape::kPlain;
    append_field(out, 2,
                 write_protobuf_message(whole ? resource.view.type() : meta_type("PartialObjectMetadata"), object));
    return {};
  }
  if (!resource.custom && call_.format.shape == Shape::kPlain) {
    object.erase("kind");
    object.erase("apiVersion");
  }
  write_json(out, object);
  return {};
}

Answer<> ListWriter::append_rows(std::span<const store::RecordPtr> records) {
  std::string& out = by_pieces() ? body_.out() : whole_;
  Arena arena(64 << 10);
  std::vector<Value> objects;
  for (const store::RecordPtr& record : records)
    objects.push_back(TRY(read_record(arena, *call_.catalog, *call_.resource, *record)));
  const Value table = make_table(arena, call_.resource->view, objects, Value(),
                                 {.include = include_, .no_headers = true, .now = call_.service.objects.parts().now()});
  const Value rows = table.get("rows");
  for (Value& row : rows.items()) {
    if (!std::exchange(first_, false)) out += ',';
    if (call_.format.version != "v1" && include_ == IncludeObject::kMetadata)
      set_api_version(arena, *row.find("object"), call_.format.version);
    write_json(out, row);
  }
  return {};
}

Served ListWriter::add(std::span<const store::RecordPtr> records) {
  constexpr size_t kRows = 64;  // parsed at a time
  while (!records.empty()) {
    const auto part = records.first(std::min(records.size(), kRows));
    records = records.subspan(part.size());
    if (call_.format.shape == Shape::kTable) {
      CO_TRY(append_rows(part));
    } else {
      for (const store::RecordPtr& record : part) CO_TRY(append(*record));
    }
    if (by_pieces()) CO_TRY(co_await body_.spill());
  }
  co_return Answer<>();
}

Served ListWriter::finish() {
  if (!by_pieces()) co_return co_await finish_whole();
  body_.out().append("]}\n");
  co_return co_await body_.finish();
}

Served ListWriter::finish_whole() {
  std::string& out = body_.out();
  if (call_.format.encoding == Encoding::kProtobuf) {
    std::string type;
    append_field(type, 1, list_version(call_));
    append_field(type, 2, list_kind(call_));
    out.append({"k8s\0", 4});
    append_field(out, 1, type);
    append_field(out, 2, whole_);
    append_field(out, 3, "");
    append_field(out, 4, "");
  } else {
    whole_.append("]}");
    if (call_.format.encoding == Encoding::kYaml) {
      const auto document = read_json(whole_);
      if (!document) co_return refuse(internal_error(document.error().message()));
      out.append(write_yaml(document->root));
    } else {
      out = pretty_json(whole_) + "\n";
    }
  }
  co_return co_await body_.finish();
}

Served serve_list(Call& call) {
  call.format =
      CO_TRY(negotiate_format(call.request, {.protobuf = !call.resource->custom, .shapes = true, .lists = true}));
  const ListOptions options = CO_TRY(parse_list_options(call.request.query()));
  const Context context = call.context();
  const std::unique_ptr<List> list = CO_TRY(co_await List::begin(call.service.objects, context, options));
  ListWriter writer(call, list->head());
  std::vector<store::RecordPtr> limited;
  if (list->limited()) {  // its head tells how it ended
    for (;;) {
      std::vector<store::RecordPtr> records = CO_TRY(list->next());
      if (records.empty()) break;
      std::ranges::move(records, std::back_inserter(limited));
    }
    CO_TRY(co_await writer.begin());
    CO_TRY(co_await writer.add(limited));
    co_return co_await writer.finish();
  }
  CO_TRY(co_await writer.begin());
  for (;;) {
    const std::vector<store::RecordPtr> records = CO_TRY(list->next());
    if (records.empty()) co_return co_await writer.finish();
    CO_TRY(co_await writer.add(records));
  }
}

}  // namespace proa::kube::api
