#include "core/protect/work_grid.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/testing/status_matchers.h"
#include "tests/testing/synthetic_image.h"

namespace antidiffusion {
namespace {

TEST(WorkGridTest, NativeSidesAreKept) {
  const WorkGrid square = PlanWork(512, 512, 512, 8).value();
  EXPECT_EQ(square.height, 512);
  EXPECT_EQ(square.width, 512);
  const WorkGrid wide = PlanWork(512, 768, 512, 8).value();
  EXPECT_EQ(wide.height, 512);
  EXPECT_EQ(wide.width, 768);
  const WorkGrid small = PlanWork(96, 64, 64, 4).value();
  EXPECT_EQ(small.height, 96);
  EXPECT_EQ(small.width, 64);
}

TEST(WorkGridTest, ShortSideIsNativeAndLongSideTheNearestMultiple) {
  const WorkGrid landscape = PlanWork(2000, 3000, 512, 8).value();
  EXPECT_EQ(landscape.height, 512);
  EXPECT_EQ(landscape.width, 768);
  const WorkGrid portrait = PlanWork(1046, 1045, 512, 8).value();
  EXPECT_EQ(portrait.height, 512);
  EXPECT_EQ(portrait.width, 512);
  const WorkGrid fine = PlanWork(100, 160, 96, 8).value();  // 153.6 to a multiple of 32
  EXPECT_EQ(fine.height, 96);
  EXPECT_EQ(fine.width, 160);
}

TEST(WorkGridTest, SidesAreMultiplesOfFourLatentCells) {
  const WorkGrid grid = PlanWork(300, 500, 128, 16).value();
  EXPECT_EQ(grid.height, 128);
  EXPECT_EQ(grid.width % 64, 0);
}

TEST(WorkGridTest, LongStripsAreCutIntoOverlappingPieces) {
  const WorkGrid grid = PlanWork(1000, 100, 64, 4).value();
  EXPECT_EQ(grid.height, 256);
  EXPECT_EQ(grid.width, 64);
  ASSERT_EQ(grid.pieces.size(), 3U);
  EXPECT_EQ(grid.pieces.front(), (ImagePiece{0, 0, 400, 100}));
  EXPECT_EQ(grid.pieces.back(), (ImagePiece{600, 0, 400, 100}));
  for (size_t i = 1; i < grid.pieces.size(); ++i) {
    EXPECT_GE(grid.pieces[i - 1].top + 400 - grid.pieces[i].top, 100);
  }
}

TEST(WorkGridTest, FourNativeSidesAreOnePiece) {
  EXPECT_EQ(PlanWork(100, 400, 64, 4).value().pieces.size(), 1U);
  EXPECT_EQ(PlanWork(100, 470, 64, 4).value().pieces.size(), 2U);
}

TEST(WorkGridTest, RefusesMoreThan64Pieces) {
  EXPECT_EQ(PlanWork(64, 193 * 64, 64, 4).value().pieces.size(), 64U);
  EXPECT_EQ(PlanWork(193 * 70, 70, 64, 4).value().pieces.size(), 64U);
  EXPECT_THAT(PlanWork(64, 193 * 64 + 1, 64, 4), ViolatesField("image"));
  EXPECT_THAT(PlanWork(781'250, 64, 64, 4), ViolatesField("image"));
}

TEST(WorkGridTest, EveryRatioIsCovered) {
  for (int length = 64; length < 3000; length += 37) {
    const WorkGrid grid = PlanWork(64, length, 64, 4).value();
    EXPECT_LE(grid.width, 256) << length;
    int end = 0;
    for (const ImagePiece& piece : grid.pieces) {
      EXPECT_LE(piece.left, end) << length;
      end = std::max(end, piece.left + piece.width);
    }
    EXPECT_EQ(end, length);
  }
}

TEST(WorkGridTest, CutTakesTheRectangle) {
  const Image image = SyntheticImage(90, 70);
  const Image cut = Cut(image, {.top = 3, .left = 5, .height = 20, .width = 30});
  ASSERT_EQ(cut.pixels.size(), size_t{20} * 30 * 3);
  EXPECT_EQ(cut.pixels[0], image.pixels[(size_t{3} * 90 + 5) * 3]);
  EXPECT_EQ(cut.pixels.back(), image.pixels[(size_t{22} * 90 + 34) * 3 + 2]);
}

TEST(WorkGridTest, BlendOfEqualPiecesIsThePieces) {
  for (const int length : {450, 710, 1500}) {
    const WorkGrid grid = PlanWork(length, 100, 64, 4).value();
    PieceBlender blender(length, 100, grid.pieces);
    const at::Tensor whole =
        at::linspace(-1, 1, length).view({1, 1, length, 1}).expand({1, 3, length, 100});
    for (size_t i = 0; i < grid.pieces.size(); ++i) {
      blender.Add(i,
                  whole.slice(2, grid.pieces[i].top, grid.pieces[i].top + grid.pieces[i].height));
    }
    EXPECT_TRUE(at::allclose(blender.Result(), whole, 0, 1e-6)) << length;
  }
}

TEST(WorkGridTest, BlendRunsLinearlyThroughAnOverlap) {
  const std::vector<ImagePiece> pieces = {{0, 0, 2, 8}, {0, 4, 2, 8}};
  PieceBlender blender(2, 12, pieces);
  blender.Add(0, at::zeros({1, 1, 2, 8}));
  blender.Add(1, at::ones({1, 1, 2, 8}));
  const at::Tensor row = blender.Result()[0][0][0];
  const at::Tensor expected =
      at::tensor({0.0, 0.0, 0.0, 0.0, 0.125, 0.375, 0.625, 0.875, 1.0, 1.0, 1.0, 1.0}, at::kFloat);
  EXPECT_TRUE(at::allclose(row, expected, 0, 1e-6)) << row;
}

}  // namespace
}  // namespace antidiffusion
