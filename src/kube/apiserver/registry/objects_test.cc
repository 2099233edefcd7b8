// Writes, lists and watches of objects, on a store in memory.
#include "kube/apiserver/registry/objects.h"

#include <gtest/gtest.h>

#include "kube/apiserver/registry/decode.h"
#include "kube/apiserver/registry/list.h"
#include "kube/apiserver/registry/watch.h"
#include "kube/object/json.h"
#include "kube/store/embedded.h"

namespace proa::kube::api {
namespace {

class ObjectsTest : public testing::Test {
 protected:
  ObjectsTest() : context_(context("configmaps")) {}

  Context context(std::string_view resource, std::string_view name = {}, std::string_view group = {}) {
    const CatalogPtr view = catalog_.view();
    return {.catalog = view,
            .resource = view->find(group, resource),
            .subresource = {},
            .ns = "n",
            .name = std::string(name),
            .user = &user_,
            .arena = arena_,
            .warnings = {},
            .annotations = {}};
  }
  Value parsed(const Context& where, std::string_view json) {
    const Value in = *read_json(arena_, json);
    return *conform_as(arena_, body_kind(*where.resource, ""), in);
  }
  Answer<Written> create(Context where, std::string_view json, WriteOptions options = {.field_manager = "t"}) {
    return store::finish(objects_.create(where, parsed(where, json), options));
  }
  Answer<Written> update(std::string_view name, std::string_view json) {
    Context where = context("configmaps", name);
    return store::finish(objects_.update(where, parsed(where, json), {.field_manager = "t"}));
  }
  Answer<Written> patch(std::string_view name, PatchKind kind, std::string_view json,
                        WriteOptions options = {.field_manager = "t"}) {
    Context where = context("configmaps", name);
    return store::finish(objects_.patch(where, kind, *read_json(arena_, json), options));
  }
  Answer<Deleted> remove(std::string_view name, DeleteOptions options = {}) {
    Context where = context("configmaps", name);
    return store::finish(objects_.remove(where, options));
  }
  std::string map(std::string_view name, std::string_view more = {}) {
    return cat(R"({"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":")", name, "\"", more, "}}");
  }
  std::vector<std::string> names(const ListOptions& options, ListHead* head = nullptr) {
    auto list = store::finish(List::begin(objects_, context_, options));
    std::vector<std::string> out;
    if (!list) return {list.error().reason};
    for (;;) {
      const auto records = *(*list)->next();
      if (records.empty()) break;
      for (const auto& record : records) out.emplace_back(parse_record(record)->root().string({"metadata", "name"}));
    }
    if (head != nullptr) *head = (*list)->head();
    return out;
  }

  Arena arena_;
  User user_{.name = "me", .uid = {}, .groups = {}, .extra = {}};
  Catalog catalog_;
  std::unique_ptr<store::Store> store_ = *store::open_embedded({.folder = "", .threads = false});
  Reader reader_{*store_, catalog_};
  AdmissionChain admission_;
  Subresources subresources_;
  int64_t now_ = 1'700'000'000;
  Objects objects_{{.store = *store_,
                    .catalog = catalog_,
                    .reader = reader_,
                    .admission = admission_,
                    .subresources = subresources_,
                    .now = [this] { return now_; },
                    .definitions_changed = {}}};
  Context context_;
};

TEST_F(ObjectsTest, CreationFillsInMetadata) {
  const auto made = create(context_, map("a"));
  ASSERT_TRUE(made);
  EXPECT_TRUE(made->created);
  const Value metadata = made->object.get("metadata");
  EXPECT_EQ(metadata.string("namespace"), "n");
  EXPECT_EQ(metadata.string("uid").size(), 36u);
  EXPECT_EQ(metadata.string("creationTimestamp"), "2023-11-14T22:13:20Z");
  EXPECT_EQ(metadata.string("resourceVersion"), cat(made->record->mod_revision()));
  EXPECT_EQ(create(context_, map("a")).error().message, "configmaps \"a\" already exists");
  // What is answered is what a GET gives.
  EXPECT_EQ(write_json(made->object), write_json(objects_.get(context("configmaps", "a")).value()->root()));
}

TEST_F(ObjectsTest, NamesAreGenerated) {
  const auto made = create(context_, R"({"kind":"ConfigMap","apiVersion":"v1","metadata":{"generateName":"a-"}})");
  ASSERT_TRUE(made);
  EXPECT_EQ(made->object.string({"metadata", "name"}).size(), 7u);
}

TEST_F(ObjectsTest, CreationRefusesVersionsAndOtherNamespaces) {
  EXPECT_EQ(create(context_, map("a", R"(,"resourceVersion":"1")")).error().message,
            "resourceVersion should not be set on objects to be created");
  EXPECT_EQ(create(context_, map("a", R"(,"namespace":"m")")).error().code, 400);
}

TEST_F(ObjectsTest, UpdatesNeedTheNewestVersion) {
  const std::string version(create(context_, map("a"))->object.string({"metadata", "resourceVersion"}));
  EXPECT_TRUE(update("a", map("a", cat(R"(,"labels":{"x":"1"},"resourceVersion":")", version, "\""))));
  EXPECT_EQ(update("a", map("a", cat(R"(,"labels":{"x":"2"},"resourceVersion":")", version, "\""))).error().reason,
            "Conflict");
  EXPECT_EQ(update("a", map("a", R"(,"uid":"other")")).error().reason, "Conflict");
  EXPECT_EQ(update("b", map("b")).error().reason, "NotFound");
}

TEST_F(ObjectsTest, AnUpdateThatChangesNothingWritesNothing) {
  create(context_, map("a"));
  const store::Revision before = store_->revision();
  now_ += 100;
  EXPECT_TRUE(update("a", map("a")));
  EXPECT_TRUE(patch("a", PatchKind::kMerge, "{}"));
  EXPECT_EQ(store_->revision(), before);
}

TEST_F(ObjectsTest, DryRunsStoreNothing) {
  EXPECT_TRUE(create(context_, map("a"), {.dry_run = true, .field_manager = "t"}));
  EXPECT_FALSE(objects_.get(context("configmaps", "a")));
  create(context_, map("a"));
  EXPECT_EQ(create(context_, map("a"), {.dry_run = true, .field_manager = "t"}).error().reason, "AlreadyExists");
}

TEST_F(ObjectsTest, PatchesAreApplied) {
  create(context_, map("a"));
  EXPECT_EQ(patch("a", PatchKind::kMerge, R"({"data":{"k":"v"}})")->object.string({"data", "k"}), "v");
  EXPECT_EQ(
      patch("a", PatchKind::kJson, R"([{"op":"replace","path":"/data/k","value":"w"}])")->object.string({"data", "k"}),
      "w");
  EXPECT_EQ(patch("a", PatchKind::kJson, R"([{"op":"test","path":"/data/k","value":"v"}])").error().code, 422);
  EXPECT_EQ(patch("a", PatchKind::kStrategic, R"({"data":{"k":null}})")->object.get("data").size(), 0u);
}

TEST_F(ObjectsTest, ApplyCreatesConflictsAndForces) {
  const auto config = [](std::string_view value) {
    return cat(R"({"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a"},"data":{"k":")", value, "\"}}");
  };
  const auto made = patch("a", PatchKind::kApply, config("1"), {.field_manager = "one"});
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_TRUE(made->created);
  const auto lost = patch("a", PatchKind::kApply, config("2"), {.field_manager = "two"});
  EXPECT_EQ(lost.error().message, "Apply failed with 1 conflict: conflict with \"one\": .data.k");
  EXPECT_EQ(
      patch("a", PatchKind::kApply, config("2"), {.field_manager = "two", .force = true})->object.string({"data", "k"}),
      "2");
}

TEST_F(ObjectsTest, FinalizersHoldAnObjectUntilTheyAreGone) {
  create(context_, map("a", R"(,"finalizers":["example.com/x"])"));
  const auto asked = remove("a");
  ASSERT_TRUE(asked);
  EXPECT_TRUE(asked->still_there);
  EXPECT_FALSE(asked->object.get({"metadata", "deletionTimestamp"}).is_null());
  EXPECT_TRUE(remove("a")->still_there);
  EXPECT_TRUE(patch("a", PatchKind::kMerge, R"({"metadata":{"finalizers":null}})"));
  EXPECT_FALSE(objects_.get(context("configmaps", "a")));
}

TEST_F(ObjectsTest, TheWayOfDeletionIsAFinalizer) {
  create(context_, map("a"));
  EXPECT_EQ(write_json(remove("a", {.propagation = Propagation::kForeground})->object.get({"metadata", "finalizers"})),
            R"(["foregroundDeletion"])");
  create(context_, map("b"));
  EXPECT_EQ(write_json(remove("b", {.propagation = Propagation::kOrphan})->object.get({"metadata", "finalizers"})),
            R"(["orphan"])");
  create(context_, map("c"));
  EXPECT_FALSE(remove("c", {.propagation = Propagation::kBackground})->still_there);
}

TEST_F(ObjectsTest, PreconditionsProtect) {
  create(context_, map("a"));
  EXPECT_EQ(remove("a", {.uid = "other", .resource_version = {}}).error().reason, "Conflict");
  EXPECT_EQ(remove("a", {.uid = {}, .resource_version = "1"}).error().code, 409);
  EXPECT_TRUE(objects_.get(context("configmaps", "a")));
}

TEST_F(ObjectsTest, GenerationCountsChangesOfContent) {
  Context where = context("deployments", "", "apps");
  const std::string json =
      R"({"kind":"Deployment","apiVersion":"apps/v1","metadata":{"name":"d"},"spec":{"selector":{"matchLabels":{"a":"b"}},)"
      R"("template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}},"status":{"replicas":5}})";
  const auto made = create(where, json);
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(made->object.get({"metadata", "generation"}).as_int(), 1);
  EXPECT_EQ(made->object.get("status").size(), 0u) << "a status is not for who creates";
  where.name = "d";
  const auto grown =
      store::finish(objects_.patch(where, PatchKind::kMerge, *read_json(arena_, R"({"spec":{"replicas":3}})"), {}));
  EXPECT_EQ(grown->object.get({"metadata", "generation"}).as_int(), 2);
  where.subresource = "status";
  const auto told = store::finish(objects_.patch(
      where, PatchKind::kMerge, *read_json(arena_, R"({"status":{"replicas":2},"spec":{"replicas":9}})"), {}));
  ASSERT_TRUE(told) << told.error().message;
  EXPECT_EQ(told->object.get({"metadata", "generation"}).as_int(), 2);
  EXPECT_EQ(told->object.get({"spec", "replicas"}).as_int(), 3);
  EXPECT_EQ(told->object.get({"status", "replicas"}).as_int(), 2);
}

TEST_F(ObjectsTest, ListsGoOnWhereTheyStopped) {
  for (const char name : {'a', 'b', 'c', 'd', 'e'}) create(context_, map(std::string(1, name)));
  ListHead head;
  EXPECT_EQ(names({.limit = 2}, &head), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(head.remaining, 3);
  const store::Revision revision = head.revision;
  create(context_, map("bb"));
  EXPECT_EQ(names({.limit = 2, .continue_token = head.continue_token}, &head), (std::vector<std::string>{"c", "d"}))
      << "what came later is not in this list";
  EXPECT_EQ(head.revision, revision);
  EXPECT_EQ(names({.limit = 2, .continue_token = head.continue_token}, &head), (std::vector<std::string>{"e"}));
  EXPECT_EQ(head.continue_token, "");
  EXPECT_EQ(names({}).size(), 6u);
  EXPECT_EQ(names({.resource_version = cat(revision), .match = VersionMatch::kExact}).size(), 5u);
}

TEST_F(ObjectsTest, AListOfACompactedRevisionIsToBeginAnew) {
  for (const char name : {'a', 'b', 'c'}) create(context_, map(std::string(1, name)));
  ListHead head;
  names({.limit = 1}, &head);
  create(context_, map("aa"));
  ASSERT_TRUE(store::finish(store_->compact(store_->revision())));
  const auto gone = store::finish(List::begin(objects_, context_, {.limit = 5, .continue_token = head.continue_token}));
  EXPECT_EQ(gone.error().code, 410);
  // The token in the error goes on with what is there now.
  EXPECT_EQ(names({.continue_token = gone.error().continue_token}), (std::vector<std::string>{"aa", "b", "c"}));
}

TEST_F(ObjectsTest, SelectedLists) {
  create(context_, map("a", R"(,"labels":{"x":"1"})"));
  create(context_, map("b", R"(,"labels":{"x":"2"})"));
  EXPECT_EQ(names({.label_selector = "x=2"}), (std::vector<std::string>{"b"}));
  EXPECT_EQ(names({.field_selector = "metadata.name=a"}), (std::vector<std::string>{"a"}));
}

TEST_F(ObjectsTest, AWatchTellsWhatComesIntoItsSelectionAndLeavesIt) {
  create(context_, map("a", R"(,"labels":{"x":"1"})"));
  const auto watcher = store::finish(Watcher::begin(objects_, context_, {.label_selector = "x=1", .watch = true}));
  ASSERT_TRUE(watcher);
  std::vector<std::string> told;
  const auto take = [&](size_t events) {
    for (int i = 0; i < 10 && told.size() < events; ++i) {
      const auto changes = store::finish((*watcher)->next());
      ASSERT_TRUE(changes);
      for (const WatchChange& change : changes->changes)
        told.push_back(cat(kChangeNames[static_cast<size_t>(change.type)], " ",
                           parse_record(change.record)->root().string({"metadata", "name"})));
      if (changes->initial_end) told.emplace_back("state");
    }
  };
  take(2);
  create(context_, map("b"));
  create(context_, map("c", R"(,"labels":{"x":"1"})"));
  patch("b", PatchKind::kMerge, R"({"metadata":{"labels":{"x":"1"}}})");
  patch("c", PatchKind::kMerge, R"({"data":{"k":"v"}})");
  patch("a", PatchKind::kMerge, R"({"metadata":{"labels":{"x":"2"}}})");
  remove("c");
  take(7);
  EXPECT_EQ(told, (std::vector<std::string>{"ADDED a", "state", "ADDED c", "ADDED b", "MODIFIED c", "DELETED a",
                                            "DELETED c"}));
}

TEST_F(ObjectsTest, AWatchFromACompactedRevisionIsRefused) {
  create(context_, map("a"));
  create(context_, map("b"));
  ASSERT_TRUE(store::finish(store_->compact(store_->revision())));
  const auto watcher = store::finish(Watcher::begin(objects_, context_, {.resource_version = "1", .watch = true}));
  ASSERT_TRUE(watcher);
  EXPECT_EQ(store::finish((*watcher)->next()).error().code, 410);
}

}  // namespace
}  // namespace proa::kube::api
