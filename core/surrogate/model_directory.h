// A folder in the diffusers layout -> a StableDiffusion on a device. The folder is untrusted.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "c10/core/Device.h"
#include "c10/core/ScalarType.h"
#include "core/surrogate/stable_diffusion.h"

namespace antidiffusion {

struct LoadedModel {
  std::unique_ptr<StableDiffusion> model;
  std::string family;  // sd1, sd2 (see FamilyOf)
  std::string digest;  // SHA-256, hex: the weights of text encoder, UNet and VAE in this order
  std::vector<std::string> notes;  // for the log: what was found and not read
};

// Reads model_index.json, configs, tokenizer and weights (fp32 preferred to fp16 and bf16, in one
// file or in shards) into fp32 parameters on `device`. Takes what published checkpoints hold: the
// VAE's attention under its old names and as 1x1 convolutions, the text encoder's position_ids.
// Blocking, seconds. Errors as LoadProtector's (core/api/protector.h).
absl::StatusOr<LoadedModel> LoadModelDirectory(const std::string& directory, c10::Device device,
                                               c10::ScalarType precision);

}  // namespace antidiffusion
