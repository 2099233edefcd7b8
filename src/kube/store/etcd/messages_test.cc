#include "kube/store/etcd/messages.h"

#include <gtest/gtest.h>

#include "kube/store/errors.h"
#include "kube/store/wire.h"

namespace proa::kube::store::etcd {
namespace {

std::string hex(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) {
    text += "0123456789abcdef"[static_cast<unsigned char>(c) >> 4];
    text += "0123456789abcdef"[c & 15];
  }
  return text;
}

// As protoc --encode writes them.
TEST(EtcdMessages, EncodesRequests) {
  EXPECT_EQ(hex(encode_range({.key = "a", .end = "b", .revision = 300, .limit = 5})),
            "0a016112016218052"
            "0ac02");
  EXPECT_EQ(hex(encode_range({.key = "a", .count_only = true}, {.serializable = true, .keys_only = true})),
            "0a0161380140014801");
  EXPECT_EQ(hex(encode_watch_create("a", "b", 7)), "0a080a01611201621807");
  EXPECT_EQ(hex(encode_watch_progress()), "1a00");
  EXPECT_EQ(hex(encode_lease_grant(60, 0)), "083c");
  EXPECT_EQ(hex(encode_compaction(-1)), "08ffffffffffffffffff01");
  Txn txn;
  txn.compares.push_back(Compare::absent("a"));
  txn.success.push_back(Put{Draft("a", "x"), 3});
  txn.failure.push_back(Delete{"a", ""});
  // compare: target MOD (2) = 2, key, mod_revision 0 spelled out
  EXPECT_EQ(hex(encode_txn(txn)),
            "0a0710021a01613000"
            "120a1208"
            "0a0161"
            "120178"
            "1803"
            "1a051a03"
            "0a0161");
}

TEST(EtcdMessages, DecodesAWatchsEvents) {
  const auto record = [](Revision revision, std::string_view key) {
    return WireWriter().bytes(1, key).number(2, 1).number(3, revision).number(4, 1).bytes(5, "v").take();
  };
  WireWriter out;
  out.message(1, WireWriter().number(3, 9).text()).number(2, 4);
  out.message(11, WireWriter().message(2, record(8, "a")).text());
  out.message(11, WireWriter().number(1, 1).message(2, WireWriter().bytes(1, "b").number(3, 8).text()).text());
  out.message(11, WireWriter().message(2, record(9, "c")).text());
  const auto answer = decode_watch(out.text(), [](std::string_view, std::string_view value) { return value.size(); });
  ASSERT_TRUE(answer) << answer.error().message();
  EXPECT_EQ(answer->revision, 9);
  ASSERT_EQ(answer->records.size(), 3u);
  EXPECT_EQ(answer->records[0]->note(), 1u);
  EXPECT_EQ(answer->records[1]->order(), 1u);
  EXPECT_TRUE(answer->records[1]->deleted());
  EXPECT_EQ(answer->records[2]->order(), 0u);
  EXPECT_EQ(answer->records[2]->mod_revision(), 9);
}

TEST(EtcdMessages, RefusesWhatIsNoMessage) {
  for (const std::string_view bytes : {std::string_view("\x0a\x05"
                                                        "a"),
                                       std::string_view("\x08"), std::string_view("\x07"),
                                       std::string_view("\x12\x02\x0a\x7f"), std::string_view("\0\0", 2)}) {
    const auto result = decode_range(bytes, {});
    ASSERT_FALSE(result) << hex(bytes);
    EXPECT_TRUE(is(result.error(), Code::kCorrupt));
  }
  EXPECT_TRUE(decode_range("", {}));
  EXPECT_TRUE(
      decode_range("\x3d"
                   "aaaa"
                   "\x39"
                   "aaaaaaaa",
                   {}))
      << "fields of fixed size, unknown: passed over";
}

}  // namespace
}  // namespace proa::kube::store::etcd
