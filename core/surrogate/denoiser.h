// The UNet side of a model, whatever its family: what the stages know of it.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/models/attention_capture.h"
#include "core/surrogate/latent_encoder.h"
#include "core/surrogate/trainable_weights.h"

namespace antidiffusion {

// What a prompt becomes. T tokens, D width of the context. The last two where the family has them:
// the text as one vector [1,P], and (H, W, 0, 0, H, W) [1,6] float of the image worked on.
struct Conditioning {
  at::Tensor context;  // [1,T,D], all that prompt tuning moves
  at::Tensor pooled;
  at::Tensor time_ids;
};

// Noise of the latent's shape [B,C,h,w] and a timestep [B] int64, both on the model's device.
struct NoiseDraw {
  at::Tensor noise;
  at::Tensor timestep;
};

// Thread-compatible.
class Denoiser {
 public:
  Denoiser() = default;
  virtual ~Denoiser() = default;
  Denoiser(const Denoiser&) = delete;
  Denoiser& operator=(const Denoiser&) = delete;

  // Of a prompt and an image of height x width pixels, detached. INTERNAL: the text encoder's file
  // was written into since the model was loaded.
  virtual absl::StatusOr<Conditioning> Condition(const std::string& prompt, int64_t height,
                                                 int64_t width) = 0;

  // What the UNet sees of the image beside its noisy latent, [1,K,h,w], on the image's graph;
  // undefined where that is nothing. `posterior` is that of the same image.
  virtual at::Tensor ExtraChannels(const at::Tensor& image, const LatentPosterior& posterior) = 0;

  // The latent with the noise of a timestep, and what the model is trained to make of that.
  virtual at::Tensor AddNoise(const at::Tensor& latent, const NoiseDraw& draw) const = 0;
  virtual at::Tensor Target(const at::Tensor& latent, const NoiseDraw& draw) const = 0;

  // Timesteps are 0 .. timesteps() - 1.
  virtual int64_t timesteps() const = 0;

  // What the UNet makes of a noisy latent, in float32. `extra` as from ExtraChannels.
  virtual at::Tensor Predict(const at::Tensor& noisy, const at::Tensor& timestep,
                             const Conditioning& conditioning, const at::Tensor& extra,
                             AttentionCapture* capture = nullptr) = 0;

  virtual TrainableWeights& weights() = 0;

  // Facts of the model.
  virtual std::string prediction_type() const = 0;  // epsilon, v_prediction
  virtual bool guides_by_image() const = 0;         // its extra channels are the photograph itself
  virtual bool HasCrossAttention(const CapturedLayers& layers) const = 0;

  // Of ExtraChannels and Predict: their passes in order.
  virtual std::vector<ActivationBytes> activation_bytes() const = 0;

  // What Condition takes while it encodes a prompt.
  virtual int64_t text_bytes() const = 0;

  // As LatentEncoder::Recompute.
  virtual void Recompute(bool on) = 0;

  // Passes so far.
  virtual int64_t forwards() const = 0;
  virtual int64_t text_encodes() const = 0;
};

}  // namespace antidiffusion
