#include "oci/image/compression.h"

#include <gtest/gtest.h>

#include <string>

#include "base/ids.h"
#include "oci/image/text_sink_test.h"

namespace proa::oci::image {
namespace {

std::string compressed(Compression kind, const std::string& text) {
  Text out;
  const auto compressor = Compressor::make(kind, out);
  EXPECT_TRUE(compressor->write(std::as_bytes(std::span(text))));
  EXPECT_TRUE(compressor->finish());
  return out.text;
}

Result<std::string> expanded(const std::string& text, const RatioLimit& limit = {}) {
  MemoryReader reader(text);
  const auto inner = TRY(decompress(reader, limit));
  Text out;
  TRY(copy(*inner, out));
  return out.text;
}

std::string sample() {
  std::string text;
  for (unsigned i = 0; i < 700'000; ++i) text += cat(i * 7919 % 100003, i % 3 == 0 ? "\n" : " ");
  return text;
}

TEST(LayerCompression, GoesThereAndBack) {
  const std::string text = sample();
  ASSERT_GT(text.size(), 3u << 20);
  for (const Compression kind : {Compression::kGzip, Compression::kZstd}) {
    const std::string small = compressed(kind, text);
    EXPECT_LT(small.size(), text.size() / 2);
    EXPECT_EQ(*expanded(small), text);
    EXPECT_EQ(compressed(kind, text), small) << "the same bytes each time";
    EXPECT_EQ(*expanded(compressed(kind, "")), "");
    EXPECT_FALSE(expanded(small.substr(0, small.size() - 5))) << "cut off";
    EXPECT_FALSE(expanded(small.substr(0, 1000) + "xxxxxxxx" + small.substr(1008))) << "damaged";
  }
  EXPECT_EQ(*expanded("plain"), "plain");
  EXPECT_EQ(*expanded(""), "");
}

TEST(LayerCompression, StopsBombs) {
  const std::string bomb = compressed(Compression::kZstd, std::string(64u << 20, '\0'));
  EXPECT_TRUE(expanded(bomb));
  const auto refused = expanded(bomb, {.free_bytes = 1u << 20, .most_ratio = 100});
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message().find("more than 100 times"), std::string::npos);
}

TEST(LayerCompression, NamesWhatItCannotRead) {
  EXPECT_NE(expanded(std::string("\xfd"
                                 "7zXZ\0",
                                 6))
                .error()
                .message()
                .find("xz"),
            std::string::npos);
}

TEST(ThreadedSource, GivesWhatTheReaderHas) {
  const std::string text = sample();
  MemoryReader reader(text);
  ThreadedSource source(reader, true);
  std::string got;
  for (;;) {
    const auto ahead = *source.peek();
    if (ahead.empty()) break;
    const size_t count = std::min<size_t>(ahead.size(), 100'001);
    got.append(reinterpret_cast<const char*>(ahead.data()), count);
    source.consume(count);
  }
  EXPECT_EQ(got, text);
  EXPECT_EQ(source.bytes(), text.size());
  EXPECT_EQ(source.digest(), Digest::of(text));
  MemoryReader again(text);
  ThreadedSource unread(again);  // ends without being read
}

}  // namespace
}  // namespace proa::oci::image
