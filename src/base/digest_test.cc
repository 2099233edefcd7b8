#include "base/digest.h"

#include <gtest/gtest.h>

namespace proa {
namespace {

// FIPS 180-2, appendices B and C.
TEST(Sha2, KnownDigests) {
  EXPECT_EQ("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", to_hex(Sha2::of("abc")));
  EXPECT_EQ("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", to_hex(Sha2::of("")));
  EXPECT_EQ(
      "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e"
      "2a9ac94fa54ca49f",
      to_hex(Sha2::of("abc", Sha2::Kind::k512)));
}

TEST(Sha2, InPartsAndCopied) {
  Sha2 hash;
  hash.update("a");
  Sha2 other = hash;
  hash.update("bc");
  EXPECT_EQ(Sha2::of("abc"), hash.finish());
  other.update("x");
  EXPECT_EQ(Sha2::of("ax"), other.finish());
}

}  // namespace
}  // namespace proa
