// How far two images of equal shape are apart. Thread-safe. INVALID_ARGUMENT when shapes differ;
// Ssim: RESOURCE_EXHAUSTED when there is no memory.
#pragma once

#include "absl/status/statusor.h"
#include "core/image/image.h"

namespace antidiffusion {

// Largest change of any sample, in 8-bit levels.
absl::StatusOr<int> MaxDifference(const Image& a, const Image& b);

// Peak signal-to-noise ratio over all samples in dB; infinity for equal images.
absl::StatusOr<double> Psnr(const Image& a, const Image& b);

// Mean structural similarity (Wang et al. 2004: Gaussian window of 11, sigma 1.5, K 0.01 0.03),
// averaged over channels; 1 for equal images.
absl::StatusOr<double> Ssim(const Image& a, const Image& b);

}  // namespace antidiffusion
