// What of which requests is written to the audit log: audit.k8s.io/v1 Policy.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "kube/apiserver/access/authorizer.h"
#include "kube/object/value.h"

namespace proa::kube::api {

enum class AuditLevel : uint8_t { kNone, kMetadata, kRequest, kRequestResponse };
enum class AuditStage : uint8_t { kRequestReceived, kResponseStarted, kResponseComplete, kPanic };
std::string_view name_of(AuditLevel level);
std::string_view name_of(AuditStage stage);

struct AuditDecision {
  AuditLevel level = AuditLevel::kNone;
  uint8_t omitted = 0;  // stages, a bit each
  bool omit_managed_fields = false;
  bool omits(AuditStage stage) const { return (omitted >> static_cast<unsigned>(stage) & 1) != 0; }
};

// Immutable; thread-safe.
class AuditPolicy {
 public:
  // YAML or JSON. Errors name the field: "rules[0].level".
  static Result<AuditPolicy> parse(std::string_view text);

  // The first rule that fits decides; without one nothing is written.
  AuditDecision decide(const AccessQuestion& request) const;

 private:
  struct Resources {
    std::string group;
    std::vector<std::string> resources, names;
  };
  struct Rule {
    AuditDecision decision;
    std::vector<std::string> users, groups, verbs, namespaces, urls;
    std::vector<Resources> resources;
  };
  static bool fits(const Rule& rule, const AccessQuestion& request);
  static Result<Rule> parse_rule(const Value& in, const std::string& at, const AuditDecision& all);

  std::vector<Rule> rules_;
};

}  // namespace proa::kube::api
