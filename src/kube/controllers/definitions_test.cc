#include "kube/controllers/definitions.h"

#include "kube/controllers/world_test.h"

namespace proa::kube::api {
namespace {

std::string definition(std::string_view plural, std::string_view kind, std::string_view more = {}) {
  return cat(
      R"({"metadata":{"name":")", plural, R"(.example.com"},"spec":{"group":"example.com","scope":"Namespaced",)",
      R"("names":{"plural":")", plural, R"(","kind":")", kind, R"("},"versions":[)",
      R"({"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object","properties":{)",
      R"("spec":{"type":"object","properties":{"size":{"type":"integer","default":1},"color":{"type":"string"}}}}}}},)",
      R"({"name":"v2","served":true,"storage":false,"schema":{"openAPIV3Schema":{"type":"object","properties":{)",
      R"("spec":{"type":"object","properties":{"size":{"type":"integer"}}}}}}})", more, "]}}");
}

class CustomDefinitions : public World {
 protected:
  static Target crd(std::string name) {
    return {.group = "apiextensions.k8s.io",
            .resource = "customresourcedefinitions",
            .name = name.empty() ? name : name + ".example.com"};
  }
  static Target widget(std::string name, std::string version = "v1") {
    return {.group = "example.com",
            .version = std::move(version),
            .resource = "widgets",
            .ns = "default",
            .name = std::move(name)};
  }
  std::string condition(const std::string& name, std::string_view type) const {
    const auto found = client_->get(crd(name));
    if (!found) return "gone";
    const Value conditions = (*found)->root().get({"status", "conditions"});
    for (const Value& one : conditions.items())
      if (one.string("type") == type) return cat(one.string("status"), " ", one.string("reason"));
    return "";
  }
  static constexpr std::string_view kWidget =
      R"({"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"w"},"spec":{"color":"red","what":1}})";
};

TEST_F(CustomDefinitions, AreServedWithTheAnswer) {
  EXPECT_EQ(create(widget(""), kWidget), R"(widgets.example.com "" not found)");
  create(crd(""), definition("widgets", "Widget"));
  EXPECT_EQ(condition("widgets", "Established"), "True InitialNamesAccepted");
  EXPECT_EQ(shown(crd("widgets"), {"status", "storedVersions"}), R"(["v1"])");
  create(widget(""), kWidget);
  EXPECT_EQ(shown(widget("w"), {"spec"}), R"({"color":"red","size":1})");
}

TEST_F(CustomDefinitions, NamesInUseAreNotAccepted) {
  control();
  create(crd(""), definition("widgets", "Widget"));
  create(crd(""), definition("gadgets", "Widget"));
  EXPECT_EQ(condition("gadgets", "NamesAccepted"), "False ListKindConflict");
  EXPECT_EQ(condition("gadgets", "Established"), "False NotAccepted");
  settle();
  EXPECT_EQ(condition("gadgets", "NamesAccepted"), "False ListKindConflict");
  EXPECT_EQ(remove(crd("widgets")), "");
  settle();
  EXPECT_EQ(condition("widgets", "Established"), "gone");
  EXPECT_EQ(condition("gadgets", "Established"), "True InitialNamesAccepted");
}

TEST_F(CustomDefinitions, TakeTheirObjectsWithThem) {
  control();
  create(crd(""), definition("widgets", "Widget"));
  create(widget(""), kWidget);
  Arena arena;
  ASSERT_TRUE(store::finish(client_->patch(arena, widget("w"), PatchKind::kMerge,
                                           read_json(arena, R"({"metadata":{"finalizers":["a.b/c"]}})").value())));
  EXPECT_EQ(remove(crd("widgets")), "");
  settle();
  EXPECT_EQ(condition("widgets", "Terminating"), "True InstanceDeletionInProgress");
  EXPECT_TRUE(there(widget("w")));
  ASSERT_TRUE(store::finish(client_->patch(arena, widget("w"), PatchKind::kMerge,
                                           read_json(arena, R"({"metadata":{"finalizers":null}})").value())));
  settle();
  EXPECT_EQ(condition("widgets", "Terminating"), "gone");
  EXPECT_FALSE(there(widget("w")));
  EXPECT_EQ(catalog_.view()->find("example.com", "widgets"), nullptr);
}

TEST_F(CustomDefinitions, OwnAndAreOwned) {
  control();
  create(crd(""), definition("widgets", "Widget"));
  create(widget(""), kWidget);
  const std::string uid(client_->get(widget("w")).value()->root().string({"metadata", "uid"}));
  create(
      {.resource = "configmaps", .ns = "default"},
      cat(R"({"metadata":{"name":"c","ownerReferences":[{"apiVersion":"example.com/v1","kind":"Widget","name":"w","uid":")",
          uid, R"("}]}})"));
  settle(1);
  EXPECT_TRUE(there({.resource = "configmaps", .ns = "default", .name = "c"}));
  EXPECT_EQ(remove(crd("widgets")), "");
  settle();
  EXPECT_FALSE(there({.resource = "configmaps", .ns = "default", .name = "c"}));
}

}  // namespace
}  // namespace proa::kube::api
