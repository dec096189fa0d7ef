// What PGD raises: a sum of terms over one image, under one model and the encoders of others.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "absl/status/statusor.h"
#include "core/protect/plan.h"
#include "core/protect/stage_context.h"
#include "core/surrogate/surrogate.h"

namespace antidiffusion {

// Scalars on the image's graph; what is no part of the objective is undefined. `total` is the sum
// of weight * sign * term, in which the semantic term alone has the sign -1.
struct LossTerms {
  at::Tensor total;
  at::Tensor denoising;       // or score distillation, which has its value
  at::Tensor semantic;        // also undefined where the model has not the layers
  at::Tensor image_guidance;  // -mse(prediction with the photograph, prediction without)
  // Of encoders, z the latent's mean and x the original; means over the encoders.
  at::Tensor away;    // sum((z(x') - z(x))^2) / sum(z(x)^2)
  at::Tensor norm;    // -sum(z(x')^2) / sum(z(x)^2)
  at::Tensor target;  // -mse(z(x'), z(uniform mid-grey)): holds nothing of the photograph
  std::vector<at::Tensor> encoders;  // the weighted sum of the three for each encoder
};

// One job's. Thread-compatible; borrows all its parts, which must outlive it.
class ImageObjective {
 public:
  // `others`: the encoders of options.also. Encodes `original` [1,3,H,W] with each encoder that is
  // compared, once, and grey where the plan needs it. CANCELLED, DEADLINE_EXCEEDED.
  static absl::StatusOr<ImageObjective> Create(const Surrogate& model,
                                               const std::vector<LatentEncoder*>& others,
                                               const Plan& plan, const at::Tensor& original,
                                               const StageContext& context);

  // The terms of `image` under fresh draws of `context`: a posterior sample, noise, a timestep;
  // none without a term that needs the UNet.
  LossTerms Evaluate(const at::Tensor& image, const Conditioning& conditioning,
                     StageContext& context) const;

 private:
  ImageObjective(const Surrogate& model, const Plan& plan) : model_(&model), plan_(&plan) {}

  struct Compared {
    LatentEncoder* encoder;
    at::Tensor original;  // latent of the original
    at::Tensor size;      // sum of its squares
    at::Tensor target;    // latent of grey
  };

  void AddUNetTerms(const EncodedImage& encoded, const Conditioning& conditioning,
                    StageContext& context, LossTerms& terms) const;
  void AddEncoderTerms(const at::Tensor& image, const LatentPosterior& own, LossTerms& terms) const;

  const Surrogate* model_;
  const Plan* plan_;
  std::vector<Compared> compared_;
};

}  // namespace antidiffusion
