// The forward process of DDPM (Ho et al. 2020) as diffusers' schedulers have it.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace antidiffusion {

enum class PredictionType { kEpsilon, kVPrediction };

struct NoiseScheduleConfig {
  int64_t num_train_timesteps = 1000;
  double beta_start = 0.0001;
  double beta_end = 0.02;
  std::string beta_schedule = "linear";  // linear, scaled_linear, squaredcos_cap_v2
  PredictionType prediction_type = PredictionType::kEpsilon;
};

// Immutable, so thread-safe.
class NoiseSchedule {
 public:
  // INVALID_ARGUMENT: an unknown beta_schedule or a range that does not add up.
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

  int64_t timesteps() const;
  PredictionType prediction_type() const;
  const at::Tensor& alphas_cumprod() const;  // [timesteps] float32, CPU

 private:
  NoiseSchedule(NoiseScheduleConfig config, at::Tensor alphas_cumprod);

  NoiseScheduleConfig config_;
  at::Tensor alphas_cumprod_;
};

}  // namespace antidiffusion
