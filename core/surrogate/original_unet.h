// The UNet of a checkpoint in the original layout.
#pragma once

#include <string>

#include "core/surrogate/original_keys.h"

namespace antidiffusion {

// Reads `model.diffusion_model.*` of SD 1.x, 2.x or SDXL, of any depth and width and for any number
// of input channels. Shapes tell everything but the number of attention heads and of groups of the
// norms: heads are 8 on every level where the projections are convolutions (SD 1.x), else one for
// each 64 channels (SD 2.x, SDXL); groups are 32. `sample_size` is left out. A config that the
// tensors do not bear out is found when they are compared with the network (CheckParameters).
OriginalPart ReadOriginalUNet(const NamedShapes& shapes, const std::string& prefix,
                              const SafetensorsFile* file);

}  // namespace antidiffusion
