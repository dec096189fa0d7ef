// When the UNet's weights take part in back-propagation. By default they never do: their gradients
// are a third of a UNet pass and are needed in surrogate tuning alone.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "core/surrogate/stable_diffusion.h"

namespace antidiffusion {

// While it lives, and if `enabled`, the UNet's weights require gradients, which a backward pass
// adds to their .grad(). What was gathered stays when it ends.
class WeightGradients {
 public:
  WeightGradients(StableDiffusion& model, bool enabled);
  ~WeightGradients();
  WeightGradients(const WeightGradients&) = delete;
  WeightGradients& operator=(const WeightGradients&) = delete;

 private:
  std::vector<at::Tensor> enabled_;
};

void DropWeightGradients(StableDiffusion& model);

// L2 norm of all gradients of the UNet's weights, in float64; 0 without any. Slow: for traces.
double WeightGradientNorm(StableDiffusion& model);

}  // namespace antidiffusion
