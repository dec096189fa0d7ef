// What a model can be asked for.
#pragma once

#include "absl/status/status.h"
#include "core/api/options.h"
#include "core/api/protector.h"

namespace antidiffusion {

// Whether a job with these options, which must be valid, can run on `model`. Asked at admission,
// and once more by the engine. INVALID_ARGUMENT with the field:
//   options.objectives  names one that the model cannot do (ObjectivesOf, NeedsUNet); or Method::
//                       kNoise, which raises nothing, has some
//   options.method      its own objectives need a UNet and the model has none
//   options.also        further models for Method::kNoise
//   options.report      the full one on a model without a UNet, which the probes are passes of
// Whether the models of `also` exist is not asked here, nor which experimental layers there are.
absl::Status CheckCapabilities(const ProtectionOptions& options, const ModelInfo& model);

}  // namespace antidiffusion
