#include "core/surrogate/activation_memory.h"

#include <gtest/gtest.h>

namespace antidiffusion {
namespace {

TEST(ActivationMemoryTest, APassIsFreeBeforeTheGradientOfTheOneBeforeItIsTaken) {
  const ActivationBytes encoder{.kept = 100, .held = 20, .under_way = 40};
  const ActivationBytes unet{.kept = 60, .held = 10, .under_way = 5};
  EXPECT_EQ(PeakBytes({encoder, unet}, /*recompute=*/false), 160);
  EXPECT_EQ(PeakBytes({encoder, unet}, /*recompute=*/true), 60) << "the encoder's own";
  EXPECT_EQ(PeakBytes({unet, encoder}, /*recompute=*/true), 70);
  EXPECT_EQ(PeakBytes({}, /*recompute=*/true), 0);
}

TEST(ActivationMemoryTest, RecomputingHoldsLess) {
  for (const ActivationBytes& bytes :
       {ActivationBytesOf(
            VaeConfig{.block_out_channels = {128, 256, 512, 512}, .layers_per_block = 2}),
        ActivationBytesOf(UNetConfig(), 8)}) {
    EXPECT_LT(bytes.held + bytes.under_way, 0.6 * bytes.kept);
    EXPECT_GT(bytes.held, 0);
    EXPECT_GT(bytes.under_way, 0);
  }
}

TEST(ActivationMemoryTest, ALevelMayHaveTransformersWithoutABlock) {
  UNetConfig config;
  config.transformer_layers = {0, 2, 10, 1};
  const ActivationBytes bytes = ActivationBytesOf(config, 8);
  EXPECT_GT(bytes.kept, 0);
  EXPECT_GT(PeakBytes({bytes}, /*recompute=*/true), 0);
}

TEST(ActivationMemoryTest, ASmallNetworkMayWinNothing) {
  const ActivationBytes bytes = ActivationBytesOf(TinyVaeConfig());
  EXPECT_EQ(bytes.held, bytes.kept);
  EXPECT_EQ(bytes.under_way, 0);
}

}  // namespace
}  // namespace antidiffusion
