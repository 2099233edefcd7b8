#include "base/error.h"

#include <cstring>

namespace proa {

std::string errno_text(int code) {
  const char* text = strerrordesc_np(code);
  return text != nullptr ? std::string(text) : cat("error ", code);
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
