#include "core/surrogate/unet_snapshot.h"

#include <ATen/ATen.h>

namespace antidiffusion {

UNetSnapshot::UNetSnapshot(UNet unet) : live_(unet->parameters()) {
  const at::NoGradGuard no_grad;
  pristine_.reserve(live_.size());
  for (const at::Tensor& weight : live_) pristine_.push_back(weight.detach().clone());
}

void UNetSnapshot::Restore() {
  const at::NoGradGuard no_grad;
  at::_foreach_copy_(live_, pristine_);
}

double UNetSnapshot::Drift() const {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> norms;
  norms.reserve(live_.size());
  for (size_t i = 0; i < live_.size(); ++i) {
    norms.push_back(at::linalg_vector_norm(live_[i] - pristine_[i], 2, {}, false, at::kDouble));
  }
  return at::stack(norms).norm().item<double>();
}

bool UNetSnapshot::IsPristine() const {
  for (size_t i = 0; i < live_.size(); ++i) {
    if (!at::equal(live_[i], pristine_[i])) return false;
  }
  return true;
}

}  // namespace antidiffusion
