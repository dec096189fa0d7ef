#include "tests/core/protect/golden_model.h"

#include <gtest/gtest.h>

#include <utility>

#include "core/checkpoint/safetensors.h"

namespace antidiffusion {
namespace {

const char kGolden[] = ANTIDIFFUSION_SOURCE_DIR "/tests/golden/";

template <typename T>
T ValueOrDie(absl::StatusOr<T> value) {
  if (!value.ok()) {
    ADD_FAILURE() << value.status();
    std::abort();
  }
  return *std::move(value);
}

}  // namespace

std::string GoldenModelDirectory(const std::string& name) {
  return std::string(kGolden) + "models/" + name;
}

LoadedModel LoadGoldenModel(const std::string& name) {
  return ValueOrDie(LoadModelDirectory(GoldenModelDirectory(name), c10::kCPU, c10::kFloat));
}

at::Tensor GoldenTensor(const std::string& name, const std::string& file, const std::string& key) {
  const SafetensorsFile tensors =
      ValueOrDie(SafetensorsFile::Open(kGolden + name + "/" + file + ".safetensors"));
  return ValueOrDie(tensors.Read(key));
}

}  // namespace antidiffusion
