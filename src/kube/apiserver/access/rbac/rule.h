// One rule of a role (rbac.authorization.k8s.io/v1 PolicyRule), made ready to be compared with questions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kube/apiserver/access/authorizer.h"
#include "kube/object/value.h"

namespace proa::kube::api::rbac {

struct Rule {
  // Verbs everybody uses are bits; "*" is all of them and any other.
  uint32_t verb_bits = 0;
  bool every_verb = false;
  std::vector<std::string> verbs;  // as written
  std::vector<std::string> groups, resources, names, urls;

  static Rule parse(const Value& rule);
  Value value(Arena& arena) const;

  bool allows(const AccessQuestion& question) const { return allows(question, verb_bit(question.verb)); }
  // `bit`: verb_bit(question.verb), for those who compare with many rules.
  bool allows(const AccessQuestion& question, uint32_t bit) const;
  // 0 for a verb that is none of the usual.
  static uint32_t verb_bit(std::string_view verb);

  // As Go prints one: `{APIGroups:[""], Resources:["pods"], Verbs:["get"]}`.
  std::string text() const;
  bool operator==(const Rule&) const = default;
};

std::vector<Rule> parse_rules(const Value& rules);

// Whether `owner` may all that `wanted` would give; what it may not, as the smallest rules, in `missing`.
bool covers(const std::vector<Rule>& owner, const std::vector<Rule>& wanted, std::vector<Rule>* missing = nullptr);
// Rules that differ only in one resource or verb list, put together for people to read.
std::vector<Rule> compact(std::vector<Rule> rules);

}  // namespace proa::kube::api::rbac
