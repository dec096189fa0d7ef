// What a network keeps for back-propagation, estimated from its architecture.
#pragma once

#include <cstdint>

#include "core/models/config.h"

namespace antidiffusion {

// Bytes a pixel of the image, of a forward pass whose gradient to the image, or to the latent, is
// taken; float32, also where autocast keeps halves.
struct ActivationBytes {
  double kept = 0;   // by every layer, with the gradients under way
  double saved = 0;  // of these, by recomputing (core/models/recompute.h)

  ActivationBytes& operator+=(const ActivationBytes& other) {
    kept += other.kept;
    saved += other.saved;
    return *this;
  }
};

// Counted are the tensors that each layer keeps; attention is counted without its matrix, which is
// never kept whole.
ActivationBytes ActivationBytesOf(const VaeConfig& config);
ActivationBytes ActivationBytesOf(const TinyVaeConfig& config);  // does not recompute
ActivationBytes ActivationBytesOf(const UNetConfig& config, int64_t pixels_a_side_of_a_cell);

}  // namespace antidiffusion
