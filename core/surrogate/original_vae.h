// The VAE of a checkpoint in the original layout.
#pragma once

#include <string>

#include "core/surrogate/original_keys.h"

namespace antidiffusion {

// Reads the encoder of `first_stage_model.*`, or with `prefix` "" that of a VAE file of its own.
// Shapes tell everything but the norms' groups (32) and the scaling, which are left out.
OriginalPart ReadOriginalVae(const NamedShapes& shapes, const std::string& prefix,
                             const SafetensorsFile* file);

}  // namespace antidiffusion
