#include "core/surrogate/trainable_weights.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <utility>

namespace antidiffusion {
namespace {

void RequireGradients(std::vector<at::Tensor>& weights, bool required) {
  for (at::Tensor& weight : weights) weight.requires_grad_(required);
}

}  // namespace

TrainableWeights::TrainableWeights(std::vector<at::Tensor> weights) : weights_(std::move(weights)) {
  RequireGradients(weights_, false);
}

TrainableWeights::WithGradients::WithGradients(TrainableWeights& weights, bool enabled) {
  if (!enabled) return;
  enabled_ = &weights.weights_;
  RequireGradients(*enabled_, true);
}

TrainableWeights::WithGradients::~WithGradients() {
  if (enabled_ != nullptr) RequireGradients(*enabled_, false);
}

void TrainableWeights::DropGradients() {
  for (at::Tensor& weight : weights_) weight.mutable_grad() = at::Tensor();
}

void TrainableWeights::BeginMoving() {
  if (pristine_.empty()) {
    std::vector<at::Tensor> copies;
    copies.reserve(weights_.size());
    for (const at::Tensor& weight : weights_) copies.push_back(weight.detach().clone());
    pristine_ = std::move(copies);
  }
  moved_ = true;
}

void TrainableWeights::Restore() {
  DropGradients();
  if (!moved_) return;
  const at::NoGradGuard no_grad;
  at::_foreach_copy_(weights_, pristine_);
  // A device reports what went wrong when it is waited for. Compared are bits: NaN equals itself.
  const auto bits = [](const at::Tensor& weight) { return weight.detach().view(at::kInt); };
  TORCH_CHECK(at::equal(bits(weights_.back()), bits(pristine_.back())),
              "weights were not written back");
  moved_ = false;
}

}  // namespace antidiffusion
