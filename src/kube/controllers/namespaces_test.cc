#include "kube/controllers/namespaces.h"

#include "kube/controllers/world_test.h"

namespace proa::kube::api {
namespace {

class Namespaces : public World {
 protected:
  const Target space_{.resource = "namespaces", .name = "x"};
  std::string condition(std::string_view type) const {
    const auto found = client_->get(space_);
    if (!found) return "gone";
    const Value conditions = (*found)->root().get({"status", "conditions"});
    for (const Value& one : conditions.items())
      if (one.string("type") == type) return cat(one.string("status"), " ", one.string("message"));
    return "";
  }
};

TEST_F(Namespaces, GoWithTheirContent) {
  control();
  create({.resource = "namespaces"}, R"({"metadata":{"name":"x"}})");
  create({.resource = "configmaps", .ns = "x"}, R"({"metadata":{"name":"c"}})");
  create({.resource = "configmaps", .ns = "default"}, R"({"metadata":{"name":"c"}})");
  create({.resource = "secrets", .ns = "x"}, R"({"metadata":{"name":"s"}})");
  settle(1);
  EXPECT_EQ(remove(space_), "");
  EXPECT_EQ(shown(space_, {"status", "phase"}), R"("Terminating")");
  settle();
  EXPECT_FALSE(there(space_));
  EXPECT_FALSE(there({.resource = "configmaps", .ns = "x", .name = "c"}));
  EXPECT_TRUE(there({.resource = "configmaps", .ns = "default", .name = "c"}));
}

TEST_F(Namespaces, SayWhatHoldsThem) {
  control();
  create({.resource = "namespaces"}, R"({"metadata":{"name":"x"}})");
  create({.resource = "configmaps", .ns = "x"}, R"({"metadata":{"name":"c","finalizers":["example.com/hold"]}})");
  EXPECT_EQ(remove(space_), "");
  settle();
  EXPECT_EQ(condition("NamespaceContentRemaining"),
            "True Some resources are remaining: configmaps. has 1 resource instances");
  EXPECT_EQ(condition("NamespaceFinalizersRemaining"),
            "True Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances");
  EXPECT_EQ(condition("NamespaceDeletionDiscoveryFailure"), "False All resources successfully discovered");
  Arena arena;
  ASSERT_TRUE(store::finish(client_->patch(arena, {.resource = "configmaps", .ns = "x", .name = "c"}, PatchKind::kMerge,
                                           read_json(arena, R"({"metadata":{"finalizers":null}})").value())));
  settle();
  EXPECT_FALSE(there(space_));
}

}  // namespace
}  // namespace proa::kube::api
