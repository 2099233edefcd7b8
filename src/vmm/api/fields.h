// Reading a JSON object strictly: each field is asked for once, and what nobody asked for is an error.
#pragma once

#include <boost/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace proa::vmm {

class Fields {
 public:
  explicit Fields(const boost::json::value& body) : object_(body.if_object()) {
    if (object_ == nullptr) problem("invalid type: expected an object");
  }

  // What is not there or null leaves `to` as it is.
  Fields& text(std::string_view name, std::string& to, bool required = false) {
    const boost::json::value* value = find(name, required);
    if (value == nullptr) return *this;
    if (const auto* found = value->if_string(); found != nullptr)
      to = std::string_view(*found);
    else
      wrong(name, "a string");
    return *this;
  }
  Fields& text(std::string_view name, std::optional<std::string>& to) {
    std::string found;
    if (find(name, false) != nullptr) {
      text(name, found);
      to = std::move(found);
    }
    return *this;
  }
  Fields& flag(std::string_view name, bool& to, bool required = false) {
    const boost::json::value* value = find(name, required);
    if (value == nullptr) return *this;
    if (const auto* found = value->if_bool(); found != nullptr)
      to = *found;
    else
      wrong(name, "a boolean");
    return *this;
  }
  template <typename T>
  Fields& number(std::string_view name, T& to, bool required = false, uint64_t most = ~0ULL) {
    const boost::json::value* value = find(name, required);
    if (value == nullptr) return *this;
    uint64_t found = 0;
    if (const auto* positive = value->if_uint64(); positive != nullptr)
      found = *positive;
    else if (const auto* whole = value->if_int64(); whole != nullptr && *whole >= 0)
      found = static_cast<uint64_t>(*whole);
    else
      return wrong(name, "an unsigned number"), *this;
    if (found > std::min<uint64_t>(most, std::numeric_limits<T>::max())) return wrong(name, "a smaller number"), *this;
    to = static_cast<T>(found);
    return *this;
  }
  // One of these words; its place among them.
  Fields& choice(std::string_view name, size_t& to, std::initializer_list<std::string_view> words) {
    std::string found;
    if (find(name, false) == nullptr) return *this;
    text(name, found);
    size_t at = 0;
    for (const std::string_view word : words) {
      if (word == found) return to = at, *this;
      ++at;
    }
    problem(cat("unknown variant `", found, "` of `", name, "`"));
    return *this;
  }
  Fields& texts(std::string_view name, std::vector<std::string>& to, bool required = false) {
    const boost::json::value* value = find(name, required);
    if (value == nullptr) return *this;
    if (!value->is_array()) return wrong(name, "an array"), *this;
    to.clear();
    for (const boost::json::value& one : value->get_array()) {
      if (!one.is_string()) return wrong(name, "an array of strings"), *this;
      to.emplace_back(one.get_string());
    }
    return *this;
  }
  // For what has parts of its own; null when it is not there.
  const boost::json::value* any(std::string_view name) { return find(name, false); }
  void problem(std::string text) {
    if (problem_.empty()) problem_ = std::move(text);
  }
  // After all have been asked for.
  Result<> finish() {
    if (object_ != nullptr)
      for (const auto& field : *object_)
        if (!asked_.contains(std::string_view(field.key())))
          problem(cat("unknown field `", std::string_view(field.key()), "`"));
    if (!problem_.empty()) return fail(problem_);
    return {};
  }

 private:
  const boost::json::value* find(std::string_view name, bool required) {
    asked_.insert(name);
    if (object_ == nullptr) return nullptr;
    const boost::json::value* value = object_->if_contains(name);
    if (value != nullptr && value->is_null()) value = nullptr;
    if (value == nullptr && required) problem(cat("missing field `", name, "`"));
    return value;
  }
  void wrong(std::string_view name, std::string_view expected) {
    problem(cat("invalid type of `", name, "`: expected ", expected));
  }

  const boost::json::object* object_;
  std::set<std::string_view> asked_;
  std::string problem_;
};

}  // namespace proa::vmm
