// The seed of a job that names none.
#pragma once

#include <cstdint>

#include "core/image/image.h"

namespace antidiffusion {

// The first eight bytes (little-endian) of SHA-256 over width, height, channels (32-bit
// little-endian each) and the pixels: equal images are protected equally.
uint64_t SeedOf(const Image& image);

}  // namespace antidiffusion
