#include "tests/core/surrogate/model_folder.h"

#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>

#include <filesystem>
#include <utility>

namespace antidiffusion {

ModelFolder::ModelFolder(const std::string& golden_name) {
  std::filesystem::copy(
      std::string(ANTIDIFFUSION_SOURCE_DIR) + "/tests/golden/models/" + golden_name, dir_.path(),
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

absl::StatusOr<LoadedModel> ModelFolder::Load() const {
  return LoadModelDirectory(dir_.path(), c10::kCPU, c10::kFloat);
}

at::Tensor Outputs(StableDiffusion& model) {
  const at::NoGradGuard no_grad;
  const at::Tensor context = model.EncodePrompt("a photo of a cat!");
  const int64_t side = model.native_side();
  const at::Tensor image = at::linspace(-1, 1, 3 * side * side).view({1, 3, side, side});
  const at::Tensor latent = model.EncodeImage(image).mean;
  const at::Tensor timestep = at::full({1}, 500, at::kLong);
  const at::Tensor prediction = model.unet()(latent, timestep, context);
  return at::cat({context.flatten(), latent.flatten(), prediction.flatten()});
}

}  // namespace antidiffusion
