#include "core/surrogate/trainable_weights.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <vector>

#include "tests/core/surrogate/golden_surrogate.h"

namespace antidiffusion {
namespace {

std::vector<at::Tensor> CopiesOf(const std::vector<at::Tensor>& weights) {
  std::vector<at::Tensor> copies;
  copies.reserve(weights.size());
  for (const at::Tensor& weight : weights) copies.push_back(weight.detach().clone());
  return copies;
}

void ExpectSameBytes(const std::vector<at::Tensor>& weights, const std::vector<at::Tensor>& kept) {
  for (size_t i = 0; i < weights.size(); ++i) {
    EXPECT_EQ(std::memcmp(weights[i].data_ptr(), kept[i].data_ptr(), kept[i].nbytes()), 0) << i;
  }
}

TEST(TrainableWeightsTest, RestoresEveryBit) {
  const Surrogate model = MakeGoldenSurrogate("sd1-like");
  TrainableWeights& weights = model.denoiser->weights();
  const std::vector<at::Tensor> kept = CopiesOf(weights.tensors());
  for (int job = 0; job < 2; ++job) {
    weights.BeginMoving();
    {
      const at::NoGradGuard no_grad;
      weights.tensors().front().fill_(std::numeric_limits<float>::quiet_NaN());
      weights.tensors().back().add_(1);
    }
    weights.Restore();
    ExpectSameBytes(weights.tensors(), kept);
  }
}

TEST(TrainableWeightsTest, CopiesNothingBeforeTheWeightsAreToBeMoved) {
  const Surrogate model = MakeGoldenSurrogate("sd1-like");
  TrainableWeights& weights = model.denoiser->weights();
  weights.Restore();
  EXPECT_FALSE(weights.has_copy());
  weights.BeginMoving();
  EXPECT_TRUE(weights.has_copy());
}

TEST(TrainableWeightsTest, AFailedRestoreThrowsAndIsTriedAgain) {
  at::Tensor first = at::ones({3});
  at::Tensor last = at::ones({2});
  TrainableWeights weights({first, last});
  weights.BeginMoving();
  first.set_data(at::zeros({5}));  // as memory that is gone
  EXPECT_ANY_THROW(weights.Restore());
  first.set_data(at::zeros({3}));
  weights.Restore();
  EXPECT_TRUE(at::equal(first, at::ones({3})));
}

TEST(TrainableWeightsTest, GradientsAreThereWhileAskedFor) {
  const Surrogate model = MakeGoldenSurrogate("sd1-like");
  Denoiser& denoiser = *model.denoiser;
  at::manual_seed(11);
  const at::Tensor latent = at::randn({1, 4, 8, 8});
  const NoiseDraw draw = {at::randn({1, 4, 8, 8}), at::tensor({300})};
  const Conditioning prompt = denoiser.Condition("", 64, 64).value();
  const auto loss = [&] { return DenoisingLoss(denoiser, latent, draw, prompt, {}); };
  EXPECT_FALSE(loss().requires_grad());
  {
    const TrainableWeights::WithGradients off(denoiser.weights(), false);
    EXPECT_FALSE(loss().requires_grad());
    const TrainableWeights::WithGradients on(denoiser.weights(), true);
    loss().backward();
  }
  for (const at::Tensor& weight : denoiser.weights().tensors()) {
    EXPECT_FALSE(weight.requires_grad());
    EXPECT_TRUE(weight.grad().defined());
  }
  denoiser.weights().Restore();
  for (const at::Tensor& weight : denoiser.weights().tensors()) {
    EXPECT_FALSE(weight.grad().defined());
  }
}

}  // namespace
}  // namespace antidiffusion
