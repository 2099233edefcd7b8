#include "kube/apiserver/admission/pod_security/levels.h"

#include "base/error.h"
#include "base/text.h"

namespace proa::kube::api::pod_security {
namespace {

constexpr std::string_view kNames[] = {"privileged", "baseline", "restricted"};

bool parse_level(std::string_view text, Level& out) {
  for (size_t i = 0; i < std::size(kNames); ++i)
    if (kNames[i] == text) {
      out = static_cast<Level>(i);
      return true;
    }
  return false;
}

bool parse_version(std::string_view text, int& minor) {
  minor = kLatest;
  if (text == "latest") return true;
  if (!text.starts_with("v1.")) return false;
  text.remove_prefix(3);
  const auto number = parse_number<int>(text);
  if (!number || *number < 0 || (text.size() > 1 && text[0] == '0') || text[0] == '+') return false;
  minor = *number;
  return true;
}

}  // namespace

std::string_view level_name(Level level) { return kNames[static_cast<size_t>(level)]; }

std::string LevelVersion::text() const {
  return minor == kLatest ? cat(level_name(level), ":latest") : cat(level_name(level), ":v1.", minor);
}

bool parse_level_version(std::string_view text, LevelVersion& out) {
  const std::string_view level = cut(text, ':');
  return parse_level(level, out.level) && (text.empty() || parse_version(text, out.minor));
}

Policy policy_of(const Value& labels, const Policy& defaults, std::vector<LabelFault>& faults) {
  Policy out = defaults;
  bool enforces = false, warns = false, pins_warnings = false;
  const auto look = [&](std::string_view mode, LevelVersion& part, Level on_fault) {
    bool good = false;
    if (const std::string label = cat("pod-security.kubernetes.io/", mode); const Value* level = labels.find(label)) {
      good = parse_level(level->as_string(), part.level);
      if (!good) {
        part.level = on_fault;
        faults.push_back({label, std::string(level->as_string()), "must be one of privileged, baseline, restricted"});
      }
    }
    const std::string label = cat("pod-security.kubernetes.io/", mode, "-version");
    if (const Value* version = labels.find(label);
        version != nullptr && !parse_version(version->as_string(), part.minor))
      faults.push_back({label, std::string(version->as_string()), "must be \"latest\" or \"v1.x\""});
    return good;
  };
  enforces = look("enforce", out.enforce, Level::kRestricted);
  look("audit", out.audit, Level::kPrivileged);
  look("warn", out.warn, Level::kPrivileged);
  warns = labels.find("pod-security.kubernetes.io/warn") != nullptr;
  pins_warnings = labels.find("pod-security.kubernetes.io/warn-version") != nullptr;
  // Workloads are not refused, so who makes them is warned of what their pods will meet.
  if (!warns && enforces && out.enforce.level > out.warn.level) {
    out.warn.level = out.enforce.level;
    if (!pins_warnings) out.warn.minor = out.enforce.minor;
  }
  return out;
}

std::string details(const std::vector<Violation>& violations) {
  std::string out;
  for (const Violation& violation : violations) {
    out.append(out.empty() ? "" : ", ").append(violation.reason);
    if (!violation.detail.empty()) out.append(" (").append(violation.detail).append(")");
  }
  return out;
}

std::string reasons(const std::vector<Violation>& violations) {
  std::string out;
  for (const Violation& violation : violations) out.append(out.empty() ? "" : ", ").append(violation.reason);
  return out;
}

}  // namespace proa::kube::api::pod_security
