// A folder in the diffusers layout -> a Surrogate on a device. The folder is untrusted.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "c10/core/Device.h"
#include "c10/core/ScalarType.h"
#include "core/surrogate/surrogate.h"

namespace antidiffusion {

// Reads model_index.json, configs, tokenizer and weights (fp32 preferred to fp16 and bf16, in one
// file or in shards) into fp32 parameters on `device`. Takes what published checkpoints hold: the
// VAE's attention under its old names and as 1x1 convolutions, the text encoder's position_ids.
// Blocking, seconds. Errors as LoadProtector's (core/api/protector.h).
absl::StatusOr<Surrogate> LoadModelDirectory(const std::string& directory, c10::Device device,
                                             c10::ScalarType precision);

}  // namespace antidiffusion
