#include "oci/registry/refusal.h"

#include <iterator>

#include "base/json.h"

namespace proa::oci::registry {
namespace {

struct Entry {
  std::string_view text;
  int status;
};
constexpr Entry kCodes[] = {
    {"BLOB_UNKNOWN", 404},     {"BLOB_UPLOAD_INVALID", 400},   {"BLOB_UPLOAD_UNKNOWN", 404},
    {"DIGEST_INVALID", 400},   {"MANIFEST_BLOB_UNKNOWN", 400}, {"MANIFEST_INVALID", 400},
    {"MANIFEST_UNKNOWN", 404}, {"NAME_INVALID", 400},          {"NAME_UNKNOWN", 404},
    {"SIZE_INVALID", 400},     {"UNAUTHORIZED", 401},          {"DENIED", 403},
    {"UNSUPPORTED", 405},      {"TOOMANYREQUESTS", 429},       {"UNKNOWN", 500},
};
static_assert(std::size(kCodes) == static_cast<size_t>(Code::kUnknown) + 1);

}  // namespace

std::string_view text_of(Code code) { return kCodes[static_cast<size_t>(code)].text; }
int status_of(Code code) { return kCodes[static_cast<size_t>(code)].status; }

Refusal::Refusal(Error error) : code(Code::kUnknown), message(error.message()), status(500) {
  if (error.code() == ENOSPC || error.code() == EDQUOT) status = 507;
}

std::string Refusal::body() const {
  const std::string text = status == 507   ? "the registry's disk is full"
                           : status == 500 ? "the registry failed; its log says why"
                                           : message;
  const auto one = [&](const std::string& detail) {
    std::string out = cat("{\"code\":\"", text_of(code), "\",\"message\":", json::quote(text));
    if (!detail.empty()) out += cat(",\"detail\":", json::quote(detail));
    return out + "}";
  };
  std::string errors = about.empty() ? one({}) : std::string();
  for (const std::string& each : about) errors += (errors.empty() ? "" : ",") + one(each);
  return cat("{\"errors\":[", errors, "]}\n");
}

}  // namespace proa::oci::registry
