// Turning pixels upright.
#pragma once

#include <cstdint>
#include <vector>

#include "core/image/image.h"

namespace antidiffusion {

// Applies an EXIF orientation, 1 (as stored) to 8, to the image and its alpha (width * height
// samples, or none). 5 to 8 exchange width and height. Thread-safe.
void ApplyOrientation(int orientation, Image& image, std::vector<uint8_t>& alpha);

}  // namespace antidiffusion
