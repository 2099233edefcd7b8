#include "kube/client/informer.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "kube/store/embedded.h"

namespace proa::kube::api {
namespace {

class InformerTest : public testing::Test {
 protected:
  InformerTest() {
    informer_.add_handler([this](const Change& change) {
      told_ += cat(told_.empty() ? "" : " ",
                   change.deleted()    ? "-"
                   : change.repeated() ? "="
                   : change.created()  ? "+"
                                       : "~",
                   change.key().substr(3), ":", change.object().string("v"), change.object_before().string("v"));
    });
  }
  void put(std::string_view key, std::string_view v) {
    store::Txn txn;
    txn.success.emplace_back(store::Put{
        .draft = store::Draft(key, cat(R"({"metadata":{"resourceVersion":""},"v":")", v, "\"}")), .lease = 0});
    ASSERT_TRUE(store::finish(store_->commit(std::move(txn))));
  }
  void remove(std::string_view key) {
    store::Txn txn;
    txn.success.emplace_back(store::Delete{.key = std::string(key), .end = ""});
    ASSERT_TRUE(store::finish(store_->commit(std::move(txn))));
  }
  std::string told() {
    while (informer_.step(1)) continue;
    return std::exchange(told_, {});
  }

  FakeClock clock_;
  std::unique_ptr<store::EmbeddedStore> store_ =
      store::open_embedded({.folder = "", .threads = false, .clock = &clock_}).value();
  Informer informer_{*store_, "/r/"};
  std::string told_;
};

TEST_F(InformerTest, TellsWhatIsThereAndWhatChanges) {
  put("/r/a", "1");
  put("/s/x", "1");
  informer_.start();
  put("/r/b", "1");
  EXPECT_FALSE(informer_.synced());
  EXPECT_EQ(told(), "+a:1 +b:1");
  EXPECT_TRUE(informer_.synced());
  put("/r/a", "2");
  remove("/r/a");
  put("/r/a", "3");
  remove("/r/b");
  EXPECT_EQ(told(), "~a:21 -a:22 +a:3 -b:11");
  EXPECT_EQ(informer_.size(), 1u);
}

TEST_F(InformerTest, ResyncRepeats) {
  put("/r/a", "1");
  informer_.start();
  told();
  informer_.resync();
  EXPECT_EQ(told(), "=a:11");
}

TEST_F(InformerTest, StoppedTellsNothing) {
  informer_.start();
  informer_.stop();
  put("/r/a", "1");
  EXPECT_EQ(told(), "");
}

TEST_F(InformerTest, SaysHowFarItHasTold) {
  put("/r/a", "1");
  put("/r/b", "1");
  informer_.start();
  informer_.step(1);
  EXPECT_LT(informer_.told(), store_->revision());
  told();
  EXPECT_EQ(informer_.told(), store_->revision());
  put("/r/a", "2");
  EXPECT_LT(informer_.told(), store_->revision());
  told();
  EXPECT_EQ(informer_.told(), store_->revision());
}

}  // namespace
}  // namespace proa::kube::api
