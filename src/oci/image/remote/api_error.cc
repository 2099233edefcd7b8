#include "oci/image/remote/api_error.h"

#include <algorithm>

#include "base/json.h"
#include "net/headers.h"
#include "net/http1.h"
#include "oci/image/json_fields.h"

namespace proa::oci::image::remote {
namespace {

constexpr size_t kLongest = 500;  // of what a server says
constexpr size_t kMostErrors = 8;

int code_of(int status) {
  switch (status) {
    case 401:
    case 403: return EACCES;
    case 404: return ENOENT;
    case 408:
    case 504: return ETIMEDOUT;
    default: return worth_repeating(status) ? EAGAIN : EPROTO;
  }
}

// One line that cannot take over a terminal.
std::string harmless(std::string_view text) {
  std::string out(net::trimmed(text.substr(0, kLongest)));
  std::ranges::replace_if(out, [](unsigned char c) { return c < ' ' || c == 0x7f; }, ' ');
  while (out.ends_with(' ')) out.pop_back();
  return out;
}

// "MANIFEST_UNKNOWN" as Docker shows it: "manifest unknown".
std::string readable(std::string code) {
  std::ranges::transform(code, code.begin(), [](unsigned char c) {
    return static_cast<char>(c == '_' ? ' ' : (c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c));
  });
  return code;
}

std::string one_error(const Fields& in) {
  std::string code = readable(harmless(in.text("code").value_or("")));
  const std::string message = harmless(in.text("message").value_or(""));
  if (message.empty() || message == code) return code;
  return code.empty() ? message : cat(code, ": ", message);
}

// The errors of {"errors": [...]}, or what token services have instead.
std::string told(std::string_view body) {
  const auto document = json::parse(body, {.max_bytes = 64u << 10, .max_depth = 32});
  if (!document) return {};
  const auto top = Fields::of(*document, "");
  if (!top) return {};
  std::string out;
  const auto errors = top->list("errors", kMostErrors);
  if (errors)
    for (const Fields& each : *errors)
      if (const std::string text = one_error(each); !text.empty()) out += (out.empty() ? "" : "; ") + text;
  for (const char* field : {"details", "message", "error_description", "error"})
    if (out.empty()) out = harmless(top->text(field).value_or(""));
  return out;
}

}  // namespace

Error api_error(int status, std::string_view content_type, std::string_view body) {
  std::string text = told(body);
  if (text.empty() && content_type.starts_with("text/plain")) text = harmless(body.substr(0, body.find('\n')));
  if (text.empty()) {
    text = net::reason_phrase(status);
    if (text.empty()) text = "answer";
  }
  return Error(cat(text, " (status ", status, ")"), code_of(status));
}

bool worth_repeating(int status) {
  return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 || status == 504;
}

bool worth_repeating(const Error& error) {
  switch (error.code()) {
    case ECONNRESET:
    case ECONNABORTED:
    case ETIMEDOUT:
    case EPIPE:
    case EAGAIN: return true;
    default: return false;
  }
}

}  // namespace proa::oci::image::remote
