// How much of the budget each pixel may use. Thread-safe.
#pragma once

#include <cstdint>
#include <vector>

#include "core/image/image.h"

namespace antidiffusion {

// A grey image of the same size: 255 the whole budget, 0 nothing. 0 in the image's margins
// (margins.h), and where `alpha` (a sample a pixel, or empty) is 0: that colour is not shown.
// `texture`, 0..1: how much less than the whole budget flat areas get. At 1 a pixel's share is the
// standard deviation of luma (BT.601) about it, in 7 x 7 pixels, of 30 levels; at least that of 9
// levels, since editors look at flat areas, too.
Image FindRoom(const Image& image, const std::vector<uint8_t>& alpha, double texture);

}  // namespace antidiffusion
