#include "client/result_receipt.h"

#include <gtest/gtest.h>

#include <utility>

#include "tests/client/fake_service.h"
#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

TEST(ResultReceiptTest, PutsThePiecesTogether) {
  ResultReceipt receipt;
  EXPECT_FALSE(receipt.begun());
  ASSERT_THAT(receipt.Take(ResultEvent(5)), IsOk());
  EXPECT_TRUE(receipt.begun());
  ASSERT_THAT(receipt.Take(ChunkEvent(0, "by")), IsOk());
  EXPECT_EQ(receipt.bytes(), 2);
  ASSERT_THAT(receipt.Take(ResultEvent(5)), IsOk()) << "of the stream that goes on";
  ASSERT_THAT(receipt.Take(ChunkEvent(2, "tes")), IsOk());
  AD_ASSERT_OK_AND_ASSIGN(const ReceivedResult result, std::move(receipt).Finish());
  EXPECT_EQ(result.image, "bytes");
  EXPECT_EQ(result.facts.model(), "clothing");
}

TEST(ResultReceiptTest, RefusesWhatDoesNotFollow) {
  const auto after_two = [](const v1::JobEvent& event) {
    ResultReceipt receipt;
    EXPECT_THAT(receipt.Take(ResultEvent(5)), IsOk());
    EXPECT_THAT(receipt.Take(ChunkEvent(0, "by")), IsOk());
    return receipt.Take(event);
  };
  EXPECT_THAT(after_two(ChunkEvent(2, "tes")), IsOk());
  for (const v1::JobEvent& event :
       {ChunkEvent(3, "es"), ChunkEvent(0, "by"), ChunkEvent(2, "tes!"), ChunkEvent(2, ""),
        ResultEvent(6), ResultEvent(size_t{2} << 30)}) {
    EXPECT_THAT(after_two(event), StatusIs(absl::StatusCode::kInternal))
        << event.ShortDebugString();
  }
  EXPECT_THAT(ResultReceipt().Take(ChunkEvent(0, "by")), StatusIs(absl::StatusCode::kInternal));
}

TEST(ResultReceiptTest, AnImageThatIsNotAllThereIsNone) {
  EXPECT_THAT(ResultReceipt().Finish(), StatusIs(absl::StatusCode::kInternal, "without a result"));
  ResultReceipt empty;
  EXPECT_THAT(empty.Take(ResultEvent(0)), IsOk());
  EXPECT_THAT(std::move(empty).Finish(), StatusIs(absl::StatusCode::kInternal, "no image"));
  ResultReceipt half;
  EXPECT_THAT(half.Take(ResultEvent(5)), IsOk());
  EXPECT_THAT(half.Take(ChunkEvent(0, "byte")), IsOk());
  EXPECT_THAT(std::move(half).Finish(),
              StatusIs(absl::StatusCode::kInternal, "4 of the image's 5"));
}

}  // namespace
}  // namespace antidiffusion
