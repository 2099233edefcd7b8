#include <gtest/gtest.h>

#include "kube/apiserver/request/info.h"
#include "kube/apiserver/request/options.h"
#include "kube/object/json.h"

namespace proa::kube::api {
namespace {

std::string told(std::string_view method, std::string_view target) {
  const RequestInfo info = parse_request(method, target);
  if (!info.is_resource) return cat(info.verb, " path ", info.path);
  return cat(info.verb, " ", info.group, "/", info.version, " ", info.ns, "|", info.resource, "|", info.name, "|",
             info.subresource, info.rest.empty() ? "" : "|", info.rest);
}

TEST(RequestInfo, NamesResources) {
  EXPECT_EQ(told("GET", "/api/v1/namespaces/a/pods/b"), "get /v1 a|pods|b|");
  EXPECT_EQ(told("GET", "/api/v1/namespaces/a/pods"), "list /v1 a|pods||");
  EXPECT_EQ(told("GET", "/api/v1/pods?watch=true"), "watch /v1 |pods||");
  EXPECT_EQ(told("GET", "/api/v1/pods?watch=0"), "list /v1 |pods||");
  EXPECT_EQ(told("POST", "/apis/apps/v1/namespaces/a/deployments"), "create apps/v1 a|deployments||");
  EXPECT_EQ(told("PUT", "/apis/apps/v1/namespaces/a/deployments/b/scale"), "update apps/v1 a|deployments|b|scale");
  EXPECT_EQ(told("PATCH", "/api/v1/nodes/n/status"), "patch /v1 |nodes|n|status");
  EXPECT_EQ(told("DELETE", "/api/v1/namespaces/a/pods/b"), "delete /v1 a|pods|b|");
  EXPECT_EQ(told("DELETE", "/api/v1/namespaces/a/pods"), "deletecollection /v1 a|pods||");
  EXPECT_EQ(told("GET", "/api/v1/namespaces/a/pods/b/proxy/x/y"), "get /v1 a|pods|b|proxy|x/y");
  EXPECT_EQ(told("GET", "/api/v1/watch/namespaces/a/pods"), "watch /v1 a|pods||");
}

TEST(RequestInfo, KnowsNamespacesThemselves) {
  EXPECT_EQ(told("GET", "/api/v1/namespaces"), "list /v1 |namespaces||");
  EXPECT_EQ(told("GET", "/api/v1/namespaces/a"), "get /v1 a|namespaces|a|");
  EXPECT_EQ(told("PUT", "/api/v1/namespaces/a/finalize"), "update /v1 a|namespaces|a|finalize");
  EXPECT_EQ(told("PATCH", "/api/v1/namespaces/a/status"), "patch /v1 a|namespaces|a|status");
}

TEST(RequestInfo, AListOfOneNameHasThatName) {
  EXPECT_EQ(told("GET", "/api/v1/namespaces/a/pods?fieldSelector=metadata.name%3Db"), "list /v1 a|pods|b|");
  EXPECT_EQ(told("GET", "/api/v1/namespaces/a/pods?fieldSelector=metadata.name!%3Db"), "list /v1 a|pods||");
}

TEST(RequestInfo, OtherPathsAreNoResources) {
  EXPECT_EQ(told("GET", "/api/v1"), "get path /api/v1");
  EXPECT_EQ(told("GET", "/apis/apps/v1"), "get path /apis/apps/v1");
  EXPECT_EQ(told("POST", "/healthz"), "post path /healthz");
  EXPECT_EQ(told("GET", "/a%20b"), "get path /a b");
  EXPECT_EQ(told("GET", "/"), "get path /");
  const RequestInfo nameless = parse_request("PATCH", "/apis/apps/v1//x");
  EXPECT_FALSE(nameless.is_resource);
  EXPECT_EQ(nameless.verb, "patch");
  EXPECT_EQ(nameless.path, "/apis/apps/v1//x");
}

std::string refused_list(std::string_view query) {
  const auto options = parse_list_options(query);
  return options ? "" : options.error().message;
}

TEST(ListOptions, AreChecked) {
  const auto options =
      parse_list_options("labelSelector=a%3Db&limit=5&continue=x&resourceVersion=&watch=1&allowWatchBookmarks=true");
  ASSERT_TRUE(options);
  EXPECT_EQ(options->label_selector, "a=b");
  EXPECT_EQ(options->limit, 5);
  EXPECT_TRUE(options->watch && options->bookmarks);
  EXPECT_EQ(refused_list("limit=x"), "strconv.ParseInt: parsing \"x\": invalid syntax");
  EXPECT_EQ(
      refused_list("resourceVersionMatch=Exact"),
      "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden "
      "unless resourceVersion is provided");
  EXPECT_EQ(
      refused_list("resourceVersionMatch=Exact&resourceVersion=0"),
      "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch \"exact\" is "
      "forbidden for resourceVersion \"0\"");
  EXPECT_NE(refused_list("sendInitialEvents=true"), "");
  EXPECT_NE(refused_list("watch=1&sendInitialEvents=true"), "");
  EXPECT_EQ(refused_list("watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion="), "");
}

TEST(WriteOptions, AreChecked) {
  EXPECT_TRUE(parse_write_options("dryRun=All&fieldManager=me", WriteKind::kCreate)->dry_run);
  EXPECT_EQ(
      parse_write_options("dryRun=None", WriteKind::kCreate).error().message,
      "CreateOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: [\"None\"]: supported values: \"All\"");
  EXPECT_EQ(parse_write_options("", WriteKind::kApply).error().message,
            "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch");
  EXPECT_FALSE(parse_write_options("force=true", WriteKind::kPatch));
  EXPECT_TRUE(parse_write_options("force=true&fieldManager=x", WriteKind::kApply)->force);
}

TEST(DeleteOptions, ComeFromTheBodyOrTheQuery) {
  EXPECT_EQ(parse_delete_options("propagationPolicy=Orphan&gracePeriodSeconds=7", Value())->propagation,
            Propagation::kOrphan);
  const Document body = *read_json(R"({"gracePeriodSeconds":0,"preconditions":{"uid":"u"},"orphanDependents":false})");
  const auto options = parse_delete_options("gracePeriodSeconds=7", body.root);
  ASSERT_TRUE(options);
  EXPECT_EQ(options->grace_seconds, 0);
  EXPECT_EQ(options->uid, "u");
  EXPECT_EQ(options->propagation, Propagation::kBackground);
  EXPECT_FALSE(parse_delete_options("propagationPolicy=Later", Value()));
}

}  // namespace
}  // namespace proa::kube::api
