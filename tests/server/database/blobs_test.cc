// Images in the database: whole, in pieces, and whether they are what was put.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "core/base/sha256.h"
#include "tests/server/database/database_engines.h"
#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

constexpr auto kNotFound = absl::StatusCode::kNotFound;
constexpr auto kDataLoss = absl::StatusCode::kDataLoss;
constexpr int64_t kMiB = int64_t{1} << 20;

// Of several chunks, the last one short.
std::string LargeBytes() {
  std::string large(2'500'000, '\0');
  for (size_t i = 0; i < large.size(); ++i) large[i] = static_cast<char>(i * 7);
  return large;
}

class BlobsTest : public JobDatabaseTest {
 protected:
  std::string Put(const std::string& bytes) {
    std::string digest = Sha256Hex(bytes);
    EXPECT_THAT(jobs_->PutBlob(digest, bytes), IsOk());
    return digest;
  }
  absl::StatusOr<std::string> Piece(const std::string& digest, int64_t offset, int64_t size,
                                    bool check = false) {
    return jobs_->GetBlobPiece({.digest = digest, .offset = offset, .size = size, .check = check});
  }
};

TEST_P(BlobsTest, BytesOfAnySizeAndKindComeBack) {
  for (const std::string& bytes : {std::string(), std::string("\0", 1), LargeBytes()}) {
    const std::string digest = "of " + std::to_string(bytes.size());
    EXPECT_THAT(jobs_->PutBlob(digest, bytes), IsOk());
    EXPECT_THAT(jobs_->PutBlob(digest, bytes), IsOk());
    EXPECT_EQ(jobs_->GetBlob(digest).value(), bytes);
  }
  EXPECT_THAT(jobs_->GetBlob("none"), StatusIs(kNotFound));
}

TEST_P(BlobsTest, APieceIsWithinAChunkOrOverSeveral) {
  const std::string bytes = LargeBytes();
  const std::string digest = Put(bytes);
  struct Case {
    int64_t offset;
    int64_t size;
  };
  const auto end = static_cast<int64_t>(bytes.size());
  for (const auto& [offset, size] :
       {Case{0, 1}, Case{7, 1000}, Case{kMiB - 1, 1}, Case{kMiB - 1, 2}, Case{kMiB, kMiB},
        Case{1, 2 * kMiB}, Case{0, end}, Case{end - 1, 1}, Case{end - 1, kMiB}}) {
    const absl::StatusOr<std::string> piece = Piece(digest, offset, size);
    ASSERT_THAT(piece.status(), IsOk());
    EXPECT_TRUE(*piece == bytes.substr(static_cast<size_t>(offset), static_cast<size_t>(size)))
        << offset << ", " << size << ": " << piece->size() << " bytes";
  }
  EXPECT_EQ(Piece(digest, end, 1).value(), "");
  EXPECT_EQ(Piece(digest, end + kMiB, kMiB).value(), "");
  EXPECT_EQ(Piece(Put(""), 0, 1, /*check=*/true).value(), "");
  EXPECT_THAT(Piece("none", 0, 1), StatusIs(kNotFound));
  EXPECT_THAT(Piece("none", 0, 1, /*check=*/true), StatusIs(kNotFound));
}

TEST_P(BlobsTest, OneThatWasChangedIsKnownWhereItIsChecked) {
  const std::string digest = Put(LargeBytes());
  EXPECT_EQ(Piece(digest, 1, 1, /*check=*/true).value(), LargeBytes().substr(1, 1));
  // Its last chunk becomes that of another.
  Put("other");
  Run("UPDATE blob_chunks SET bytes = (SELECT bytes FROM blob_chunks WHERE digest = '" +
      Sha256Hex("other") + "') WHERE number = 2");
  EXPECT_THAT(Piece(digest, 1, 1, /*check=*/true), StatusIs(kDataLoss));
  EXPECT_EQ(Piece(digest, 1, 1).value(), LargeBytes().substr(1, 1)) << "not looked at";
  EXPECT_THAT(Piece(digest, 2 * kMiB, 100), StatusIs(kDataLoss)) << "fewer bytes than there were";
}

TEST_P(BlobsTest, ADigestThatIsNotOfTheBytesIsKnownWhereItIsChecked) {
  EXPECT_THAT(jobs_->PutBlob("digest", "picture"), IsOk());
  EXPECT_EQ(Piece("digest", 0, 100).value(), "picture");
  EXPECT_THAT(Piece("digest", 0, 100, /*check=*/true), StatusIs(kDataLoss));
}

INSTANTIATE_TEST_SUITE_P(Engines, BlobsTest, Engines(), EngineName);

}  // namespace
}  // namespace antidiffusion
