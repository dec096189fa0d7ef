#include "core/models/tiny_encoder.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace antidiffusion {
namespace {

TinyVaeConfig SmallConfig() {
  TinyVaeConfig config;
  config.channels = 4;
  config.latent_channels = 5;
  config.num_blocks = {1, 0, 2};
  return config;
}

TEST(TinyEncoderTest, FactorFollowsFromTheLevels) {
  TinyEncoder encoder(SmallConfig());
  const at::NoGradGuard no_grad;
  for (at::Tensor& parameter : encoder->parameters()) parameter.fill_(0.01);
  EXPECT_EQ(encoder->encode(at::zeros({2, 3, 12, 20})).sizes(), at::IntArrayRef({2, 5, 3, 5}));
}

TEST(TinyEncoderTest, TheNetworkSeesTheImageFromZeroToOne) {
  TinyVaeConfig config = SmallConfig();
  config.num_blocks = {0};
  TinyEncoder encoder(config);
  const at::NoGradGuard no_grad;
  for (auto& item : encoder->named_parameters()) {
    item.value().zero_();
    // Passes the centre of each window on: the sum of the channels.
    if (item.value().dim() == 4) item.value().select(2, 1).select(2, 1).fill_(1);
  }
  const at::Tensor black = encoder->encode(at::full({1, 3, 4, 4}, -1.0));
  const at::Tensor white = encoder->encode(at::full({1, 3, 4, 4}, 1.0));
  EXPECT_EQ(black.abs().max().item<float>(), 0.0F);
  EXPECT_EQ(white.min().item<float>(), 12.0F);  // three of 1, four channels
}

TEST(TinyEncoderTest, SidesMustBeMultiplesOfTheFactor) {
  TinyEncoder encoder(SmallConfig());
  EXPECT_THROW(encoder->encode(at::zeros({1, 3, 12, 18})), c10::Error);
  EXPECT_THROW(encoder->encode(at::zeros({3, 12, 12})), c10::Error);
}

}  // namespace
}  // namespace antidiffusion
