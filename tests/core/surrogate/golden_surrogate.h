// A golden model as a whole Surrogate, its architecture stated independently of its config files.
#pragma once

#include <c10/core/ScalarType.h>

#include <string>

#include "core/surrogate/surrogate.h"

namespace antidiffusion {

// On the CPU. Throws when a file does not fit.
Surrogate MakeGoldenSurrogate(const std::string& model, c10::ScalarType precision = c10::kFloat);

}  // namespace antidiffusion
