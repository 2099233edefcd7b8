// What registries say when they refuse (distribution-spec "Error Codes"), as our errors.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"

namespace proa::oci::image::remote {

// The error in an answer with this status. Its code is EACCES for 401 and 403, ENOENT for 404, ETIMEDOUT for 408
// and 504, EAGAIN for 429, 500, 502 and 503, EPROTO otherwise. `body` is bounded by the caller and may be anything.
Error api_error(int status, std::string_view content_type, std::string_view body);

// Whether the same request may succeed a little later: 408, 429, 500, 502, 503, 504.
bool worth_repeating(int status);
// ... after this error of the connection: it broke, or nothing came.
bool worth_repeating(const Error& error);

}  // namespace proa::oci::image::remote
