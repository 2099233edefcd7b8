#include "kernel/cgroup/controllers.h"

#include "kernel/cgroup/hosts.h"

namespace proa::kernel::cgroup {
namespace {

Result<> enable_one(const Folder& folder, std::string_view controller, std::string_view field) {
  const std::string request = cat("+", controller);
  for (const Folder& ancestor : ancestors(folder)) {
    const auto enabled = ancestor.get("cgroup.subtree_control");
    if (enabled && has_word(*enabled, controller)) continue;
    const long code = ancestor.put("cgroup.subtree_control", request);
    if (code == -EBUSY)
      return fail_errno(EBUSY, field, ": the ", controller, " controller cannot be switched on below ", ancestor.path(),
                        ", which has processes itself")
          .hint("give a cgroupsPath whose parents hold no processes");
    if (code < 0) return ancestor.failure(code, field, "cgroup.subtree_control", request);
  }
  return {};
}

}  // namespace

std::vector<Folder> ancestors(const Folder& folder) {
  std::vector<Folder> chain;
  for (Folder at = folder.parent(); at.path().size() > 1 && at.has("cgroup.subtree_control"); at = at.parent())
    chain.insert(chain.begin(), at);
  return chain;
}

bool has_word(std::string_view list, std::string_view word) {
  for (size_t at = 0; (at = list.find(word, at)) != std::string_view::npos; at += word.size()) {
    const bool starts = at == 0 || list[at - 1] == ' ';
    const size_t end = at + word.size();
    if (starts && (end == list.size() || list[end] == ' ')) return true;
  }
  return false;
}

const Location::Hierarchy* find_v1(const Location& location, std::string_view controller) {
  for (const auto& hierarchy : location.hierarchies)
    if (names_controller(hierarchy.controllers, controller)) return &hierarchy;
  return nullptr;
}

const Location::Hierarchy* find_unified(const Location& location) {
  for (const auto& hierarchy : location.hierarchies)
    if (hierarchy.controllers.empty()) return &hierarchy;
  return nullptr;
}

Result<Target> find_target(const Location& location, std::string_view v1_name, std::string_view v2_name,
                           std::string_view field) {
  if (const auto* v1 = find_v1(location, v1_name)) return Target{Folder(v1->path), false};
  const auto* unified = find_unified(location);
  if (unified != nullptr && !v2_name.empty()) {
    Folder folder(unified->path);
    if (has_word(folder.get("cgroup.controllers").value_or(""), v2_name)) return Target{std::move(folder), true};
    const std::vector<Folder> chain = ancestors(folder);
    if (!chain.empty() && has_word(chain.front().get("cgroup.controllers").value_or(""), v2_name)) {
      TRY(enable_one(folder, v2_name, field));
      return Target{std::move(folder), true};
    }
  }
  if (location.hierarchies.empty())
    return fail(field, ": this container has no cgroup").hint("a rootless container needs a delegated cgroup to limit");
  return fail(field, ": no cgroup hierarchy of this container has the ", v1_name, " controller");
}

Result<> enable_all(const std::string& mount, const Folder& folder) {
  const std::string available = TRY(Folder(mount).get("cgroup.controllers"));
  if (available == TRY(folder.get("cgroup.controllers"))) return {};
  std::vector<std::string> requests;
  std::string all;
  for (std::string_view rest = available; !rest.empty();) {
    const std::string_view word = rest.substr(0, rest.find(' '));
    rest.remove_prefix(std::min(rest.size(), word.size() + 1));
    requests.push_back(cat("+", word));
    all.append(all.empty() ? "+" : " +").append(word);
  }
  for (const Folder& ancestor : ancestors(folder)) {
    if (ancestor.put("cgroup.subtree_control", all) >= 0) continue;
    for (const std::string& request : requests) static_cast<void>(ancestor.put("cgroup.subtree_control", request));
  }
  // Below a threaded cgroup a new one is invalid until it is made threaded too; its domain controllers
  // stay off and limits of theirs fail by name.
  if (folder.get("cgroup.type").value_or("") == "domain invalid")
    TRY(folder.set("cgroup.type", "cgroup.type", "threaded"));
  return {};
}

}  // namespace proa::kernel::cgroup
