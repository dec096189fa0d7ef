#include "tests/core/surrogate/model_folder.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <filesystem>
#include <utility>

#include "core/base/status_macros.h"
#include "core/models/clip_text_model.h"
#include "core/models/unet.h"
#include "core/models/vae.h"
#include "core/surrogate/networks.h"

namespace antidiffusion {

std::string GoldenModelPath(const std::string& name) {
  const std::string golden = std::string(ANTIDIFFUSION_SOURCE_DIR) + "/tests/golden/";
  const std::string path = golden + "models/" + name;
  return std::filesystem::exists(path) ? path : golden + "families/models/" + name;
}

ModelFolder::ModelFolder(const std::string& golden_name) {
  std::filesystem::copy(GoldenModelPath(golden_name), dir_.path(),
                        std::filesystem::copy_options::recursive);
}

void ModelFolder::Write(const std::string& name, const std::string& contents) const {
  dir_.Write(name, contents);
}

void ModelFolder::Remove(const std::string& name) const {
  std::filesystem::remove_all(dir_.File(name));
}

void ModelFolder::Rename(const std::string& from, const std::string& to) const {
  std::filesystem::rename(dir_.File(from), dir_.File(to));
}

void ModelFolder::EditJson(const std::string& name,
                           const std::function<void(nlohmann::json&)>& edit) const {
  nlohmann::json json = nlohmann::json::parse(ReadFileBytes(dir_.File(name)));
  edit(json);
  dir_.Write(name, json.dump());
}

void ModelFolder::EditTensors(const std::string& name,
                              const std::function<void(TensorMap&)>& edit) const {
  TensorMap tensors = ReadSafetensors(dir_.File(name));
  edit(tensors);
  WriteSafetensors(dir_.File(name), tensors);
}

absl::StatusOr<ModelSource> ModelFolder::Load() const { return ReadModelSource(dir_.path(), {}); }

absl::StatusOr<at::Tensor> Outputs(const ModelSource& source) {
  const at::NoGradGuard no_grad;
  const DenoiserSource& denoiser = *source.denoiser;
  const TextSource& text = denoiser.text.front();
  const auto vae_config = std::get<VaeConfig>(source.encoder_config);
  AD_ASSIGN_OR_RETURN(auto encoder, ReadNetwork<ClipTextModel>(text.config, text.tensors, {}));
  AD_ASSIGN_OR_RETURN(auto vae, ReadNetwork<Vae>(vae_config, source.encoder, {}));
  AD_ASSIGN_OR_RETURN(auto unet, ReadNetwork<UNet>(denoiser.config, denoiser.tensors, {}));
  const at::Tensor context =
      encoder(at::tensor(text.tokenizer->Encode("a photo of a cat!"), at::kLong).unsqueeze(0));
  const int64_t side = denoiser.config.sample_size * vae_config.factor();
  const at::Tensor image = at::linspace(-1, 1, 3 * side * side).view({1, 3, side, side});
  const at::Tensor latent = vae->encode(image).mean * vae_config.scaling_factor;
  const at::Tensor prediction = unet(latent, at::full({1}, 500, at::kLong), context);
  return at::cat({context.flatten(), latent.flatten(), prediction.flatten()});
}

}  // namespace antidiffusion
