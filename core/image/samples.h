// Samples between a file's order and a Picture's, and turned upright. Thread-safe.
#pragma once

#include <cstdint>
#include <vector>

#include "core/image/codec.h"

namespace antidiffusion {

// Puts decoded samples into `picture.image` and `picture.alpha` (empty without). `samples` has
// width * height pixels of `channels` samples: 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA.
void SplitSamples(std::vector<uint8_t> samples, int width, int height, int channels,
                  Picture& picture);

// The reverse: width * height pixels, the samples of the image followed by alpha when there is one.
// `as_color`: grey is repeated, so that pixels have 3 or 4 samples.
std::vector<uint8_t> JoinSamples(const Picture& picture, bool as_color);

// Whether no pixel is transparent; true without alpha.
bool IsOpaque(const Picture& picture);

// Whether the colour of some pixel is not shown at all.
bool HidesColours(const Picture& picture);

// Applies an EXIF orientation, 1 (as stored) to 8, to the image and its alpha (width * height
// samples, or none). 5 to 8 exchange width and height.
void ApplyOrientation(int orientation, Image& image, std::vector<uint8_t>& alpha);

}  // namespace antidiffusion
