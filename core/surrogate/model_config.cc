#include "core/surrogate/model_config.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "core/base/status_macros.h"
#include "core/surrogate/config_reader.h"

namespace antidiffusion {
namespace {

using Json = nlohmann::json;

constexpr int64_t kMaxVocabulary = 1 << 20;
constexpr int64_t kPromptTokens = 77;
constexpr double kMaxFactor = 1e6;  // of scaling and shift
constexpr int64_t kMaxChannels = ConfigReader::kMaxChannels;

struct KnownPipeline {
  absl::string_view name;
  Pipeline pipeline;
};

using Task = Pipeline::Task;

constexpr KnownPipeline kPipelines[] = {
    {"StableDiffusionPipeline", {Task::kTextToImage, false}},
    {"StableDiffusionImg2ImgPipeline", {Task::kTextToImage, false}},
    {"StableDiffusionInpaintPipeline", {Task::kInpaint, false}},
    {"StableDiffusionInstructPix2PixPipeline", {Task::kInstructPix2Pix, false}},
    {"StableDiffusionXLPipeline", {Task::kTextToImage, true}},
    {"StableDiffusionXLImg2ImgPipeline", {Task::kTextToImage, true}},
    {"StableDiffusionXLInpaintPipeline", {Task::kInpaint, true}},
    {"StableDiffusionXLInstructPix2PixPipeline", {Task::kInstructPix2Pix, true}},
};

std::optional<Pipeline> FindPipeline(const std::string& name) {
  const auto* found =
      std::find_if(std::begin(kPipelines), std::end(kPipelines),
                   [&name](const KnownPipeline& known) { return known.name == name; });
  if (found == std::end(kPipelines)) return std::nullopt;
  return found->pipeline;
}

std::string Found(const std::string& name) {
  return name.empty() ? "none" : absl::CHexEscape(name);
}

// The class of a part of the pipeline: the second of [library, class].
std::string PartClass(const Json& index, absl::string_view part) {
  const auto entry = index.find(std::string(part));
  const bool valid =
      entry != index.end() && entry->is_array() && entry->size() == 2 && (*entry)[1].is_string();
  return valid ? (*entry)[1].get<std::string>() : "";
}

// What both autoencoders have in common.
template <typename Config>
void ReadLatent(ConfigReader& reader, Config& config) {
  config.in_channels = reader.Int("in_channels", config.in_channels, 1, kMaxChannels);
  reader.Require("in_channels", 3);
  config.latent_channels = reader.Int("latent_channels", config.latent_channels, 1, kMaxChannels);
  config.scaling_factor = reader.Number("scaling_factor", config.scaling_factor, 1e-6, kMaxFactor);
  config.shift_factor = reader.Number("shift_factor", config.shift_factor, -kMaxFactor, kMaxFactor);
}

}  // namespace

absl::StatusOr<Pipeline> ParseModelIndex(const Json& json, const std::string& file) {
  ConfigReader reader(json, file);
  const std::string name = reader.String("_class_name", "");
  const std::optional<Pipeline> pipeline = FindPipeline(name);
  if (!pipeline.has_value()) {
    reader.Unsupported("_class_name",
                       absl::StrCat("needs a pipeline of Stable Diffusion 1.x, 2.x (text to image, "
                                    "inpainting, InstructPix2Pix) or XL, found ",
                                    Found(name)));
  }
  using Part = std::pair<absl::string_view, absl::string_view>;
  std::vector<Part> parts = {{"unet", "UNet2DConditionModel"},
                             {"vae", "AutoencoderKL"},
                             {"text_encoder", "CLIPTextModel"}};
  if (pipeline.has_value() && pipeline->is_xl) {
    parts.emplace_back("text_encoder_2", "CLIPTextModelWithProjection");
  }
  for (const auto& [part, wanted] : parts) {
    const std::string found = PartClass(json, part);
    if (found != wanted) {
      reader.Unsupported(part, absl::StrCat("needs a ", wanted, ", found ", Found(found)));
    }
  }
  reader.Require("is_cosxl_edit", false);  // scales the latent of the image
  AD_RETURN_IF_ERROR(reader.status());
  return *pipeline;
}

absl::StatusOr<VaeConfig> ParseVaeConfig(const Json& json, const std::string& file) {
  ConfigReader reader(json, file);
  reader.Require("_class_name", "AutoencoderKL");
  VaeConfig config;
  ReadLatent(reader, config);
  config.block_out_channels =
      reader.IntList("block_out_channels", config.block_out_channels, 1, kMaxChannels);
  reader.ChoicePerLevel("down_block_types", {"DownEncoderBlock2D"},
                        config.block_out_channels.size(), {"DownEncoderBlock2D"});
  config.layers_per_block =
      reader.Int("layers_per_block", config.layers_per_block, 1, ConfigReader::kMaxLayersPerBlock);
  config.norm_num_groups = reader.Int("norm_num_groups", config.norm_num_groups, 1, kMaxChannels);
  config.use_quant_conv = reader.Bool("use_quant_conv", config.use_quant_conv);
  reader.Bool("force_upcast", true);  // no effect: the VAE's weights are float32
  reader.Require("act_fn", "silu");
  reader.Require("latents_mean", nullptr);
  reader.Require("latents_std", nullptr);
  reader.Require("mid_block_add_attention", true);
  AD_RETURN_IF_ERROR(reader.status());
  for (const int64_t channels : config.block_out_channels) {
    reader.CheckDivides("norm_num_groups", config.norm_num_groups, channels);
  }
  AD_RETURN_IF_ERROR(reader.status());
  return config;
}

absl::StatusOr<TinyVaeConfig> ParseTinyVaeConfig(const Json& json, const std::string& file) {
  ConfigReader reader(json, file);
  reader.Require("_class_name", "AutoencoderTiny");
  TinyVaeConfig config;
  ReadLatent(reader, config);
  config.num_blocks =
      reader.IntList("num_encoder_blocks", config.num_blocks, 0, ConfigReader::kMaxLayersPerBlock);
  // The convolutions between levels keep the number of channels.
  const std::vector<int64_t> channels = reader.IntPerLevel(
      "encoder_block_out_channels", config.channels, config.num_blocks.size(), 1, kMaxChannels);
  config.channels = channels.front();
  reader.UniformInt("encoder_block_out_channels", config.channels, 1, kMaxChannels);
  reader.Require("act_fn", "relu");
  AD_RETURN_IF_ERROR(reader.status());
  return config;
}

absl::StatusOr<EncoderConfig> ParseEncoderConfig(const Json& json, const std::string& file) {
  ConfigReader reader(json, file);
  const std::string name = reader.String("_class_name", "");
  if (name == "AutoencoderKL") return ParseVaeConfig(json, file);
  if (name == "AutoencoderTiny") return ParseTinyVaeConfig(json, file);
  reader.Unsupported("_class_name", absl::StrCat("needs an AutoencoderKL or an AutoencoderTiny, "
                                                 "found ",
                                                 Found(name)));
  return reader.status();
}

absl::StatusOr<ClipTextConfig> ParseClipTextConfig(const Json& json, const std::string& file) {
  ConfigReader reader(json, file);
  const std::string architecture = reader.Choice("architectures", "CLIPTextModel",
                                                 {"CLIPTextModel", "CLIPTextModelWithProjection"});
  ClipTextConfig config;
  config.vocab_size = reader.Int("vocab_size", config.vocab_size, 1, kMaxVocabulary);
  config.hidden_size = reader.Int("hidden_size", config.hidden_size, 1, kMaxChannels);
  config.intermediate_size =
      reader.Int("intermediate_size", config.intermediate_size, 1, 8 * kMaxChannels);
  config.num_hidden_layers =
      reader.Int("num_hidden_layers", config.num_hidden_layers, 1, ConfigReader::kMaxLayers);
  config.num_attention_heads =
      reader.Int("num_attention_heads", config.num_attention_heads, 1, kMaxChannels);
  config.max_position_embeddings =
      reader.Int("max_position_embeddings", config.max_position_embeddings, 1, kMaxChannels);
  config.layer_norm_eps = reader.Number("layer_norm_eps", config.layer_norm_eps, 0.0, 1.0);
  config.hidden_act = reader.Choice("hidden_act", config.hidden_act, {"quick_gelu", "gelu"});
  const int64_t projection = reader.Int("projection_dim", 512, 1, kMaxChannels);
  if (architecture == "CLIPTextModelWithProjection") config.projection_dim = projection;
  config.eos_token_id = reader.Int("eos_token_id", config.eos_token_id, 0, kMaxVocabulary);
  reader.CheckDivides("num_attention_heads", config.num_attention_heads, config.hidden_size);
  AD_RETURN_IF_ERROR(reader.status());
  return config;
}

absl::Status CheckPipelineFits(Pipeline pipeline, const UNetConfig& unet) {
  const int64_t channels = unet.in_channels;
  const bool is_xl = unet.has_added_embedding();
  bool fits = false;
  switch (pipeline.task) {
    case Task::kTextToImage:
      fits = channels == 4;
      break;
    case Task::kInpaint:
      fits = channels == 4 || channels == 9;
      break;
    case Task::kInstructPix2Pix:
      fits = channels == 8;
      break;
  }
  if (fits && is_xl == pipeline.is_xl) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("in_channels: ", channels, is_xl ? " with" : " without",
                   " addition_embed_type text_time does not fit the pipeline in model_index.json"));
}

absl::Status CheckPartsFit(const UNetConfig& unet, const VaeConfig& vae,
                           const std::vector<ClipTextConfig>& text) {
  const size_t wanted = unet.has_added_embedding() ? 2 : 1;
  if (text.size() != wanted) {
    return absl::FailedPreconditionError(
        absl::StrCat(text.size(), " text encoders, the UNet needs ", wanted));
  }
  int64_t width = 0;
  std::vector<int64_t> widths;
  for (const ClipTextConfig& one : text) {
    width += one.hidden_size;
    widths.push_back(one.hidden_size);
    if (one.max_position_embeddings < kPromptTokens) {
      return absl::FailedPreconditionError(
          absl::StrCat("the text encoder's max_position_embeddings ", one.max_position_embeddings,
                       " is below the ", kPromptTokens, " tokens of a prompt"));
    }
  }
  if (width != unet.cross_attention_dim) {
    return absl::FailedPreconditionError(
        absl::StrCat("the text encoder's hidden_size ", absl::StrJoin(widths, " + "),
                     " is not the UNet's cross_attention_dim ", unet.cross_attention_dim));
  }
  if (unet.has_added_embedding() && text.back().projection_dim != unet.pooled_dim()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the second text encoder's projection_dim ", text.back().projection_dim, " is not the ",
        unet.pooled_dim(), " that the UNet's projection_class_embeddings_input_dim leaves for it"));
  }
  if (vae.latent_channels != unet.out_channels) {
    return absl::FailedPreconditionError(absl::StrCat("the VAE's latent_channels ",
                                                      vae.latent_channels, " is not the UNet's ",
                                                      "out_channels ", unet.out_channels));
  }
  return absl::OkStatus();
}

std::string FamilyOf(const UNetConfig& config) {
  const bool is_xl = config.has_added_embedding();
  if (config.in_channels == 9) return is_xl ? "sdxl-inpaint" : "inpaint";
  if (config.in_channels == 8) return is_xl ? "sdxl-pix2pix" : "pix2pix";
  if (is_xl) return "sdxl";
  return config.use_linear_projection ? "sd2" : "sd1";
}

}  // namespace antidiffusion
