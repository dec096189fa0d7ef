// What every stage of a job shares: its random numbers, its progress, and who looks on.
#pragma once

#include <ATen/core/Tensor.h>

#include "absl/status/status.h"
#include "core/protect/progress_meter.h"
#include "core/surrogate/surrogate.h"
#include "core/tensor/random.h"

namespace antidiffusion {

struct LossTerms;  // objective.h

// Sees the inner values of a run. Production has none. Tensors are the run's own: to be read, or
// copied, before the call returns.
class StepObserver {
 public:
  virtual ~StepObserver() = default;

  // Each random number drawn, in order, on the CPU.
  virtual void OnDraw(const at::Tensor& /*draw*/) {}

  // Before the first step of a block, and after its last with what it made: the embedding, the
  // image, or, for surrogate tuning, nothing. Blocks are numbered from 0, one for each PGD.
  virtual void OnBlockBegin(Stage /*stage*/, int /*block*/) {}
  virtual void OnBlockEnd(Stage /*stage*/, int /*block*/, const at::Tensor& /*result*/) {}

  // A draw's terms in PGD, on the graph of `image`, before the gradient is taken.
  virtual void OnPgdLoss(const LossTerms& /*terms*/, const at::Tensor& /*image*/) {}

  // After a gradient was taken: with respect to the embedding or the image (all draws of the step
  // so far), or undefined in surrogate tuning, where it is in the weights.
  virtual void OnGradient(Stage /*stage*/, const at::Tensor& /*gradient*/) {}

  // A step done, with its loss before the step.
  virtual void OnStep(Stage /*stage*/, double /*loss*/) {}
};

// Thread-compatible; borrows all three, which must outlive it.
class StageContext {
 public:
  StageContext(Random& random, ProgressMeter& progress, StepObserver* observer = nullptr)
      : random_(random), progress_(progress), observer_(observer) {}

  // Before a step or a part of one (see ProgressMeter::Check).
  absl::Status Check(Stage stage) const { return progress_.Check(stage); }

  // After a step. INTERNAL, and no step done, when `loss` is not finite: the image would come back
  // untouched, or worse, as a success.
  absl::Status FinishStep(Stage stage, double loss);

  // The job's next draws, on the CPU generator, moved to where they are used.
  at::Tensor Normal(const at::Tensor& like);
  at::Tensor Uniform(const at::Tensor& like);  // [0, 1)
  // Noise and a timestep in [begin, end) for a latent.
  NoiseDraw Noise(const at::Tensor& latent, int64_t begin, int64_t end);

  // Calls `event` with the observer, if there is one.
  template <typename Event>
  void Observe(const Event& event) {
    if (observer_ != nullptr) event(*observer_);
  }

 private:
  at::Tensor Drawn(const at::Tensor& draw, const at::Tensor& like);

  Random& random_;
  ProgressMeter& progress_;
  StepObserver* observer_;
};

}  // namespace antidiffusion
