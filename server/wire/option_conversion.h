// The options of a protection as both protocols carry them, in the engine's own type.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "antidiffusion/v1/protection.pb.h"
#include "core/api/options.h"

namespace antidiffusion {

// INVALID_ARGUMENT: `value` is none of the enum that the field holds.
absl::Status UnknownEnum(const std::string& field, int value);

// Checked by Validate. INVALID_ARGUMENT naming the field, as `options.FIELD`.
absl::StatusOr<ProtectionOptions> ToOptions(const v1::ProtectionOptions& proto);

// The inverse: optionals that are unset stay unset, every other field is set.
v1::ProtectionOptions ToProto(const ProtectionOptions& options);

}  // namespace antidiffusion
