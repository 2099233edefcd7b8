// The header fields of a message, in order. Names compare without regard to case (RFC 9110, 5.1); they are kept
// as given. All text lies in one block: views from a Headers are valid until it changes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace proa::net {

// ASCII letters only, as all names of HTTP are.
bool equals_ignoring_case(std::string_view a, std::string_view b);
std::string ascii_lower(std::string_view text);
// Spaces and tabs off both ends.
std::string_view trimmed(std::string_view text);
// A token (RFC 9110, 5.6.2): what methods and header names are made of.
bool is_token(std::string_view text);
// Whether a header value may hold this text: no control characters but tab.
bool is_field_value(std::string_view text);

class Headers {
 public:
  struct Field {
    std::string_view name;
    std::string_view value;
  };

  Headers() = default;
  Headers(std::initializer_list<Field> fields);

  // A character that may not stand in a header becomes '-' in a name, a space in a value: what a user supplies
  // cannot begin a new line.
  void add(std::string_view name, std::string_view value);
  // Replaces every field of that name.
  void set(std::string_view name, std::string_view value);
  void remove(std::string_view name);
  void clear();

  bool contains(std::string_view name) const { return find(name).has_value(); }
  // The first field of that name.
  std::optional<std::string_view> find(std::string_view name) const;
  // ... or "".
  std::string_view get(std::string_view name) const { return find(name).value_or(std::string_view()); }
  std::vector<std::string_view> all(std::string_view name) const;
  // Whether `token` is an element of the comma-separated lists in the fields of that name, case ignored:
  // has_token("Connection", "close").
  bool has_token(std::string_view name, std::string_view token) const;

  size_t size() const { return entries_.size(); }
  bool empty() const { return entries_.empty(); }
  Field operator[](size_t index) const;

  class Iterator {
   public:
    Iterator(const Headers& headers, size_t index) : headers_(headers), index_(index) {}
    Field operator*() const { return headers_[index_]; }
    Iterator& operator++() {
      ++index_;
      return *this;
    }
    bool operator!=(const Iterator& other) const { return index_ != other.index_; }

   private:
    const Headers& headers_;
    size_t index_;
  };
  Iterator begin() const { return {*this, 0}; }
  Iterator end() const { return {*this, size()}; }

 private:
  friend class Http1Parser;
  struct Entry {
    uint32_t name;
    uint32_t value;
    uint32_t value_size;
    uint16_t name_size;
  };
  void append(std::string_view name, std::string_view value);

  std::string text_;
  std::vector<Entry> entries_;
};

}  // namespace proa::net
