#pragma once

#include "core/models/config.h"
#include "core/models/layers.h"

namespace antidiffusion {

// One layer of the text encoder. B batch, T tokens, C hidden size.
class ClipEncoderLayerImpl : public torch::nn::Module {
 public:
  ClipEncoderLayerImpl(const ClipTextConfig& config, const at::TensorOptions& options);

  // x [B,T,C] -> [B,T,C]; a token sees itself and those before it.
  torch::Tensor forward(const torch::Tensor& x);

 private:
  torch::Tensor Attend(const torch::Tensor& x);

  int64_t heads_;
  bool quick_gelu_;
  LayerNorm layer_norm1_, layer_norm2_;
  Linear q_proj_{nullptr}, k_proj_{nullptr}, v_proj_{nullptr}, out_proj_{nullptr};
  Linear fc1_{nullptr}, fc2_{nullptr};
};
TORCH_MODULE(ClipEncoderLayer);

// B batch, T tokens, C hidden size, P projection_dim.
struct ClipTextOutput {
  torch::Tensor last_hidden;  // [B,T,C] after the final layer norm
  torch::Tensor penultimate;  // [B,T,C] what the last layer was given, without a layer norm
  torch::Tensor pooled;       // [B,P]; undefined without a projection
};

// CLIPTextModel, or CLIPTextModelWithProjection where `projection_dim` is not 0. Parameter names
// equal the checkpoint's keys. Throws c10::Error on a wrong shape or an unknown `hidden_act`.
class ClipTextModelImpl : public torch::nn::Module {
 public:
  // Parameters are left uninitialised, on the device of `options` (see layers.h).
  explicit ClipTextModelImpl(const ClipTextConfig& config, const at::TensorOptions& options = {});

  // ids [B,T] int64, T <= max_position_embeddings -> the last hidden state.
  torch::Tensor forward(const torch::Tensor& ids);

  // The same pass with all that diffusion models are conditioned on. `pooled` is the projection of
  // the last hidden state at the end of the text: the first place of `eos_token_id` (see
  // ClipTextConfig), or place 0 where there is none.
  ClipTextOutput Outputs(const torch::Tensor& ids);

 private:
  int64_t eos_token_id_;
  Embedding token_embedding_{nullptr}, position_embedding_{nullptr};
  Numbered<ClipEncoderLayer> layers_;
  LayerNorm final_layer_norm_{nullptr};
  Linear text_projection_{nullptr};  // null without a projection
};
TORCH_MODULE(ClipTextModel);

}  // namespace antidiffusion
