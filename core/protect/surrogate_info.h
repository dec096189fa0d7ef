// What is known of a loaded model, and whether it works.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

#include "absl/status/statusor.h"
#include "core/api/protector.h"
#include "core/surrogate/surrogate.h"

namespace antidiffusion {

// What the server may know of it. `name`: under which it is found.
ModelInfo DescribeSurrogate(const Surrogate& model, const std::string& name);

// What a tiny pass of the UNet gives, or of the encoder where there is none.
absl::StatusOr<at::Tensor> TinyPass(const Surrogate& model);

}  // namespace antidiffusion
