// JSON files that nobody vouches for.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace antidiffusion {

// Parses a file whose root is an object. NOT_FOUND; DATA_LOSS: longer than `max_bytes`, not JSON,
// nested over 32 deep, another root, or a key that an object holds twice. Throws nothing; the
// caller checks a value's type before it takes the value.
absl::StatusOr<nlohmann::json> ReadJsonFile(const std::string& path, int64_t max_bytes);

// The same for bytes that have been read; errors begin with `name`.
absl::StatusOr<nlohmann::json> ParseJsonObject(absl::string_view bytes, const std::string& name);

}  // namespace antidiffusion
