// How much of a change eyes can see. The budget bounds single samples; what is seen are patches
// whose colour moves as a whole. Thread-safe.
#pragma once

#include "absl/status/statusor.h"
#include "core/image/image.h"

namespace antidiffusion {

struct Visibility {
  // The image in blocks of 32 to 63 pixels a side: the length of a block's mean shift in CIELAB's
  // a* and b*, its mean over the blocks, and what 95 % of the blocks stay at or below. 0 for grey.
  double chroma_bias = 0;
  double chroma_bias_95 = 0;
  // 0..1: the share of the change's energy that is left of it in means over blocks of 16 to 31
  // pixels a side. Of independent noise that is .4 % or less; 0 without a change.
  double low_frequency_share = 0;
};

// INVALID_ARGUMENT when the shapes differ; RESOURCE_EXHAUSTED when there is no memory.
absl::StatusOr<Visibility> MeasureVisibility(const Image& before, const Image& after);

}  // namespace antidiffusion
