// Stored bytes: splicing, looking into them, selecting by them, cursors.
#include <gtest/gtest.h>

#include "kube/apiserver/registry/catalog.h"
#include "kube/apiserver/registry/cursor.h"
#include "kube/apiserver/registry/reader.h"
#include "kube/apiserver/registry/scan.h"
#include "kube/apiserver/registry/select.h"
#include "kube/apiserver/registry/splice.h"
#include "kube/object/json.h"
#include "kube/store/embedded.h"

namespace proa::kube::api {
namespace {

constexpr std::string_view kPod =
    R"({"kind":"Pod","apiVersion":"v1","metadata":{"name":"a","namespace":"n","uid":"u","resourceVersion":"9",)"
    R"("labels":{"app":"web","tier":"x"},"annotations":{"note":"\"resourceVersion\":\"\" {[\\"}},)"
    R"("spec":{"nodeName":"n1","containers":[]},"status":{"phase":"Running"}})";

class Stored : public testing::Test {
 protected:
  store::RecordPtr record(std::string_view json, std::string_view resource = "pods") {
    const Document document = *read_json(json);
    const CatalogPtr view = catalog_.view();
    const Resource* found = view->find("", "v1", resource);
    store::Txn txn;
    const std::string key = found->key("n", document.root.string({"metadata", "name"}));
    txn.success.emplace_back(store::Put{.draft = stored_draft(key, *found, document.root)});
    return store::finish(store_->commit(std::move(txn)))->results[0].record;
  }
  bool selects(const store::RecordPtr& record, std::string_view labels, std::string_view fields) {
    const CatalogPtr view = catalog_.view();
    return Selection::of(*view, *view->find("", "v1", "pods"), labels, fields)->matches(*record);
  }

  Catalog catalog_;
  std::unique_ptr<store::Store> store_ = *store::open_embedded({.folder = "", .threads = false});
};

TEST_F(Stored, TheResourceVersionIsSplicedIn) {
  const store::RecordPtr pod = record(kPod);
  EXPECT_NE(pod->value().find(R"("uid":"u","resourceVersion":"",)"), std::string_view::npos);
  std::string text;
  splice(*pod, 4711).append_to(text);
  EXPECT_EQ(read_json(text)->root.string({"metadata", "resourceVersion"}), "4711");
  text.clear();
  splice(*pod).append_to(text);
  EXPECT_EQ(read_json(text)->root.string({"metadata", "resourceVersion"}), cat(pod->mod_revision()));
  EXPECT_EQ(parse_record(pod)->root().string({"metadata", "resourceVersion"}), cat(pod->mod_revision()));
}

TEST_F(Stored, TheNoteIsFoundAgain) {
  const store::RecordPtr pod = record(kPod);
  EXPECT_EQ(note_of(pod->value()), pod->note());
  EXPECT_EQ(note_of("{}"), 0u);
}

TEST(Scan, FindsMembers) {
  EXPECT_EQ(scan_path(kPod, "spec.nodeName"), R"("n1")");
  EXPECT_EQ(scan_path(kPod, "metadata.labels.tier"), R"("x")");
  EXPECT_EQ(scan_path(kPod, "status.phase"), R"("Running")");
  EXPECT_EQ(scan_path(kPod, "spec.missing"), "");
  EXPECT_EQ(scan_path(kPod, "kind.no.object"), "");
  EXPECT_EQ(plain_string(R"("a\"b")"), std::nullopt);
  EXPECT_EQ(plain_string(R"("ab")"), "ab");
}

TEST(Scan, EndsAtTheEndOfWhatIsCutOff) {
  for (size_t size = 0; size < kPod.size(); ++size) static_cast<void>(scan_path(kPod.substr(0, size), "status.phase"));
}

TEST_F(Stored, SelectorsLookAtTheBytes) {
  const store::RecordPtr pod = record(kPod);
  EXPECT_TRUE(selects(pod, "app=web,tier in (x,y),!z", ""));
  EXPECT_FALSE(selects(pod, "app!=web", ""));
  EXPECT_TRUE(selects(pod, "other!=web", ""));
  EXPECT_TRUE(selects(pod, "", "spec.nodeName=n1,status.phase!=Failed,metadata.name=a"));
  EXPECT_FALSE(selects(pod, "", "spec.nodeName="));
  EXPECT_TRUE(selects(pod, "", "status.podIP="));
  EXPECT_TRUE(selects(pod, "", "spec.hostNetwork=false"));
}

TEST_F(Stored, SelectorsAreChecked) {
  const CatalogPtr view = catalog_.view();
  const Resource& pods = *view->find("", "v1", "pods");
  EXPECT_EQ(Selection::of(*view, pods, "", "spec.foo=1").error().message, "field label not supported: spec.foo");
  EXPECT_EQ(Selection::of(*view, pods, "a in", "").error().code, 400);
}

TEST(Cursor, GoesThereAndBack) {
  const Cursor cursor{.revision = 7, .start = std::string("n/a\0", 4)};
  const auto back = read_cursor(write_cursor(cursor));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->revision, 7);
  EXPECT_EQ(back->start, cursor.start);
}

TEST(Cursor, RefusesWhatItDidNotWrite) {
  for (const std::string_view token :
       {"%%", "e30", "", "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiIuLi9zZWNyZXRzLyJ9"})
    EXPECT_EQ(read_cursor(token).error().code, 400) << token;
}

TEST_F(Stored, TheCatalogKnowsWhatSharesObjects) {
  const CatalogPtr view = catalog_.view();
  const Resource* core = view->find("", "v1", "events");
  const Resource* other = view->find("events.k8s.io", "v1", "events");
  EXPECT_EQ(core->prefix, other->prefix);
  EXPECT_EQ(other->storage, core);
  EXPECT_EQ(core->storage, core);
  EXPECT_EQ(view->find("autoscaling", "v1", "horizontalpodautoscalers")->storage,
            view->find("autoscaling", "v2", "horizontalpodautoscalers"));
  EXPECT_EQ(view->find("autoscaling", "horizontalpodautoscalers")->version(), "v2");
  EXPECT_EQ(view->find_kind("apps", "v1", "Deployment")->qualified, "deployments.apps");
}

}  // namespace
}  // namespace proa::kube::api
