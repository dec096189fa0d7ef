// Golden models and runs: what they are loaded as, and what a run shows.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/protect/protection_loop.h"
#include "core/surrogate/surrogate.h"

namespace antidiffusion {

// A tiny model below tests/golden/models or, of the other families, tests/golden/families/models,
// in fp32 on the CPU, as the program loads it. Throws when that fails.
Surrogate LoadGoldenModel(const std::string& name);

// bk-like, inpaint-like, pix2pix-like, sdxl-like.
const std::vector<std::string>& GoldenFamilyNames();

// Where the golden values of a model of either set lie, as GoldenValues wants it.
std::string GoldenValuesFolder(const std::string& name);

// The picture of a model's runs, [1,3,H,W]: of the families image.png.
at::Tensor GoldenPicture(const std::string& name);

// The plan of `options` for a model, as a protector makes it.
Plan PlanFor(const Surrogate& model, const ProtectionOptions& options, bool grey = false);

// L2 norm of all gradients of the weights, in float64; 0 without any.
double GradientNorm(const std::vector<at::Tensor>& weights);

// Keeps what golden runs hold, under their names (tests/golden/README.md).
class RunRecorder : public StepObserver {
 public:
  // `encoder_names`: of those whose latents are compared, in their order.
  explicit RunRecorder(const Surrogate& model, std::vector<std::string> encoder_names = {});

  void OnDraw(const at::Tensor& draw) override { draws.push_back(draw); }
  void OnBlockBegin(Stage stage, int block) override;
  void OnBlockEnd(Stage stage, int block, const at::Tensor& result) override;
  void OnPgdLoss(const LossTerms& terms, const at::Tensor& image) override;
  void OnGradient(Stage stage, const at::Tensor& gradient) override;
  void OnStep(Stage stage, double loss) override;

  std::vector<at::Tensor> draws;                      // in order
  std::map<std::string, at::Tensor> tensors;          // emb/0, image/0, first/pgd_grad
  std::map<std::string, std::vector<double>> curves;  // of all blocks, one after the other
  int64_t gradients = 0;                              // taken
  int64_t weight_gradients = 0;                       // of those, with some of the UNet's weights

 private:
  void KeepFirst(const std::string& name, const at::Tensor& tensor);
  // The gradient of one term alone.
  void KeepFirstGradient(const std::string& name, const at::Tensor& term, const at::Tensor& image);
  void Add(const std::string& curve, const at::Tensor& term);

  std::vector<at::Tensor> weights_;  // of the UNet
  std::vector<at::Tensor> before_;   // copies of them
  std::vector<std::string> encoder_names_;
};

}  // namespace antidiffusion
