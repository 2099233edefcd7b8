// The rules of the groups apps, batch, policy and autoscaling.
#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/text.h"
#include "kube/codec/quantity.h"
#include "kube/validation/cron.h"
#include "kube/validation/rules.h"
#include "kube/validation/validate.h"

namespace proa::kube {
namespace {

// A selector that is wanted and matches something in particular.
void check_selector(const Spot& selector, std::string_view kind) {
  if (!selector.present()) {
    selector.required();
    return;
  }
  validate_label_selector(selector);
  if (selector["matchLabels"].size() + selector["matchExpressions"].size() == 0)
    selector.invalid(cat("empty selector is invalid for ", kind));
}

void wants_always(const Spot& pod_template) {
  const Spot policy = pod_template["spec"]["restartPolicy"];
  if (pod_template.present() && policy.text() != "Always") policy.unsupported({"Always"});
  if (pod_template["spec"]["activeDeadlineSeconds"].present())
    pod_template["spec"]["activeDeadlineSeconds"].forbidden(
        "activeDeadlineSeconds in "
        "ReplicaSet is not Supported");
}

bool is_zero(const Spot& value) {
  return value.value().is_int() ? value.number() == 0 : value.text() == "0%" || value.text().empty();
}

void check_rolling(const Spot& rolling, std::string_view what) {
  const Spot unavailable = rolling["maxUnavailable"], surge = rolling["maxSurge"];
  check_count_or_percent(unavailable);
  check_count_or_percent(surge);
  if (is_zero(unavailable) && is_zero(surge)) unavailable.invalid(what);
  for (const Spot& value : {unavailable, surge})
    if (value.value().is_string() && value.text().size() > 4 - 0 && value.text() != "100%" &&
        percent_faults(value.text()).empty())
      value.invalid("must not be greater than 100%");
}

void check_deployment(const Spot& deployment, const Value&) {
  const Spot spec = deployment["spec"], strategy = spec["strategy"];
  spec["replicas"].not_negative();
  check_selector(spec["selector"], "deployment");
  check_pod_template(spec["template"], spec["selector"].value());
  wants_always(spec["template"]);
  spec["minReadySeconds"].not_negative();
  strategy["type"].one_of({"Recreate", "RollingUpdate"});
  const Spot rolling = strategy["rollingUpdate"];
  if (strategy["type"].text() == "Recreate") {
    if (rolling.present()) rolling.forbidden("may not be specified when strategy `type` is 'Recreate'");
  } else if (!rolling.present()) {
    rolling.required("this should be defaulted and never be nil");
  } else {
    check_rolling(rolling, "may not be 0 when `maxSurge` is 0");
  }
  const Spot deadline = spec["progressDeadlineSeconds"];
  deadline.not_negative();
  if (deadline.present() && deadline.number() <= spec["minReadySeconds"].number())
    deadline.invalid("must be greater than minReadySeconds");
}

void check_replica_set(const Spot& set, const Value&) {
  const Spot spec = set["spec"];
  spec["replicas"].not_negative();
  check_selector(spec["selector"], "replica set");
  check_pod_template(spec["template"], spec["selector"].value());
  wants_always(spec["template"]);
}

void check_stateful_set(const Spot& set, const Value& old_set) {
  const Spot spec = set["spec"];
  spec["podManagementPolicy"].one_of({"OrderedReady", "Parallel"});
  spec["updateStrategy"]["type"].one_of({"OnDelete", "RollingUpdate"});
  if (const Spot rolling = spec["updateStrategy"]["rollingUpdate"]; rolling.present()) {
    rolling["partition"].not_negative();
    check_count_or_percent(rolling["maxUnavailable"]);
  }
  spec["replicas"].not_negative();
  spec["minReadySeconds"].not_negative();
  check_selector(spec["selector"], "statefulset");
  check_pod_template(spec["template"], spec["selector"].value());
  wants_always(spec["template"]);
  if (old_set.is_null()) return;
  Arena arena;
  Value next = Value::object_of(arena, spec.value().members());
  Value before = Value::object_of(arena, old_set.get("spec").members());
  for (Value* part : {&next, &before})
    for (const std::string_view field : {"replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit",
                                         "persistentVolumeClaimRetentionPolicy", "minReadySeconds"})
      part->erase(field);
  if (!equal(next, before))
    spec.forbidden(
        "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
        "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden");
}

void check_daemon_set(const Spot& set, const Value&) {
  const Spot spec = set["spec"], strategy = spec["updateStrategy"];
  check_selector(spec["selector"], "daemonset");
  check_pod_template(spec["template"], spec["selector"].value());
  wants_always(spec["template"]);
  strategy["type"].one_of({"OnDelete", "RollingUpdate"});
  if (strategy["type"].text() != "RollingUpdate") return;
  const Spot rolling = strategy["rollingUpdate"];
  if (!rolling.present())
    rolling.required();
  else {
    if (!is_zero(rolling["maxUnavailable"]) && !is_zero(rolling["maxSurge"]))
      rolling["maxSurge"].invalid("may not be set when maxUnavailable is non-zero");
    else
      check_rolling(rolling, "cannot be 0 when maxSurge is 0");
  }
}

void check_revision(const Spot& revision, const Value&) {
  revision["revision"].not_negative();
  if (!revision["data"].present()) revision["data"].required("data is mandatory");
}

void check_job_spec(const Spot& spec, bool generated_selector) {
  for (const std::string_view field : {"parallelism", "completions", "activeDeadlineSeconds", "backoffLimit",
                                       "ttlSecondsAfterFinished", "backoffLimitPerIndex", "maxFailedIndexes"})
    spec[field].not_negative();
  const bool indexed = spec["completionMode"].text() == "Indexed";
  if (!spec["completionMode"].empty()) spec["completionMode"].one_of({"Indexed", "NonIndexed"});
  if (indexed && !spec["completions"].present()) spec["completions"].required("when completion mode is Indexed");
  if (indexed && spec["parallelism"].number() > 100'000)
    spec["parallelism"].invalid("must be less than or equal to 100000 when completion mode is Indexed");
  if (spec["backoffLimitPerIndex"].present() && !indexed)
    spec["backoffLimitPerIndex"].invalid("requires indexed completion mode");
  if (spec["maxFailedIndexes"].present() && !spec["backoffLimitPerIndex"].present())
    spec["backoffLimitPerIndex"].required("when maxFailedIndexes is specified");
  if (!generated_selector) {
    if (!spec["selector"].present()) spec["selector"].required();
    validate_label_selector(spec["selector"]);
  }
  const Spot pod_template = spec["template"];
  check_pod_template(pod_template, generated_selector ? Value() : spec["selector"].value());
  const Spot policy = pod_template["spec"]["restartPolicy"];
  if (pod_template.present() && policy.text() != "OnFailure" && policy.text() != "Never")
    policy.required("valid values: \"OnFailure\", \"Never\"");
  const Spot rules = spec["podFailurePolicy"]["rules"];
  if (spec["podFailurePolicy"].present() && policy.text() != "Never")
    policy.invalid("only \"Never\" is supported when podFailurePolicy is specified");
  if (rules.size() > 20) rules.too_many(20);
  for (size_t i = 0; i < rules.size(); ++i) {
    const Spot rule = rules.item(i);
    rule["action"].one_of({"Count", "FailIndex", "FailJob", "Ignore"});
    const bool codes = rule["onExitCodes"].present(), conditions = rule["onPodConditions"].size() > 0;
    if (codes == conditions)
      rule.invalid(codes ? "specifying both OnExitCodes and OnPodConditions is not supported"
                         : "specifying one of OnExitCodes and OnPodConditions is required");
    if (codes) {
      rule["onExitCodes"]["operator"].one_of({"In", "NotIn"});
      if (rule["onExitCodes"]["values"].size() == 0)
        rule["onExitCodes"]["values"].invalid("at least one value is required");
    }
  }
}

void check_job(const Spot& job, const Value& old_job) {
  const Spot spec = job["spec"];
  check_job_spec(spec, false);
  if (old_job.is_null()) return;
  check_immutable(spec["template"], old_job.get({"spec", "template"}));
  if (spec["completionMode"].text() != "Indexed")
    check_immutable(spec["completions"], old_job.get({"spec", "completions"}));
  check_immutable(spec["podFailurePolicy"], old_job.get({"spec", "podFailurePolicy"}));
}

Faults cron_job_name_faults(std::string_view name) {
  Faults out = dns_subdomain_faults(name);
  // Jobs get eleven characters more.
  if (name.size() > 52) out.push_back("must be no more than 52 characters");
  return out;
}

void check_cron_job(const Spot& object, const Value&) {
  const Spot spec = object["spec"], schedule = spec["schedule"], zone = spec["timeZone"];
  if (schedule.wants_text()) {
    if (schedule.text().find("TZ") != std::string_view::npos)
      schedule.invalid("cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
    else if (const auto parsed = CronSchedule::parse(schedule.text()); !parsed)
      schedule.invalid(parsed.error().message());
  }
  if (zone.present()) {
    if (zone.text().empty())
      zone.invalid("timeZone must be nil or non-empty string");
    else if (zone.text() == "Local")
      zone.invalid("timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones");
    else if (zone.text().find("..") != std::string_view::npos || zone.text().front() == '/')
      zone.invalid("unknown time zone " + std::string(zone.text()));
  }
  spec["startingDeadlineSeconds"].not_negative();
  spec["concurrencyPolicy"].one_of({"Allow", "Forbid", "Replace"});
  spec["successfulJobsHistoryLimit"].not_negative();
  spec["failedJobsHistoryLimit"].not_negative();
  check_job_spec(spec["jobTemplate"]["spec"], true);
}

void check_budget(const Spot& budget, const Value&) {
  const Spot spec = budget["spec"];
  if (spec["minAvailable"].present() && spec["maxUnavailable"].present())
    spec.invalid("minAvailable and maxUnavailable cannot be both set");
  check_count_or_percent(spec["minAvailable"]);
  check_count_or_percent(spec["maxUnavailable"]);
  validate_label_selector(spec["selector"]);
  if (!spec["unhealthyPodEvictionPolicy"].empty())
    spec["unhealthyPodEvictionPolicy"].one_of({"AlwaysAllow", "IfHealthyBudget"});
}

void check_metric_target(const Spot& target) {
  if (!target["type"].one_of({"AverageValue", "Utilization", "Value"})) return;
  const Spot percent = target["averageUtilization"];
  if (percent.present() && percent.number() < 1) percent.invalid("must be greater than 0");
  for (const std::string_view field : {"value", "averageValue"})
    if (const auto amount = Quantity::parse(target[field].text());
        target[field].present() && amount && (amount->negative() || amount->is_zero()))
      target[field].invalid("must be positive");
}

void check_autoscaler(const Spot& scaler, const Value&) {
  const Spot spec = scaler["spec"], least = spec["minReplicas"], most = spec["maxReplicas"];
  if (least.present() && least.number() < 1) least.invalid("must be greater than or equal to 1");
  if (most.number() < 1)
    most.invalid("must be greater than 0");
  else if (least.present() && most.number() < least.number())
    most.invalid("must be greater than or equal to `minReplicas`");
  for (const std::string_view field : {"kind", "name"})
    if (spec["scaleTargetRef"][field].wants_text())
      spec["scaleTargetRef"][field].invalid(path_segment_faults(spec["scaleTargetRef"][field].text()));
  const Spot metrics = spec["metrics"];
  for (size_t i = 0; i < metrics.size(); ++i) {
    const Spot metric = metrics.item(i);
    if (!metric["type"].one_of({"ContainerResource", "External", "Object", "Pods", "Resource"})) continue;
    static constexpr std::pair<std::string_view, std::string_view> kSources[] = {
        {"ContainerResource", "containerResource"},
        {"External", "external"},
        {"Object", "object"},
        {"Pods", "pods"},
        {"Resource", "resource"}};
    for (const auto& [type, field] : kSources) {
      const bool wanted = metric["type"].text() == type;
      if (wanted && !metric[field].present())
        metric[field].required("must populate information for the given metric source");
      if (!wanted && metric[field].present()) metric[field].forbidden("must populate the given metric source only");
      if (wanted && metric[field].present()) check_metric_target(metric[field]["target"]);
    }
    if (metric["resource"].present()) metric["resource"]["name"].wants_text("must specify a resource name");
  }
  for (const std::string_view direction : {"scaleUp", "scaleDown"}) {
    const Spot rules = spec["behavior"][direction], window = rules["stabilizationWindowSeconds"];
    window.not_negative();
    if (window.number() > 3600) window.invalid("must be less than or equal to 3600");
    for (size_t i = 0; i < rules["policies"].size(); ++i) {
      const Spot policy = rules["policies"].item(i);
      policy["type"].one_of({"Percent", "Pods"});
      if (policy["value"].number() <= 0) policy["value"].invalid("must be greater than zero");
      if (policy["periodSeconds"].number() <= 0) policy["periodSeconds"].invalid("must be greater than zero");
      if (policy["periodSeconds"].number() > 1800)
        policy["periodSeconds"].invalid("must be less than or equal to 1800");
    }
  }
}

constexpr KindRules kRules[] = {
    {"apps", "Deployment", check_deployment},
    {"apps", "ReplicaSet", check_replica_set},
    {"apps", "StatefulSet", check_stateful_set, dns_label_faults},
    {"apps", "DaemonSet", check_daemon_set},
    {"apps", "ControllerRevision", check_revision},
    {"batch", "Job", check_job},
    {"batch", "CronJob", check_cron_job, cron_job_name_faults},
    {"policy", "PodDisruptionBudget", check_budget},
    {"autoscaling", "HorizontalPodAutoscaler", check_autoscaler, path_segment_faults},
};

}  // namespace

std::span<const KindRules> workload_rules() { return kRules; }

}  // namespace proa::kube
