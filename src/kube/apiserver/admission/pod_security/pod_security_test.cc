#include <gtest/gtest.h>

#include "kube/apiserver/admission/pod_security/levels.h"
#include "kube/object/json.h"

namespace proa::kube::api::pod_security {
namespace {

struct Case {
  std::string_view policy, pod, wanted;
};

// What upstream's checks say of each pod; "" is fine.
constexpr Case kCases[] = {
    {"privileged", R"({"spec":{"hostNetwork":true,"containers":[{"name":"a"}]}})", ""},
    {"baseline", R"({"spec":{"containers":[{"name":"a"}]}})", ""},
    {"baseline", R"({"spec":{"hostNetwork":true,"hostPID":true,"containers":[{"name":"a"}]}})",
     "host namespaces (hostNetwork=true, hostPID=true)"},
    {"baseline",
     R"({"spec":{"containers":[{"name":"a","securityContext":{"privileged":true}},{"name":"b","securityContext":{"privileged":true}}]}})",
     R"(privileged (containers "a", "b" must not set securityContext.privileged=true))"},
    {"baseline",
     R"({"spec":{"containers":[{"name":"a","securityContext":{"capabilities":{"add":["NET_ADMIN","CHOWN","SYS_TIME"]}}}]}})",
     R"(non-default capabilities (container "a" must not include "NET_ADMIN", "SYS_TIME" in securityContext.capabilities.add))"},
    {"baseline", R"({"spec":{"volumes":[{"name":"h","hostPath":{"path":"/"}}],"containers":[{"name":"a"}]}})",
     R"(hostPath volumes (volume "h"))"},
    {"baseline", R"({"spec":{"containers":[{"name":"a","ports":[{"hostPort":80},{"hostPort":443}]}]}})",
     R"(hostPort (container "a" uses hostPorts 443, 80))"},
    {"baseline:v1.33", R"({"spec":{"containers":[{"name":"a","livenessProbe":{"httpGet":{"host":"x"}}}]}})", ""},
    {"baseline:v1.34", R"({"spec":{"containers":[{"name":"a","livenessProbe":{"httpGet":{"host":"x"}}}]}})",
     R"(probe or lifecycle host (container "a" uses probe or lifecycle host "x"))"},
    {"baseline", R"({"spec":{"containers":[{"name":"a","securityContext":{"procMount":"Unmasked"}}]}})",
     R"(procMount (container "a" must not set securityContext.procMount to "Unmasked"))"},
    {"baseline:v1.30",
     R"({"spec":{"securityContext":{"seLinuxOptions":{"type":"container_engine_t","user":"u"}},"containers":[{"name":"a"}]}})",
     R"(seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type "container_engine_t"; user may not be set))"},
    {"baseline:v1.31",
     R"({"spec":{"securityContext":{"seLinuxOptions":{"type":"container_engine_t"}},"containers":[{"name":"a"}]}})",
     ""},
    {"baseline:v1.18",
     R"({"metadata":{"annotations":{"seccomp.security.alpha.kubernetes.io/pod":"unconfined"}},"spec":{"containers":[{"name":"a"}]}})",
     R"(seccompProfile (forbidden annotation seccomp.security.alpha.kubernetes.io/pod="unconfined"))"},
    {"baseline", R"({"spec":{"securityContext":{"seccompProfile":{"type":"Unconfined"}},"containers":[{"name":"a"}]}})",
     R"(seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined"))"},
    {"baseline:v1.26",
     R"({"spec":{"securityContext":{"sysctls":[{"name":"net.ipv4.ip_local_reserved_ports"},{"name":"kernel.shm_rmid_forced"}]},"containers":[{"name":"a"}]}})",
     "forbidden sysctls (net.ipv4.ip_local_reserved_ports)"},
    {"baseline:v1.27",
     R"({"spec":{"securityContext":{"sysctls":[{"name":"net.ipv4.ip_local_reserved_ports"}]},"containers":[{"name":"a"}]}})",
     ""},
    {"baseline", R"({"spec":{"securityContext":{"windowsOptions":{"hostProcess":true}},"containers":[{"name":"a"}]}})",
     "hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)"},
    {"baseline",
     R"({"metadata":{"annotations":{"container.apparmor.security.beta.kubernetes.io/a":"unconfined"}},"spec":{"containers":[{"name":"a"}]}})",
     R"(forbidden AppArmor profile (annotation must not set AppArmor profile type to "container.apparmor.security.beta.kubernetes.io/a="unconfined""))"},
    // A restricted pod that is as it should be.
    {"restricted",
     R"({"spec":{"securityContext":{"runAsNonRoot":true,"seccompProfile":{"type":"RuntimeDefault"}},"containers":[{"name":"a","securityContext":{"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"],"add":["NET_BIND_SERVICE"]}}}]}})",
     ""},
    {"restricted", R"({"spec":{"containers":[{"name":"a"}]}})",
     R"(allowPrivilegeEscalation != false (container "a" must set securityContext.allowPrivilegeEscalation=false), )"
     R"(unrestricted capabilities (container "a" must set securityContext.capabilities.drop=["ALL"]), )"
     R"(runAsNonRoot != true (pod or container "a" must set securityContext.runAsNonRoot=true), )"
     R"(seccompProfile (pod or container "a" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"))"},
    {"restricted:v1.7", R"({"spec":{"containers":[{"name":"a"}]}})",
     R"(runAsNonRoot != true (pod or container "a" must set securityContext.runAsNonRoot=true))"},
    // What only Linux has.
    {"restricted",
     R"({"spec":{"os":{"name":"windows"},"securityContext":{"runAsNonRoot":true},"containers":[{"name":"a"}]}})", ""},
    {"restricted:v1.24",
     R"({"spec":{"os":{"name":"windows"},"securityContext":{"runAsNonRoot":true,"seccompProfile":{"type":"RuntimeDefault"}},"containers":[{"name":"a","securityContext":{"capabilities":{"drop":["ALL"]}}}]}})",
     R"(allowPrivilegeEscalation != false (container "a" must set securityContext.allowPrivilegeEscalation=false))"},
    // Restricted checks say it in place of the baseline ones.
    {"restricted",
     R"({"spec":{"securityContext":{"runAsNonRoot":true,"runAsUser":0,"seccompProfile":{"type":"Localhost"}},"volumes":[{"name":"h","hostPath":{}},{"name":"n","nfs":{}},{"name":"e","emptyDir":{}}],"containers":[{"name":"a","securityContext":{"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"],"add":["CHOWN"]}}}]}})",
     R"(unrestricted capabilities (container "a" must not include "CHOWN" in securityContext.capabilities.add), )"
     R"(restricted volume types (volumes "h", "n" use restricted volume types "hostPath", "nfs"), )"
     R"(runAsUser=0 (pod must not set runAsUser=0))"},
};

TEST(PodSecurity, SaysWhatViolatesEachLevel) {
  for (const Case& one : kCases) {
    LevelVersion policy;
    ASSERT_TRUE(parse_level_version(one.policy, policy)) << one.policy;
    const Document pod = read_json(one.pod).value();
    EXPECT_EQ(details(violations(policy, pod.root.get("metadata"), pod.root.get("spec"))), one.wanted)
        << one.policy << " " << one.pod;
  }
}

struct LabelCase {
  std::string_view labels, enforce, audit, warn;
  size_t faults = 0;
};

constexpr LabelCase kLabels[] = {
    {"{}", "privileged:latest", "privileged:latest", "privileged:latest"},
    // Who enforces is warned as well, unless he says otherwise.
    {R"({"pod-security.kubernetes.io/enforce":"baseline","pod-security.kubernetes.io/enforce-version":"v1.30"})",
     "baseline:v1.30", "privileged:latest", "baseline:v1.30"},
    {R"({"pod-security.kubernetes.io/enforce":"restricted","pod-security.kubernetes.io/warn":"baseline"})",
     "restricted:latest", "privileged:latest", "baseline:latest"},
    {R"({"pod-security.kubernetes.io/enforce":"strict","pod-security.kubernetes.io/audit":"x","pod-security.kubernetes.io/warn":"y"})",
     "restricted:latest", "privileged:latest", "privileged:latest", 3},
    {R"({"pod-security.kubernetes.io/enforce-version":"v2.0"})", "privileged:latest", "privileged:latest",
     "privileged:latest", 1},
    {R"({"pod-security.kubernetes.io/enforce-version":"v1.01"})", "privileged:latest", "privileged:latest",
     "privileged:latest", 1},
};

TEST(PodSecurity, ReadsTheLabelsOfNamespaces) {
  for (const LabelCase& one : kLabels) {
    const Document labels = read_json(one.labels).value();
    std::vector<LabelFault> faults;
    const Policy policy = policy_of(labels.root, {}, faults);
    EXPECT_EQ(policy.enforce.text(), one.enforce) << one.labels;
    EXPECT_EQ(policy.audit.text(), one.audit) << one.labels;
    EXPECT_EQ(policy.warn.text(), one.warn) << one.labels;
    EXPECT_EQ(faults.size(), one.faults) << one.labels;
  }
}

}  // namespace
}  // namespace proa::kube::api::pod_security
