// The text encoders of a checkpoint in the original layout.
#pragma once

#include <cstdint>
#include <string>

#include "core/surrogate/original_keys.h"

namespace antidiffusion {

// CLIP as transformers names it (SD 1.x: `cond_stage_model.transformer.*`; SDXL:
// `conditioner.embedders.0.transformer.*`), also without the `text_model.` that old releases of
// transformers did not write.
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
