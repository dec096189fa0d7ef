#include "core/surrogate/prompt_encoder.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/testing/golden.h"
#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

// The text encoder of a golden model, which counts how often it is read, and knows whether one that
// was read is still in memory.
class PromptEncoderTest : public testing::Test {
 protected:
  PromptEncoder Make() {
    std::vector<TextEncoderParts> texts(1);
    texts[0].read = [this]() -> absl::StatusOr<ClipTextModel> {
      if (!error_.ok()) return error_;
      ++reads_;
      ClipTextModel network = LoadGoldenTextModel("sd1-like");
      latest_ = network.ptr();
      return network;
    };
    texts[0].tokenizer = ClipTokenizer::Create(GoldenPath("models/sd1-like/tokenizer")).value();
    return PromptEncoder(std::move(texts), c10::kCPU, at::kFloat);
  }

  int reads_ = 0;
  absl::Status error_;
  std::weak_ptr<ClipTextModelImpl> latest_;
};

TEST_F(PromptEncoderTest, TheNetworkLeavesMemoryAfterEncoding) {
  PromptEncoder prompts = Make();
  EXPECT_EQ(reads_, 0);
  AD_ASSERT_OK_AND_ASSIGN(const Conditioning cat, prompts.Encode("a cat", 64, 64));
  EXPECT_EQ(reads_, 1);
  EXPECT_TRUE(latest_.expired());
  EXPECT_EQ(cat.context.size(1), 77);
  EXPECT_FALSE(cat.context.requires_grad());
}

TEST_F(PromptEncoderTest, ReadsTheNetworkForPromptsItDoesNotKnow) {
  PromptEncoder prompts = Make();
  AD_ASSERT_OK_AND_ASSIGN(const Conditioning first, prompts.Encode("a cat", 64, 64));
  AD_ASSERT_OK_AND_ASSIGN(const Conditioning again, prompts.Encode("a cat", 128, 64));
  AD_ASSERT_OK_AND_ASSIGN(const Conditioning other, prompts.Encode("a dog", 64, 64));
  EXPECT_EQ(reads_, 2);
  EXPECT_EQ(prompts.encodes(), 2);
  EXPECT_TRUE(first.context.equal(again.context));
  EXPECT_FALSE(first.context.equal(other.context));
}

TEST_F(PromptEncoderTest, ForgetsThePromptThatWasNotUsedForLongest) {
  PromptEncoder prompts = Make();
  for (int i = 0; i < 32; ++i) ASSERT_THAT(prompts.Encode(absl::StrCat(i), 64, 64), IsOk());
  ASSERT_THAT(prompts.Encode("0", 64, 64), IsOk());
  EXPECT_EQ(reads_, 32);
  ASSERT_THAT(prompts.Encode("one more", 64, 64), IsOk());  // "1" has to go
  ASSERT_THAT(prompts.Encode("0", 64, 64), IsOk());
  EXPECT_EQ(reads_, 33);
  ASSERT_THAT(prompts.Encode("1", 64, 64), IsOk());
  EXPECT_EQ(reads_, 34);
}

TEST_F(PromptEncoderTest, WhatCannotBeReadIsToldAndNotRemembered) {
  PromptEncoder prompts = Make();
  error_ = absl::DataLossError("a weight that is not finite");
  EXPECT_THAT(prompts.Encode("a cat", 64, 64), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_EQ(prompts.encodes(), 0);
  error_ = absl::OkStatus();
  EXPECT_THAT(prompts.Encode("a cat", 64, 64), IsOk());
}

}  // namespace
}  // namespace antidiffusion
