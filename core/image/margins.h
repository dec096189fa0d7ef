// The bars at an image's edges that hold no picture: page margins, letterbox bars. Thread-safe.
#pragma once

#include "core/image/image.h"

namespace antidiffusion {

// Numbers of rows or columns, from each edge.
struct Margins {
  int top = 0;
  int bottom = 0;
  int left = 0;
  int right = 0;

  bool operator==(const Margins&) const = default;
};

// Rows and columns whose samples are all within 2 levels of black, or all within 2 of white, from
// the edges to the first that is not; rows first, columns between them. None in an image that is
// nothing else.
Margins FindMargins(const Image& image);

}  // namespace antidiffusion
