#include "kube/object/status.h"

#include "base/error.h"

namespace proa::kube {
namespace {

// "deployments.apps" names a resource and its group.
ApiError about(int code, std::string_view reason, std::string_view resource, std::string_view name,
               std::string message) {
  ApiError out;
  out.code = code;
  out.reason = reason;
  out.message = std::move(message);
  const size_t dot = resource.find('.');
  out.kind = resource.substr(0, dot);
  if (dot != std::string_view::npos) out.group = resource.substr(dot + 1);
  out.name = name;
  return out;
}

ApiError plain(int code, std::string_view reason, std::string_view message) {
  ApiError out;
  out.code = code;
  out.reason = reason;
  out.message = message;
  return out;
}

void add_text(Arena& arena, Value& object, std::string_view key, std::string_view text) {
  if (!text.empty()) object.add(arena, key, Value::text(arena, text));
}

}  // namespace

Value ApiError::status(Arena& arena) const {
  Value out = Value::object(arena, 8);
  out.add(arena, "kind", Value::view("Status"));
  out.add(arena, "apiVersion", Value::view("v1"));
  Value metadata = Value::object(arena);
  add_text(arena, metadata, "continue", continue_token);
  out.add(arena, "metadata", metadata);
  out.add(arena, "status", Value::view("Failure"));
  add_text(arena, out, "message", message);
  add_text(arena, out, "reason", reason);
  Value details = Value::object(arena, 6);
  add_text(arena, details, "name", name);
  add_text(arena, details, "group", group);
  add_text(arena, details, "kind", kind);
  add_text(arena, details, "uid", uid);
  if (!causes.empty()) {
    Value list = Value::array(arena, causes.size());
    for (const StatusCause& cause : causes) {
      Value entry = Value::object(arena, 3);
      add_text(arena, entry, "reason", cause.reason);
      add_text(arena, entry, "message", cause.message);
      add_text(arena, entry, "field", cause.field);
      list.push(arena, entry);
    }
    details.add(arena, "causes", list);
  }
  if (retry_after_seconds > 0) details.add(arena, "retryAfterSeconds", Value::integer(retry_after_seconds));
  if (details.size() > 0) out.add(arena, "details", details);
  out.add(arena, "code", Value::integer(code));
  return out;
}

ApiError not_found(std::string_view resource, std::string_view name) {
  return about(404, "NotFound", resource, name, cat(resource, " \"", name, "\" not found"));
}

ApiError already_exists(std::string_view resource, std::string_view name) {
  return about(409, "AlreadyExists", resource, name, cat(resource, " \"", name, "\" already exists"));
}

ApiError conflict(std::string_view resource, std::string_view name, std::string_view why) {
  if (why.empty()) why = "the object has been modified; please apply your changes to the latest version and try again";
  return about(409, "Conflict", resource, name,
               cat("Operation cannot be fulfilled on ", resource, " \"", name, "\": ", why));
}

ApiError forbidden(std::string_view resource, std::string_view name, std::string_view why) {
  if (resource.empty()) return plain(403, "Forbidden", cat("forbidden: ", why));
  const std::string subject = name.empty() ? std::string(resource) : cat(resource, " \"", name, "\"");
  return about(403, "Forbidden", resource, name, cat(subject, " is forbidden: ", why));
}

ApiError unauthorized() { return plain(401, "Unauthorized", "Unauthorized"); }
ApiError bad_request(std::string_view why) { return plain(400, "BadRequest", why); }

ApiError method_not_supported(std::string_view resource, std::string_view verb) {
  return about(405, "MethodNotAllowed", resource, "",
               cat(verb, " is not supported on resources of kind \"", resource, "\""));
}

ApiError not_acceptable(std::string_view why) { return plain(406, "NotAcceptable", why); }
ApiError unsupported_media_type(std::string_view why) { return plain(415, "UnsupportedMediaType", why); }
ApiError entity_too_large(std::string_view why) {
  return plain(413, "RequestEntityTooLarge", cat("Request entity too large: ", why));
}
ApiError expired(std::string_view why) { return plain(410, "Expired", why); }

ApiError too_many_requests(std::string_view why, int retry_after_seconds) {
  ApiError out = plain(429, "TooManyRequests", why);
  out.retry_after_seconds = retry_after_seconds;
  return out;
}

ApiError timed_out(std::string_view why, int retry_after_seconds) {
  ApiError out = plain(504, "Timeout", cat("Timeout: ", why));
  out.retry_after_seconds = retry_after_seconds;
  return out;
}

ApiError internal_error(std::string_view why) {
  ApiError out = plain(500, "InternalError", cat("Internal error occurred: ", why));
  out.causes.push_back({"", std::string(why), ""});
  return out;
}

ApiError unavailable(std::string_view why) { return plain(503, "ServiceUnavailable", why); }

}  // namespace proa::kube
