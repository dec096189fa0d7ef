#include "core/protect/work_grid.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "tests/testing/status_matchers.h"
#include "tests/testing/synthetic_image.h"

namespace antidiffusion {
namespace {

// Of a diffusion model, as LocalProtector has them.
WorkRules RulesOf(int64_t native_side, int64_t factor) {
  WorkRules rules;
  rules.native_side = native_side;
  rules.side_multiple = 4 * factor;
  return rules;
}

// Memory for that many pixels, and not one more.
WorkRules RulesWithMemory(int64_t native_side, int64_t pixels) {
  WorkRules rules = RulesOf(native_side, 8);
  rules.memory = {
      .available = 1000 + pixels, .fixed = 1000, .bytes_a_pixel = 1, .recomputed_a_pixel = 1};
  return rules;
}

TEST(WorkGridTest, NativeSidesAreKept) {
  const WorkGrid square = PlanWork(512, 512, RulesOf(512, 8)).value();
  EXPECT_EQ(square.height, 512);
  EXPECT_EQ(square.width, 512);
  const WorkGrid wide = PlanWork(512, 768, RulesOf(512, 8)).value();
  EXPECT_EQ(wide.height, 512);
  EXPECT_EQ(wide.width, 768);
  const WorkGrid small = PlanWork(96, 64, RulesOf(64, 4)).value();
  EXPECT_EQ(small.height, 96);
  EXPECT_EQ(small.width, 64);
}

TEST(WorkGridTest, ShortSideIsNativeAndLongSideTheNearestMultiple) {
  const WorkGrid landscape = PlanWork(2000, 3000, RulesOf(512, 8)).value();
  EXPECT_EQ(landscape.height, 512);
  EXPECT_EQ(landscape.width, 768);
  const WorkGrid portrait = PlanWork(1046, 1045, RulesOf(512, 8)).value();
  EXPECT_EQ(portrait.height, 512);
  EXPECT_EQ(portrait.width, 512);
  const WorkGrid fine = PlanWork(100, 160, RulesOf(96, 8)).value();  // 153.6 to a multiple of 32
  EXPECT_EQ(fine.height, 96);
  EXPECT_EQ(fine.width, 160);
}

TEST(WorkGridTest, SidesAreMultiplesOfFourLatentCells) {
  const WorkGrid grid = PlanWork(300, 500, RulesOf(128, 16)).value();
  EXPECT_EQ(grid.height, 128);
  EXPECT_EQ(grid.width % 64, 0);
}

TEST(WorkGridTest, LongStripsAreCutIntoOverlappingPieces) {
  const WorkGrid grid = PlanWork(1000, 100, RulesOf(64, 4)).value();
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
  EXPECT_EQ(PlanWork(100, 400, RulesOf(64, 4)).value().pieces.size(), 1U);
  EXPECT_EQ(PlanWork(100, 470, RulesOf(64, 4)).value().pieces.size(), 2U);
}

TEST(WorkGridTest, RefusesMoreThan64Pieces) {
  EXPECT_EQ(PlanWork(64, 193 * 64, RulesOf(64, 4)).value().pieces.size(), 64U);
  EXPECT_EQ(PlanWork(193 * 70, 70, RulesOf(64, 4)).value().pieces.size(), 64U);
  EXPECT_THAT(PlanWork(64, 193 * 64 + 1, RulesOf(64, 4)), ViolatesField("image"));
  EXPECT_THAT(PlanWork(781'250, 64, RulesOf(64, 4)), ViolatesField("image"));
}

TEST(WorkGridTest, EveryRatioIsCovered) {
  for (int length = 64; length < 3000; length += 37) {
    const WorkGrid grid = PlanWork(64, length, RulesOf(64, 4)).value();
    EXPECT_LE(grid.width, 256) << length;
    int end = 0;
    for (const ImagePiece& piece : grid.pieces) {
      EXPECT_LE(piece.left, end) << length;
      end = std::max(end, piece.left + piece.width);
    }
    EXPECT_EQ(end, length);
  }
}

TEST(WorkGridTest, WithoutANativeSideAnImageKeepsItsOwn) {
  WorkRules rules;
  rules.side_multiple = 8;
  const WorkGrid kept = PlanWork(128, 96, rules).value();
  EXPECT_EQ(kept.height, 128);
  EXPECT_EQ(kept.width, 96);
  const WorkGrid rounded = PlanWork(101, 301, rules).value();
  EXPECT_EQ(rounded.height, 104);
  EXPECT_EQ(rounded.width, 312);
  const WorkGrid large = PlanWork(3000, 4000, rules).value();
  EXPECT_EQ(large.height, 1024);
  EXPECT_EQ(large.width, 1368);
  EXPECT_EQ(PlanWork(100, 1000, rules).value().pieces.size(), 3U);
}

TEST(WorkGridTest, WideImagesAreCutWhereMemoryIsShort) {
  const WorkGrid whole = PlanWork(100, 400, RulesWithMemory(128, int64_t{512} * 128)).value();
  EXPECT_EQ(whole.width, 512);
  EXPECT_EQ(whole.pieces.size(), 1U);
  const WorkGrid halved = PlanWork(100, 400, RulesWithMemory(128, 512 * 128 - 1)).value();
  EXPECT_EQ(halved.height, 128);
  EXPECT_EQ(halved.width, 480);
  EXPECT_EQ(halved.pieces.size(), 2U);
  const WorkGrid square = PlanWork(400, 100, RulesWithMemory(128, int64_t{128} * 128)).value();
  EXPECT_EQ(square.height, 128);
  EXPECT_EQ(square.width, 128);
  ASSERT_EQ(square.pieces.size(), 5U);
  for (size_t i = 1; i < square.pieces.size(); ++i) {
    EXPECT_EQ(square.pieces[i].height, 100);
    EXPECT_GE(square.pieces[i - 1].top + 100 - square.pieces[i].top, 25);
  }
}

TEST(WorkGridTest, SaysWhatIsMissingWhereNotEvenASquareFits) {
  const auto refused = PlanWork(100, 400, RulesWithMemory(128, 128 * 128 - 1));
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(refused, HasReason("DEVICE_MEMORY"));
  const auto metadata = GetErrorReason(refused.status())->metadata;
  EXPECT_EQ(metadata.at("needed"), std::to_string(1000 + 128 * 128));
  EXPECT_EQ(metadata.at("available"), std::to_string(1000 + 128 * 128 - 1));
}

TEST(WorkGridTest, RefusesMoreThan64SmallPiecesForWantOfMemory) {
  EXPECT_THAT(PlanWork(64, 100 * 64, RulesWithMemory(128, int64_t{128} * 128)),
              StatusIs(absl::StatusCode::kResourceExhausted));
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
    const WorkGrid grid = PlanWork(length, 100, RulesOf(64, 4)).value();
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
