// Networks with their weights -> a Surrogate: where families are put together.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <memory>
#include <string>
#include <vector>

#include "core/models/config.h"
#include "core/models/unet.h"
#include "core/models/vae.h"
#include "core/surrogate/noise_schedule.h"
#include "core/surrogate/prompt_encoder.h"
#include "core/surrogate/surrogate.h"

namespace antidiffusion {

// All networks on `device`, but text encoders on the CPU (see prompt_encoder.h).
struct SurrogateParts {
  std::string family;
  std::string digest;
  Vae vae{nullptr};
  VaeConfig vae_config;
  UNet unet{nullptr};
  UNetConfig unet_config;
  std::vector<TextEncoderParts> texts;
  std::unique_ptr<NoiseSchedule> schedule;
  c10::Device device = c10::kCPU;
  c10::ScalarType precision = c10::kFloat;  // kBFloat16: autocast over fp32 weights
};

// The encoder alone where there is no UNet. What a UNet sees beside its noisy latent is told by its
// input channels: 4 nothing, 8 the photograph's latent, 9 a mask and the latent of what is outside.
Surrogate MakeSurrogate(SurrogateParts parts);

}  // namespace antidiffusion
