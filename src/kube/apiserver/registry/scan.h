// Looks into JSON without parsing it: the server's own bytes, which are known to be well formed and without spaces.
#pragma once

#include <optional>
#include <string_view>

namespace proa::kube::api {

// The raw text of the member of an object: "\"web\"", "{…}", "3"; empty when there is none or `object` is none.
std::string_view scan_member(std::string_view object, std::string_view key);
// ... following a path with points: "spec.nodeName". Keys with points cannot be found.
std::string_view scan_path(std::string_view object, std::string_view path);
// Of a raw string without escapes, what is in its quotes; nothing for anything else.
std::optional<std::string_view> plain_string(std::string_view raw);
// The end of the value that begins at `at`.
size_t scan_value(std::string_view json, size_t at);

// The members of an object, one after the other.
class MemberScan {
 public:
  explicit MemberScan(std::string_view object);
  bool next();
  std::string_view key() const { return key_; }  // as written, without quotes
  std::string_view value() const { return value_; }

 private:
  std::string_view json_;
  size_t at_ = 0;
  std::string_view key_, value_;
};

}  // namespace proa::kube::api
