#include "core/surrogate/noise_schedule.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace antidiffusion {
namespace {

at::Tensor LinearBetas(const NoiseScheduleConfig& config) {
  return at::linspace(config.beta_start, config.beta_end, config.num_train_timesteps, at::kFloat);
}

// Linear in the square root of beta (Rombach et al. 2022).
at::Tensor ScaledLinearBetas(const NoiseScheduleConfig& config) {
  return at::linspace(std::sqrt(config.beta_start), std::sqrt(config.beta_end),
                      config.num_train_timesteps, at::kFloat)
      .square();
}

// Nichol & Dhariwal 2021: abar follows a squared cosine.
at::Tensor CosineBetas(int64_t timesteps) {
  constexpr double kMaxBeta = 0.999;
  const auto alpha_bar = [](double t) {
    const double c = std::cos((t + 0.008) / 1.008 * std::numbers::pi / 2);
    return c * c;
  };
  std::vector<double> betas;
  const auto n = static_cast<double>(timesteps);
  for (int64_t i = 0; i < timesteps; ++i) {
    const auto t = static_cast<double>(i);
    betas.push_back(std::min(1.0 - alpha_bar((t + 1) / n) / alpha_bar(t / n), kMaxBeta));
  }
  return at::tensor(betas, at::kDouble).to(at::kFloat);
}

// By way of betas again and in this order of operations, as diffusers has it, so that the values
// agree to the last bit.
at::Tensor WithZeroTerminalSnr(const at::Tensor& betas) {
  const at::Tensor root = at::cumprod(1.0 - betas, 0).sqrt();
  const at::Tensor first = root[0], last = root[-1];
  const at::Tensor abar = ((root - last) * (first / (first - last))).square();
  const at::Tensor ratios = abar.slice(0, 1) / abar.slice(0, 0, -1);
  return 1.0 - at::cat({abar.slice(0, 0, 1), ratios});
}

}  // namespace

absl::StatusOr<NoiseSchedule> NoiseSchedule::Create(const NoiseScheduleConfig& config) {
  if (config.num_train_timesteps < 1 ||
      config.num_train_timesteps > NoiseScheduleConfig::kMaxTimesteps) {
    return absl::InvalidArgumentError(absl::StrCat("num_train_timesteps ",
                                                   config.num_train_timesteps, ", allowed: 1 to ",
                                                   NoiseScheduleConfig::kMaxTimesteps));
  }
  if (!(config.beta_start > 0 && config.beta_start <= config.beta_end && config.beta_end < 1)) {
    return absl::InvalidArgumentError(absl::StrCat("betas from ", config.beta_start, " to ",
                                                   config.beta_end,
                                                   ", allowed: 0 < from <= to < 1"));
  }
  at::Tensor betas;
  if (config.beta_schedule == "linear") {
    betas = LinearBetas(config);
  } else if (config.beta_schedule == "scaled_linear") {
    betas = ScaledLinearBetas(config);
  } else if (config.beta_schedule == "squaredcos_cap_v2") {
    betas = CosineBetas(config.num_train_timesteps);
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat("beta_schedule ", config.beta_schedule,
                     ", allowed: linear, scaled_linear, squaredcos_cap_v2"));
  }
  if (config.rescale_betas_zero_snr) betas = WithZeroTerminalSnr(betas);
  if (!at::isfinite(betas).all().item<bool>()) {
    return absl::InvalidArgumentError(
        absl::StrCat("rescale_betas_zero_snr with ", config.num_train_timesteps, " betas from ",
                     config.beta_start, " to ", config.beta_end, ": no finite schedule"));
  }
  return NoiseSchedule(config, at::cumprod(1.0 - betas, 0));
}

NoiseSchedule::NoiseSchedule(NoiseScheduleConfig config, at::Tensor alphas_cumprod)
    : config_(std::move(config)),
      alphas_cumprod_(std::move(alphas_cumprod)),
      on_device_(alphas_cumprod_) {}

NoiseSchedule NoiseSchedule::To(c10::Device device) const {
  NoiseSchedule moved = *this;
  moved.on_device_ = alphas_cumprod_.to(device);
  return moved;
}

NoiseSchedule::Coefficients NoiseSchedule::At(const at::Tensor& timestep) const {
  const at::Tensor alphas = on_device_.to(timestep.device());
  const at::Tensor abar = at::index_select(alphas, 0, timestep).view({-1, 1, 1, 1});
  return {abar.sqrt(), (1.0 - abar).sqrt()};
}

at::Tensor NoiseSchedule::AddNoise(const at::Tensor& latent, const at::Tensor& noise,
                                   const at::Tensor& timestep) const {
  const Coefficients at = At(timestep);
  return at.signal * latent + at.noise * noise;
}

at::Tensor NoiseSchedule::Velocity(const at::Tensor& latent, const at::Tensor& noise,
                                   const at::Tensor& timestep) const {
  const Coefficients at = At(timestep);
  return at.signal * noise - at.noise * latent;
}

at::Tensor NoiseSchedule::Target(const at::Tensor& latent, const at::Tensor& noise,
                                 const at::Tensor& timestep) const {
  return config_.prediction_type == PredictionType::kVPrediction ? Velocity(latent, noise, timestep)
                                                                 : noise;
}

}  // namespace antidiffusion
