// What a network keeps for back-propagation, estimated from its architecture.
#pragma once

#include <cstdint>
#include <vector>

#include "core/models/config.h"

namespace antidiffusion {

// Bytes a pixel of the image, of a forward pass whose gradient to the image, or to the latent, is
// taken; float32, also where autocast keeps halves.
struct ActivationBytes {
  double kept = 0;  // by every layer, with the gradients under way
  // With recomputing (core/models/recompute.h): from the pass until its gradient is taken, and
  // beside that while it is taken. Together at most `kept`.
  double held = 0;
  double under_way = 0;
};

// Of passes one after the other whose gradient is taken at once, in the reverse order: what was
// held for a pass is free once its gradient was taken. Bytes a pixel at the peak.
double PeakBytes(const std::vector<ActivationBytes>& passes, bool recompute);

// Counted are the tensors that each layer keeps; attention is counted without its matrix, which is
// never kept whole.
ActivationBytes ActivationBytesOf(const VaeConfig& config);
ActivationBytes ActivationBytesOf(const TinyVaeConfig& config);  // does not recompute
ActivationBytes ActivationBytesOf(const UNetConfig& config, int64_t pixels_a_side_of_a_cell);

}  // namespace antidiffusion
