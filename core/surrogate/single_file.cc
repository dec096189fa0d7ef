// A checkpoint in one file, in the original layout, with what stands beside it: NAME.json.
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "core/base/status_macros.h"
#include "core/surrogate/model_config.h"
#include "core/surrogate/original_layout.h"
#include "core/surrogate/prediction.h"
#include "core/surrogate/source_parts.h"

namespace antidiffusion {
namespace {

using Json = nlohmann::json;

constexpr char kUNet[] = "model.diffusion_model.";
constexpr char kVae[] = "first_stage_model.";
constexpr char kClip[] = "cond_stage_model.transformer.";
constexpr char kOpenClip[] = "cond_stage_model.model.";
constexpr char kXlClip[] = "conditioner.embedders.0.transformer.";
constexpr char kXlOpenClip[] = "conditioner.embedders.1.model.";
constexpr char kProjection[] = "text_projection.weight";  // as transformers name it
constexpr int64_t kSd2Layers = 23;  // of 24: SD 2.x reads the output of the last but one
constexpr int64_t kAllLayers = 64;
constexpr double kScaling = 0.18215, kXlScaling = 0.13025;

// Kinds of file that are known by a tensor and cannot be used.
struct OtherKind {
  const char* beginning;
  const char* kind;
};
constexpr OtherKind kOtherKinds[] = {
    {"conditioner.embedders.0.model.", "an SDXL refiner"},
    {"model.diffusion_model.joint_blocks.", "a Stable Diffusion 3 model"},
    {"model.diffusion_model.double_blocks.", "a FLUX model"},
    {"double_blocks.", "a FLUX model"},
    {"joint_blocks.", "a Stable Diffusion 3 model"},
    {"cond_stage_model.roberta.", "an AltDiffusion model"},
    {"depth_model.", "a depth-guided model"},
    {"embedder.model.", "an unCLIP model"},
    {"edm_mean", "a model with the EDM schedule"},
    {"edm_vpred.sigma_max", "a model with the EDM schedule"},
    {"lora_unet_", "a LoRA, which only changes a model"},
    {"lora_te_", "a LoRA, which only changes a model"},
    {"control_model.", "a ControlNet"},
    {"down_blocks.", "one network in the diffusers layout; give the folder of the whole model"},
    {"text_model.",
     "a text encoder in the transformers layout; give the folder of the whole model"},
};

bool HasAnyUnder(const NamedShapes& shapes, const std::string& beginning) {
  return OriginalKeys(shapes, "", nullptr).HasAnyUnder(beginning);
}

// The networks of the file. Those that it has not are empty.
struct OriginalModel {
  OriginalPart unet, vae;
  std::vector<OriginalPart> text;
  std::vector<std::string> tokenizers;  // names of the folders, one for each of `text`
  bool is_xl = false;
};

absl::Status Refuse(const std::string& path, absl::string_view reason) {
  return absl::FailedPreconditionError(absl::StrCat(path, ": ", reason));
}

absl::StatusOr<OriginalModel> ReadNetworks(const std::string& path, const NamedShapes& shapes,
                                           const SafetensorsFile* file) {
  for (const OtherKind& other : kOtherKinds) {
    if (HasAnyUnder(shapes, other.beginning)) return Refuse(path, other.kind);
  }
  OriginalModel model;
  const bool has_vae = HasAnyUnder(shapes, std::string(kVae) + "encoder.down.0.");
  if (!HasAnyUnder(shapes, kUNet)) {
    const bool is_vae = HasAnyUnder(shapes, "encoder.down.0.block.");
    if (!has_vae && !is_vae) return Refuse(path, "no checkpoint of a known layout");
    model.vae = ReadOriginalVae(shapes, has_vae ? kVae : "", file);
    return model;
  }
  if (!has_vae) return Refuse(path, "a UNet without the VAE (first_stage_model.*)");
  model.unet = ReadOriginalUNet(shapes, kUNet, file);
  model.vae = ReadOriginalVae(shapes, kVae, file);
  if (HasAnyUnder(shapes, kXlOpenClip)) {
    model.is_xl = true;
    model.text.push_back(ReadOriginalClip(shapes, kXlClip, file));
    model.text.push_back(
        ReadOriginalOpenClip(shapes, kXlOpenClip, {.layers = kAllLayers, .projects = true}, file));
    if (model.text.back().tensors.count(kProjection) == 0) {
      return absl::DataLossError(absl::StrCat(path, ": missing ", kXlOpenClip, "text_projection"));
    }
    model.tokenizers = {"clip", "open_clip"};
  } else if (HasAnyUnder(shapes, kOpenClip)) {
    model.text.push_back(
        ReadOriginalOpenClip(shapes, kOpenClip, {.layers = kSd2Layers, .projects = false}, file));
    model.tokenizers = {"open_clip"};
  } else if (HasAnyUnder(shapes, kClip)) {
    model.text.push_back(ReadOriginalClip(shapes, kClip, file));
    model.tokenizers = {"clip"};
  } else {
    return Refuse(path, "a UNet without the text encoder (cond_stage_model.*, conditioner.*)");
  }
  return model;
}

// Nothing tells a VAE alone of FLUX.1 from one of SD 3, both of 16 latent channels, nor one of SD
// 1.x and 2.x from one of SDXL, both of 4.
void DescribeScaling(const OriginalModel& model, const Sidecar& sidecar, Json& vae,
                     ModelSource& source) {
  vae["scaling_factor"] = model.is_xl ? kXlScaling : kScaling;
  const bool is_said = sidecar.Says("vae", "scaling_factor");
  if (vae["latent_channels"] == 16) {
    vae["scaling_factor"] = 0.3611;
    vae["shift_factor"] = 0.1159;
    if (is_said) return;
    source.notes.push_back(
        "vae: 16 latent channels, scaled as FLUX.1's (SD 3's differ; NAME.json: "
        "vae.scaling_factor, vae.shift_factor)");
  } else if (model.text.empty() && !is_said) {
    source.notes.push_back(absl::StrCat("vae: scaled by ", kScaling,
                                        " as those of SD 1.x and 2.x (SDXL's by ", kXlScaling,
                                        "; NAME.json: vae.scaling_factor)"));
  }
}

// What the model was trained to predict, and for which side: by NAME.json, by the markers that
// SDXL files carry, or left open (SD 2.x).
void DescribePrediction(const NamedShapes& shapes, const OriginalModel& model,
                        const Sidecar& sidecar, Json& scheduler, ModelSource& source) {
  DenoiserSource& denoiser = *source.denoiser;
  scheduler = {{"_class_name", "DDIMScheduler"},
               {"beta_start", 0.00085},
               {"beta_end", 0.012},
               {"beta_schedule", "scaled_linear"},
               {"num_train_timesteps", 1000},
               {"prediction_type", "epsilon"}};
  const std::string& said = sidecar.prediction_type;
  const bool is_marked = model.is_xl && shapes.count("v_pred") != 0;
  if (!said.empty() || is_marked) {
    scheduler["prediction_type"] = said.empty() ? "v_prediction" : said;
    if (is_marked && shapes.count("ztsnr") != 0) scheduler["rescale_betas_zero_snr"] = true;
    source.notes.push_back(absl::StrCat("prediction type ",
                                        scheduler["prediction_type"].get<std::string>(), ", by ",
                                        said.empty() ? "the file's marker v_pred" : "NAME.json"));
    return;
  }
  const bool is_sd2 = model.tokenizers.size() == 1 && model.tokenizers[0] == "open_clip";
  denoiser.prediction_is_open = is_sd2 && model.unet.config["in_channels"] == 4;
  if (!denoiser.prediction_is_open) {
    source.notes.push_back("prediction type epsilon, as all published models of the family");
  }
}

int64_t NativeLatentSide(const OriginalModel& model, const Json& scheduler) {
  if (model.is_xl) return 128;
  const bool is_v = scheduler["prediction_type"] == "v_prediction";
  return is_v ? kVelocityLatentSide : kNoiseLatentSide;
}

absl::Status ParseDenoiser(const std::string& path, OriginalModel& model, const Json& scheduler,
                           const Sidecar& sidecar, ModelSource& source) {
  DenoiserSource& denoiser = *source.denoiser;
  model.unet.config["sample_size"] = NativeLatentSide(model, scheduler);
  denoiser.native_side_is_said = sidecar.Says("unet", "sample_size");
  AD_ASSIGN_OR_RETURN(denoiser.config,
                      ParseUNetConfig(sidecar.Patched("unet", model.unet.config), path));
  AD_ASSIGN_OR_RETURN(denoiser.schedule,
                      ParseNoiseScheduleConfig(sidecar.Patched("scheduler", scheduler), path));
  for (size_t i = 0; i < model.text.size(); ++i) {
    TextSource& text = denoiser.text.emplace_back();
    const char* key = i == 0 ? "text_encoder" : "text_encoder_2";
    AD_ASSIGN_OR_RETURN(text.config,
                        ParseClipTextConfig(sidecar.Patched(key, model.text[i].config), path));
  }
  source.family = FamilyOf(denoiser.config);
  return CheckConfigs(path, path + ": scheduler", source);
}

absl::Status ReadTokenizers(const std::string& path, const OriginalModel& model,
                            const SourceOptions& options, DenoiserSource& denoiser) {
  const std::string folder =
      options.tokenizers.empty()
          ? (std::filesystem::path(path).parent_path() / "tokenizers").string()
          : options.tokenizers;
  for (size_t i = 0; i < denoiser.text.size(); ++i) {
    AD_ASSIGN_OR_RETURN(denoiser.text[i].tokenizer,
                        ClipTokenizer::Create(absl::StrCat(folder, "/", model.tokenizers[i]),
                                              denoiser.text[i].config.vocab_size));
  }
  return absl::OkStatus();
}

absl::StatusOr<NamedShapes> ShapesOf(const SafetensorsFile& file) {
  NamedShapes shapes;
  for (const std::string& name : file.names()) {
    AD_ASSIGN_OR_RETURN(shapes[name], file.Shape(name));
  }
  return shapes;
}

}  // namespace

absl::StatusOr<ModelSource> ReadSingleFile(const std::string& path, const SourceOptions& options) {
  ModelSource source;
  AD_ASSIGN_OR_RETURN(SafetensorsFile opened, SafetensorsFile::Open(path));
  source.files.emplace_back().push_back(std::move(opened));
  const SafetensorsFile* file = &source.files.back().back();
  AD_ASSIGN_OR_RETURN(const NamedShapes shapes, ShapesOf(*file));
  AD_ASSIGN_OR_RETURN(const Sidecar sidecar, ReadSidecar(path));
  AD_ASSIGN_OR_RETURN(OriginalModel model, ReadNetworks(path, shapes, file));

  source.notes = sidecar.notes;
  DescribeScaling(model, sidecar, model.vae.config, source);
  AD_ASSIGN_OR_RETURN(source.encoder_config,
                      ParseVaeConfig(sidecar.Patched("vae", model.vae.config), path));
  std::vector<const OriginalPart*> parts = {&model.vae, &model.unet};
  if (model.text.empty()) {
    source.family = "encoder";
  } else {
    Json scheduler;
    source.denoiser.emplace();
    DescribePrediction(shapes, model, sidecar, scheduler, source);
    AD_RETURN_IF_ERROR(ParseDenoiser(path, model, scheduler, sidecar, source));
    AD_RETURN_IF_ERROR(ReadTokenizers(path, model, options, *source.denoiser));
    for (const OriginalPart& part : model.text) parts.push_back(&part);
  }
  NoteUnread("file", UnreadNames(shapes, parts), source);
  source.encoder = std::move(model.vae.tensors);
  if (source.denoiser.has_value()) {
    source.denoiser->tensors = std::move(model.unet.tensors);
    for (size_t i = 0; i < model.text.size(); ++i) {
      source.denoiser->text[i].tensors = std::move(model.text[i].tensors);
    }
  }
  return source;
}

}  // namespace antidiffusion
