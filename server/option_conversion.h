// The options of a protection as callers write them, in the engine's own type.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "antidiffusion/v1/protection.pb.h"
#include "core/api/options.h"

namespace antidiffusion {

// INVALID_ARGUMENT: `value` is none of the enum that the field holds.
absl::Status UnknownEnum(const std::string& field, int value);

// Checked. INVALID_ARGUMENT naming the field.
absl::StatusOr<ProtectionOptions> ToOptions(const v1::ProtectionOptions& proto);

}  // namespace antidiffusion
