// The JSON files of a folder in the diffusers layout -> what the networks are built from. Missing
// keys mean the defaults of diffusers and transformers. All of them: DATA_LOSS (a value of the
// wrong type or out of any sensible range), FAILED_PRECONDITION (not a model of the SD 1.x/2.x
// kind; the message says what was found). `file` names the file in messages.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/models/config.h"
#include "core/surrogate/noise_schedule.h"

namespace antidiffusion {

// model_index.json: a text-to-image pipeline of Stable Diffusion, of the parts that exist here.
absl::Status CheckModelIndex(const nlohmann::json& json, const std::string& file);

// `attention_head_dim`, a number or a list, means the number of heads: diffusers keeps that name
// for the sake of the published files. `num_attention_heads` overrides it. Everything that only
// newer kinds of UNet have must be off.
absl::StatusOr<UNetConfig> ParseUNetConfig(const nlohmann::json& json, const std::string& file);

absl::StatusOr<VaeConfig> ParseVaeConfig(const nlohmann::json& json, const std::string& file);

absl::StatusOr<ClipTextConfig> ParseClipTextConfig(const nlohmann::json& json,
                                                   const std::string& file);

// scheduler_config.json, of any sampler: only the noise levels and the prediction type matter. The
// defaults of the betas are those of the sampler's class.
absl::StatusOr<NoiseScheduleConfig> ParseNoiseScheduleConfig(const nlohmann::json& json,
                                                             const std::string& file);

// FAILED_PRECONDITION when the parts do not fit together: the widths of context and latent, and
// that the text encoder takes the 77 tokens of a prompt.
absl::Status CheckPartsFit(const UNetConfig& unet, const VaeConfig& vae,
                           const ClipTextConfig& text);

// sd1 or sd2. The mark of the SD 2.x generation is `use_linear_projection` in the UNet; the width
// of the context would do for published models only.
std::string FamilyOf(const UNetConfig& config);

}  // namespace antidiffusion
