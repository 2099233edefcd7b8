#include "kube/apiserver/access/rbac/rule.h"

#include <algorithm>
#include <array>
#include <map>
#include <tuple>

#include "base/error.h"
#include "kube/validation/names.h"

namespace proa::kube::api::rbac {
namespace {

using Texts = std::vector<std::string>;

constexpr std::array<std::string_view, 8> kUsual = {"get",    "list",  "watch",  "create",
                                                    "update", "patch", "delete", "deletecollection"};

bool has(const Texts& list, std::string_view text) { return std::ranges::find(list, text) != list.end(); }
bool has_or_all(const Texts& list, std::string_view text) {
  return std::ranges::any_of(list, [&](const std::string& each) { return each == "*" || each == text; });
}

bool is_combined(std::string_view text, std::string_view resource, std::string_view subresource) {
  return subresource.empty() ? text == resource
                             : text.size() == resource.size() + 1 + subresource.size() && text.starts_with(resource) &&
                                   text[resource.size()] == '/' && text.ends_with(subresource);
}

bool resource_matches(const Texts& resources, std::string_view resource, std::string_view subresource) {
  for (const std::string& each : resources) {
    if (each == "*" || is_combined(each, resource, subresource)) return true;
    if (!subresource.empty() && each.size() == subresource.size() + 2 && each.starts_with("*/") &&
        each.ends_with(subresource))
      return true;
  }
  return false;
}

bool url_matches(const Texts& urls, std::string_view path) {
  return std::ranges::any_of(urls, [&](std::string_view url) {
    if (url == "*" || url == path) return true;
    return url.ends_with('*') && path.starts_with(url.substr(0, url.find_last_not_of('*') + 1));
  });
}

Texts texts_of(const Value& list) {
  Texts out;
  for (const Value& each : list.items()) out.emplace_back(each.as_string());
  return out;
}

std::string printed(const Texts& list) {
  std::string out = "[";
  for (const std::string& each : list) out += cat(out.size() > 1 ? " " : "", quoted(each));
  return out + "]";
}

// One verb on one resource, or one path: what a rule is made of.
struct Atom {
  std::string verb, group, resource, name, url;
};

template <typename Visit>
void each_atom(const Rule& rule, Visit visit) {
  const Texts unnamed = {""};
  for (const std::string& verb : rule.verbs) {
    for (const std::string& group : rule.groups)
      for (const std::string& resource : rule.resources)
        for (const std::string& name : rule.names.empty() ? unnamed : rule.names)
          visit(Atom{verb, group, resource, name, ""});
    for (const std::string& url : rule.urls) visit(Atom{verb, "", "", "", url});
  }
}

// "pods/status" is also covered by "*/status".
bool resource_covered(const Texts& owner, const std::string& resource) {
  if (has(owner, "*") || has(owner, resource)) return true;
  const size_t slash = resource.find('/');
  return slash != std::string::npos && has(owner, cat("*", resource.substr(slash)));
}

bool url_covered(const Texts& owner, const std::string& url) {
  return std::ranges::any_of(owner, [&](std::string_view each) {
    if (each == "*" || each == url) return true;
    return each.ends_with('*') && std::string_view(url).starts_with(each.substr(0, each.find_last_not_of('*') + 1));
  });
}

bool atom_covered(const Rule& owner, const Atom& atom) {
  if (!has_or_all(owner.verbs, atom.verb)) return false;
  if (!atom.url.empty()) return url_covered(owner.urls, atom.url);
  return has_or_all(owner.groups, atom.group) && resource_covered(owner.resources, atom.resource) &&
         (owner.names.empty() || (!atom.name.empty() && has(owner.names, atom.name)));
}

}  // namespace

uint32_t Rule::verb_bit(std::string_view verb) {
  for (size_t i = 0; i < kUsual.size(); ++i)
    if (kUsual[i] == verb) return 1u << i;
  return 0;
}

Rule Rule::parse(const Value& in) {
  Rule rule;
  rule.verbs = texts_of(in.get("verbs"));
  rule.groups = texts_of(in.get("apiGroups"));
  rule.resources = texts_of(in.get("resources"));
  rule.names = texts_of(in.get("resourceNames"));
  rule.urls = texts_of(in.get("nonResourceURLs"));
  for (const std::string& verb : rule.verbs) {
    rule.verb_bits |= verb_bit(verb);
    rule.every_verb = rule.every_verb || verb == "*";
  }
  return rule;
}

Value Rule::value(Arena& arena) const {
  Value out = Value::object(arena, 5);
  const auto put = [&](std::string_view key, const Texts& list) {
    if (list.empty()) return;
    Value array = Value::array(arena, list.size());
    for (const std::string& each : list) array.push(arena, Value::text(arena, each));
    out.add(arena, key, array);
  };
  put("verbs", verbs);
  put("apiGroups", groups);
  put("resources", resources);
  put("resourceNames", names);
  put("nonResourceURLs", urls);
  return out;
}

bool Rule::allows(const AccessQuestion& in, uint32_t bit) const {
  if (!every_verb && (bit != 0 ? (verb_bits & bit) == 0 : !has(verbs, in.verb))) return false;
  if (!in.is_resource) return url_matches(urls, in.path);
  return has_or_all(groups, in.group) && resource_matches(resources, in.resource, in.subresource) &&
         (names.empty() || has(names, in.name));
}

std::string Rule::text() const {
  std::string out;
  const auto put = [&](std::string_view name, const Texts& list) {
    if (!list.empty()) out += cat(out.empty() ? "" : ", ", name, ":", printed(list));
  };
  put("APIGroups", groups);
  put("Resources", resources);
  put("ResourceNames", names);
  put("NonResourceURLs", urls);
  put("Verbs", verbs);
  return cat("{", out, "}");
}

std::vector<Rule> parse_rules(const Value& rules) {
  std::vector<Rule> out;
  for (const Value& each : rules.items()) out.push_back(Rule::parse(each));
  return out;
}

bool covers(const std::vector<Rule>& owner, const std::vector<Rule>& wanted, std::vector<Rule>* missing) {
  bool all = true;
  for (const Rule& rule : wanted) {
    each_atom(rule, [&](const Atom& atom) {
      if (std::ranges::any_of(owner, [&](const Rule& each) { return atom_covered(each, atom); })) return;
      all = false;
      if (missing == nullptr) return;
      Rule part;
      part.verbs = {atom.verb};
      if (atom.url.empty()) {
        part.groups = {atom.group};
        part.resources = {atom.resource};
        if (!atom.name.empty()) part.names = {atom.name};
      } else {
        part.urls = {atom.url};
      }
      missing->push_back(std::move(part));
    });
  }
  return all;
}

std::vector<Rule> compact(std::vector<Rule> rules) {
  // By group, resource, name and path; verbs are collected.
  std::map<std::tuple<Texts, Texts, Texts, Texts>, Rule> together;
  for (Rule& rule : rules) {
    Rule& to = together[{rule.groups, rule.resources, rule.names, rule.urls}];
    Texts verbs = std::move(to.verbs);
    for (const std::string& verb : rule.verbs)
      if (!has(verbs, verb)) verbs.push_back(verb);
    to = std::move(rule);
    to.verbs = std::move(verbs);
  }
  std::vector<Rule> out;
  for (auto& [key, rule] : together) out.push_back(std::move(rule));
  return out;
}

}  // namespace proa::kube::api::rbac
