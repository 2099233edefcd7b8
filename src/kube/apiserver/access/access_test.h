// For the tests of this folder.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string_view>

#include "kernel/temp_folder_test.h"
#include "kube/apiserver/access/authorizer.h"
#include "kube/apiserver/registry/reader.h"
#include "kube/store/embedded.h"

namespace proa::kube::api {

// A store with objects put there by hand.
class AccessTest : public testing::Test {
 protected:
  AccessTest() : store_(*store::open_embedded({.folder = folder_ / "store"})), reader_(*store_, catalog_) {}

  void put(std::string_view group, std::string_view resource, std::string_view ns, std::string_view name,
           std::string_view json) {
    const auto view = catalog_.view();
    store::Txn txn;
    txn.success.emplace_back(store::Put{store::Draft(view->find(group, resource)->key(ns, name), json)});
    ASSERT_TRUE(store::finish(store_->commit(std::move(txn))));
    settle();
  }
  void remove(std::string_view group, std::string_view resource, std::string_view ns, std::string_view name) {
    const auto view = catalog_.view();
    store::Txn txn;
    txn.success.emplace_back(store::Delete{view->find(group, resource)->key(ns, name), {}});
    ASSERT_TRUE(store::finish(store_->commit(std::move(txn))));
    settle();
  }
  // Watchers are told by another thread.
  void settle() {
    auto watch = *store_->watch({.key = "/", .end = "0", .from = 0, .buffer = 0});
    watch->request_progress();
    ASSERT_TRUE(watch->wait(std::chrono::seconds(10)));
  }
  Verdict ask(const User& user, std::string_view verb, std::string_view group, std::string_view resource,
              std::string_view ns = {}, std::string_view name = {}, std::string_view subresource = {},
              std::string_view selector = {}) {
    return authorizer_->authorize(question(user, verb, group, resource, ns, name, subresource, selector));
  }
  static AccessQuestion question(const User& user, std::string_view verb, std::string_view group,
                                 std::string_view resource, std::string_view ns, std::string_view name,
                                 std::string_view subresource = {}, std::string_view selector = {}) {
    return {.user = user,
            .is_resource = true,
            .verb = verb,
            .group = group,
            .version = "v1",
            .ns = ns,
            .resource = resource,
            .subresource = subresource,
            .name = name,
            .path = {},
            .field_selector = selector,
            .label_selector = {}};
  }
  bool may(const User& user, std::string_view verb, std::string_view group, std::string_view resource,
           std::string_view ns = {}, std::string_view name = {}, std::string_view subresource = {},
           std::string_view selector = {}) {
    return ask(user, verb, group, resource, ns, name, subresource, selector).allowed();
  }
  bool may_path(const User& user, std::string_view path) {
    return authorizer_
        ->authorize({.user = user,
                     .is_resource = false,
                     .verb = "get",
                     .group = {},
                     .version = {},
                     .ns = {},
                     .resource = {},
                     .subresource = {},
                     .name = {},
                     .path = path,
                     .field_selector = {},
                     .label_selector = {}})
        .allowed();
  }

  TempFolder folder_;
  std::unique_ptr<store::Store> store_;
  Catalog catalog_;
  Reader reader_;
  std::unique_ptr<Authorizer> authorizer_ = standard_authorizer(reader_);
  const User jane_{.name = "jane", .uid = {}, .groups = {"dev"}, .extra = {}};
};

}  // namespace proa::kube::api
