// JPEG as tensor operations, so that PGD can look through it.
#pragma once

#include <ATen/core/Tensor.h>

namespace antidiffusion {

// What a JPEG encoder of `quality` (1..100; the tables of ITU T.81, Annex K, scaled as libjpeg
// does; chroma halved in both directions, 4:2:0) would leave of `image` [1,3,H,W] in [-1,1]; same
// shape, not clamped to 8 bits. Rounding passes the gradient on as it is (straight-through), all
// else is differentiated: a change that the encoder throws away by halving chroma has no gradient.
// Sides that are no multiple of 16 are padded by their last row and column meanwhile.
at::Tensor SimulateJpeg(const at::Tensor& image, int quality);

}  // namespace antidiffusion
