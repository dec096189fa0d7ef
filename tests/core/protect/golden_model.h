// The tiny models of tests/golden, and the tensors recorded for them.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

#include "core/diffusion/model_directory.h"

namespace antidiffusion {

// tests/golden/models/NAME
std::string GoldenModelDirectory(const std::string& name);

// In fp32 on the CPU. Ends the test program when that fails.
LoadedModel LoadGoldenModel(const std::string& name);

// One tensor of tests/golden/NAME/FILE.safetensors. Ends the test program when it is not there.
at::Tensor GoldenTensor(const std::string& name, const std::string& file, const std::string& key);

}  // namespace antidiffusion
