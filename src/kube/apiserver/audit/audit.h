// Audit: who did what, when, with what result; one JSON line for each stage of a request (audit.k8s.io/v1 Event).
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "kube/apiserver/access/authenticator.h"
#include "kube/apiserver/access/authorizer.h"
#include "kube/apiserver/audit/log.h"
#include "kube/apiserver/audit/policy.h"
#include "kube/object/value.h"
#include "net/task.h"

namespace proa::kube::api {

struct AuditOptions {
  std::string policy_file;  // empty: nothing is written
  AuditLogOptions log;
};

class Auditor {
 public:
  // Errors name the file and the field.
  static Result<std::unique_ptr<Auditor>> open(const AuditOptions& options);
  Auditor(AuditPolicy policy, std::unique_ptr<AuditLog> log) : policy_(std::move(policy)), log_(std::move(log)) {}

  const AuditPolicy& policy() const { return policy_; }
  AuditLog& log() const { return *log_; }

 private:
  const AuditPolicy policy_;
  const std::unique_ptr<AuditLog> log_;
};

// One request's events. Belongs to its handler.
class AuditTrail {
 public:
  // Null when the policy wants nothing of this request. All but `auditor` is used during the call alone, except
  // `request` and `identity`, which outlive it.
  static std::unique_ptr<AuditTrail> begin(const Auditor& auditor, const net::Request& request, const RequestInfo& info,
                                           const Identity& identity, std::string_view audit_id);

  bool wants_request() const { return decision_.level >= AuditLevel::kRequest; }
  bool wants_response() const { return decision_.level == AuditLevel::kRequestResponse; }

  void set_request(const Value& object);
  void set_response(const Value& object);
  // A piece of the answer, which is JSON. Of more than some megabytes nothing is kept.
  void add_response(std::string_view json);
  void annotate(std::string_view key, std::string_view value);
  // For requests of a kind that is made: the name that the server chose.
  void set_name(std::string_view name) { name_ = name; }

  // Waits while the log can take no more.
  net::Task<> tell(AuditStage stage, int code, const ApiError* error = nullptr);

 private:
  AuditTrail(const Auditor& auditor, const AuditDecision& decision, const net::Request& request,
             const Identity& identity)
      : auditor_(auditor), decision_(decision), request_(request), identity_(identity) {}
  std::string line(AuditStage stage, int code, const ApiError* error) const;
  std::string tidy(std::string json) const;
  std::string kept(const Value& object) const;

  const Auditor& auditor_;
  const AuditDecision decision_;
  const net::Request& request_;
  const Identity& identity_;
  std::string audit_id_, verb_, group_, version_, resource_, subresource_, ns_, name_;
  bool is_resource_ = false;
  WallTime received_;
  std::string sent_, answered_;  // JSON
  bool too_long_ = false;
  std::vector<std::pair<std::string, std::string>> annotations_;
};

}  // namespace proa::kube::api
