#include "tests/testing/synthetic_image.h"

#include <algorithm>

namespace antidiffusion {
namespace {

// splitmix64 (Steele et al. 2014): integer arithmetic only, so equal everywhere.
uint64_t Mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

// A value in 0..255 of a lattice point.
int64_t Lattice(uint64_t seed, int64_t x, int64_t y) {
  return static_cast<int64_t>(
      Mix(seed ^ Mix(static_cast<uint64_t>(x) * 0x10001 + (static_cast<uint64_t>(y) << 32))) &
      0xff);
}

// Bilinear value noise with cells of `cell` pixels, 0..255.
int64_t ValueNoise(uint64_t seed, int64_t cell, int64_t x, int64_t y) {
  const int64_t cx = x / cell, cy = y / cell, fx = x % cell, fy = y % cell;
  const int64_t top = Lattice(seed, cx, cy) * (cell - fx) + Lattice(seed, cx + 1, cy) * fx;
  const int64_t bottom =
      Lattice(seed, cx, cy + 1) * (cell - fx) + Lattice(seed, cx + 1, cy + 1) * fx;
  return (top * (cell - fy) + bottom * fy) / (cell * cell);
}

}  // namespace

Image SyntheticImage(int width, int height, int channels, uint64_t seed) {
  Image image{width, height, channels, {}};
  image.pixels.reserve(image.size());
  const int64_t large = std::max(8, std::min(width, height) / 3);
  const int64_t small = std::max<int64_t>(2, large / 8);
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) {
      for (int c = 0; c < channels; ++c) {
        const uint64_t key = Mix(seed * 8 + static_cast<uint64_t>(c));
        const int64_t gradient =
            255 * (c == 1 ? height - 1 - y : x) / std::max(1, (c == 1 ? height : width) - 1);
        const int64_t sum = 3 * gradient + 4 * ValueNoise(key, large, x, y) +
                            2 * ValueNoise(key + 1, small, x, y) + Lattice(key + 2, x, y);
        // sum / 10 is mostly about the middle: the contrast is stretched and then clamped.
        const int64_t value = (sum - 1275) * 17 / 100 + 128;
        image.pixels.push_back(static_cast<uint8_t>(std::clamp<int64_t>(value, 0, 255)));
      }
    }
  }
  return image;
}

}  // namespace antidiffusion
