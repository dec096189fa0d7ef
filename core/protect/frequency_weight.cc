#include "core/protect/frequency_weight.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/fft_fftfreq.h>
#include <ATen/ops/fft_irfft2.h>
#include <ATen/ops/fft_rfft2.h>
#include <ATen/ops/fft_rfftfreq.h>
#include <ATen/ops/hypot.h>
#include <ATen/ops/tensor.h>

#include <vector>

namespace antidiffusion {
namespace {

// By the number of half waves in 8 pixels, 0..7.
const std::vector<float> kLumaSteps = {16, 11.5F, 12, 15, 21, 32, 50, 66.5F};
constexpr double kHalfWaves = 16;  // in 8 pixels, of one cycle a pixel

}  // namespace

FrequencyWeight::FrequencyWeight(int64_t height, int64_t width, double scale, double power,
                                 const at::TensorOptions& options) {
  const at::Tensor rows = at::fft_fftfreq(height, scale, at::kFloat).unsqueeze(1);
  const at::Tensor columns = at::fft_rfftfreq(width, scale, at::kFloat).unsqueeze(0);
  const auto last = static_cast<int64_t>(kLumaSteps.size()) - 1;
  const at::Tensor waves =
      (at::hypot(rows, columns) * kHalfWaves).clamp_max(static_cast<double>(last));
  const at::Tensor below = waves.to(at::kLong).clamp_max(last - 1);
  const at::Tensor steps = at::tensor(kLumaSteps, at::kFloat);
  const at::Tensor step =
      steps.index({below}) + (waves - below) * (steps.index({below + 1}) - steps.index({below}));
  weights_ = (step / kLumaSteps.back()).pow(power).to(options.device());
}

at::Tensor FrequencyWeight::Apply(const at::Tensor& gradient) const {
  return at::fft_irfft2(at::fft_rfft2(gradient) * weights_,
                        at::IntArrayRef{gradient.size(2), gradient.size(3)});
}

}  // namespace antidiffusion
