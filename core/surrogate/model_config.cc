#include "core/surrogate/model_config.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "core/base/status_macros.h"
#include "core/surrogate/config_reader.h"

namespace antidiffusion {
namespace {

using Json = nlohmann::json;

// Far above any model of this kind; they keep sizes of untrusted files from overflowing.
constexpr int64_t kMaxChannels = 16384;
constexpr int64_t kMaxLayers = 64;
constexpr int64_t kMaxSide = 1024;
constexpr int64_t kMaxVocabulary = 1 << 20;
constexpr int64_t kMaxTimesteps = 100'000;
constexpr int64_t kPromptTokens = 77;
constexpr int64_t kLatentChannels = 4;

bool IsOneOf(const std::string& name, std::initializer_list<absl::string_view> known) {
  return std::find(known.begin(), known.end(), name) != known.end();
}

void CheckDivides(ConfigReader& reader, absl::string_view key, int64_t divisor, int64_t channels) {
  if (channels % divisor != 0) {
    reader.Broken(key, absl::StrCat(divisor, " does not divide ", channels, " channels"));
  }
}

void CheckBlockTypes(ConfigReader& reader, absl::string_view key,
                     const std::vector<std::string>& types, size_t levels,
                     std::initializer_list<absl::string_view> known) {
  if (types.size() != levels) {
    reader.Broken(key, absl::StrCat("has ", types.size(), " entries, block_out_channels ", levels));
  }
  for (const std::string& type : types) {
    if (!IsOneOf(type, known)) {
      reader.Unsupported(key, absl::StrCat(absl::CHexEscape(type), " is not supported"));
    }
  }
}

// Why a UNet that takes so many channels is no text-to-image model.
std::string KindByInputChannels(int64_t channels) {
  const char* kind = "another kind of model";
  if (channels == 9) kind = "an inpainting model";
  if (channels == 8) kind = "an image-editing model";
  if (channels == 7) kind = "an upscaling model";
  if (channels == 5) kind = "a depth-guided model";
  return absl::StrCat(channels, " belongs to ", kind, "; only text-to-image models are supported");
}

// What only other kinds of UNet use.
void RequirePlainUNet(ConfigReader& reader) {
  for (const char* key :
       {"class_embed_type", "addition_embed_type", "num_class_embeds", "encoder_hid_dim",
        "encoder_hid_dim_type", "time_embedding_dim", "time_embedding_act_fn", "timestep_post_act",
        "time_cond_proj_dim", "cross_attention_norm", "reverse_transformer_layers_per_block"}) {
    reader.Require(key, nullptr);
  }
  for (const char* key :
       {"center_input_sample", "only_cross_attention", "mid_block_only_cross_attention",
        "dual_cross_attention", "resnet_skip_time_act", "class_embeddings_concat"}) {
    reader.Require(key, false);
  }
  for (const char* key : {"downsample_padding", "mid_block_scale_factor", "resnet_out_scale_factor",
                          "transformer_layers_per_block"}) {
    reader.Require(key, 1);
  }
  reader.Require("dropout", 0);
  reader.Require("conv_in_kernel", 3);
  reader.Require("conv_out_kernel", 3);
  reader.Require("act_fn", "silu");
  reader.Require("mid_block_type", "UNetMidBlock2DCrossAttn");
  reader.Require("resnet_time_scale_shift", "default");
  reader.Require("time_embedding_type", "positional");
  reader.Require("attention_type", "default");
}

// A sampler's defaults of the keys that are read.
struct SchedulerDefaults {
  absl::string_view name;
  double beta_start;
  double beta_end;
  absl::string_view beta_schedule;
};

constexpr SchedulerDefaults kSchedulers[] = {
    {"PNDMScheduler", 0.0001, 0.02, "linear"},
    {"DDIMScheduler", 0.0001, 0.02, "linear"},
    {"DDIMInverseScheduler", 0.0001, 0.02, "linear"},
    {"DDIMParallelScheduler", 0.0001, 0.02, "linear"},
    {"DDPMScheduler", 0.0001, 0.02, "linear"},
    {"DDPMParallelScheduler", 0.0001, 0.02, "linear"},
    {"DEISMultistepScheduler", 0.0001, 0.02, "linear"},
    {"DPMSolverMultistepScheduler", 0.0001, 0.02, "linear"},
    {"DPMSolverSDEScheduler", 0.00085, 0.012, "linear"},
    {"DPMSolverSinglestepScheduler", 0.0001, 0.02, "linear"},
    {"EulerAncestralDiscreteScheduler", 0.0001, 0.02, "linear"},
    {"EulerDiscreteScheduler", 0.0001, 0.02, "linear"},
    {"HeunDiscreteScheduler", 0.00085, 0.012, "linear"},
    {"KDPM2AncestralDiscreteScheduler", 0.00085, 0.012, "linear"},
    {"KDPM2DiscreteScheduler", 0.00085, 0.012, "linear"},
    {"LCMScheduler", 0.00085, 0.012, "scaled_linear"},
    {"LMSDiscreteScheduler", 0.0001, 0.02, "linear"},
    {"SASolverScheduler", 0.0001, 0.02, "linear"},
    {"TCDScheduler", 0.00085, 0.012, "scaled_linear"},
    {"UniPCMultistepScheduler", 0.0001, 0.02, "linear"},
};

const SchedulerDefaults* FindScheduler(const std::string& name) {
  const auto* found =
      std::find_if(std::begin(kSchedulers), std::end(kSchedulers),
                   [&name](const SchedulerDefaults& known) { return known.name == name; });
  return found == std::end(kSchedulers) ? nullptr : found;
}

// The class of a part of the pipeline: the second of [library, class].
std::string PartClass(const Json& index, const char* part) {
  const auto entry = index.find(part);
  const bool valid =
      entry != index.end() && entry->is_array() && entry->size() == 2 && (*entry)[1].is_string();
  return valid ? (*entry)[1].get<std::string>() : "";
}

}  // namespace

absl::Status CheckModelIndex(const Json& json, const std::string& file) {
  ConfigReader reader(json, file);
  const std::string pipeline = reader.String("_class_name", "");
  if (!IsOneOf(pipeline, {"StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline"})) {
    reader.Unsupported("_class_name",
                       absl::StrCat("needs a StableDiffusionPipeline (SD 1.x or 2.x), found ",
                                    pipeline.empty() ? "none" : absl::CHexEscape(pipeline)));
  }
  const std::pair<const char*, absl::string_view> kParts[] = {{"unet", "UNet2DConditionModel"},
                                                              {"vae", "AutoencoderKL"},
                                                              {"text_encoder", "CLIPTextModel"}};
  for (const auto& [part, wanted] : kParts) {
    const std::string found = PartClass(json, part);
    if (found != wanted) {
      reader.Unsupported(part, absl::StrCat("needs a ", wanted, ", found ",
                                            found.empty() ? "none" : absl::CHexEscape(found)));
    }
  }
  return reader.status();
}

absl::StatusOr<UNetConfig> ParseUNetConfig(const Json& json, const std::string& file) {
  ConfigReader reader(json, file);
  reader.Require("_class_name", "UNet2DConditionModel");
  UNetConfig config;
  config.in_channels = reader.Int("in_channels", config.in_channels, 1, kMaxChannels);
  if (config.in_channels != kLatentChannels) {
    reader.Unsupported("in_channels", KindByInputChannels(config.in_channels));
  }
  config.out_channels = reader.Int("out_channels", config.out_channels, 1, kMaxChannels);
  reader.Require("out_channels", kLatentChannels);
  RequirePlainUNet(reader);

  config.block_out_channels =
      reader.IntList("block_out_channels", config.block_out_channels, 1, kMaxChannels);
  const size_t levels = config.block_out_channels.size();
  config.down_block_types = reader.StringList("down_block_types", config.down_block_types);
  CheckBlockTypes(reader, "down_block_types", config.down_block_types, levels,
                  {"DownBlock2D", "CrossAttnDownBlock2D"});
  config.up_block_types = reader.StringList("up_block_types", config.up_block_types);
  CheckBlockTypes(reader, "up_block_types", config.up_block_types, levels,
                  {"UpBlock2D", "CrossAttnUpBlock2D"});
  config.sample_size = reader.Int("sample_size", config.sample_size, 1, kMaxSide);
  config.layers_per_block =
      reader.UniformInt("layers_per_block", config.layers_per_block, 1, kMaxLayers);
  config.cross_attention_dim =
      reader.UniformInt("cross_attention_dim", config.cross_attention_dim, 1, kMaxChannels);
  const char* heads_key =
      reader.Has("num_attention_heads") ? "num_attention_heads" : "attention_head_dim";
  config.attention_heads = reader.IntPerLevel(heads_key, 8, levels, 1, kMaxChannels);
  config.norm_num_groups = reader.Int("norm_num_groups", config.norm_num_groups, 1, kMaxChannels);
  config.norm_eps = reader.Number("norm_eps", config.norm_eps, 0.0, 1.0);
  config.use_linear_projection = reader.Bool("use_linear_projection", config.use_linear_projection);
  reader.Bool("upcast_attention", false);  // no effect: the softmax is float32
  config.flip_sin_to_cos = reader.Bool("flip_sin_to_cos", config.flip_sin_to_cos);
  config.freq_shift = reader.Int("freq_shift", config.freq_shift, 0, 1);
  AD_RETURN_IF_ERROR(reader.status());
  for (size_t level = 0; level < levels; ++level) {
    const int64_t channels = config.block_out_channels[level];
    CheckDivides(reader, heads_key, config.attention_heads[level], channels);
    CheckDivides(reader, "norm_num_groups", config.norm_num_groups, channels);
  }
  CheckDivides(reader, "block_out_channels", 2, config.block_out_channels.front());
  AD_RETURN_IF_ERROR(reader.status());
  return config;
}

absl::StatusOr<VaeConfig> ParseVaeConfig(const Json& json, const std::string& file) {
  ConfigReader reader(json, file);
  reader.Require("_class_name", "AutoencoderKL");
  VaeConfig config;
  config.in_channels = reader.Int("in_channels", config.in_channels, 1, kMaxChannels);
  reader.Require("in_channels", 3);
  config.out_channels = reader.Int("out_channels", config.out_channels, 1, kMaxChannels);
  reader.Require("out_channels", 3);
  config.latent_channels = reader.Int("latent_channels", config.latent_channels, 1, kMaxChannels);
  config.block_out_channels =
      reader.IntList("block_out_channels", config.block_out_channels, 1, kMaxChannels);
  const size_t levels = config.block_out_channels.size();
  CheckBlockTypes(reader, "down_block_types",
                  reader.StringList("down_block_types", {"DownEncoderBlock2D"}), levels,
                  {"DownEncoderBlock2D"});
  CheckBlockTypes(reader, "up_block_types",
                  reader.StringList("up_block_types", {"UpDecoderBlock2D"}), levels,
                  {"UpDecoderBlock2D"});
  config.layers_per_block = reader.Int("layers_per_block", config.layers_per_block, 1, kMaxLayers);
  config.norm_num_groups = reader.Int("norm_num_groups", config.norm_num_groups, 1, kMaxChannels);
  config.scaling_factor = reader.Number("scaling_factor", config.scaling_factor, 1e-6, 1e6);
  reader.Bool("force_upcast", true);  // no effect: the VAE's weights are float32
  reader.Require("act_fn", "silu");
  reader.Require("shift_factor", 0);
  reader.Require("latents_mean", nullptr);
  reader.Require("latents_std", nullptr);
  reader.Require("use_quant_conv", true);
  reader.Require("use_post_quant_conv", true);
  reader.Require("mid_block_add_attention", true);
  AD_RETURN_IF_ERROR(reader.status());
  for (const int64_t channels : config.block_out_channels) {
    CheckDivides(reader, "norm_num_groups", config.norm_num_groups, channels);
  }
  AD_RETURN_IF_ERROR(reader.status());
  return config;
}

absl::StatusOr<ClipTextConfig> ParseClipTextConfig(const Json& json, const std::string& file) {
  ConfigReader reader(json, file);
  reader.Require("architectures", "CLIPTextModel");
  ClipTextConfig config;
  config.vocab_size = reader.Int("vocab_size", config.vocab_size, 1, kMaxVocabulary);
  config.hidden_size = reader.Int("hidden_size", config.hidden_size, 1, kMaxChannels);
  config.intermediate_size =
      reader.Int("intermediate_size", config.intermediate_size, 1, 8 * kMaxChannels);
  config.num_hidden_layers =
      reader.Int("num_hidden_layers", config.num_hidden_layers, 1, kMaxLayers);
  config.num_attention_heads =
      reader.Int("num_attention_heads", config.num_attention_heads, 1, kMaxChannels);
  config.max_position_embeddings =
      reader.Int("max_position_embeddings", config.max_position_embeddings, 1, kMaxChannels);
  config.layer_norm_eps = reader.Number("layer_norm_eps", config.layer_norm_eps, 0.0, 1.0);
  config.hidden_act = reader.String("hidden_act", config.hidden_act);
  if (!IsOneOf(config.hidden_act, {"quick_gelu", "gelu"})) {
    reader.Unsupported("hidden_act", absl::StrCat(absl::CHexEscape(config.hidden_act),
                                                  " is not supported, only quick_gelu and gelu"));
  }
  CheckDivides(reader, "num_attention_heads", config.num_attention_heads, config.hidden_size);
  AD_RETURN_IF_ERROR(reader.status());
  return config;
}

absl::StatusOr<NoiseScheduleConfig> ParseNoiseScheduleConfig(const Json& json,
                                                             const std::string& file) {
  ConfigReader reader(json, file);
  const std::string name = reader.String("_class_name", "");
  const SchedulerDefaults* known = FindScheduler(name);
  const bool complete = reader.Has("beta_start") && reader.Has("beta_end") &&
                        reader.Has("beta_schedule") && reader.Has("num_train_timesteps") &&
                        reader.Has("prediction_type");
  if (known == nullptr && !complete) {
    reader.Unsupported("_class_name", absl::StrCat(name.empty() ? "none" : absl::CHexEscape(name),
                                                   " is not supported without all of its betas"));
  }
  const SchedulerDefaults& defaults = known == nullptr ? kSchedulers[0] : *known;
  reader.Require("trained_betas", nullptr);
  reader.Require("rescale_betas_zero_snr", false);
  NoiseScheduleConfig config;
  config.num_train_timesteps =
      reader.Int("num_train_timesteps", config.num_train_timesteps, 1, kMaxTimesteps);
  config.beta_start = reader.Number("beta_start", defaults.beta_start, 0.0, 1.0);
  config.beta_end = reader.Number("beta_end", defaults.beta_end, 0.0, 1.0);
  config.beta_schedule = reader.String("beta_schedule", defaults.beta_schedule);
  if (!IsOneOf(config.beta_schedule, {"linear", "scaled_linear", "squaredcos_cap_v2"})) {
    reader.Unsupported("beta_schedule",
                       absl::StrCat(absl::CHexEscape(config.beta_schedule), " is not supported"));
  }
  const std::string prediction = reader.String("prediction_type", "epsilon");
  if (!IsOneOf(prediction, {"epsilon", "v_prediction"})) {
    reader.Unsupported("prediction_type",
                       absl::StrCat(absl::CHexEscape(prediction), " is not supported"));
  }
  config.prediction_type =
      prediction == "v_prediction" ? PredictionType::kVPrediction : PredictionType::kEpsilon;
  AD_RETURN_IF_ERROR(reader.status());
  return config;
}

absl::Status CheckPartsFit(const UNetConfig& unet, const VaeConfig& vae,
                           const ClipTextConfig& text) {
  if (text.hidden_size != unet.cross_attention_dim) {
    return absl::FailedPreconditionError(
        absl::StrCat("the text encoder's hidden_size ", text.hidden_size,
                     " is not the UNet's cross_attention_dim ", unet.cross_attention_dim));
  }
  if (vae.latent_channels != unet.in_channels) {
    return absl::FailedPreconditionError(absl::StrCat("the VAE's latent_channels ",
                                                      vae.latent_channels, " is not the UNet's ",
                                                      "in_channels ", unet.in_channels));
  }
  if (text.max_position_embeddings < kPromptTokens) {
    return absl::FailedPreconditionError(
        absl::StrCat("the text encoder's max_position_embeddings ", text.max_position_embeddings,
                     " is below the ", kPromptTokens, " tokens of a prompt"));
  }
  return absl::OkStatus();
}

std::string FamilyOf(const UNetConfig& config) {
  return config.use_linear_projection ? "sd2" : "sd1";
}

}  // namespace antidiffusion
