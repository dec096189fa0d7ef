// Receives cross-attention probabilities of one UNet pass.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <vector>

namespace antidiffusion {

// Which cross-attention layers are captured, by the sides of the latent that they see (rounded up):
// those of the down and up blocks at side/4, side/2 or side/1; that of the mid block; or every one.
enum class CapturedLayers { kQuarter, kHalf, kWhole, kMid, kAll };

// B batch, T tokens. A UNet pass appends one [B, heads, positions, T] tensor, still on the autograd
// graph, for each layer that `layers` names. In layer order: down, mid, up.
struct AttentionCapture {
  std::vector<at::Tensor> probabilities;
  CapturedLayers layers = CapturedLayers::kQuarter;
};

// Whether the blocks reached by `level` halvings of the latent are among `layers`.
inline bool CapturesLevel(CapturedLayers layers, size_t level) {
  switch (layers) {
    case CapturedLayers::kQuarter:
      return level == 2;
    case CapturedLayers::kHalf:
      return level == 1;
    case CapturedLayers::kWhole:
      return level == 0;
    case CapturedLayers::kMid:
      return false;
    case CapturedLayers::kAll:
      return true;
  }
  return false;
}

inline bool CapturesMid(CapturedLayers layers) {
  return layers == CapturedLayers::kMid || layers == CapturedLayers::kAll;
}

}  // namespace antidiffusion
