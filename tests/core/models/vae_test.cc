#include "core/models/vae.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "tests/testing/golden.h"

namespace antidiffusion {
namespace {

TEST(VaeTest, BatchEqualsItsMembersAlone) {
  Vae vae = LoadGoldenVae("sd2-base-like");
  at::manual_seed(3);
  const at::Tensor images = at::rand({2, 3, 32, 48}) * 2 - 1;
  const at::NoGradGuard no_grad;
  const at::Tensor together = vae->encode(images).mean;
  for (int64_t i = 0; i < 2; ++i) {
    const at::Tensor alone = vae->encode(images.slice(0, i, i + 1)).mean;
    // Means reach 20 with a golden floor of 2e-5.
    EXPECT_LT((together.slice(0, i, i + 1) - alone).abs().max().item<double>(), 4e-4);
  }
}

// Not only f = 8: three levels give 4.
TEST(VaeTest, FactorFollowsFromTheLevels) {
  VaeConfig config;
  config.block_out_channels = {8, 8, 8};
  config.norm_num_groups = 4;
  Vae vae(config);
  const at::NoGradGuard no_grad;
  for (at::Tensor& parameter : vae->parameters()) parameter.zero_();
  const Posterior posterior = vae->encode(at::zeros({1, 3, 36, 20}));
  EXPECT_EQ(posterior.mean.sizes(), at::IntArrayRef({1, 4, 9, 5}));
  EXPECT_EQ(posterior.logvar.sizes(), at::IntArrayRef({1, 4, 9, 5}));
}

TEST(VaeTest, LogVarianceIsClamped) {
  Vae vae = LoadGoldenVae("sd1-like");
  const at::NoGradGuard no_grad;
  for (auto& item : vae->named_parameters()) {
    if (item.key() == "quant_conv.bias") item.value().slice(0, 4).fill_(1000.0);
  }
  const Posterior posterior = vae->encode(at::zeros({1, 3, 32, 32}));
  EXPECT_EQ(posterior.logvar.max().item<float>(), 20.0F);
}

TEST(VaeTest, SidesMustBeMultiplesOfTheFactor) {
  Vae vae = LoadGoldenVae("sd1-like");
  EXPECT_THROW(vae->encode(at::zeros({1, 3, 60, 64})), c10::Error);
  EXPECT_THROW(vae->encode(at::zeros({3, 64, 64})), c10::Error);
}

}  // namespace
}  // namespace antidiffusion
