// An image in plain memory, as the protection sees it: no codec, no metadata, no tensor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace antidiffusion {

// 8-bit samples as they are stored in the file, row-major, channels interleaved (RGB order). Only
// where it is said images have alpha: 2 = grey and alpha, 4 = RGBA.
struct Image {
  int width = 0;
  int height = 0;
  int channels = 3;  // 3 = RGB, 1 = grey
  std::vector<uint8_t> pixels;

  size_t size() const { return static_cast<size_t>(width) * height * channels; }
  bool operator==(const Image&) const = default;
};

}  // namespace antidiffusion
