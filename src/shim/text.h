// Text in fixed buffers, and Result: what the shim has in place of allocating strings.
//
// Threads: plain values. Errors: text that does not fit is cut, and truncated() tells.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <string_view>
#include <utility>

namespace proa::shim {

// Appends to a buffer that it does not own. There is always a NUL after what was written.
class Writer {
 public:
  Writer(char* buffer, size_t capacity) : data_(buffer), capacity_(capacity) { data_[0] = 0; }

  Writer& operator<<(std::string_view text);
  Writer& operator<<(const char* text) { return *this << std::string_view(text); }
  Writer& operator<<(char c) { return *this << std::string_view(&c, 1); }
  Writer& operator<<(std::integral auto number) {
    if (std::cmp_less(number, 0)) return (*this << '-').decimal(0 - static_cast<uint64_t>(number));
    return decimal(static_cast<uint64_t>(number));
  }
  // As a JSON string, quotes included; bytes that are not UTF-8 become U+FFFD.
  Writer& json(std::string_view text);

  std::string_view view() const { return {data_, size_}; }
  const char* c_str() const { return data_; }
  size_t size() const { return size_; }
  bool truncated() const { return truncated_; }
  void clear() { size_ = 0, truncated_ = false, data_[0] = 0; }
  void resize(size_t size) { data_[size_ = size] = 0; }

 private:
  Writer& decimal(uint64_t number);

  char* data_;
  size_t capacity_, size_ = 0;
  bool truncated_ = false;
};

template <size_t N>
class Text : public Writer {
 public:
  Text() : Writer(storage_, N) {}
  template <typename... Parts>
    requires(sizeof...(Parts) > 0)
  explicit Text(const Parts&... parts) : Text() {
    (*this << ... << parts);
  }
  Text(const Text& other) : Text() { *this << other.view(); }
  Text& operator=(const Text& other) {
    if (this != &other) clear(), *this << other.view();
    return *this;
  }

 private:
  char storage_[N];
};

using Path = Text<4096>;

// A failure as one line.
struct Error {
  Text<2048> text;
};
template <typename T = void>
using Result = std::expected<T, Error>;

template <typename... Parts>
std::unexpected<Error> fail(const Parts&... parts) {
  Error error;
  (error.text << ... << parts);
  return std::unexpected(error);
}

// "no such file or directory"; numbers without a text here read "error 71".
Text<48> error_text(long error);  // takes errno, positive or negative

// "what: text of errno".
template <typename... Parts>
std::unexpected<Error> fail_with(long error, const Parts&... parts) {
  return fail(parts..., ": ", error_text(error).view());
}

// The whole text as a decimal number no greater than `most`.
bool parse_number(std::string_view text, uint64_t most, uint64_t* to);
// Takes the next word off the front of a line of words divided by single or more blanks; empty at the end.
std::string_view take_word(std::string_view* line);

// The bytes of `text` escaped for the inside of a JSON string; `to` has room for 6 * text.size().
size_t escape_json(char* to, std::string_view text);
// The first `size` bytes; std::string_view::substr() would want an exception to throw.
inline std::string_view first(std::string_view text, size_t size) {
  text.remove_suffix(text.size() - size);
  return text;
}
// How much of `text` can be cut off without splitting a UTF-8 character.
size_t whole_characters(std::string_view text);

}  // namespace proa::shim
