// The denoiser of every family with a UNet and a schedule of noise levels. What the families differ
// in are parts of it: how a prompt is encoded, and what the UNet sees of the image.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/models/config.h"
#include "core/models/recompute.h"
#include "core/models/unet.h"
#include "core/surrogate/denoiser.h"
#include "core/surrogate/image_channels.h"
#include "core/surrogate/noise_schedule.h"
#include "core/surrogate/prompt_encoder.h"

namespace antidiffusion {

struct UNetDenoiserParts {
  UNet unet{nullptr};  // its weights filled in, on `device`
  UNetConfig config;
  std::unique_ptr<NoiseSchedule> schedule;
  std::unique_ptr<PromptEncoder> prompts;
  std::unique_ptr<ImageChannels> channels;  // null: nothing but the noisy latent
  c10::Device device = c10::kCPU;
  c10::ScalarType precision = c10::kFloat;
  std::vector<ActivationBytes> activation_bytes;  // of `channels` and `unet`
};

class UNetDenoiser : public Denoiser {
 public:
  explicit UNetDenoiser(UNetDenoiserParts parts);

  absl::StatusOr<Conditioning> Condition(const std::string& prompt, int64_t height,
                                         int64_t width) override;
  at::Tensor ExtraChannels(const at::Tensor& image, const LatentPosterior& posterior) override;
  at::Tensor AddNoise(const at::Tensor& latent, const NoiseDraw& draw) const override;
  at::Tensor Target(const at::Tensor& latent, const NoiseDraw& draw) const override;
  int64_t timesteps() const override { return parts_.schedule->timesteps(); }
  at::Tensor Predict(const at::Tensor& noisy, const at::Tensor& timestep,
                     const Conditioning& conditioning, const at::Tensor& extra,
                     AttentionCapture* capture = nullptr) override;
  TrainableWeights& weights() override { return weights_; }
  std::string prediction_type() const override;
  bool guides_by_image() const override;
  bool HasCrossAttention(const CapturedLayers& layers) const override;
  std::vector<ActivationBytes> activation_bytes() const override { return parts_.activation_bytes; }
  int64_t text_bytes() const override { return parts_.prompts->network_bytes(); }
  void Recompute(bool on) override { SetRecompute(*parts_.unet, on); }
  int64_t forwards() const override { return forwards_; }
  int64_t text_encodes() const override { return parts_.prompts->encodes(); }

  UNet& unet() { return parts_.unet; }

 private:
  UNetDenoiserParts parts_;
  TrainableWeights weights_;
  int64_t forwards_ = 0;
};

}  // namespace antidiffusion
