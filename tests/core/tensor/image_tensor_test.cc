#include "core/tensor/image_tensor.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/image/similarity.h"
#include "core/tensor/random.h"
#include "tests/testing/synthetic_image.h"

namespace antidiffusion {
namespace {

// Every byte once.
Image AllBytes(int channels) {
  Image image{16, 16, channels, {}};
  for (int i = 0; i < 256; ++i) {
    for (int c = 0; c < channels; ++c) {
      image.pixels.push_back(static_cast<uint8_t>((i + 85 * c) % 256));
    }
  }
  return image;
}

TEST(ImageToTensorTest, MapsBytesToMinusOneToOne) {
  const at::Tensor tensor = ImageToTensor(AllBytes(3));
  EXPECT_EQ(tensor.sizes(), (std::vector<int64_t>{1, 3, 16, 16}));
  EXPECT_TRUE(tensor.is_contiguous());
  for (int i = 0; i < 256; ++i) {
    for (int c = 0; c < 3; ++c) {
      const auto byte = static_cast<float>((i + 85 * c) % 256);
      EXPECT_EQ(tensor[0][c][i / 16][i % 16].item<float>(), byte / 127.5F - 1.0F);
    }
  }
}

TEST(ImageToTensorTest, RepeatsGrayAndOutlivesTheImage) {
  at::Tensor tensor;
  {
    const Image image = SyntheticImage(7, 5, 1);
    tensor = ImageToTensor(image);
  }
  EXPECT_EQ(tensor.sizes(), (std::vector<int64_t>{1, 3, 5, 7}));
  Image expected = SyntheticImage(7, 5, 1);
  for (int c = 0; c < 3; ++c) EXPECT_EQ(TensorToImage(tensor.narrow(1, c, 1)), expected);
}

TEST(TensorToImageTest, IsTheInverseOfImageToTensor) {
  EXPECT_EQ(TensorToImage(ImageToTensor(AllBytes(3))), AllBytes(3));
  EXPECT_EQ(TensorToImage(ImageToTensor(SyntheticImage(33, 21))), SyntheticImage(33, 21));
}

TEST(TensorToImageTest, RoundsHalfToEvenAndClamps) {
  // Both ends of the range, what lies outside of it, and a half.
  const std::vector<float> values = {-3.0F, -1.0F, 1.0F, 3.0F, 0.0F};
  at::Tensor tensor = at::zeros({1, 1, 1, 5});
  for (int64_t i = 0; i < 5; ++i) tensor[0][0][0][i] = values[static_cast<size_t>(i)];
  // 0 is level 127.5, which goes to the even 128.
  EXPECT_EQ(TensorToImage(tensor).pixels, (std::vector<uint8_t>{0, 0, 255, 255, 128}));
}

TEST(TensorToImageTest, NotANumberDoesNotEscape) {
  const at::Tensor tensor = at::full({1, 3, 2, 2}, std::nan(""));
  EXPECT_EQ(TensorToImage(tensor).pixels, std::vector<uint8_t>(12, 0));
}

TEST(ResizeTest, AgreesWithPyTorch) {
  // x = torch.arange(48.).reshape(1, 1, 6, 8).mul(0.37).sin()
  // F.interpolate(x, size, mode='bicubic', antialias=True, align_corners=False)
  const at::Tensor x = at::arange(48, at::kFloat).reshape({1, 1, 6, 8}).mul(0.37).sin();
  const auto expect = [&](int64_t height, int64_t width, const std::vector<float>& expected) {
    const at::Tensor resized = Resize(x, height, width);
    ASSERT_EQ(resized.sizes(), (std::vector<int64_t>{1, 1, height, width}));
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_NEAR(resized.flatten()[static_cast<int64_t>(i)].item<float>(), expected[i], 1e-5);
    }
  };
  expect(3, 4,
         {0.057963572442531586F, 0.13040365278720856F, 0.13827672600746155F, 0.07674829661846161F,
          -0.012346501462161541F, -0.011383358389139175F, -0.004337684251368046F,
          0.004464207217097282F, 0.1142924576997757F, 0.028415126726031303F, -0.07775895297527313F,
          -0.13903260231018066F});
  expect(7, 3,
         {0.3460220396518707F,   0.9854139685630798F,  0.8166305422782898F,   -0.0790637955069542F,
          -0.6471300721168518F,  -0.6844602227210999F, -0.09980946034193039F, 0.27446454763412476F,
          0.4236394762992859F,   0.1319914311170578F,  0.0871875211596489F,   -0.0291222482919693F,
          -0.00724805099889636F, -0.345181941986084F,  -0.4000186622142792F,  -0.24083246290683746F,
          0.43582066893577576F,  0.75504070520401F,    0.5518271923065186F,   -0.3923361003398895F,
          -1.014729380607605F});
}

TEST(ResizeTest, EqualSizesAreTheTensorItself) {
  const at::Tensor tensor = at::zeros({1, 3, 8, 6});
  EXPECT_TRUE(Resize(tensor, 8, 6).is_same(tensor));
}

class ApplyDifferenceTest : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Channels, ApplyDifferenceTest, testing::Values(1, 3));

TEST_P(ApplyDifferenceTest, HoldsEveryBoundOnBytesWhateverTheDifference) {
  Random random(static_cast<uint64_t>(GetParam()));
  for (int bound = 0; bound <= 32; ++bound) {
    const Image original = SyntheticImage(37, 29, GetParam(), static_cast<uint64_t>(bound));
    for (const double scale : {0.01, 0.05, 1.0, 1e6}) {
      const at::Tensor difference = random.Normal({1, 3, 29, 37}).mul(scale);
      const Image changed = ApplyDifference(original, difference, bound);
      ASSERT_EQ(changed.width, original.width);
      ASSERT_EQ(changed.height, original.height);
      ASSERT_EQ(changed.channels, original.channels);
      ASSERT_LE(*MaxDifference(original, changed), bound);
      if (scale >= 1) {
        EXPECT_EQ(*MaxDifference(original, changed), bound);
      }
    }
  }
}

TEST_P(ApplyDifferenceTest, AddsWholeLevelsExactly) {
  const Image original = AllBytes(GetParam());
  for (const int levels : {-3, -1, 0, 1, 6}) {
    const at::Tensor difference = at::full({1, GetParam(), 16, 16}, levels / 127.5);
    const Image changed = ApplyDifference(original, difference, 255);
    for (size_t i = 0; i < original.pixels.size(); ++i) {
      EXPECT_EQ(changed.pixels[i], std::clamp(original.pixels[i] + levels, 0, 255));
    }
  }
}

TEST_P(ApplyDifferenceTest, WhatIsNotANumberChangesNothing) {
  const Image original = SyntheticImage(9, 9, GetParam());
  const at::Tensor difference = at::full({1, 3, 9, 9}, std::nan(""));
  EXPECT_EQ(ApplyDifference(original, difference, 6), original);
  const at::Tensor infinite = at::full({1, 3, 9, 9}, std::numeric_limits<float>::infinity());
  EXPECT_LE(*MaxDifference(original, ApplyDifference(original, infinite, 6)), 6);
}

TEST_P(ApplyDifferenceTest, HoldsEachPixelsShareOfTheBound) {
  const Image original{4, 1, GetParam(), std::vector<uint8_t>(size_t{4} * GetParam(), 100)};
  const Image room{4, 1, 1, {0, 51, 128, 255}};
  const at::Tensor difference = at::full({1, GetParam(), 1, 4}, -1.0);
  const Image changed = ApplyDifference(original, difference, 6, room);
  std::vector<uint8_t> expected;
  for (const int level : {100, 99, 97, 94}) expected.insert(expected.end(), GetParam(), level);
  EXPECT_EQ(changed.pixels, expected);
}

TEST(ApplyDifferenceGrayTest, AveragesThreeChannels) {
  const Image original{4, 4, 1, std::vector<uint8_t>(16, 100)};
  at::Tensor difference = at::zeros({1, 3, 4, 4});
  difference.select(1, 0).fill_(9 / 127.5);
  difference.select(1, 2).fill_(-3 / 127.5);
  EXPECT_EQ(ApplyDifference(original, difference, 6).pixels, std::vector<uint8_t>(16, 102));
}

TEST(ApplyDifferenceShapeTest, RefusesOtherShapes) {
  const Image original = SyntheticImage(8, 6);
  EXPECT_THROW(ApplyDifference(original, at::zeros({1, 3, 8, 6}), 6), c10::Error);
  EXPECT_THROW(ApplyDifference(original, at::zeros({1, 1, 6, 8}), 6), c10::Error);
  EXPECT_THROW(ApplyDifference(original, at::zeros({3, 6, 8}), 6), c10::Error);
  EXPECT_THROW(ApplyDifference(original, at::zeros({1, 3, 6, 8}), -1), c10::Error);
  EXPECT_THROW(TensorToImage(at::zeros({2, 3, 6, 8})), c10::Error);
  EXPECT_THROW(ImageToTensor(Image{4, 4, 3, {}}), c10::Error);
}

}  // namespace
}  // namespace antidiffusion
