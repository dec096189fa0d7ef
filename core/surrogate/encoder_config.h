// Apart from model_config.h, so that what only needs a ModelSource needs no JSON.
#pragma once

#include <variant>

#include "core/models/config.h"

namespace antidiffusion {

// Of an encoder of either kind.
using EncoderConfig = std::variant<VaeConfig, TinyVaeConfig>;

}  // namespace antidiffusion
