// Label selectors: of requests ("app=web,tier in (a,b),!x") and of objects (LabelSelector).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "kube/object/value.h"

namespace proa::kube {

// One condition on a key. Its texts are its own.
struct Requirement {
  enum class Operator : uint8_t { kIn, kNotIn, kExists, kNotExists, kGreater, kLess };
  std::string key;
  Operator op = Operator::kExists;
  std::vector<std::string> values;  // sorted

  // Of a key's value, or nothing if there is none.
  bool matches(std::optional<std::string_view> value) const;
};

// Conditions that all have to hold; none match everything. Immutable use is thread-safe.
class LabelSelector {
 public:
  // Errors are worded as upstream's.
  static Result<LabelSelector> parse(std::string_view text);
  // A meta.v1.LabelSelector; null matches nothing, an empty one everything.
  static Result<LabelSelector> of(const Value& selector);
  // A map of exact values (ReplicationController, Service); an empty one matches nothing.
  static LabelSelector of_map(const Value& labels);

  // `labels` is an object of strings, or null.
  bool matches(const Value& labels) const {
    return matches([&](std::string_view key) -> std::optional<std::string_view> {
      const Value* found = labels.find(key);
      return found == nullptr ? std::nullopt : std::optional(found->as_string());
    });
  }
  // `get` gives the value of a key as std::optional<std::string_view>.
  template <typename Get>
    requires std::is_invocable_v<Get, std::string_view>
  bool matches(Get&& get) const {
    if (nothing_) return false;
    for (const Requirement& requirement : requirements_)
      if (!requirement.matches(get(std::string_view(requirement.key)))) return false;
    return true;
  }
  bool everything() const { return !nothing_ && requirements_.empty(); }
  const std::vector<Requirement>& requirements() const { return requirements_; }
  // The canonical text, which parses to the same selector: "app in (a,b),x=1".
  std::string text() const;

 private:
  std::vector<Requirement> requirements_;
  bool nothing_ = false;
};

}  // namespace proa::kube
