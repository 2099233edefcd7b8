#include "kube/controllers/garbage.h"

#include "kube/controllers/world_test.h"

namespace proa::kube::api {
namespace {

class Garbage : public World {
 protected:
  static Target config(std::string name, std::string ns = "default") {
    return {.resource = "configmaps", .ns = std::move(ns), .name = std::move(name)};
  }
  // With owners as "name uid" and whether they are held back by it.
  std::string make(std::string_view name, const std::vector<std::pair<std::string, std::string>>& owners = {},
                   bool blocks = false, std::string_view ns = "default") {
    std::string references;
    for (const auto& [owner, uid] : owners)
      references += cat(references.empty() ? "" : ",", R"({"apiVersion":"v1","kind":"ConfigMap","name":")", owner,
                        R"(","uid":")", uid, R"(","blockOwnerDeletion":)", blocks ? "true" : "false", "}");
    return create(config("", std::string(ns)),
                  cat(R"({"metadata":{"name":")", name, R"(","ownerReferences":[)", references, "]}}"));
  }
};

TEST_F(Garbage, DependentsGoAfterTheirOwner) {
  control();
  const std::string owner = make("owner");
  const std::string child = make("child", {{"owner", owner}});
  make("grandchild", {{"child", child}});
  make("other");
  settle(1);
  EXPECT_TRUE(there(config("grandchild")));
  EXPECT_EQ(remove(config("owner")), "");
  settle();
  EXPECT_FALSE(there(config("child")));
  EXPECT_FALSE(there(config("grandchild")));
  EXPECT_TRUE(there(config("other")));
}

TEST_F(Garbage, DependentsOfNobodyGo) {
  control();
  make("lost", {{"nobody", "0000"}});
  settle();
  EXPECT_FALSE(there(config("lost")));
}

TEST_F(Garbage, AnotherOfTheSameNameIsNoOwner) {
  control();
  const std::string owner = make("owner");
  EXPECT_EQ(remove(config("owner")), "");
  make("owner");
  make("child", {{"owner", owner}});
  settle();
  EXPECT_FALSE(there(config("child")));
}

TEST_F(Garbage, OneOwnerOfTwoIsEnough) {
  control();
  const std::string a = make("a"), b = make("b");
  make("child", {{"a", a}, {"b", b}});
  EXPECT_EQ(remove(config("a")), "");
  settle();
  EXPECT_EQ(
      shown(config("child"), {"metadata", "ownerReferences"}),
      cat(R"([{"apiVersion":"v1","kind":"ConfigMap","name":"b","uid":")", b, R"(","blockOwnerDeletion":false}])"));
  EXPECT_EQ(remove(config("b")), "");
  settle();
  EXPECT_FALSE(there(config("child")));
}

TEST_F(Garbage, OrphansForgetTheirOwner) {
  control();
  const std::string owner = make("owner");
  make("child", {{"owner", owner}});
  settle(1);
  EXPECT_EQ(remove(config("owner"), Propagation::kOrphan), "");
  EXPECT_TRUE(there(config("owner"))) << "until its dependents are free";
  settle();
  EXPECT_FALSE(there(config("owner")));
  EXPECT_EQ(shown(config("child"), {"metadata", "ownerReferences"}), "null");
}

TEST_F(Garbage, ForegroundWaitsForThoseThatBlock) {
  control();
  const std::string owner = make("owner");
  const std::string child = make("child", {{"owner", owner}}, true);
  make("grandchild", {{"child", child}}, true);
  make("free", {{"owner", owner}}, false);
  settle(1);
  // Held by somebody else.
  Arena arena;
  ASSERT_TRUE(store::finish(client_->patch(arena, config("grandchild"), PatchKind::kMerge,
                                           read_json(arena, R"({"metadata":{"finalizers":["a.b/c"]}})").value())));
  EXPECT_EQ(remove(config("owner"), Propagation::kForeground), "");
  settle();
  EXPECT_TRUE(there(config("owner")));
  EXPECT_TRUE(there(config("child")));
  EXPECT_FALSE(there(config("free")));
  ASSERT_TRUE(store::finish(client_->patch(arena, config("grandchild"), PatchKind::kMerge,
                                           read_json(arena, R"({"metadata":{"finalizers":null}})").value())));
  settle();
  EXPECT_FALSE(there(config("grandchild")));
  EXPECT_FALSE(there(config("child")));
  EXPECT_FALSE(there(config("owner")));
}

TEST_F(Garbage, CirclesGo) {
  control();
  const std::string a = make("a");
  const std::string b = make("b", {{"a", a}}, true);
  Arena arena;
  const std::string back =
      cat(R"({"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"b","uid":")", b,
          R"(","blockOwnerDeletion":true}]}})");
  ASSERT_TRUE(store::finish(client_->patch(arena, config("a"), PatchKind::kMerge, read_json(arena, back).value())));
  settle(1);
  EXPECT_EQ(remove(config("a"), Propagation::kForeground), "");
  settle(60);
  EXPECT_FALSE(there(config("a")));
  EXPECT_FALSE(there(config("b")));
}

TEST_F(Garbage, OwnersOfOtherNamespacesDoNotCount) {
  control();
  create({.resource = "namespaces"}, R"({"metadata":{"name":"far"}})");
  const std::string owner = make("owner", {}, false, "far");
  make("child", {{"owner", owner}});
  settle();
  EXPECT_FALSE(there(config("child")));
  const auto events = client_->list({.resource = "events", .ns = "default"});
  ASSERT_TRUE(events);
  ASSERT_EQ(events->size(), 1u);
  EXPECT_EQ(events->front()->root().string("reason"), "OwnerRefInvalidNamespace");
}

TEST_F(Garbage, KnowsWhatWasThereBeforeItBegan) {
  const std::string owner = make("owner");
  make("child", {{"owner", owner}});
  EXPECT_EQ(remove(config("owner")), "");
  control();
  settle();
  EXPECT_FALSE(there(config("child")));
}

TEST_F(Garbage, EventsEndAfterAnHour) {
  control();
  create(
      {.resource = "events", .ns = "default"},
      R"({"metadata":{"name":"e"},"involvedObject":{"kind":"Pod","name":"p","namespace":"default"},"reason":"R","message":"m","type":"Normal"})");
  const Target event{.resource = "events", .ns = "default", .name = "e"};
  settle(1);
  clock_.advance(std::chrono::minutes(58));
  settle();
  EXPECT_TRUE(there(event));
  clock_.advance(std::chrono::minutes(2));
  settle(60);
  EXPECT_FALSE(there(event));
}

}  // namespace
}  // namespace proa::kube::api
