// The image side of a model: pixels to latents. Every family has one, and jobs may name several.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <cstdint>
#include <string>

#include "core/surrogate/activation_memory.h"

namespace antidiffusion {

// A posterior of latents [B,C,h,w]. `mean` and `std` are shifted and scaled as the model's UNet
// wants them, `unscaled_mean` is as the network gives it. `std` is undefined where the encoder is
// deterministic.
struct LatentPosterior {
  at::Tensor mean;
  at::Tensor std;
  at::Tensor unscaled_mean;

  // mean + std * noise of its shape.
  at::Tensor Sample(const at::Tensor& noise) const;
};

struct EncoderSettings {
  c10::Device device = c10::kCPU;
  c10::ScalarType precision = c10::kFloat;  // kBFloat16: autocast over fp32 weights
  double scaling_factor = 1;
  double shift_factor = 0;
  int64_t factor = 8;  // pixels a latent cell
  int64_t latent_channels = 4;
  std::string digest;
  ActivationBytes activation_bytes;
};

// Thread-compatible. No weight of it ever requires a gradient.
class LatentEncoder {
 public:
  virtual ~LatentEncoder() = default;
  LatentEncoder(const LatentEncoder&) = delete;
  LatentEncoder& operator=(const LatentEncoder&) = delete;

  // image [B,3,H,W] in [-1,1], sides multiples of factor(), on device(); the result is on the graph
  // when `image` requires a gradient.
  LatentPosterior Encode(const at::Tensor& image);

  // (mean - shift) * scale: what objectives compare.
  at::Tensor Mean(const at::Tensor& image) { return Encode(image).mean; }

  // Whether passes with a gradient compute forward twice to keep less (see activation_bytes()).
  // Values are the same, gradients up to rounding. Off at first; nothing where the network cannot.
  virtual void Recompute(bool on) = 0;

  // SHA-256, hex, of its weights: equal where two models share an encoder.
  const std::string& digest() const { return settings_.digest; }

  int64_t factor() const { return settings_.factor; }
  int64_t latent_channels() const { return settings_.latent_channels; }
  const ActivationBytes& activation_bytes() const { return settings_.activation_bytes; }
  c10::Device device() const { return settings_.device; }
  int64_t encodes() const { return encodes_; }
  int64_t encodes_on_graph() const { return encodes_on_graph_; }  // with a gradient to the image

 protected:
  // As the network gives them: `logvar` is undefined where there is none.
  struct Output {
    at::Tensor mean;
    at::Tensor logvar;
  };

  explicit LatentEncoder(const EncoderSettings& settings) : settings_(settings) {}

  virtual Output Run(const at::Tensor& image) = 0;

 private:
  EncoderSettings settings_;
  int64_t encodes_ = 0;
  int64_t encodes_on_graph_ = 0;
};

}  // namespace antidiffusion
