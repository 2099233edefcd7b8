// Result and Error: how every fallible function in Proa answers.
//
//   Result<Fd> open_root(const char* path) {
//     Fd dir = TRY(open_directory(path));                        // hand the error on
//     TRY_CTX(lock(dir), "lock ", path);                         // ... saying what was being done
//     if (!ok) return fail("root.path: must not be empty").hint("set it to the rootfs folder");
//     return dir;
//   }
//
// An Error reads as one line, outermost step first: "create web: mount /proc: permission denied".
// Errors are values: they own their text and may cross threads. Nothing here throws.
#pragma once

#include <cerrno>
#include <charconv>
#include <concepts>
#include <cstddef>
#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace proa {

namespace detail {
inline void append(std::string& out, std::string_view text) { out.append(text); }
inline void append(std::string& out, char c) { out.push_back(c); }
template <std::integral T>
  requires(!std::same_as<T, char> && !std::same_as<T, bool>)
void append(std::string& out, T number) {
  char buffer[24];
  auto [end, ec] = std::to_chars(buffer, buffer + sizeof buffer, number);
  out.append(buffer, end);
}
}  // namespace detail

// Joins strings, characters and integers. Not for hot loops that could append in place.
template <typename... Parts>
[[gnu::noinline]] std::string cat(const Parts&... parts) {
  std::string out;
  (detail::append(out, parts), ...);
  return out;
}

class [[nodiscard]] Error {
 public:
  explicit Error(std::string message, int code = 0) : message_(std::move(message)), code_(code) {}

  // "what: <text of errno>", keeping the number for callers that decide by it.
  static Error from_errno(int code, std::string_view what);

  const std::string& message() const { return message_; }
  const std::string& hint() const { return hint_; }
  // The errno behind this error, 0 when there is none.
  int code() const { return code_; }

  // Puts "step: " in front.
  Error& context(std::string_view step);
  Error&& with_context(std::string_view step) && { return std::move(context(step)); }
  // What the user can do next; the innermost hint wins.
  Error&& hint(std::string_view text) && {
    if (hint_.empty()) hint_ = text;
    return std::move(*this);
  }

 private:
  std::string message_;
  std::string hint_;
  int code_ = 0;
};

template <typename T = void>
using Result = std::expected<T, Error>;

// An Error on its way out of a function returning Result<anything>.
class [[nodiscard]] Failure {
 public:
  explicit Failure(Error error) : error_(std::move(error)) {}
  Failure&& hint(std::string_view text) && {
    static_cast<void>(std::move(error_).hint(text));  // in place: assigning it to itself would empty it
    return std::move(*this);
  }
  template <typename T>
  operator std::expected<T, Error>() && {  // NOLINT(google-explicit-constructor): that is its use
    return std::unexpected(std::move(error_));
  }

 private:
  Error error_;
};

template <typename... Parts>
[[gnu::cold, gnu::noinline]] Failure fail(const Parts&... parts) {
  return Failure(Error(cat(parts...)));
}
template <typename... Parts>
[[gnu::cold, gnu::noinline]] Failure fail_errno(int code, const Parts&... parts) {
  return Failure(Error::from_errno(code, cat(parts...)));
}

// The kernel's own words for an errno, thread-safe.
std::string errno_text(int code);

}  // namespace proa

#define PROA_CONCAT_(a, b) a##b
#define PROA_CONCAT(a, b) PROA_CONCAT_(a, b)

// Value of a Result, or return its error from the enclosing function.
#define TRY(expression)                                        \
  ({                                                           \
    auto proa_result_ = (expression);                          \
    if (!proa_result_) [[unlikely]]                            \
      return std::unexpected(std::move(proa_result_).error()); \
    *std::move(proa_result_);                                  \
  })
// TRY with the step's name put before the error; the text is built only on failure.
#define TRY_CTX(expression, ...)                                                                      \
  ({                                                                                                  \
    auto proa_result_ = (expression);                                                                 \
    if (!proa_result_) [[unlikely]]                                                                   \
      return std::unexpected(std::move(proa_result_).error().with_context(::proa::cat(__VA_ARGS__))); \
    *std::move(proa_result_);                                                                         \
  })
