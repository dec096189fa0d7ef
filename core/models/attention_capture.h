// Receives cross-attention probabilities of one UNet pass.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace antidiffusion {

// B batch, T tokens. A UNet pass appends one [B, heads, positions, T] tensor, still on the autograd
// graph, for each cross-attention layer of the down and up blocks at the level reached by two
// halvings of the latent (side/4, rounded up); none of the mid block. In layer order: down, then
// up.
struct AttentionCapture {
  std::vector<at::Tensor> probabilities;
};

}  // namespace antidiffusion
