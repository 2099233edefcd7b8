#include "kube/apiserver/access/rbac/bootstrap.h"

#include <algorithm>

#include "base/log.h"
#include "base/text.h"

// bootstrap.S
extern "C" const char proa_rbac_policy[];
extern "C" const char proa_rbac_policy_end[];

namespace proa::kube::api::rbac {
namespace {

constexpr std::string_view kGroup = "rbac.authorization.k8s.io";
constexpr std::string_view kAutoUpdate = "rbac.authorization.kubernetes.io/autoupdate";
constexpr std::string_view kBootstrapping = "kubernetes.io/bootstrapping";
constexpr std::string_view kDefaults = "rbac-defaults";

using Texts = std::vector<std::string>;

// Lists are stored in the order of the alphabet.
Texts list_of(std::string_view text) {
  Texts out;
  for (const std::string_view each : split(text, ',')) out.emplace_back(each == "core" ? "" : each);
  std::ranges::sort(out);
  return out;
}

Texts verbs_of(std::string_view text) {
  if (text == "read") text = "get,list,watch";
  if (text == "write") text = "create,update,patch,delete,deletecollection";
  if (text == "all") text = "get,list,watch,create,update,patch,delete,deletecollection";
  if (text == "change") text = "get,list,watch,update,patch";
  return list_of(text);
}

Rule parsed(Arena& arena, const Rule& rule) { return Rule::parse(rule.value(arena)); }

Result<Rule> rule_of(const std::vector<std::string_view>& words) {
  Arena arena;
  Rule rule;
  if (words.size() == 1 && words[0] == "events") {
    rule.verbs = {"create", "patch", "update"};
    rule.groups = {"", "events.k8s.io"};
    rule.resources = {"events"};
    return parsed(arena, rule);
  }
  if (words.size() < 3 || words.size() > 4) return fail("a rule has verbs, groups, resources and perhaps names");
  rule.verbs = verbs_of(words[0]);
  if (words[1] == "url") {
    rule.urls = list_of(words[2]);
    return parsed(arena, rule);
  }
  rule.groups = list_of(words[1]);
  rule.resources = list_of(words[2]);
  if (words.size() == 4) rule.names = list_of(words[3]);
  return parsed(arena, rule);
}

BootstrapObject binding_of(std::string_view ns, std::string_view name, std::string_view role,
                           std::span<const std::string_view> subjects) {
  BootstrapObject out;
  out.resource = ns.empty() ? "clusterrolebindings" : "rolebindings";
  out.ns = ns;
  out.name = name;
  out.role = role;
  for (const std::string_view subject : subjects) out.subjects.emplace_back(subject);
  return out;
}

Result<> begin_object(const std::vector<std::string_view>& words, std::vector<BootstrapObject>& out,
                      std::vector<BootstrapObject>& bindings) {
  const std::string_view what = words[0];
  if (words.size() < 2) return fail(what, ": has no name");
  const std::span rest(words);
  BootstrapObject object;
  object.resource = "clusterroles";
  if (what == "clusterrole") {
    object.name = words[1];
    for (const std::string_view label : rest.subspan(2)) object.labels.push_back(cat(kGroup, "/", label));
  } else if (what == "controller") {
    object.name = cat("system:controller:", words[1]);
    const std::string account = cat("account:kube-system/", words[1]);
    const std::string_view subject = account;
    bindings.push_back(binding_of("", object.name, object.name, {&subject, 1}));
  } else if (what == "role" && words.size() == 3) {
    object.resource = "roles";
    object.ns = words[1];
    object.name = words[2];
  } else if (what == "clusterrolebinding") {
    bindings.push_back(binding_of("", words[1], words[1], rest.subspan(2)));
    return {};
  } else if (what == "rolebinding" && words.size() > 3) {
    bindings.push_back(binding_of(words[1], words[2], words[3], rest.subspan(4)));
    return {};
  } else {
    return fail(what, ": is not known, or lacks something");
  }
  out.push_back(std::move(object));
  return {};
}

Value subject_value(Arena& arena, std::string_view subject) {
  const std::string_view kind = cut(subject, ':');
  Value out = Value::object(arena, 3);
  const std::string_view slash_ns = subject.substr(0, subject.find('/'));
  out.add(arena, "kind", Value::view(kind == "user" ? "User" : kind == "group" ? "Group" : "ServiceAccount"));
  if (kind != "account") out.add(arena, "apiGroup", Value::view(kGroup));
  out.add(arena, "name", Value::text(arena, kind == "account" ? subject.substr(slash_ns.size() + 1) : subject));
  if (kind == "account") out.add(arena, "namespace", Value::text(arena, slash_ns));
  return out;
}

Value aggregation(Arena& arena, const Texts& labels) {
  Value selectors = Value::array(arena, labels.size());
  for (const std::string& label : labels) {
    Value match = Value::object(arena, 1);
    match.add(arena, "matchLabels", Value::object(arena, 1))
        .add(arena, Value::text(arena, label).as_string(), Value::view("true"));
    selectors.push(arena, match);
  }
  Value out = Value::object(arena, 1);
  out.add(arena, "clusterRoleSelectors", selectors);
  return out;
}

// Adds the members of `wanted` that `map` has not, or has with another value.
bool add_members(Arena& arena, Value& map, const Value& wanted) {
  bool changed = false;
  for (const Member& member : wanted.members()) {
    if (map.get(member.key).as_string() == member.value.as_string()) continue;
    map.set(arena, member.key, member.value);
    changed = true;
  }
  return changed;
}

bool add_metadata(Arena& arena, Value& object, const Value& wanted) {
  Value& metadata = object.child(arena, "metadata");
  const bool labels = add_members(arena, metadata.child(arena, "labels"), wanted.get({"metadata", "labels"}));
  return add_members(arena, metadata.child(arena, "annotations"), wanted.get({"metadata", "annotations"})) || labels;
}

bool add_items(Arena& arena, Value& list, const Value& wanted) {
  bool changed = false;
  for (const Value& item : wanted.items()) {
    if (std::ranges::any_of(list.items(), [&](const Value& there) { return equal(there, item); })) continue;
    list.push(arena, item);
    changed = true;
  }
  return changed;
}

Value& list_at(Arena& arena, Value& object, std::string_view key) {
  Value* found = object.find(key);
  return found != nullptr && found->is_array() ? *found : object.set(arena, key, Value::array(arena));
}

bool add_rules(Arena& arena, Value& object, const BootstrapObject& wanted) {
  std::vector<Rule> missing;
  if (covers(parse_rules(object.get("rules")), wanted.rules, &missing)) return false;
  Value& rules = list_at(arena, object, "rules");
  for (const Rule& rule : compact(std::move(missing))) rules.push(arena, rule.value(arena));
  return true;
}

}  // namespace

Value BootstrapObject::value(Arena& arena) const {
  Value out = Value::object(arena, 6);
  const bool cluster = ns.empty();
  out.add(arena, "apiVersion", Value::view("rbac.authorization.k8s.io/v1"));
  out.add(arena, "kind",
          Value::view(is_binding() ? (cluster ? "ClusterRoleBinding" : "RoleBinding")
                                   : (cluster ? "ClusterRole" : "Role")));
  Value& metadata = out.child(arena, "metadata");
  metadata.add(arena, "name", Value::text(arena, name));
  if (!cluster) metadata.add(arena, "namespace", Value::text(arena, ns));
  Value& marks = metadata.child(arena, "labels");
  marks.add(arena, kBootstrapping, Value::view(kDefaults));
  for (const std::string& label : labels) marks.add(arena, Value::text(arena, label).as_string(), Value::view("true"));
  metadata.child(arena, "annotations").add(arena, kAutoUpdate, Value::view("true"));
  if (is_binding()) {
    Value& reference = out.child(arena, "roleRef");
    reference.add(arena, "apiGroup", Value::view(kGroup));
    reference.add(arena, "kind", Value::view(cluster ? "ClusterRole" : "Role"));
    reference.add(arena, "name", Value::text(arena, role));
    if (!subjects.empty()) {
      Value list = Value::array(arena, subjects.size());
      for (const std::string& subject : subjects) list.push(arena, subject_value(arena, subject));
      out.add(arena, "subjects", list);
    }
    return out;
  }
  if (!aggregates.empty()) out.add(arena, "aggregationRule", aggregation(arena, aggregates));
  if (rules.empty()) {
    out.add(arena, "rules", Value());
    return out;
  }
  Value list = Value::array(arena, rules.size());
  for (const Rule& rule : rules) list.push(arena, rule.value(arena));
  out.add(arena, "rules", list);
  return out;
}

Result<std::vector<BootstrapObject>> parse_policy(std::string_view text) {
  std::vector<BootstrapObject> out, bindings;
  for (int number = 1; !text.empty(); ++number) {
    const std::string_view line = cut(text, '\n');
    const auto words = split(line, ' ');
    if (words.empty() || line.starts_with('#')) continue;
    if (!line.starts_with(' ')) {
      TRY_CTX(begin_object(words, out, bindings), "line ", number);
      continue;
    }
    if (out.empty()) return fail("line ", number, ": belongs to no role");
    if (words[0] == "aggregates" && words.size() == 2) {
      out.back().aggregates.push_back(cat(kGroup, "/", words[1]));
    } else {
      out.back().rules.push_back(TRY_CTX(rule_of(words), "line ", number));
    }
  }
  std::ranges::move(bindings, std::back_inserter(out));
  return out;
}

const std::vector<BootstrapObject>& bootstrap_policy() {
  static const auto policy = [] {
    auto parsed = parse_policy({proa_rbac_policy, static_cast<size_t>(proa_rbac_policy_end - proa_rbac_policy)});
    if (!parsed) log::error("the roles of the start: ", parsed.error().message());  // a test sees to it
    return std::move(parsed).value_or(std::vector<BootstrapObject>());
  }();
  return policy;
}

const std::vector<Rule>& bootstrap_rules(std::string_view cluster_role) {
  static const std::vector<Rule> none;
  for (const BootstrapObject& each : bootstrap_policy())
    if (each.resource == "clusterroles" && each.name == cluster_role) return each.rules;
  return none;
}

bool refers_elsewhere(const Value& there, const BootstrapObject& wanted) {
  return wanted.is_binding() && (there.string({"roleRef", "name"}) != wanted.role ||
                                 there.string({"roleRef", "kind"}) != (wanted.ns.empty() ? "ClusterRole" : "Role"));
}

Value reconciled(Arena& arena, const Value& there, const BootstrapObject& wanted) {
  if (there.get({"metadata", "annotations", kAutoUpdate}).as_string() == "false") return {};
  Value out = clone(arena, there);
  const Value full = wanted.value(arena);
  bool changed = add_metadata(arena, out, full);
  if (wanted.is_binding()) {
    const Value subjects = full.get("subjects");
    if (subjects.size() > 0) changed |= add_items(arena, list_at(arena, out, "subjects"), subjects);
  } else if (wanted.aggregates.empty()) {
    changed |= add_rules(arena, out, wanted);
  } else {
    Value& rule = out.child(arena, "aggregationRule");
    changed |= add_items(arena, list_at(arena, rule, "clusterRoleSelectors"),
                         full.get({"aggregationRule", "clusterRoleSelectors"}));
  }
  return changed ? out : Value();
}

}  // namespace proa::kube::api::rbac
