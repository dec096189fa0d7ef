#include "core/protect/stage_context.h"

#include <ATen/TensorOperators.h>

#include <cmath>

#include "absl/strings/str_cat.h"

namespace antidiffusion {

absl::Status StageContext::FinishStep(Stage stage, double loss) {
  if (!std::isfinite(loss)) {
    return absl::InternalError(absl::StrCat("the protection diverged: a loss or gradient of ",
                                            StageName(stage), " is not finite"));
  }
  Observe([&](StepObserver& observer) { observer.OnStep(stage, loss); });
  progress_.StepDone(stage, loss);
  return absl::OkStatus();
}

at::Tensor StageContext::Normal(const at::Tensor& like) {
  return Drawn(random_.Normal(like.sizes()), like);
}

at::Tensor StageContext::Uniform(const at::Tensor& like) {
  return Drawn(random_.Uniform(like.sizes(), 0, 1), like);
}

NoiseDraw StageContext::Noise(const at::Tensor& latent, int64_t begin, int64_t end) {
  NoiseDraw draw;
  draw.noise = Normal(latent);
  draw.timestep = Drawn(random_.Timestep(end - begin), latent) + begin;
  return draw;
}

at::Tensor StageContext::Drawn(const at::Tensor& draw, const at::Tensor& like) {
  Observe([&](StepObserver& observer) { observer.OnDraw(draw); });
  return draw.to(like.device());
}

}  // namespace antidiffusion
