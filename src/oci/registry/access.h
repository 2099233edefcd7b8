// Who may do what: groups and rules as data. What some rule allows is allowed, all else is not.
//
//   groups:
//     staff: [ann, bob]
//   rules:
//   - to: [anonymous]                      # whoever has not logged in; users are allowed what they are, too
//     repositories: ["public/**"]
//     actions: [pull]
//   - to: [users]                          # whoever has logged in
//     repositories: ["{user}/**"]          # below their own name
//     actions: [pull, push, delete]
//   - to: ["group:staff", carol]
//     repositories: ["**"]
//     actions: ["*"]
//
// In a pattern * stands for any part of one path component, ** for any number of components, {user} for the user.
//
// Threads: an Access never changes once it is made.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace proa::oci::registry {

enum class Action : uint8_t { kPull = 1, kPush = 2, kDelete = 4 };
// A set of them.
using Actions = uint8_t;
inline constexpr Actions kAllActions = 7;
constexpr Actions operator|(Action a, Action b) { return static_cast<Actions>(a) | static_cast<Actions>(b); }
constexpr bool has(Actions set, Action one) { return (set & static_cast<Actions>(one)) != 0; }
std::string_view text_of(Action action);
// "pull", "push", "delete", "*"; 0 for other words.
Actions actions_of(std::string_view word);
// "pull,push"
std::string text_of(Actions actions);

class Access {
 public:
  // Users may do everything, others nothing; or pull.
  static Access for_users(bool anonymous_pull);
  // YAML or JSON. Errors name the field.
  static Result<Access> parse(std::string_view text);

  // `user` is empty for whoever has not logged in.
  Actions allowed(std::string_view user, std::string_view repository) const;

 private:
  struct Rule {
    std::vector<std::string> to, repositories;
    Actions actions = 0;
  };
  bool applies(const Rule& rule, std::string_view user) const;

  std::map<std::string, std::set<std::string, std::less<>>, std::less<>> groups_;
  std::vector<Rule> rules_;
};

// Whether a name fits a pattern.
bool fits(std::string_view pattern, std::string_view name, std::string_view user);

}  // namespace proa::oci::registry
