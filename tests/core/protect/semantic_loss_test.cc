#include "core/protect/semantic_loss.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace antidiffusion {
namespace {

constexpr int64_t kTokens = 77;

at::Tensor Even(int64_t heads, int64_t positions) {
  return at::full({1, heads, positions, kTokens}, 1.0 / kTokens);
}

// All probability on one token.
at::Tensor Pointed(int64_t heads, int64_t positions, int64_t token) {
  at::Tensor map = at::zeros({1, heads, positions, kTokens});
  map.select(3, token).fill_(1);
  return map;
}

double Loss(const std::vector<at::Tensor>& layers, const SemanticMeasure& options) {
  return SemanticLoss({layers}, options).item<double>();
}

TEST(SemanticLossTest, IsLeastForEvenMapsAndOneForPointedOnes) {
  EXPECT_NEAR(Loss({Even(8, 16), Even(4, 16)}, {}), 1.0 / kTokens, 1e-6);
  EXPECT_NEAR(Loss({Pointed(8, 16, 3)}, {}), 1, 1e-6);
}

TEST(SemanticLossTest, AveragesOverAllHeadsOfAllLayersBeforeSquaring) {
  // Three heads of token 0, one of token 1: M = (3/4, 1/4), T * mean(M^2) = 9/16 + 1/16.
  EXPECT_NEAR(Loss({Pointed(3, 4, 0), Pointed(1, 4, 1)}, {}), 0.625, 1e-6);
}

TEST(SemanticLossTest, CountsOnlyTheSecondHalfOfTheHeadsWhenToldTo) {
  const at::Tensor layer = at::cat({Pointed(2, 4, 0), Even(2, 4)}, 1);
  EXPECT_NEAR(Loss({layer}, {.all_heads = false}), 1.0 / kTokens, 1e-6);
  EXPECT_GT(Loss({layer}, {}), 0.25);
}

TEST(SemanticLossTest, ClampedFormSaturatesAboveOneHundredth) {
  EXPECT_NEAR(Loss({Even(2, 4)}, {.form = SemanticForm::kClamped}), 1, 1e-6);  // 1/77 > 0.01
  EXPECT_NEAR(Loss({Pointed(2, 4, 0)}, {.form = SemanticForm::kClamped}), 1.0 / kTokens, 1e-6);
  at::Tensor low = at::full({1, 2, 4, kTokens}, 0.005).requires_grad_(true);
  const at::Tensor loss = SemanticLoss({{low}}, {.form = SemanticForm::kClamped});
  EXPECT_NEAR(loss.item<double>(), 0.25, 1e-6);
  loss.backward();
  EXPECT_GT(low.grad().min().item<double>(), 0);
  at::Tensor high = at::full({1, 2, 4, kTokens}, 0.02).requires_grad_(true);
  SemanticLoss({{high}}, {.form = SemanticForm::kClamped}).backward();
  EXPECT_EQ(high.grad().abs().max().item<double>(), 0);
}

TEST(SemanticLossTest, HeadsByThemselvesAreNotAveragedAway) {
  const at::Tensor layer = at::cat({Pointed(1, 4, 0), Pointed(1, 4, 1)}, 1);
  EXPECT_NEAR(Loss({layer}, {}), 0.5, 1e-6);
  EXPECT_NEAR(Loss({layer}, {.mean_heads = false}), 1, 1e-6);
  EXPECT_NEAR(Loss({Pointed(3, 4, 0), Even(1, 4)}, {.mean_heads = false}), (3 + 1.0 / kTokens) / 4,
              1e-6);
}

TEST(SemanticLossTest, LayersOfDifferentSidesCountAlike) {
  // 1 for the two of 16 positions, 1/T for that of 4.
  EXPECT_NEAR(Loss({Pointed(2, 16, 0), Even(2, 4), Pointed(2, 16, 0)}, {}), (1 + 1.0 / kTokens) / 2,
              1e-6);
}

TEST(SemanticLossTest, WithoutLayersThereIsNothingToSay) { EXPECT_EQ(Loss({}, {}), 0); }

TEST(SemanticLossTest, StartTokenMeasureIsNothingWhenAllLookAtIt) {
  const SemanticMeasure options{.form = SemanticForm::kStartToken};
  EXPECT_NEAR(Loss({Pointed(2, 4, 0)}, options), 0, 1e-6);
  EXPECT_NEAR(Loss({Pointed(2, 4, 5)}, options), 1, 1e-6);
  EXPECT_NEAR(Loss({Even(2, 4)}, options), 1 - 1.0 / kTokens, 1e-6);
}

}  // namespace
}  // namespace antidiffusion
