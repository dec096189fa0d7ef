// The weights that surrogate tuning moves: their gradients, and what they were.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace antidiffusion {

// Thread-compatible. No weight requires a gradient unless WithGradients turns it on: gradients of
// weights are a third of a UNet pass.
class TrainableWeights {
 public:
  // `weights` are the module's own parameters; turns their gradients off.
  explicit TrainableWeights(std::vector<at::Tensor> weights);

  const std::vector<at::Tensor>& tensors() const { return weights_; }

  // While it lives, and if `enabled`, the weights require gradients, which a backward pass adds to
  // their .grad(). What was gathered stays when it ends.
  class WithGradients {
   public:
    WithGradients(TrainableWeights& weights, bool enabled);
    ~WithGradients();
    WithGradients(const WithGradients&) = delete;
    WithGradients& operator=(const WithGradients&) = delete;

   private:
    std::vector<at::Tensor>* enabled_ = nullptr;
  };

  void DropGradients();

  // Before the weights are moved. The first call copies them all, on their device.
  void BeginMoving();

  // Drops gradients and, where BeginMoving was called since the last time, writes back every weight
  // bit for bit, and waits for the device. Throws what torch throws: then the weights are not what
  // they were, and a further call tries again.
  void Restore();

  bool has_copy() const { return !pristine_.empty(); }

 private:
  std::vector<at::Tensor> weights_;
  std::vector<at::Tensor> pristine_;  // in the same order; empty until they are to be moved
  bool moved_ = false;
};

}  // namespace antidiffusion
