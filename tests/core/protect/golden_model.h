#pragma once

#include <string>

#include "core/surrogate/model_directory.h"

namespace antidiffusion {

// A tiny model of tests/golden in fp32 on the CPU, as the program loads it. Throws when that fails.
LoadedModel LoadGoldenModel(const std::string& name);

}  // namespace antidiffusion
