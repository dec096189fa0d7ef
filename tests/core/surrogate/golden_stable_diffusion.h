// A golden model as a whole StableDiffusion.
#pragma once

#include <c10/core/ScalarType.h>

#include <memory>
#include <string>

#include "core/surrogate/stable_diffusion.h"

namespace antidiffusion {

// On the CPU. Throws when a file does not fit.
std::unique_ptr<StableDiffusion> MakeGoldenStableDiffusion(const std::string& model,
                                                           c10::ScalarType precision = c10::kFloat);

}  // namespace antidiffusion
