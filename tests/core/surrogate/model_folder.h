// A temporary copy of one of the tiny golden models, to be changed and loaded by a test.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "core/surrogate/model_source.h"
#include "tests/core/checkpoint/safetensors_writer.h"
#include "tests/testing/temp_dir.h"

namespace antidiffusion {

// The folder of a golden model: sd1-like, inpaint-like, ...
std::string GoldenModelPath(const std::string& name);

// Throws where a file cannot be read or written (the test then fails).
class ModelFolder {
 public:
  explicit ModelFolder(const std::string& golden_name);

  const std::string& path() const { return dir_.path(); }
  std::string File(const std::string& name) const { return dir_.File(name); }
  void Write(const std::string& name, const std::string& contents) const;
  void Remove(const std::string& name) const;
  void Rename(const std::string& from, const std::string& to) const;

  void EditJson(const std::string& name, const std::function<void(nlohmann::json&)>& edit) const;
  void EditTensors(const std::string& name, const std::function<void(TensorMap&)>& edit) const;

  absl::StatusOr<ModelSource> Load() const;

 private:
  const TempDir dir_;
};

inline constexpr char kUNetWeights[] = "unet/diffusion_pytorch_model.safetensors";
inline constexpr char kVaeWeights[] = "vae/diffusion_pytorch_model.safetensors";
inline constexpr char kTextWeights[] = "text_encoder/model.safetensors";

// What a model of SD 1.x or 2.x computes with each of its parts: the prompt's embedding, the mean
// of an image's posterior, and a prediction, in one vector. Equal weights give equal numbers.
// Errors as ReadNetwork's.
absl::StatusOr<at::Tensor> Outputs(const ModelSource& source);

}  // namespace antidiffusion
