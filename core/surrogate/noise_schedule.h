// The forward process of DDPM (Ho et al. 2020) as diffusers' schedulers have it.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace antidiffusion {

enum class PredictionType { kEpsilon, kVPrediction };

struct NoiseScheduleConfig {
  static constexpr int64_t kMaxTimesteps = 100'000;

  int64_t num_train_timesteps = 1000;
  double beta_start = 0.0001;
  double beta_end = 0.02;
  std::string beta_schedule = "linear";  // linear, scaled_linear, squaredcos_cap_v2
  PredictionType prediction_type = PredictionType::kEpsilon;
  // Shifts and scales sqrt(abar) so that its last value is 0 (Lin et al. 2023, algorithm 1).
  bool rescale_betas_zero_snr = false;
};

// Immutable, so thread-safe.
class NoiseSchedule {
 public:
  // INVALID_ARGUMENT: an unknown beta_schedule, or not 1 to 100,000 timesteps with
  // 0 < beta_start <= beta_end < 1; betas that cannot be rescaled, as of a single timestep.
  static absl::StatusOr<NoiseSchedule> Create(const NoiseScheduleConfig& config);

  // B batch; latent and noise [B,C,h,w], timestep [B] int64 in [0, timesteps()).
  // sqrt(abar_t) latent + sqrt(1 - abar_t) noise
  at::Tensor AddNoise(const at::Tensor& latent, const at::Tensor& noise,
                      const at::Tensor& timestep) const;

  // sqrt(abar_t) noise - sqrt(1 - abar_t) latent (Salimans & Ho 2022)
  at::Tensor Velocity(const at::Tensor& latent, const at::Tensor& noise,
                      const at::Tensor& timestep) const;

  // What the model is trained to predict: noise or velocity. On the graph of `latent`.
  at::Tensor Target(const at::Tensor& latent, const at::Tensor& noise,
                    const at::Tensor& timestep) const;

  // The same schedule with its table on `device`, so that latents there need no transfer.
  NoiseSchedule To(c10::Device device) const;

  int64_t timesteps() const { return config_.num_train_timesteps; }
  PredictionType prediction_type() const { return config_.prediction_type; }
  const at::Tensor& alphas_cumprod() const { return alphas_cumprod_; }  // [timesteps] float32, CPU

 private:
  NoiseSchedule(NoiseScheduleConfig config, at::Tensor alphas_cumprod);

  // The coefficients of signal, sqrt(abar_t), and noise, sqrt(1 - abar_t): each [B,1,1,1].
  struct Coefficients {
    at::Tensor signal, noise;
  };
  Coefficients At(const at::Tensor& timestep) const;

  NoiseScheduleConfig config_;
  at::Tensor alphas_cumprod_;
  at::Tensor on_device_;  // alphas_cumprod_, where latents live
};

}  // namespace antidiffusion
