// PATCH: the object that a patch makes of what is there, or of nothing.
#include "kube/apiserver/registry/attempt.h"
#include "kube/apiserver/registry/decode.h"
#include "kube/apiserver/registry/objects.h"
#include "kube/apiserver/registry/strategy.h"
#include "kube/object/json.h"
#include "kube/patch/json_patch.h"
#include "kube/patch/managed_fields.h"
#include "kube/patch/strategic.h"
#include "kube/validation/validate.h"

namespace proa::kube::api {
namespace {

struct PatchCall {
  Context& context;
  const Objects::Parts& parts;
  PatchKind kind;
  Value patch;
  const WriteOptions& options;
  BodyKind body;               // what is patched: the resource's kind, or its subresource's
  const Subresource* special;  // null: the object itself
};

ApiError unprocessable(std::string_view why) {
  ApiError out;
  out.code = 422;
  out.reason = "Invalid";
  out.message = "the server rejected our request due to an error in our request";
  out.causes.push_back({"UnexpectedServerResponse", std::string(why), ""});
  return out;
}

// A patch whose result is no object of the kind.
ApiError invalid_patch(const Value& patched, std::string_view why) {
  return invalid("", "", "", {{FieldError::Type::kInvalid, "patch", quoted(write_json(patched)), std::string(why)}});
}

Answer<Value> patched(const PatchCall& call, Arena& arena, const Value& before) {
  switch (call.kind) {
    case PatchKind::kJson: {
      if (call.patch.size() > kMostPatchOperations)
        return refuse(entity_too_large(cat("The allowed maximum operations in a JSON patch is ", kMostPatchOperations,
                                           ", got ", call.patch.size())));
      auto out = apply_json_patch(arena, before, call.patch);
      if (!out) return refuse(unprocessable(out.error().message()));
      return *out;
    }
    case PatchKind::kMerge: return apply_merge_patch(arena, before, call.patch);
    default: {
      auto out = apply_strategic_patch(arena, call.body.type, before, call.patch);
      if (!out) return refuse(bad_request(out.error().message()));
      return *out;
    }
  }
}

Answer<Value> patch_by_content(const PatchCall& call, Arena& arena, const Value& before) {
  const Value after = TRY(patched(call, arena, before));
  if (!after.is_object()) return refuse(invalid_patch(after, "json: cannot unmarshal into Go value"));
  std::vector<std::string> unknown;
  const auto object = conform_as(arena, call.body, after, true, &unknown);
  if (!object) return refuse(invalid_patch(after, object.error().message()));
  const std::string why = judge_fields(call.context, call.options.validation, unknown, {});
  if (!why.empty()) return refuse(invalid_patch(after, why));
  return *object;
}

ApiError conflicts_of(const std::vector<FieldConflict>& conflicts) {
  ApiError out;
  out.code = 409;
  out.reason = "Conflict";
  out.message = conflict_message(conflicts);
  for (const FieldConflict& one : conflicts)
    out.causes.push_back({"FieldManagerConflict", cat("conflict with ", one.manager), one.path});
  return out;
}

Answer<Value> apply(const PatchCall& call, Arena& arena, const Value& old_object) {
  const Context& context = call.context;
  Value live = old_object;
  if (live.is_null()) live = TRY(empty_object(arena, *context.resource));
  const FieldWriter writer{.manager = call.options.field_manager,
                           .api_version = arena.copy(context.resource->api_version()),
                           .subresource = context.subresource,
                           .now = call.parts.now()};
  auto applied = apply_fields(arena, context.resource->view.type(), live, call.patch, writer, call.options.force);
  if (!applied) {
    ApiError error = bad_request(applied.error().message());
    if (call.patch.get({"metadata", "managedFields"}).size() == 0) error.code = 500, error.reason.clear();
    return refuse(std::move(error));
  }
  if (!applied->conflicts.empty()) return refuse(conflicts_of(applied->conflicts));
  return applied->object;
}

}  // namespace

net::Task<Answer<Written>> Objects::patch(Context& context, PatchKind kind, Value patch, const WriteOptions& options) {
  const Resource& resource = *context.resource;
  WriteOptions how = options;
  const Subresource* special =
      context.subresource.empty() ? nullptr : parts_.subresources.find(resource, context.subresource);
  const PatchCall call{context,
                       parts_,
                       kind,
                       patch,
                       options,
                       body_kind(resource, context.subresource),
                       special != nullptr && special->take ? special : nullptr};
  how.applied = kind == PatchKind::kApply && call.special == nullptr;
  const Change change = [&](Arena& arena, const Value& old_object) -> Answer<Value> {
    if (call.special != nullptr) {
      const Value before = shown(context, old_object);
      // A configuration of a subresource with a kind of its own: what it says replaces what is there.
      const Value after = kind == PatchKind::kApply ? apply_merge_patch(arena, before, patch)
                                                    : TRY(patch_by_content(call, arena, before));
      return call.special->take(context, old_object, after);
    }
    if (kind == PatchKind::kApply) return apply(call, arena, old_object);
    return patch_by_content(call, arena, old_object);
  };
  const bool creates = kind == PatchKind::kApply && context.subresource.empty();
  co_return co_await store(context, creates ? Mode::kCreateOrUpdate : Mode::kUpdate, how, change);
}

}  // namespace proa::kube::api
