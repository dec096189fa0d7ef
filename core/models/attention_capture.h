// Receives cross-attention probabilities of one UNet pass.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace antidiffusion {

// Cross-attention layers of a UNet: those of its down and up blocks by level, and its mid block's.
struct CapturedLayers {
  uint32_t levels = 1U << 2;  // bit n: the blocks that see the latent halved n times (rounded up)
  bool mid = false;

  bool HasLevel(size_t level) const { return level < 32 && ((levels >> level) & 1U) != 0; }
};

// B batch, T tokens. A UNet pass appends one [B, heads, positions, T] tensor, still on the autograd
// graph, for each layer that `layers` names. In layer order: down, mid, up.
struct AttentionCapture {
  std::vector<at::Tensor> probabilities;
  CapturedLayers layers = {};
};

}  // namespace antidiffusion
