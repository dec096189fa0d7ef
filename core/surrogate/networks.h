// The networks of a ModelSource.
#pragma once

#include "absl/status/statusor.h"
#include "core/base/status_macros.h"
#include "core/checkpoint/load_module.h"
#include "core/checkpoint/tensor_source.h"
#include "core/models/layers.h"

namespace antidiffusion {

// Allocates a Network (UNet, Vae, TinyEncoder, ClipTextModel) with `options` and fills it in:
//
//   AD_ASSIGN_OR_RETURN(UNet unet, ReadNetwork<UNet>(denoiser.config, denoiser.tensors, options));
//
// `tensors` must have been compared with the configuration, as those of a ModelSource have been.
// DATA_LOSS: a weight that is not finite. Throws c10::Error when memory runs out.
template <typename Network, typename Config>
absl::StatusOr<Network> ReadNetwork(const Config& config, const TensorSources& tensors,
                                    const at::TensorOptions& options) {
  Network network(config, options);
  AD_RETURN_IF_ERROR(ReadParameters(tensors, *network));
  return network;
}

}  // namespace antidiffusion
