// Networks with their weights -> a Surrogate: where families are put together.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "core/models/config.h"
#include "core/models/tiny_encoder.h"
#include "core/models/unet.h"
#include "core/models/vae.h"
#include "core/surrogate/noise_schedule.h"
#include "core/surrogate/prompt_encoder.h"
#include "core/surrogate/surrogate.h"

namespace antidiffusion {

// The encoder of an AutoencoderKL or of an AutoencoderTiny.
struct EncoderParts {
  std::variant<Vae, TinyEncoder> network{Vae{nullptr}};
  EncoderConfig config;  // of the same kind
  std::string digest;    // SHA-256, hex, of its weights
};

// All that a UNet needs beside an encoder.
struct UNetParts {
  UNet network{nullptr};
  UNetConfig config;
  std::unique_ptr<PromptEncoder> prompts;
  std::unique_ptr<NoiseSchedule> schedule;
};

// Encoder and UNet with their weights, on `device`; the text encoders come when they are needed.
struct SurrogateParts {
  std::string family;
  std::string digest;
  std::vector<std::string> notes;  // for the log: what was guessed or left unread
  EncoderParts encoder;
  UNetParts unet;  // `network` null: the encoder alone
  c10::Device device = c10::kCPU;
  c10::ScalarType precision = c10::kFloat;  // kBFloat16: autocast over fp32 weights
};

// What a UNet sees beside its noisy latent of C channels is told by its input channels: C nothing,
// 2 C the photograph's latent, 2 C + 1 a mask and the latent of what is outside.
Surrogate MakeSurrogate(SurrogateParts parts);

}  // namespace antidiffusion
