// The Status object that answers a failed request, and the errors of the API with upstream's words.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kube/object/value.h"

namespace proa::kube {

struct StatusCause {
  std::string reason, message, field;
};

// What went wrong, for whom it may concern. A code of 0 is no error.
struct ApiError {
  int code = 0;
  std::string reason;  // "NotFound"
  std::string message;
  // details; left out when all are empty.
  std::string name, group, kind, uid;
  std::vector<StatusCause> causes;
  int retry_after_seconds = 0;
  std::string continue_token;  // metadata.continue: where an expired list could go on

  Value status(Arena& arena) const;  // kind Status, apiVersion v1
};

// `resource` is "pods" or "deployments.apps".
ApiError not_found(std::string_view resource, std::string_view name);
ApiError already_exists(std::string_view resource, std::string_view name);
// Somebody else changed the object; `why` empty gives the usual words.
ApiError conflict(std::string_view resource, std::string_view name, std::string_view why = {});
ApiError forbidden(std::string_view resource, std::string_view name, std::string_view why);
ApiError unauthorized();
ApiError bad_request(std::string_view why);
ApiError method_not_supported(std::string_view resource, std::string_view verb);
ApiError not_acceptable(std::string_view why);
ApiError unsupported_media_type(std::string_view why);
ApiError entity_too_large(std::string_view why);
ApiError expired(std::string_view why);  // 410, of resource versions and continue tokens
ApiError too_many_requests(std::string_view why, int retry_after_seconds);
ApiError timed_out(std::string_view why, int retry_after_seconds);
ApiError internal_error(std::string_view why);
ApiError unavailable(std::string_view why);

}  // namespace proa::kube
