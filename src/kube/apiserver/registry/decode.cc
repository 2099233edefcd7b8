#include "kube/apiserver/registry/decode.h"

#include <algorithm>
#include <iterator>

#include "kube/codec/conform.h"
#include "kube/custom/custom.h"
#include "kube/defaulting/defaults.h"

namespace proa::kube::api {

BodyKind body_kind(const Resource& resource, std::string_view subresource) {
  BodyKind out{.custom = resource.custom ? &resource : nullptr,
               .type = resource.view.type(),
               .resource = resource.view,
               .own_kind = true,
               .group = std::string(resource.group()),
               .version = std::string(resource.version()),
               .kind = std::string(resource.kind())};
  if (subresource.empty()) return out;
  const auto part = resource.view.find_subresource(subresource);
  if (!part || part->kind.empty()) return out;
  out.custom = nullptr;
  out.own_kind = false;
  out.group = part->group;
  out.version = part->version;
  out.kind = part->kind;
  out.type = builtin().find_type(out.group, out.version, out.kind);
  return out;
}

Result<Value> conform_as(Arena& arena, const BodyKind& kind, const Value& in, bool defaults,
                         std::vector<std::string>* unknown) {
  if (kind.custom != nullptr)
    return conform_custom(arena, kind.custom->view, in, {.defaults = defaults, .unknown = unknown});
  auto out = conform(arena, kind.type, in, {.defaults = defaults, .unknown = unknown});
  if (out && defaults && kind.own_kind) set_defaults(arena, kind.resource, *out);
  return out;
}

std::string judge_fields(Context& context, FieldValidation validation, const std::vector<std::string>& unknown,
                         const std::vector<std::string>& duplicates, const std::vector<std::string>& texts) {
  if (validation == FieldValidation::kIgnore) return {};
  std::vector<std::string> messages = texts;
  // Those of built-in kinds are told as they are found, fields that nobody knows first.
  const bool custom = context.resource->custom;
  std::ranges::move(custom ? strict_messages({}, duplicates) : strict_messages(unknown, duplicates),
                    std::back_inserter(messages));
  if (custom) std::ranges::move(strict_messages(unknown, {}), std::back_inserter(messages));
  if (messages.empty()) return {};
  if (validation == FieldValidation::kStrict) return strict_error(messages);
  for (std::string& message : messages) context.warnings.push_back(std::move(message));
  return {};
}

Answer<Value> decode_object(Context& context, const BodyKind& kind, const Value& in, FieldValidation validation,
                            const std::vector<std::string>& duplicates, const std::vector<std::string>& texts) {
  const auto refused = [&](std::string_view why) {
    return refuse(bad_request(
        cat(kind.kind, " in version \"", kind.version, "\" cannot be handled as a ", kind.kind, ": ", why)));
  };
  std::vector<std::string> unknown;
  const auto object = conform_as(context.arena, kind, in, true, &unknown);
  if (!object) return refused(object.error().message());
  if (const std::string why = judge_fields(context, validation, unknown, duplicates, texts); !why.empty())
    return refused(why);
  return *object;
}

}  // namespace proa::kube::api
