// Image <-> tensor, resampling, and the rounding that keeps the budget.
#pragma once

#include <ATen/core/Tensor.h>

#include "core/image/image.h"

namespace antidiffusion {

// [1,3,H,W] float32 in [-1,1]: byte / 127.5 - 1. Grey is repeated over the three channels.
at::Tensor ImageToTensor(const Image& image);

// Round-half-even of clamp(x/2 + 0.5, 0, 1) * 255. `tensor` [1,3,H,W] or [1,1,H,W].
Image TensorToImage(const at::Tensor& tensor);

// Antialiased bicubic of [1,C,H,W] to height x width; returns the tensor itself when sizes are
// equal.
at::Tensor Resize(const at::Tensor& tensor, int64_t height, int64_t width);

// Of every channel of [1,C,H,W], with a window of ceil(3 sigma) pixels to each side; beyond an edge
// the nearest pixel goes on. `sigma` above 0, in pixels.
at::Tensor GaussianBlur(const at::Tensor& tensor, double sigma);

// original + round(difference), every sample kept within `bound` levels of the original's byte and
// within 0..255. `difference` [1,3,H,W] (or [1,1,H,W] for grey) on the [-1,1] scale, of the
// original's size; for a grey original three channels are averaged. `room` (change_room.h): a
// pixel's share of the bound, which is rounded; without pixels each has the whole.
Image ApplyDifference(const Image& original, const at::Tensor& difference, int bound,
                      const Image& room = {});

// Shares 0..1, [1,1,H,W], of a room.
at::Tensor RoomToTensor(const Image& room);

}  // namespace antidiffusion
