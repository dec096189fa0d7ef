#include "core/image/margins.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace antidiffusion {
namespace {

constexpr int kBlack = 2;  // what a lossy codec leaves of black
constexpr int kWhite = 255 - kBlack;

// Whether the samples of a line of pixels are all black or all white: `pixels` of `image.channels`
// samples each, `step` samples from one to the next.
bool IsBlank(const Image& image, size_t first, size_t step, int pixels) {
  int darkest = 255;
  int lightest = 0;
  for (int i = 0; i < pixels; ++i) {
    const uint8_t* const pixel = &image.pixels[first + step * static_cast<size_t>(i)];
    const auto [low, high] = std::minmax_element(pixel, pixel + image.channels);
    darkest = std::min<int>(darkest, *low);
    lightest = std::max<int>(lightest, *high);
    if (lightest > kBlack && darkest < kWhite) return false;
  }
  return true;
}

// How many of `count` lines, from the first on, are blank.
template <typename Blank>
int CountBlank(int count, const Blank& is_blank) {
  int blank = 0;
  while (blank < count && is_blank(blank)) ++blank;
  return blank;
}

}  // namespace

Margins FindMargins(const Image& image) {
  const auto pixel = static_cast<size_t>(image.channels);
  const size_t row = pixel * static_cast<size_t>(image.width);
  const auto row_is_blank = [&](int y) {
    return IsBlank(image, row * static_cast<size_t>(y), pixel, image.width);
  };
  Margins margins;
  margins.top = CountBlank(image.height, row_is_blank);
  if (margins.top == image.height) return {};
  margins.bottom =
      CountBlank(image.height, [&](int i) { return row_is_blank(image.height - 1 - i); });
  const int rows = image.height - margins.top - margins.bottom;
  const auto column_is_blank = [&](int x) {
    const size_t top = row * static_cast<size_t>(margins.top);
    return IsBlank(image, top + pixel * static_cast<size_t>(x), row, rows);
  };
  margins.left = CountBlank(image.width, column_is_blank);
  margins.right =
      CountBlank(image.width, [&](int i) { return column_is_blank(image.width - 1 - i); });
  return margins;
}

}  // namespace antidiffusion
