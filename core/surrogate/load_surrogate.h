// A path -> a Surrogate on a device. What lies there is untrusted.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <string>

#include "absl/status/statusor.h"
#include "core/surrogate/model_source.h"
#include "core/surrogate/surrogate.h"

namespace antidiffusion {

// Reads the weights of a ReadModelSource into fp32 parameters on `device`; kBFloat16: computes in
// that by autocast. The text encoders' files stay mapped and are read again for every prompt that
// is not remembered (see prompt_encoder.h). Blocking, seconds. Errors as ReadModelSource's;
// RESOURCE_EXHAUSTED: memory.
absl::StatusOr<Surrogate> LoadSurrogate(const std::string& path, c10::Device device,
                                        c10::ScalarType precision,
                                        const SourceOptions& options = {});

}  // namespace antidiffusion
