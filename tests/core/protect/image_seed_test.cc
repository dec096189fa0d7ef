#include "core/protect/image_seed.h"

#include <gtest/gtest.h>

namespace antidiffusion {
namespace {

Image Ramp(int width, int height) {
  Image image{width, height, 3, {}};
  for (size_t i = 0; i < image.size(); ++i) image.pixels.push_back(static_cast<uint8_t>(7 * i));
  return image;
}

TEST(ImageSeedTest, IsTheStartOfTheDigest) {
  EXPECT_EQ(SeedOf(Ramp(64, 2)), 4130042652712694461u);  // Python's hashlib
}

TEST(ImageSeedTest, DependsOnShapeAndPixels) {
  const uint64_t seed = SeedOf(Ramp(64, 2));
  EXPECT_NE(SeedOf(Ramp(2, 64)), seed);
  Image other = Ramp(64, 2);
  other.pixels.back() ^= 1;
  EXPECT_NE(SeedOf(other), seed);
  EXPECT_EQ(SeedOf(Ramp(64, 2)), seed);
}

}  // namespace
}  // namespace antidiffusion
