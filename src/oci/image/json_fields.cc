#include "oci/image/json_fields.h"

#include <algorithm>

namespace proa::oci::image {

namespace bj = boost::json;

Result<Fields> Fields::of(const bj::value& value, std::string path) {
  if (!value.is_object()) return fail(path.empty() ? "document" : path, ": must be an object");
  return Fields(value.get_object(), std::move(path));
}

const bj::value* Fields::find(std::string_view key) const {
  const bj::value* value = object_->if_contains(key);
  return value == nullptr || value->is_null() ? nullptr : value;
}

Result<std::string> Fields::text(std::string_view key) const {
  const bj::value* value = find(key);
  if (value == nullptr) return std::string();
  if (!value->is_string()) return fail(at(key), ": must be a string");
  return std::string(value->get_string());
}

Result<int64_t> Fields::integer(std::string_view key) const {
  const bj::value* value = find(key);
  if (value == nullptr) return 0;
  boost::system::error_code error;
  const auto number = value->to_number<int64_t>(error);
  if (error) return fail(at(key), ": must be an integer");
  return number;
}

Result<bool> Fields::flag(std::string_view key) const {
  const bj::value* value = find(key);
  if (value == nullptr) return false;
  if (!value->is_bool()) return fail(at(key), ": must be true or false");
  return value->get_bool();
}

Result<std::vector<std::string>> Fields::texts(std::string_view key) const {
  std::vector<std::string> out;
  const bj::value* value = find(key);
  if (value == nullptr) return out;
  if (!value->is_array()) return fail(at(key), ": must be an array of strings");
  for (const bj::value& item : value->get_array()) {
    if (!item.is_string()) return fail(at(key), "[", out.size(), "]: must be a string");
    out.emplace_back(item.get_string());
  }
  return out;
}

Result<std::map<std::string, std::string>> Fields::map(std::string_view key) const {
  std::map<std::string, std::string> out;
  const bj::value* value = find(key);
  if (value == nullptr) return out;
  if (!value->is_object()) return fail(at(key), ": must be an object of strings");
  for (const auto& member : value->get_object()) {
    if (!member.value().is_string()) return fail(at(key), ".", std::string_view(member.key()), ": must be a string");
    out.emplace(member.key(), member.value().get_string());
  }
  return out;
}

Result<std::vector<std::string>> Fields::keys(std::string_view key) const {
  std::vector<std::string> out;
  const bj::value* value = find(key);
  if (value == nullptr) return out;
  if (!value->is_object()) return fail(at(key), ": must be an object");
  for (const auto& member : value->get_object()) out.emplace_back(member.key());
  std::ranges::sort(out);
  return out;
}

Result<std::optional<Fields>> Fields::fields(std::string_view key) const {
  const bj::value* value = find(key);
  if (value == nullptr) return std::nullopt;
  return TRY(Fields::of(*value, at(key)));
}

Result<std::vector<Fields>> Fields::list(std::string_view key, size_t limit) const {
  std::vector<Fields> out;
  const bj::value* value = find(key);
  if (value == nullptr) return out;
  if (!value->is_array()) return fail(at(key), ": must be an array");
  if (value->get_array().size() > limit) return fail(at(key), ": more than ", limit, " entries");
  for (const bj::value& item : value->get_array())
    out.push_back(TRY(Fields::of(item, cat(at(key), "[", out.size(), "]"))));
  return out;
}

}  // namespace proa::oci::image
