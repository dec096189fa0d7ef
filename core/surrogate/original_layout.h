// The networks of a checkpoint in the original layout: each with the configuration that diffusers
// or transformers would write, as far as shapes tell it, and with its tensors under their names. A
// configuration that the tensors do not bear out is found when they are compared with the network
// (CheckParameters).
#pragma once

#include <cstdint>
#include <string>

#include "core/surrogate/original_keys.h"

namespace antidiffusion {

// Reads `model.diffusion_model.*` of SD 1.x, 2.x or SDXL, of any depth and width and for any number
// of input channels. Shapes tell everything but the number of attention heads and of groups of the
// norms: heads are 8 on every level where the projections are convolutions (SD 1.x), else one for
// each 64 channels (SD 2.x, SDXL); groups are 32. `sample_size` is left out.
OriginalPart ReadOriginalUNet(const NamedShapes& shapes, const std::string& prefix,
                              const SafetensorsFile* file);

// Reads the encoder of `first_stage_model.*`, or with `prefix` "" that of a VAE file of its own.
// Shapes tell everything but the norms' groups (32) and the scaling, which are left out.
OriginalPart ReadOriginalVae(const NamedShapes& shapes, const std::string& prefix,
                             const SafetensorsFile* file);

// CLIP as transformers names it (SD 1.x: `cond_stage_model.transformer.*`; SDXL:
// `conditioner.embedders.0.transformer.*`), also without the `text_model.` that some releases of
// transformers do not write.
OriginalPart ReadOriginalClip(const NamedShapes& shapes, const std::string& prefix,
                              const SafetensorsFile* file);

// CLIP as OpenCLIP names it (SD 2.x: `cond_stage_model.model.*`; SDXL:
// `conditioner.embedders.1.model.*`): queries, keys and values in one matrix, the projection
// transposed. At most `layers` layers are read: SD 2.x was trained on the output of the last but
// one of its 24. `projects`: with the projection of the pooled output.
struct OpenClipReading {
  int64_t layers = 0;
  bool projects = false;
};
OriginalPart ReadOriginalOpenClip(const NamedShapes& shapes, const std::string& prefix,
                                  const OpenClipReading& reading, const SafetensorsFile* file);

}  // namespace antidiffusion
