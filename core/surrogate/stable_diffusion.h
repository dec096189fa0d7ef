// The four parts of a loaded Stable Diffusion together, and the loss that all of protection is
// about.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <memory>
#include <string>

#include "core/models/attention_capture.h"
#include "core/models/clip_text_model.h"
#include "core/models/config.h"
#include "core/models/unet.h"
#include "core/models/vae.h"
#include "core/surrogate/noise_schedule.h"
#include "core/text/clip_tokenizer.h"

namespace antidiffusion {

// What was computed, counted exactly; tests hold the schedule's costs to it (docs/algorithm.md).
struct PassCounts {
  int64_t unet_forwards = 0;
  int64_t vae_encodes = 0;           // all
  int64_t vae_encodes_on_graph = 0;  // of those, with a gradient to the image
  int64_t text_encodes = 0;
};

struct StableDiffusionParts {
  UNet unet{nullptr};
  Vae vae{nullptr};
  ClipTextModel text_encoder{nullptr};
  std::unique_ptr<ClipTokenizer> tokenizer;
  std::unique_ptr<NoiseSchedule> schedule;
  UNetConfig unet_config;
  VaeConfig vae_config;
  c10::Device device = c10::kCPU;
  c10::ScalarType precision = c10::kFloat;  // kBFloat16: autocast over fp32 weights
};

// A posterior of latents, already scaled: mean and std, each [B,C,h,w].
struct LatentPosterior {
  at::Tensor mean;
  at::Tensor std;

  at::Tensor Sample(const at::Tensor& noise) const { return mean + std * noise; }
};

enum class LossTarget { kByPredictionType, kNoise };

// Thread-compatible. No parameter requires a gradient unless SetUNetTrainable turns it on.
class StableDiffusion {
 public:
  // All parts must be set, their parameters filled in and on `device`.
  explicit StableDiffusion(StableDiffusionParts parts);

  // The embedding [1,T,D] of a prompt, detached. That of "" is computed once.
  at::Tensor EncodePrompt(const std::string& prompt);

  // image [B,3,H,W] in [-1,1] -> scaled posterior; on the graph when `image` requires a gradient.
  LatentPosterior EncodeImage(const at::Tensor& image);

  // What the UNet makes of a noisy latent [B,C,h,w], in float32: noise or velocity.
  at::Tensor Predict(const at::Tensor& noisy, const at::Tensor& timestep, const at::Tensor& context,
                     AttentionCapture* capture = nullptr);

  // mse(unet(AddNoise(latent, noise, timestep), timestep, context), target), a scalar in float32.
  // Draws are on this model's device. The gradient also runs through a v target.
  at::Tensor DenoisingLoss(const at::Tensor& latent, const at::Tensor& noise,
                           const at::Tensor& timestep, const at::Tensor& context,
                           AttentionCapture* capture = nullptr,
                           LossTarget target = LossTarget::kByPredictionType);

  // Whether the UNet's weights require gradients. Turning it off drops their gradients.
  void SetUNetTrainable(bool trainable);

  UNet& unet() { return parts_.unet; }
  const NoiseSchedule& schedule() const { return *parts_.schedule; }
  c10::Device device() const { return parts_.device; }
  c10::ScalarType precision() const { return parts_.precision; }
  int64_t factor() const { return parts_.vae_config.factor(); }  // pixels a latent cell
  int64_t native_side() const { return parts_.unet_config.sample_size * factor(); }  // pixels
  int64_t latent_channels() const { return parts_.vae_config.latent_channels; }
  // Whether at least one block of `layers` has cross-attention.
  bool HasCrossAttention(const CapturedLayers& layers) const {
    return antidiffusion::HasCrossAttention(parts_.unet_config, layers);
  }
  const PassCounts& counts() const { return counts_; }

 private:
  StableDiffusionParts parts_;
  at::Tensor empty_prompt_;
  PassCounts counts_;
};

}  // namespace antidiffusion
