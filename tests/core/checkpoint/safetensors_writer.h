// Writes .safetensors files, valid and not, for tests.
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <vector>

#include "core/checkpoint/safetensors.h"

namespace antidiffusion {

using TensorMap = std::map<std::string, at::Tensor>;

// The bytes of a valid file that holds `tensors` in the order of their names.
std::string SafetensorsBytes(const TensorMap& tensors);

// The bytes of a file with this header and data; `header_bytes` is what the length field says (the
// header's own length when negative).
std::string RawSafetensorsBytes(const std::string& header, const std::string& data,
                                int64_t header_bytes = -1);

void WriteSafetensors(const std::string& path, const TensorMap& tensors);

// Every tensor of a file. Throws std::runtime_error when it cannot be read.
TensorMap ReadSafetensors(const std::string& path);

}  // namespace antidiffusion
