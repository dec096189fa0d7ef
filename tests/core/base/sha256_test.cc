#include "core/base/sha256.h"

#include "gtest/gtest.h"

namespace antidiffusion {
namespace {

// FIPS 180-4, appendix B.
constexpr char kOfAbc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

TEST(Sha256Test, GivesThePublishedDigests) {
  EXPECT_EQ(Sha256().FinishHex(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  Sha256 whole;
  whole.Update("abc");
  EXPECT_EQ(whole.FinishHex(), kOfAbc);
}

TEST(Sha256Test, PiecesGiveTheDigestOfTheWhole) {
  Sha256 pieces;
  pieces.Update("a");
  pieces.Update("");
  pieces.Update("bc");
  const Sha256::Digest digest = pieces.Finish();
  EXPECT_EQ(digest.front(), 0xba);
  EXPECT_EQ(digest.back(), 0xad);
}

TEST(Sha256Test, AtOnce) { EXPECT_EQ(Sha256Hex("abc"), kOfAbc); }

}  // namespace
}  // namespace antidiffusion
