// The strategies of single kinds, by their files. For table.cc.
#pragma once

#include "kube/apiserver/admission/admission.h"
#include "kube/apiserver/registry/strategy.h"

namespace proa::kube::api {

// pods.cc
void prepare_pod(Admission& w);
Answer<> check_pod_change(Admission& w, const Reader& reader);
int64_t pod_grace_seconds(const Value& pod);

// services.cc, which takes and gives back addresses and ports (allocation.h)
void prepare_service(Admission& w);
Answer<> allocate_service(Admission& w, const Reader& reader);
void release_service(Admission& w, const Reader& reader);

// cluster.cc
void prepare_namespace(Admission& w);
Answer<> furnish_namespace(Admission& w, const Reader& reader);  // furnishing.cc
bool namespace_keeps(const Value& space);
void namespace_deleting(Admission& w);
void prepare_service_account(Admission& w);
void prepare_certificate_request(Admission& w);
void prepare_service_cidr(Admission& w);
Answer<> fill_quota(Admission& w, const Reader& reader);

// workloads.cc
void prepare_job(Admission& w);
void prepare_daemon_set(Admission& w);

// storage.cc
void prepare_volume(Admission& w);
void prepare_claim(Admission& w);

// warnings.cc
void warn_of_pod(Admission& w);  // and of templates of pods
void warn_of_workload(Admission& w);
void warn_of_service(Admission& w);
void warn_of_ingress(Admission& w);
void warn_of_cron_job(Admission& w);
void warn_of_volume(Admission& w);
void warn_of_claim(Admission& w);
void warn_of_node(Admission& w);
void warn_of_service_account(Admission& w);

inline bool creates(const Admission& w) { return w.old_object.is_null(); }
// The object becomes the old one with only what `paths` name from the new.
void keep_all_but(Admission& w, std::initializer_list<std::initializer_list<std::string_view>> paths);

}  // namespace proa::kube::api
