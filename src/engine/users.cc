#include "engine/users.h"

#include <fcntl.h>

#include <algorithm>
#include <optional>
#include <string_view>

#include "base/text.h"
#include "kernel/file.h"

namespace proa::engine {
namespace {

constexpr size_t kLongest = 1u << 20;

// An absent or odd file has no users.
std::string read_database(int root, const char* path) {
  auto file = kernel::open_in_root(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (!file) return {};
  struct stat info{};
  if (::fstat(file->get(), &info) != 0 || !S_ISREG(info.st_mode)) return {};
  return kernel::read_all(file->get(), kLongest).value_or(std::string());
}

std::vector<std::string_view> fields(std::string_view line) {
  std::vector<std::string_view> out;
  for (;;) {
    const size_t colon = line.find(':');
    out.push_back(line.substr(0, colon));
    if (colon == std::string_view::npos) return out;
    line.remove_prefix(colon + 1);
  }
}

struct Entry {
  std::string_view name;
  uint32_t id = 0, group = 0;
  std::string_view rest;  // passwd: home; group: members
};

std::vector<Entry> parse(std::string_view text, bool passwd) {
  std::vector<Entry> out;
  while (!text.empty()) {
    const auto parts = fields(cut(text, '\n'));
    const size_t least = passwd ? 6 : 4;
    if (parts.size() < least || parts[0].empty()) continue;
    const auto id = parse_number<uint32_t>(parts[2]);
    const auto group = passwd ? parse_number<uint32_t>(parts[3]) : 0;
    if (!id || !group) continue;
    out.push_back({parts[0], *id, *group, passwd ? parts[5] : parts[3]});
  }
  return out;
}

Result<uint32_t> group_id(const std::vector<Entry>& groups, std::string_view name) {
  for (const Entry& group : groups)
    if (group.name == name) return group.id;
  if (const auto number = parse_number<uint32_t>(name); number && *number <= INT32_MAX) return *number;
  return fail("unable to find group ", name, ": no matching entries in group file");
}

}  // namespace

Result<ResolvedUser> resolve_user(int root, const std::string& user, const std::vector<std::string>& group_add) {
  const std::string passwd_text = read_database(root, "/etc/passwd"), group_text = read_database(root, "/etc/group");
  const std::vector<Entry> users = parse(passwd_text, true), groups = parse(group_text, false);
  std::string_view rest = user;
  const std::string_view name = cut(rest, ':');
  const std::string_view group = rest;

  ResolvedUser out;
  const Entry* entry = nullptr;
  const auto number = name.empty() ? std::optional<uint32_t>(0) : parse_number<uint32_t>(name);
  for (const Entry& each : users)
    if (entry == nullptr && ((number && each.id == *number) || (!name.empty() && each.name == name))) entry = &each;
  if (entry != nullptr) {
    out = {.uid = entry->id, .gid = entry->group, .groups = {}, .home = std::string(entry->rest)};
  } else if (number && *number <= INT32_MAX) {
    out.uid = *number;
  } else {
    return fail("unable to find user ", name, ": no matching entries in passwd file");
  }
  if (!group.empty()) {
    out.gid = TRY(group_id(groups, group));
  } else if (entry != nullptr) {
    for (const Entry& each : groups) {
      const auto members = split(each.rest, ',');
      if (std::ranges::find(members, entry->name) != members.end()) out.groups.push_back(each.id);
    }
  }
  for (const std::string& more : group_add) out.groups.push_back(TRY(group_id(groups, more)));
  std::ranges::sort(out.groups);
  out.groups.erase(std::unique(out.groups.begin(), out.groups.end()), out.groups.end());
  if (out.home.empty()) out.home = "/";
  return out;
}

}  // namespace proa::engine
