// AdamW (Loshchilov & Hutter 2019) with torch.optim.AdamW's semantics, through LibTorch's fused
// kernel: one pass over each parameter, on CPU and CUDA.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace antidiffusion {

struct AdamWOptions {
  double learning_rate = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 1e-2;
};

// Thread-compatible. Holds references to the parameters' storage and fp32 moments of their size.
class AdamW {
 public:
  AdamW(std::vector<at::Tensor> parameters, const AdamWOptions& options);

  // Moves every parameter that has a gradient; leaves the gradients as they are.
  void Step();

  // Parameters then have no gradient at all.
  void DropGradients();

 private:
  std::vector<at::Tensor> parameters_;
  AdamWOptions options_;
  std::vector<at::Tensor> first_moments_;
  std::vector<at::Tensor> second_moments_;
  std::vector<at::Tensor> steps_;  // float32 scalars, as the kernel wants them
};

}  // namespace antidiffusion
