// A photograph-like picture made of formulas, equal on every machine and with no codec involved:
// a gradient, soft blobs of different scales and a fine texture.
#pragma once

#include <cstdint>

#include "core/image/image.h"

namespace antidiffusion {

// `channels` 3 (RGB) or 1 (grey). Another seed gives another picture of the same kind. Samples use
// nearly the whole range 0..255, so rounding and clamping at both ends are met.
Image SyntheticImage(int width, int height, int channels = 3, uint64_t seed = 0);

}  // namespace antidiffusion
