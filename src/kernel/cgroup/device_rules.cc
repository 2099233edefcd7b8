#include "kernel/cgroup/device_rules.h"

#include <algorithm>
#include <charconv>
#include <optional>

namespace proa::kernel::cgroup {
namespace {

std::string number_text(int64_t number) { return number == kAnyNumber ? "*" : cat(number); }

std::string line_of(const DeviceMatch& match, unsigned access) {
  return cat(match.type, ' ', number_text(match.major), ':', number_text(match.minor), ' ', access_text(access));
}

Result<int64_t> parse_number(std::string_view text) {
  if (text == "*") return kAnyNumber;
  uint32_t value = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (ec != std::errc() || end != text.data() + text.size()) return fail("\"", text, "\" is not a device number");
  return value;
}

Result<int64_t> check_number(const std::optional<int64_t>& number, const char* name) {
  if (!number || *number == kAnyNumber) return kAnyNumber;
  if (*number < 0 || *number > UINT32_MAX) return fail(name, ": ", *number, " is not a device number");
  return *number;
}

// A container has a dozen rules: a search beats a tree.
template <typename Exceptions>
auto find_match(Exceptions& exceptions, const DeviceMatch& match) {
  return std::find_if(exceptions.begin(), exceptions.end(), [&](const auto& each) { return each.first == match; });
}

void add_access(DevicePolicy::Exceptions& exceptions, const DeviceMatch& match, unsigned access) {
  const auto found = find_match(exceptions, match);
  if (found == exceptions.end())
    exceptions.emplace_back(match, access);
  else
    found->second |= access;
}

}  // namespace

Result<unsigned> parse_access(std::string_view text) {
  if (text.empty()) return kAnyAccess;
  unsigned access = 0;
  for (const char c : text) {
    switch (c) {
      case 'r': access |= kRead; break;
      case 'w': access |= kWrite; break;
      case 'm': access |= kMknod; break;
      default: return fail("access: \"", text, "\" has letters other than r, w and m");
    }
  }
  return access;
}

std::string access_text(unsigned access) {
  std::string out;
  if (access & kRead) out += 'r';
  if (access & kWrite) out += 'w';
  if (access & kMknod) out += 'm';
  return out;
}

Result<> DevicePolicy::apply(const DeviceRule& rule) {
  const unsigned access = TRY(parse_access(rule.access));
  if (rule.type == 'a') {  // every device, whatever the numbers say: so does the kernel read it
    allow_ = rule.allow;
    exceptions_.clear();
    return {};
  }
  if (rule.type != 'b' && rule.type != 'c') return fail("type: \"", rule.type, "\" is not a, b or c");
  DeviceMatch match;
  match.type = rule.type;
  match.major = TRY(check_number(rule.major, "major"));
  match.minor = TRY(check_number(rule.minor, "minor"));
  if (rule.allow != allow_) {
    add_access(exceptions_, match, access);
    return {};
  }
  for (DeviceMatch wider :
       {DeviceMatch{kAnyNumber, match.minor, match.type}, DeviceMatch{match.major, kAnyNumber, match.type},
        DeviceMatch{kAnyNumber, kAnyNumber, match.type}}) {
    const auto found = find_match(exceptions_, wider);
    if (wider == match || found == exceptions_.end() || (found->second & access) == 0) continue;
    return fail("\"", line_of(match, access), "\" cannot be taken out of the earlier rule \"",
                line_of(wider, found->second), "\"")
        .hint("give the rule for the single device no overlap with the wildcard rule before it");
  }
  if (const auto exact = find_match(exceptions_, match); exact != exceptions_.end() && (exact->second &= ~access) == 0)
    exceptions_.erase(exact);
  return {};
}

std::vector<DevicePolicy::Step> DevicePolicy::steps_from(const DevicePolicy& from) const {
  std::vector<Step> steps;
  static const Exceptions none;
  const auto* old = &from.exceptions_;
  // devices.list shows no exceptions from allow-all, so a cgroup in that mode is always reset.
  if (from.allow_ || from.allow_ != allow_) {
    steps.push_back({allow_, "a"});
    old = &none;
  }
  const auto bits_in = [](const auto& map, const DeviceMatch& match) {
    const auto found = find_match(map, match);
    return found == map.end() ? 0u : found->second;
  };
  for (const auto& [match, access] : *old)
    if (const unsigned dropped = access & ~bits_in(exceptions_, match); dropped != 0)
      steps.push_back({allow_, line_of(match, dropped)});
  for (const auto& [match, access] : exceptions_)
    if (const unsigned gained = access & ~bits_in(*old, match); gained != 0)
      steps.push_back({!allow_, line_of(match, gained)});
  return steps;
}

Result<DevicePolicy> DevicePolicy::from_list(std::string_view text) {
  DevicePolicy policy;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (line.empty()) continue;
    if (line.front() == 'a') {
      policy.allow_ = true;
      policy.exceptions_.clear();
      return policy;
    }
    const size_t colon = line.find(':');
    const size_t space = colon == std::string_view::npos ? colon : line.find(' ', colon);
    if (line.size() < 7 || space == std::string_view::npos) return fail("devices.list: cannot read \"", line, "\"");
    DeviceMatch match;
    match.type = line.front();
    match.major = TRY_CTX(parse_number(line.substr(2, colon - 2)), "devices.list");
    match.minor = TRY_CTX(parse_number(line.substr(colon + 1, space - colon - 1)), "devices.list");
    add_access(policy.exceptions_, match, TRY_CTX(parse_access(line.substr(space + 1)), "devices.list"));
  }
  return policy;
}

const std::vector<DeviceRule>& default_device_rules() {
  static const std::vector<DeviceRule> rules = {
      {true, 'c', {}, {}, "m"},    {true, 'b', {}, {}, "m"},     // making nodes is harmless, opening them is not
      {true, 'c', 1, 3, "rwm"},    {true, 'c', 1, 5, "rwm"},     // null, zero
      {true, 'c', 1, 7, "rwm"},    {true, 'c', 1, 8, "rwm"},     // full, random
      {true, 'c', 1, 9, "rwm"},    {true, 'c', 5, 0, "rwm"},     // urandom, tty
      {true, 'c', 5, 2, "rwm"},    {true, 'c', 136, {}, "rwm"},  // ptmx, pts/*
      {true, 'c', 10, 200, "rwm"},                               // net/tun: engines count on it
  };
  return rules;
}

Result<DevicePolicy> device_policy(const std::vector<DeviceRule>& rules) {
  DevicePolicy policy;
  for (size_t i = 0; i < rules.size(); ++i) TRY_CTX(policy.apply(rules[i]), "linux.resources.devices[", i, "]");
  for (const DeviceRule& rule : default_device_rules()) TRY_CTX(policy.apply(rule), "linux.resources.devices");
  return policy;
}

}  // namespace proa::kernel::cgroup
