// What a network keeps for back-propagation, estimated from its architecture.
#pragma once

#include <cstdint>

#include "core/models/config.h"

namespace antidiffusion {

// Bytes a pixel of the image of a forward pass whose gradient to the image, or to the latent, is
// taken, with the gradients under way; float32, also where autocast keeps halves. Counted are the
// tensors that each layer keeps; attention is counted without its matrix, which is never kept
// whole.
double ActivationBytesPerPixel(const VaeConfig& config);
double ActivationBytesPerPixel(const TinyVaeConfig& config);
double ActivationBytesPerPixel(const UNetConfig& config, int64_t pixels_a_side_of_a_cell);

}  // namespace antidiffusion
