#include "core/protect/weight_gradients.h"

#include <cmath>

namespace antidiffusion {

WeightGradients::WeightGradients(StableDiffusion& model, bool enabled) {
  if (!enabled) return;
  enabled_ = model.unet()->parameters();
  for (at::Tensor& weight : enabled_) weight.requires_grad_(true);
}

WeightGradients::~WeightGradients() {
  for (at::Tensor& weight : enabled_) weight.requires_grad_(false);
}

void DropWeightGradients(StableDiffusion& model) {
  for (at::Tensor& weight : model.unet()->parameters()) weight.mutable_grad() = at::Tensor();
}

double WeightGradientNorm(StableDiffusion& model) {
  double sum = 0;
  for (const at::Tensor& weight : model.unet()->parameters()) {
    if (!weight.grad().defined()) continue;
    sum += weight.grad().to(at::kDouble).square().sum().item<double>();
  }
  return std::sqrt(sum);
}

}  // namespace antidiffusion
