#include "core/surrogate/latent_encoder.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/exp.h>

#include "core/surrogate/autocast.h"

namespace antidiffusion {

at::Tensor LatentPosterior::Sample(const at::Tensor& noise) const {
  return std.defined() ? mean + std * noise : mean;
}

LatentPosterior LatentEncoder::Encode(const at::Tensor& image) {
  const AutocastScope autocast(settings_.device, settings_.precision);
  const Output output = Run(image);
  ++encodes_;
  if (output.mean.requires_grad()) ++encodes_on_graph_;
  const double scale = settings_.scaling_factor;
  const double shift = settings_.shift_factor;
  LatentPosterior posterior;
  posterior.unscaled_mean = output.mean;
  posterior.mean = shift == 0 ? output.mean * scale : (output.mean - shift) * scale;
  if (output.logvar.defined()) posterior.std = at::exp(0.5 * output.logvar) * scale;
  return posterior;
}

}  // namespace antidiffusion
