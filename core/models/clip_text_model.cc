#include "core/models/clip_text_model.h"

#include <memory>

namespace antidiffusion {
namespace {

// The older approximation of GELU by a sigmoid, as CLIP ViT-L was trained with.
torch::Tensor QuickGelu(const torch::Tensor& x) { return x * at::sigmoid(x * 1.702); }

// ids [B,T] -> [B], the place where each text ends.
torch::Tensor EndOfText(const torch::Tensor& ids, int64_t eos_token_id) {
  const bool is_largest = eos_token_id == ClipTextConfig::kLargestId;
  return at::argmax(is_largest ? ids : (ids == eos_token_id).to(at::kInt), -1);
}

}  // namespace

ClipEncoderLayerImpl::ClipEncoderLayerImpl(const ClipTextConfig& config,
                                           const at::TensorOptions& options)
    : heads_(config.num_attention_heads),
      quick_gelu_(config.hidden_act == "quick_gelu"),
      layer_norm1_(register_module("layer_norm1",
                                   LayerNorm(config.hidden_size, config.layer_norm_eps, options))),
      layer_norm2_(register_module("layer_norm2",
                                   LayerNorm(config.hidden_size, config.layer_norm_eps, options))) {
  TORCH_CHECK(quick_gelu_ || config.hidden_act == "gelu", "hidden_act ", config.hidden_act,
              " is neither gelu nor quick_gelu");
  const int64_t width = config.hidden_size;
  TORCH_CHECK(heads_ > 0 && width % heads_ == 0, width, " channels in ", heads_,
              " attention heads");
  auto self_attn = register_module("self_attn", std::make_shared<torch::nn::Module>());
  q_proj_ = self_attn->register_module("q_proj", Linear(width, width, options));
  k_proj_ = self_attn->register_module("k_proj", Linear(width, width, options));
  v_proj_ = self_attn->register_module("v_proj", Linear(width, width, options));
  out_proj_ = self_attn->register_module("out_proj", Linear(width, width, options));
  auto mlp = register_module("mlp", std::make_shared<torch::nn::Module>());
  fc1_ = mlp->register_module("fc1", Linear(width, config.intermediate_size, options));
  fc2_ = mlp->register_module("fc2", Linear(config.intermediate_size, width, options));
}

torch::Tensor ClipEncoderLayerImpl::Attend(const torch::Tensor& x) {
  const auto split = [this](const torch::Tensor& y) {
    return y.view({y.size(0), y.size(1), heads_, y.size(2) / heads_}).transpose(1, 2);
  };
  const torch::Tensor out = at::scaled_dot_product_attention(
      split(q_proj_(x)), split(k_proj_(x)), split(v_proj_(x)), /*attn_mask=*/{}, /*dropout_p=*/0.0,
      /*is_causal=*/true);
  return out_proj_(out.transpose(1, 2).reshape(x.sizes()));
}

torch::Tensor ClipEncoderLayerImpl::forward(const torch::Tensor& x) {
  const torch::Tensor h = x + Attend(layer_norm1_(x));
  const torch::Tensor inner = fc1_(layer_norm2_(h));
  return h + fc2_(quick_gelu_ ? QuickGelu(inner) : at::gelu(inner));
}

ClipTextModelImpl::ClipTextModelImpl(const ClipTextConfig& config, const at::TensorOptions& options)
    : eos_token_id_(config.eos_token_id) {
  TORCH_CHECK(config.num_hidden_layers > 0, "num_hidden_layers ", config.num_hidden_layers);
  auto text_model = register_module("text_model", std::make_shared<torch::nn::Module>());
  auto embeddings =
      text_model->register_module("embeddings", std::make_shared<torch::nn::Module>());
  token_embedding_ = embeddings->register_module(
      "token_embedding", Embedding(config.vocab_size, config.hidden_size, options));
  position_embedding_ = embeddings->register_module(
      "position_embedding", Embedding(config.max_position_embeddings, config.hidden_size, options));
  auto encoder = text_model->register_module("encoder", std::make_shared<torch::nn::Module>());
  layers_ = encoder->register_module("layers", MakeNumbered<ClipEncoderLayer>());
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
    layers_->Add(ClipEncoderLayer(config, options));
  }
  final_layer_norm_ = text_model->register_module(
      "final_layer_norm", LayerNorm(config.hidden_size, config.layer_norm_eps, options));
  if (config.projection_dim > 0) {
    text_projection_ =
        register_module("text_projection",
                        Linear(config.hidden_size, config.projection_dim, options, /*bias=*/false));
  }
}

torch::Tensor ClipTextModelImpl::forward(const torch::Tensor& ids) {
  return Outputs(ids).last_hidden;
}

ClipTextOutput ClipTextModelImpl::Outputs(const torch::Tensor& ids) {
  const torch::Tensor positions = at::arange(ids.size(1), ids.options());
  ClipTextOutput output;
  torch::Tensor h = token_embedding_(ids) + position_embedding_(positions);
  for (ClipEncoderLayer& layer : *layers_) {
    output.penultimate = h;
    h = layer(h);
  }
  output.last_hidden = final_layer_norm_(h);
  if (text_projection_) {
    const torch::Tensor end = EndOfText(ids, eos_token_id_).view({-1, 1, 1});
    const torch::Tensor at_end =
        output.last_hidden.gather(1, end.expand({-1, 1, output.last_hidden.size(2)})).squeeze(1);
    output.pooled = text_projection_(at_end);
  }
  return output;
}

}  // namespace antidiffusion
