#include "tests/core/protect/golden_model.h"

#include <stdexcept>
#include <utility>

#include "tests/testing/golden.h"

namespace antidiffusion {

LoadedModel LoadGoldenModel(const std::string& name) {
  auto loaded = LoadModelDirectory(GoldenPath("models/" + name), c10::kCPU, c10::kFloat);
  if (!loaded.ok()) throw std::runtime_error(loaded.status().ToString());
  return *std::move(loaded);
}

}  // namespace antidiffusion
