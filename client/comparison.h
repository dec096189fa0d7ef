// A picture for people: what protection changed.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/image/image.h"

namespace antidiffusion {

// One photograph before and after; equal shapes.
struct ComparisonRow {
  Image original;
  Image protected_image;
  std::string label;  // ASCII; may be empty
};

struct ComparisonOptions {
  double amplification = 8;  // 1..255: how many times larger than it is the difference is shown
  int max_width = 1536;      // pixels of the whole picture, at least 256
};

// A row for each photograph: original, protected, and difference * amplification + 128 (clamped),
// side by side under captions. Panels are scaled down to fit `max_width`; small ones are enlarged a
// whole number of times so that their pixels can be seen. RGB. Thread-safe.
// INVALID_ARGUMENT: no rows, shapes that differ, an option out of range. RESOURCE_EXHAUSTED: no
// memory.
absl::StatusOr<Image> CompareImages(const std::vector<ComparisonRow>& rows,
                                    const ComparisonOptions& options = {});

}  // namespace antidiffusion
