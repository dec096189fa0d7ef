// A folder in the diffusers layout -> a StableDiffusion on a device. The folder is untrusted.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "c10/core/Device.h"
#include "c10/core/ScalarType.h"
#include "core/diffusion/stable_diffusion.h"

namespace antidiffusion {

struct LoadedModel {
  std::unique_ptr<StableDiffusion> model;
  std::string family;  // sd1, sd2
  std::string digest;  // SHA-256, hex, over the weight files in a fixed order
};

// Reads configs, tokenizer and weights (fp16, bf16 or fp32, sharded or not) into fp32 parameters on
// `device`. Errors as LoadProtector's (core/protect/protector.h).
absl::StatusOr<LoadedModel> LoadModelDirectory(const std::string& directory, c10::Device device,
                                               c10::ScalarType precision);

}  // namespace antidiffusion
