// Memory for time: a part of a network whose inner results are not kept for back-propagation.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <functional>
#include <utility>
#include <vector>

namespace antidiffusion {

using RecomputedBody = std::function<std::vector<at::Tensor>(const std::vector<at::Tensor>&)>;

// body(inputs), of which back-propagation keeps the inputs alone and computes the rest once more
// when it needs it (Chen et al. 2016): one more forward pass of `body`, and only one body's inner
// results at a time. Values are the same as without it where the device's kernels are
// deterministic; gradients, also those of weights that `body` uses, up to the order in which those
// of a tensor with several readers are added. `body` must depend on its inputs and on weights only
// (no random numbers, nothing appended), must not give an input back, and is kept, with all that it
// refers to, until the gradient was taken. Autocast is as it is now in both passes. Where nothing
// asks for a gradient this is body(inputs).
std::vector<at::Tensor> Recomputed(RecomputedBody body, const std::vector<at::Tensor>& inputs);

// A part of a network that can be told to recompute. Off at first.
class RecomputableModule : public torch::nn::Module {
 public:
  void set_recompute(bool on) { recompute_ = on; }

 protected:
  // body(inputs), recomputed if so told.
  std::vector<at::Tensor> Run(RecomputedBody body, const std::vector<at::Tensor>& inputs) const {
    return recompute_ ? Recomputed(std::move(body), inputs) : body(inputs);
  }

 private:
  bool recompute_ = false;
};

// Tells all such parts of `network`: the resnets of UNet and VAE, and the UNet's transformer
// blocks. A pass with gradients then keeps about one tensor for each of them, and captured
// attention, and computes forward twice.
void SetRecompute(torch::nn::Module& network, bool on);

}  // namespace antidiffusion
