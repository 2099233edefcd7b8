// The Pod Security Standards: three levels, each of which has changed over versions, and what of a pod violates them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kube/object/value.h"

namespace proa::kube::api::pod_security {

enum class Level : uint8_t { kPrivileged, kBaseline, kRestricted };  // ever stricter
inline constexpr int kLatest = 1 << 20;

// "restricted:v1.30"
struct LevelVersion {
  Level level = Level::kPrivileged;
  int minor = kLatest;
  bool operator==(const LevelVersion&) const = default;
  std::string text() const;
};

struct Policy {
  LevelVersion enforce, audit, warn;
  bool privileged() const {
    return enforce.level == Level::kPrivileged && audit.level == Level::kPrivileged && warn.level == Level::kPrivileged;
  }
};

struct LabelFault {
  std::string label, value, detail;
  bool operator==(const LabelFault&) const = default;
};

// What the labels of a namespace ask for, over the defaults. A fault makes enforcement restricted, audit and warnings
// privileged, versions the latest.
Policy policy_of(const Value& labels, const Policy& defaults, std::vector<LabelFault>& faults);
// "baseline:latest" or "baseline".
bool parse_level_version(std::string_view text, LevelVersion& out);
std::string_view level_name(Level level);

struct Violation {
  std::string reason, detail;
};
// In upstream's order of checks.
std::vector<Violation> violations(LevelVersion policy, const Value& metadata, const Value& spec);
// "privileged (container "a" must not ...), hostPort (...)", or the reasons alone.
std::string details(const std::vector<Violation>& violations);
std::string reasons(const std::vector<Violation>& violations);

}  // namespace proa::kube::api::pod_security
