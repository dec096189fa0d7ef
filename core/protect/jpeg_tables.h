// The quantiser's steps of JPEG (ITU T.81, tables K.1 and K.2).
#pragma once

#include <array>
#include <cstddef>

namespace antidiffusion {

inline constexpr int kJpegBlock = 8;  // pixels that a block is wide and high

// At quality 50, in levels: row by row, a row is a vertical frequency.
using JpegTable = std::array<int, size_t{kJpegBlock} * kJpegBlock>;

inline constexpr JpegTable kJpegLuma = {
    16, 11, 10, 16, 24,  40,  51,  61,  12, 12, 14, 19, 26,  58,  60,  55,
    14, 13, 16, 24, 40,  57,  69,  56,  14, 17, 22, 29, 51,  87,  80,  62,
    18, 22, 37, 56, 68,  109, 103, 77,  24, 35, 55, 64, 81,  104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99};
inline constexpr JpegTable kJpegChroma = {
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99,
    99, 99, 47, 66, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99};

}  // namespace antidiffusion
