#include "base/error.h"

#include <cstring>

namespace proa {

// In the middle of a line, so in lower case; engines look for these words in lower case too.
std::string errno_text(int code) {
  const char* known = strerrordesc_np(code);
  if (known == nullptr) return cat("error ", code);
  std::string text = known;
  const auto is_upper = [](char c) { return c >= 'A' && c <= 'Z'; };
  if (is_upper(text[0]) && !is_upper(text[1])) text[0] = static_cast<char>(text[0] - 'A' + 'a');
  return text;
}

Error Error::from_errno(int code, std::string_view what) {
  return Error(cat(what, what.empty() ? "" : ": ", errno_text(code)), code);
}

Error& Error::context(std::string_view step) {
  std::string text;
  text.reserve(step.size() + 2 + message_.size());
  text.append(step).append(": ").append(message_);
  message_ = std::move(text);
  return *this;
}

}  // namespace proa
