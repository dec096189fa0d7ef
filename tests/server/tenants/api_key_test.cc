#include "server/tenants/api_key.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

TEST(ApiKeyTest, TheDigestIsSha256) {  // FIPS 180-2, appendix B.1
  EXPECT_EQ(ToHex(DigestOfKey("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(ApiKeyTest, DigestsAreEqualInEachByte) {
  const KeyDigest digest = DigestOfKey("abc");
  EXPECT_TRUE(ConstantTimeEqual(digest, digest));
  for (size_t i = 0; i < digest.size(); ++i) {
    KeyDigest other = digest;
    other[i] ^= 1;
    EXPECT_FALSE(ConstantTimeEqual(digest, other)) << i;
  }
}

TEST(ApiKeyTest, NewKeysAreLongAndDiffer) {
  const auto first = NewApiKey();
  const auto second = NewApiKey();
  ASSERT_THAT(first, IsOk());
  EXPECT_THAT(*first, ::testing::MatchesRegex("adk_[0-9a-f]{64}"));
  EXPECT_NE(*first, *second);
}

}  // namespace
}  // namespace antidiffusion
