// How much a request asks of a device, from what is known at admission.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "core/api/options.h"
#include "core/api/protector.h"
#include "core/image/codec.h"

namespace antidiffusion {

// Passes through networks that the job's schedule plans, each counted as one of a square of the
// model's native side (of 512 pixels for a model without one): an image twice as long as wide
// counts double. A UNet pass for each step of prompt and surrogate tuning and each draw of PGD (two
// with image guidance), an encoder pass for each PGD step and encoder. At least 1. `options` must
// be valid and pass CheckCapabilities for `model`.
int64_t PlannedPasses(const ProtectionOptions& options, const ModelInfo& model,
                      const ImageHeader& image);

// INVALID_ARGUMENT (field "options") naming both: more than `limit` of them; 0: no limit.
absl::Status CheckPlannedPasses(const ProtectionOptions& options, const ModelInfo& model,
                                const ImageHeader& image, int64_t limit);

}  // namespace antidiffusion
