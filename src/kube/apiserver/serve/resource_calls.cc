#include "kube/apiserver/serve/resource_calls.h"

#include <algorithm>
#include <optional>

#include "kube/apiserver/registry/attempt.h"
#include "kube/apiserver/registry/convert.h"
#include "kube/apiserver/registry/list.h"
#include "kube/apiserver/registry/splice.h"
#include "kube/apiserver/registry/strategy.h"
#include "kube/apiserver/registry/subresources.h"
#include "kube/apiserver/serve/body.h"
#include "kube/apiserver/serve/shape.h"
#include "kube/apiserver/serve/writer.h"
#include "kube/client/gather.h"
#include "kube/object/json.h"
#include "kube/object/yaml.h"
#include "kube/validation/validate.h"
#include "net/conditional.h"
#include "net/url.h"

namespace proa::kube::api {
namespace {

constexpr size_t kDeleteTurn = 32;  // of a collection at once, before others get their turn

uint16_t verb_bit(std::string_view verb) {
  for (size_t i = 0; i < std::size(kVerbNames); ++i)
    if (kVerbNames[i] == verb) return static_cast<uint16_t>(1u << i);
  return 0;
}

bool connects(std::string_view subresource) {
  for (const std::string_view name : {"log", "exec", "attach", "portforward", "proxy"})
    if (name == subresource) return true;
  return false;
}

Answer<> settle_format(Call& call, bool shapes) {
  call.format = TRY(negotiate_format(call.request, {.protobuf = !call.resource->custom, .shapes = shapes}));
  return {};
}

BodyKind kind_of(const Call& call) { return body_kind(*call.resource, call.info.subresource); }

// What Objects warned of goes out with the answer; what admission noted, into the audit log.
void keep_warnings(Call& call, Context& context) {
  if (call.audit)
    for (const auto& [key, value] : context.annotations) call.audit->annotate(key, value);
  std::ranges::move(context.warnings, std::back_inserter(call.warnings));
}

// The stored bytes are what the client asked for.
bool sent_as_stored(const Call& call, const store::Record& record) {
  return call.format.as_stored() && served_as_stored(*call.resource, record);
}

Served send_record(Call& call, int status, const store::Record& record) {
  BodyWriter body(call, status, content_type(Encoding::kJson));
  splice(record).append_to(body.out());
  body.out() += '\n';
  co_return co_await body.finish();
}

Served send_written(Call& call, Answer<Written> written, const BodyKind& kind) {
  if (!written) co_return refuse(std::move(written.error()));
  if (call.audit && call.info.name.empty()) call.audit->set_name(written->object.string({"metadata", "name"}));
  const int status = written->created ? 201 : 200;
  if (call.info.subresource.empty() && written->record != nullptr && sent_as_stored(call, *written->record))
    co_return co_await send_record(call, status, *written->record);
  co_return co_await send_shaped(call, status, written->object, &kind);
}

// What DELETE says when nothing is left to show.
Value success(Call& call, const Value& object) {
  Arena& arena = call.arena;
  Value out = Value::object(arena, 5);
  out.add(arena, "kind", Value::view("Status"));
  out.add(arena, "apiVersion", Value::view("v1"));
  out.add(arena, "metadata", Value::object(arena));
  out.add(arena, "status", Value::view("Success"));
  Value details = Value::object(arena, 4);
  details.add(arena, "name", Value::text(arena, call.info.name));
  if (!call.resource->group().empty()) details.add(arena, "group", Value::view(call.resource->group()));
  details.add(arena, "kind", Value::view(call.resource->view.plural()));
  if (const std::string_view uid = object.string({"metadata", "uid"}); !uid.empty())
    details.add(arena, "uid", Value::view(uid));
  out.add(arena, "details", details);
  return out;
}

ApiError not_allowed() {
  ApiError out;
  out.code = 405;
  out.reason = "MethodNotAllowed";
  out.message = "the server does not allow this method on the requested resource";
  return out;
}

std::optional<PatchKind> patch_kind(std::string_view type) {
  const auto media = net::MediaType::parse(type);
  if (!media) return std::nullopt;
  const std::string essence = media->essence();
  if (essence == "application/json-patch+json") return PatchKind::kJson;
  if (essence == "application/merge-patch+json") return PatchKind::kMerge;
  if (essence == "application/strategic-merge-patch+json") return PatchKind::kStrategic;
  if (essence == "application/apply-patch+yaml") return PatchKind::kApply;
  return std::nullopt;
}

ApiError unknown_patch(bool custom) {
  return unsupported_media_type(
      cat("the body of the request was in an unknown format - accepted media types include: "
          "application/json-patch+json, application/merge-patch+json",
          custom ? "" : ", application/strategic-merge-patch+json", ", application/apply-patch+yaml"));
}

// A configuration has to say what it is of.
Answer<> check_applied(Call& call, std::string_view text) {
  Arena scratch;
  const auto document = text.starts_with('{') ? read_json(scratch, text) : read_yaml(scratch, text);
  if (!document) return refuse(bad_request(cat("error decoding YAML: ", document.error().message())));
  const BodyKind wanted = kind_of(call);
  const std::string_view version = document->string("apiVersion"), kind = document->string("kind");
  if (version == wanted.api_version() && kind == wanted.kind) return {};
  if (!version.empty() && !kind.empty() && kind == wanted.kind)
    return refuse(bad_request(cat("Incorrect version specified in apply patch. Specified patch version: ", version,
                                  ", expected: ", wanted.api_version())));
  return refuse(bad_request(cat("invalid object type: ", version.empty() ? "/" : version, ", Kind=", kind)));
}

// The patch as a document; duplicate fields in it are judged as those of objects.
Answer<Value> parse_patch(Call& call, Context& context, PatchKind kind, std::string_view text,
                          FieldValidation validation) {
  Value out;
  std::vector<std::string> duplicates, faults;
  if (kind == PatchKind::kApply) {
    TRY(check_applied(call, text));
    BodyDocument document =
        TRY(parse_body(call, text.starts_with('{') ? Encoding::kJson : Encoding::kYaml, text, kind_of(call)));
    out = document.root;
    duplicates = std::move(document.duplicates);
    faults = std::move(document.faults);
  } else {
    auto read = read_json(call.arena, text, {.duplicates = &duplicates});
    if (!read) return refuse(bad_request(cat("error decoding patch: ", read.error().message())));
    out = *read;
    if (kind == PatchKind::kJson ? !out.is_array() : !out.is_object())
      return refuse(bad_request(kind == PatchKind::kJson
                                    ? "json: cannot unmarshal object into Go value of type jsonpatch.Patch"
                                    : "json: cannot unmarshal array into Go value of type map[string]interface {}"));
  }
  if (const std::string why = judge_fields(context, validation, {}, duplicates, faults); !why.empty())
    return refuse(kind == PatchKind::kApply
                      ? bad_request(why)
                      : invalid("", "", "", {{FieldError::Type::kInvalid, "patch", quoted(text), why}}));
  return out;
}

}  // namespace

Served serve_resource(Call& call) {
  const std::string& verb = call.info.verb;
  if (call.part && connects(call.part->name)) {
    const Context context = call.context();
    ApiError refused = connect_refused(call.service.objects.reader(), context, call.request.query());
    if (refused.code == 0) co_return co_await send_text(call, 200, "");
    co_return refuse(std::move(refused));
  }
  const uint16_t bits = call.part ? call.part->verbs : call.resource->view.verbs();
  // Methods of a collection are not those of an object.
  const bool of_one = verb == "patch" || verb == "update", of_all = verb == "create" && !call.part;
  if (of_one && call.info.name.empty() && call.resource->custom) co_return refuse(bad_request("name must be provided"));
  if ((bits & verb_bit(verb)) == 0 || (of_one && call.info.name.empty()) || (of_all && !call.info.name.empty()))
    co_return refuse(not_allowed());
  if (verb == "get") co_return co_await serve_get(call);
  if (verb == "list") co_return co_await serve_list(call);
  if (verb == "watch") co_return co_await serve_watch(call);
  if (verb == "create") co_return co_await serve_create(call);
  if (verb == "update") co_return co_await serve_update(call);
  if (verb == "patch") co_return co_await serve_patch(call);
  if (verb == "delete") co_return co_await serve_delete(call);
  co_return co_await serve_delete_collection(call);
}

Served serve_get(Call& call) {
  CO_TRY(settle_format(call, true));
  const Context context = call.context();
  const Objects& objects = call.service.objects;
  const auto revision = CO_TRY(parse_revision(net::Query(call.request.query()).get("resourceVersion")));
  if (revision && *revision > 0) CO_TRY(co_await wait_for_revision(objects.parts().store, *revision));
  if (!revision) static_cast<void>(co_await objects.parts().store.fresh());
  const auto record = objects.parts().store.get(call.resource->key(context.ns, context.name));
  if (!record) co_return refuse(store_refusal(record.error(), context.name));
  if (*record == nullptr) co_return refuse(not_found(call.resource->qualified, context.name));
  const Subresource* special =
      context.subresource.empty() ? nullptr : objects.parts().subresources.find(*call.resource, context.subresource);
  const bool itself = special == nullptr || !special->show;
  if (itself && sent_as_stored(call, **record)) co_return co_await send_record(call, 200, **record);
  Value object = CO_TRY(read_record(call.arena, *call.catalog, *call.resource, **record));
  if (!itself) object = special->show(call.arena, *call.resource, object);
  const BodyKind kind = kind_of(call);
  co_return co_await send_shaped(call, 200, object, &kind);
}

Served serve_create(Call& call) {
  CO_TRY(settle_format(call, true));
  Context context = call.context();
  WriteOptions options = CO_TRY(parse_write_options(call.request.query(), WriteKind::kCreate));
  options.field_manager = call.manager(options.field_manager);
  const BodyKind kind = kind_of(call);
  const Value object = CO_TRY(co_await read_object(call, context, kind, options.validation));
  options.in_form = kind.own_kind;
  auto written = co_await call.service.objects.create(context, object, options);
  keep_warnings(call, context);
  if (written) written->created = true;
  co_return co_await send_written(call, std::move(written), kind);
}

Served serve_update(Call& call) {
  CO_TRY(settle_format(call, true));
  Context context = call.context();
  WriteOptions options = CO_TRY(parse_write_options(call.request.query(), WriteKind::kUpdate));
  options.field_manager = call.manager(options.field_manager);
  const BodyKind kind = kind_of(call);
  const Value object = CO_TRY(co_await read_object(call, context, kind, options.validation));
  auto written = co_await call.service.objects.update(context, object, options);
  keep_warnings(call, context);
  co_return co_await send_written(call, std::move(written), kind);
}

Served serve_patch(Call& call) {
  CO_TRY(settle_format(call, true));
  Context context = call.context();
  const auto kind = patch_kind(call.request.headers().get("Content-Type"));
  if (!kind || (*kind == PatchKind::kStrategic && call.resource->custom))
    co_return refuse(unknown_patch(call.resource->custom));
  WriteOptions options = CO_TRY(
      parse_write_options(call.request.query(), *kind == PatchKind::kApply ? WriteKind::kApply : WriteKind::kPatch));
  if (*kind != PatchKind::kApply) options.field_manager = call.manager(options.field_manager);
  const std::string text = CO_TRY(co_await read_body(call));
  const Value patch = CO_TRY(parse_patch(call, context, *kind, text, options.validation));
  if (call.audit) call.audit->set_request(patch);
  auto written = co_await call.service.objects.patch(context, *kind, patch, options);
  keep_warnings(call, context);
  const BodyKind body = kind_of(call);
  co_return co_await send_written(call, std::move(written), body);
}

Served serve_delete(Call& call) {
  CO_TRY(settle_format(call, true));
  Context context = call.context();
  const Value body = CO_TRY(co_await read_delete_options(call));
  const DeleteOptions options = CO_TRY(parse_delete_options(call.request.query(), body));
  const auto deleted = co_await call.service.objects.remove(context, options);
  keep_warnings(call, context);
  if (!deleted) co_return refuse(deleted.error());
  if (deleted->still_there || call.resource->strategy->returns_deleted)
    co_return co_await send_shaped(call, 200, deleted->object);
  co_return co_await send_object(call, 200, success(call, deleted->object), meta_type("Status"));
}

// One of a collection; what is gone already is fine. The first refusal is kept.
net::Task<> remove_one(Call& call, const Context& context, const DeleteOptions& options, const store::Record& record,
                       std::optional<ApiError>& refused) {
  if (refused) co_return;
  Arena arena;
  Context one{.catalog = context.catalog,
              .resource = context.resource,
              .subresource = {},
              .ns = {},
              .name = {},
              .user = context.user,
              .arena = arena,
              .warnings = {},
              .annotations = {}};
  std::string_view rest = record.key().substr(call.resource->prefix.size());
  if (call.resource->namespaced()) {
    const size_t slash = rest.find('/');
    one.ns = rest.substr(0, slash);
    rest.remove_prefix(slash + 1);
  }
  one.name = rest;
  auto deleted = co_await call.service.objects.remove(one, options);
  if (!deleted && deleted.error().code != 404 && !refused) refused = std::move(deleted.error());
}

Served serve_delete_collection(Call& call) {
  CO_TRY(settle_format(call, false));
  Context context = call.context();
  const Value body = CO_TRY(co_await read_delete_options(call));
  DeleteOptions options = CO_TRY(parse_delete_options(call.request.query(), body));
  ListOptions wanted = CO_TRY(parse_list_options(call.request.query()));
  context.name.clear();
  const std::unique_ptr<List> list = CO_TRY(co_await List::begin(call.service.objects, context, wanted));
  ListWriter writer(call, list->head());
  std::vector<store::RecordPtr> shown;
  for (;;) {
    std::vector<store::RecordPtr> records = CO_TRY(list->next());
    if (records.empty()) break;
    std::ranges::move(records, std::back_inserter(shown));
  }
  std::optional<ApiError> refused;
  // So many that they share commits, and others get their turn.
  for (size_t from = 0; from < shown.size() && !refused; from += kDeleteTurn) {
    const size_t count = std::min(kDeleteTurn, shown.size() - from);
    co_await gather(count, count,
                    [&](size_t i) { return remove_one(call, context, options, *shown[from + i], refused); });
    co_await net::sleep(net::Duration(0));
  }
  if (refused) co_return refuse(*std::move(refused));
  CO_TRY(co_await writer.begin());
  CO_TRY(co_await writer.add(shown));
  co_return co_await writer.finish();
}

}  // namespace proa::kube::api
