// What every stage of a job shares: its random numbers, its progress, and what tests want to see.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "core/protect/progress_meter.h"
#include "core/tensor/random.h"

namespace antidiffusion {

// The inner values of a run, named as in tests/golden. Tests give one; production gives none.
struct Trace {
  std::vector<at::Tensor> draws;                                   // in order
  std::map<std::string, at::Tensor> tensors;                       // emb/0, image/0, first/pgd_grad
  std::map<std::string, std::vector<std::vector<double>>> curves;  // a row for each block
  int64_t unet_backwards = 0;
  int64_t weight_gradient_backwards = 0;  // of those, with gradients of the UNet's weights
};

// Thread-compatible; borrows all three, which must outlive it.
class StageContext {
 public:
  StageContext(Random& random, ProgressMeter& progress, Trace* trace = nullptr)
      : random_(random), progress_(progress), trace_(trace) {}

  // Before a step (see ProgressMeter::Check).
  absl::Status Check(Stage stage) const { return progress_.Check(stage); }
  void StepDone(Stage stage, double loss) { progress_.StepDone(stage, loss); }

  // The job's next draws, moved to `device`; noise has the shape of `like`, a timestep [1] int64.
  at::Tensor NoiseLike(const at::Tensor& like);
  at::Tensor Timestep(int64_t limit, c10::Device device);
  Random& random() { return random_; }

  Trace* trace() const { return trace_; }
  // Notes for the trace; nothing without one.
  void CountBackward(bool weight_gradients);
  void BeginCurve(const std::string& name);
  void AddToCurve(const std::string& name, double value);
  void Keep(const std::string& name, const at::Tensor& tensor);
  // `tensor` only if nothing was kept under `name` yet.
  void KeepFirst(const std::string& name, const at::Tensor& tensor);

 private:
  Random& random_;
  ProgressMeter& progress_;
  Trace* trace_;
};

}  // namespace antidiffusion
