#include "core/image/change_room.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <vector>

#include "tests/testing/synthetic_image.h"

namespace antidiffusion {
namespace {

// Grey, with stripes of `contrast` levels to each side, one pixel wide, in the right half.
Image HalfStriped(int width, int height, int channels, int contrast) {
  Image image{width, height, channels, {}};
  for (size_t i = 0; i < image.size(); ++i) {
    const int x = static_cast<int>(i) / channels % width;
    const int level = x < width / 2 ? 128 : 128 + (x % 2 == 0 ? contrast : -contrast);
    image.pixels.push_back(static_cast<uint8_t>(level));
  }
  return image;
}

int At(const Image& room, int x, int y) {
  return room.pixels[static_cast<size_t>(y) * room.width + x];
}

TEST(ChangeRoomTest, IsTheWholeBudgetInsideOfTheMargins) {
  Image image = SyntheticImage(40, 30);
  std::fill_n(image.pixels.begin(), 40 * 3 * 4, 0);
  const Image room = FindRoom(image, {}, 0);
  EXPECT_EQ(room.width, 40);
  EXPECT_EQ(room.height, 30);
  EXPECT_EQ(room.channels, 1);
  for (int y = 0; y < 30; ++y) {
    for (int x = 0; x < 40; ++x) EXPECT_EQ(At(room, x, y), y < 4 ? 0 : 255) << x << "," << y;
  }
}

TEST(ChangeRoomTest, HiddenColoursHaveNone) {
  const Image image = SyntheticImage(40, 30);
  std::vector<uint8_t> alpha(size_t{40} * 30, 255);
  alpha[45] = 0;
  alpha[46] = 1;
  const Image room = FindRoom(image, alpha, 0);
  EXPECT_EQ(room.pixels[45], 0);
  EXPECT_EQ(room.pixels[46], 255);
  EXPECT_EQ(std::count(room.pixels.begin(), room.pixels.end(), 0), 1);
}

TEST(ChangeRoomTest, FlatAreasHaveLessByTexture) {
  for (const int channels : {1, 3}) {
    const Image image = HalfStriped(64, 32, channels, 60);
    const Image room = FindRoom(image, {}, 1);
    EXPECT_NEAR(At(room, 10, 16), 255 * 9 / 30.0, 1) << "the floor";
    EXPECT_EQ(At(room, 50, 16), 255);
    const Image half = FindRoom(image, {}, 0.5);
    EXPECT_NEAR(At(half, 10, 16), 255 * (0.5 + 0.5 * 9 / 30), 1);
    EXPECT_EQ(At(half, 50, 16), 255);
    const Image weak = FindRoom(HalfStriped(64, 32, channels, 15), {}, 1);
    EXPECT_NEAR(At(weak, 50, 16), 255 / 2.0, 4) << "a deviation of 15 levels";
  }
}

// Bands must not show.
TEST(ChangeRoomTest, TallImagesHaveTheRoomOfTheirParts) {
  const Image tall = SyntheticImage(32, 700);
  const Image room = FindRoom(tall, {}, 1);
  Image part = {32, 200, 3, {}};
  constexpr ptrdiff_t kRow = 3 * ptrdiff_t{32};
  part.pixels.assign(tall.pixels.begin() + kRow * 412, tall.pixels.begin() + kRow * 612);
  const Image of_part = FindRoom(part, {}, 1);
  for (int y = 3; y < 197; ++y) {
    for (int x = 0; x < 32; ++x) EXPECT_EQ(At(of_part, x, y), At(room, x, 412 + y)) << y;
  }
}

}  // namespace
}  // namespace antidiffusion
