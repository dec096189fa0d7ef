#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include "core/models/config.h"

namespace antidiffusion {

// CLIPTextModel: token ids to the hidden state after the final layer norm, causal.
class ClipTextModelImpl : public torch::nn::Module {
 public:
  explicit ClipTextModelImpl(const ClipTextConfig& config);

  // ids [B,T] int64, T <= max_position_embeddings -> [B,T,hidden_size].
  torch::Tensor forward(const torch::Tensor& ids);
};
TORCH_MODULE(ClipTextModel);

}  // namespace antidiffusion
