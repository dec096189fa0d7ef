// The JSON files of a model's folder in the diffusers layout -> what the networks are built from.
// Missing keys mean the defaults of diffusers and transformers. All of them: DATA_LOSS (a value of
// the wrong type or out of any sensible range), FAILED_PRECONDITION (a kind of model, or a feature
// of it, that is not supported; the message names the key and the value). `file` names the file in
// messages.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/models/config.h"
#include "core/surrogate/noise_schedule.h"

namespace antidiffusion {

// What a pipeline gives its UNet.
struct Pipeline {
  enum class Task {
    kTextToImage,      // ...Pipeline, ...Img2ImgPipeline
    kInpaint,          // ...InpaintPipeline, which takes a text-to-image UNet as well
    kInstructPix2Pix,  // ...InstructPix2PixPipeline
  };
  Task task = Task::kTextToImage;
  bool is_xl = false;  // StableDiffusionXL..., not StableDiffusion...

  bool operator==(const Pipeline&) const = default;
};

// model_index.json: which pipeline, and that its parts are of the classes that exist here. An XL
// pipeline has a second text encoder, text_encoder_2, with a tokenizer of its own.
absl::StatusOr<Pipeline> ParseModelIndex(const nlohmann::json& json, const std::string& file);

// `attention_head_dim`, a number or a list, means the number of heads: diffusers keeps that name
// for the sake of the published files. `num_attention_heads` overrides it. `mid_block_type` null is
// not the same as missing: it means that there is no mid block.
absl::StatusOr<UNetConfig> ParseUNetConfig(const nlohmann::json& json, const std::string& file);

// AutoencoderKL. What only its decoder has is not looked at.
absl::StatusOr<VaeConfig> ParseVaeConfig(const nlohmann::json& json, const std::string& file);

// AutoencoderTiny, likewise.
absl::StatusOr<TinyVaeConfig> ParseTinyVaeConfig(const nlohmann::json& json,
                                                 const std::string& file);

// The config.json of an autoencoder alone, told by its `_class_name`, which must be there.
absl::StatusOr<EncoderConfig> ParseEncoderConfig(const nlohmann::json& json,
                                                 const std::string& file);

// CLIPTextModel or CLIPTextModelWithProjection, told by `architectures`.
absl::StatusOr<ClipTextConfig> ParseClipTextConfig(const nlohmann::json& json,
                                                   const std::string& file);

// scheduler_config.json, of any sampler: only the noise levels and the prediction type matter. The
// defaults of the betas are those of the sampler's class.
absl::StatusOr<NoiseScheduleConfig> ParseNoiseScheduleConfig(const nlohmann::json& json,
                                                             const std::string& file);

// FAILED_PRECONDITION unless the UNet is one that the pipeline can feed.
absl::Status CheckPipelineFits(Pipeline pipeline, const UNetConfig& unet);

// FAILED_PRECONDITION when the parts do not fit together: the number of text encoders (two with an
// added embedding, else one), the widths of context, pooled embedding and latent, and that each
// text encoder takes the 77 tokens of a prompt.
absl::Status CheckPartsFit(const UNetConfig& unet, const VaeConfig& vae,
                           const std::vector<ClipTextConfig>& text);

// sdxl, sdxl-inpaint, sdxl-pix2pix, inpaint, pix2pix, sd2 or sd1, told by the UNet alone: the added
// embedding, 9 or 8 input channels, `use_linear_projection`, which is the mark of the SD 2.x
// generation, or none of these.
std::string FamilyOf(const UNetConfig& config);

}  // namespace antidiffusion
