// Whole files with a bound on their size.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace antidiffusion {

// The bytes of a regular file. NOT_FOUND; DATA_LOSS when it is longer than `max_bytes` or is not a
// regular file (nothing is read then).
absl::StatusOr<std::string> ReadFile(const std::string& path, int64_t max_bytes);

// Whether there is a file or folder, links followed. False where that cannot be told.
bool PathExists(const std::string& path);

}  // namespace antidiffusion
