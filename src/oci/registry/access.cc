#include "oci/registry/access.h"

#include <algorithm>
#include <boost/json.hpp>

#include "base/yaml.h"
#include "oci/image/json_fields.h"

namespace proa::oci::registry {

using image::Fields;

namespace {

constexpr size_t kMostRules = 10'000;
constexpr std::string_view kUser = "{user}";

// Glob of one pattern with its user filled in; `**` also crosses slashes.
bool glob(std::string_view pattern, std::string_view name) {
  // Where to go on after a mismatch: the latest star of each kind. A ** forgets the * before it.
  struct Star {
    size_t pattern = std::string_view::npos, name = 0;
  } one, all;
  size_t p = 0, n = 0;
  while (true) {
    if (p < pattern.size() && pattern[p] == '*') {
      const bool both = p + 1 < pattern.size() && pattern[p + 1] == '*';
      p += both ? 2 : 1;
      (both ? all : one) = {p, n};
      if (both) one = {};
      continue;
    }
    if (n < name.size() && p < pattern.size() && pattern[p] == name[n]) {
      ++p;
      ++n;
      continue;
    }
    if (n == name.size() && p == pattern.size()) return true;
    if (one.pattern != std::string_view::npos && one.name < name.size() && name[one.name] != '/') {
      p = one.pattern;
      n = ++one.name;
    } else if (all.pattern != std::string_view::npos && all.name < name.size()) {
      p = all.pattern;
      n = ++all.name;
      one = {};
    } else {
      return false;
    }
  }
}

Result<> check_keys(const Fields& in, std::initializer_list<std::string_view> known) {
  for (const auto& member : in.object())
    if (std::ranges::find(known, std::string_view(member.key())) == known.end())
      return fail(in.at(member.key()), ": there is no such field");
  return {};
}

}  // namespace

std::string_view text_of(Action action) {
  return action == Action::kPull ? "pull" : action == Action::kPush ? "push" : "delete";
}

Actions actions_of(std::string_view word) {
  if (word == "*") return kAllActions;
  for (const Action each : {Action::kPull, Action::kPush, Action::kDelete})
    if (word == text_of(each)) return static_cast<Actions>(each);
  return 0;
}

std::string text_of(Actions actions) {
  std::string out;
  for (const Action each : {Action::kPull, Action::kPush, Action::kDelete})
    if (has(actions, each)) out += cat(out.empty() ? "" : ",", text_of(each));
  return out;
}

bool fits(std::string_view pattern, std::string_view name, std::string_view user) {
  std::string filled(pattern);
  for (size_t at = 0; (at = filled.find(kUser, at)) != std::string::npos; at += user.size()) {
    if (user.empty() || user.find('*') != std::string_view::npos) return false;
    filled.replace(at, kUser.size(), user);
  }
  // "a/**" has a itself too.
  if (filled.ends_with("/**") && name == std::string_view(filled).substr(0, filled.size() - 3)) return true;
  return glob(filled, name);
}

Access Access::for_users(bool anonymous_pull) {
  Access out;
  out.rules_.push_back({.to = {"users"}, .repositories = {"**"}, .actions = kAllActions});
  if (anonymous_pull)
    out.rules_.push_back({.to = {"anonymous"}, .repositories = {"**"}, .actions = static_cast<Actions>(Action::kPull)});
  return out;
}

Result<Access> Access::parse(std::string_view text) {
  const boost::json::value document = TRY(yaml::parse(text, {.unique_keys = true}));
  const Fields in = TRY(Fields::of(document, ""));
  TRY(check_keys(in, {"groups", "rules"}));
  Access out;
  if (const auto groups = TRY(in.fields("groups")))
    for (const auto& member : groups->object()) {
      const auto users = TRY(groups->texts(member.key()));
      out.groups_[std::string(member.key())].insert(users.begin(), users.end());
    }
  for (const Fields& each : TRY(in.list("rules", kMostRules))) {
    TRY(check_keys(each, {"to", "repositories", "actions"}));
    Rule rule{.to = TRY(each.texts("to")), .repositories = TRY(each.texts("repositories"))};
    for (const char* needed : {"to", "repositories", "actions"})
      if (TRY(each.texts(needed)).empty()) return fail(each.at(needed), ": must not be empty");
    for (const std::string& who : rule.to)
      if (who.starts_with("group:") && !out.groups_.contains(std::string_view(who).substr(6)))
        return fail(each.at("to"), ": there is no group \"", who.substr(6), "\"");
    for (const std::string& word : TRY(each.texts("actions"))) {
      const Actions actions = actions_of(word);
      if (actions == 0) return fail(each.at("actions"), ": \"", word, "\" is none of pull, push, delete, *");
      rule.actions |= actions;
    }
    out.rules_.push_back(std::move(rule));
  }
  return out;
}

bool Access::applies(const Rule& rule, std::string_view user) const {
  return std::ranges::any_of(rule.to, [&](const std::string& who) {
    if (who == "anonymous") return true;
    if (user.empty()) return false;
    if (who == "users" || who == user) return true;
    if (!who.starts_with("group:")) return false;
    const auto group = groups_.find(std::string_view(who).substr(6));
    return group != groups_.end() && group->second.contains(user);
  });
}

Actions Access::allowed(std::string_view user, std::string_view repository) const {
  Actions out = 0;
  for (const Rule& rule : rules_) {
    if ((rule.actions & ~out) == 0 || !applies(rule, user)) continue;
    const bool named = std::ranges::any_of(rule.repositories,
                                           [&](const std::string& pattern) { return fits(pattern, repository, user); });
    if (named) out |= rule.actions;
  }
  return out;
}

}  // namespace proa::oci::registry
