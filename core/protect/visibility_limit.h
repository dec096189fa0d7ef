// Keeps a change out of sight: its patches, of colour above all, are held to what eyes do not see,
// while single pixels move within the budget.
#pragma once

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"
#include "core/image/image.h"
#include "core/protect/progress_meter.h"

namespace antidiffusion {

// What a change may shift, in CIELAB units, after a Gaussian of kVisibleSigma of the image's own
// pixels. A shift of colour (a*, b*) of .6 is unseen in published trials, 1.0 faintly seen; of
// lightness (L*), which eyes forgive more of, kLightnessRoom times as much.
inline constexpr double kVisibleSigma = 6;
inline constexpr double kLightnessRoom = 2;

// Thread-compatible.
class VisibilityLimit {
 public:
  // `original` [1,3,H,W] in [-1,1]. `scale`: pixels of the image for one of `original`'s.
  // `chroma`: the largest shift of colour, above 0.
  VisibilityLimit(const at::Tensor& original, double scale, double chroma);

  // `moved`, less what shifts patches too far. Approximately: CIELAB is not linear.
  at::Tensor Project(const at::Tensor& moved) const;

 private:
  at::Tensor Blur(const at::Tensor& planes) const;

  at::Tensor original_;
  at::Tensor lab_;  // of `original_`
  double sigma_;    // of the Gaussian, in pixels of `original_`
  double chroma_;
};

// `image` changed by `difference` as ApplyDifference does it with `bound` and `room`, and so that
// MeasureVisibility gives a chroma_bias of at most `chroma`, and of the blocks 95 % stay within
// 1.67 times that. Weakens the change as far as that takes. INVALID_ARGUMENT (options.visibility):
// no change that was tried keeps the limit; CANCELLED, DEADLINE_EXCEEDED; RESOURCE_EXHAUSTED.
absl::StatusOr<Image> ApplyUnseen(const Image& image, const at::Tensor& difference, int bound,
                                  const Image& room, double chroma, const ProgressMeter& progress);

}  // namespace antidiffusion
