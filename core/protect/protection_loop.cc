#include "core/protect/protection_loop.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/full.h>

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_details.h"
#include "core/base/status_macros.h"
#include "core/protect/objective.h"
#include "core/protect/pgd.h"
#include "core/protect/tuning.h"
#include "core/protect/visibility_limit.h"
#include "core/tensor/device.h"

namespace antidiffusion {
namespace {

// One run of the algorithm. Blocks are numbered as in the paper: 0, then one for each epoch.
class Loop {
 public:
  Loop(const Surrogate& model, const std::vector<LatentEncoder*>& others, const WorkPiece& piece,
       const Plan& plan, StageContext& context)
      : model_(model),
        others_(others),
        original_(piece.original),
        plan_(plan),
        context_(context),
        image_(piece.original),
        budget_(piece.room.defined()
                    ? plan.budget * piece.room
                    : at::full({1, 1, 1, 1}, plan.budget, piece.original.options())) {
    if (plan.visibility > 0) limit_.emplace(original_, piece.scale, plan.visibility);
    if (plan.pgd.frequency_power > 0) {
      weight_.emplace(original_.size(2), original_.size(3), piece.scale, plan.pgd.frequency_power,
                      original_.options());
    }
  }

  absl::StatusOr<at::Tensor> Run() {
    if (plan_.uniform_noise) return AddNoise();
    if (plan_.raised.NeedUNet()) {
      AD_ASSIGN_OR_RETURN(conditioning_, model_.denoiser->Condition(plan_.prompt, original_.size(2),
                                                                    original_.size(3)));
    }
    AD_ASSIGN_OR_RETURN(objective_,
                        ImageObjective::Create(model_, others_, plan_, original_, context_));
    AD_RETURN_IF_ERROR(TunePromptBlock(0));
    AD_RETURN_IF_ERROR(AscendImageBlock(0));
    for (int epoch = 1; epoch <= plan_.epochs; ++epoch) {
      AD_RETURN_IF_ERROR(TuneSurrogateBlock(epoch));
      AD_RETURN_IF_ERROR(AscendImageBlock(epoch));
      if (epoch < plan_.epochs || plan_.prompt_tuning.after_last_pgd) {
        AD_RETURN_IF_ERROR(TunePromptBlock(epoch));
      }
    }
    return image_;
  }

 private:
  absl::Status TunePromptBlock(int block) {
    if (plan_.prompt_tuning.steps == 0) return absl::OkStatus();
    Begin(Stage::kPromptTuning, block);
    AD_ASSIGN_OR_RETURN(conditioning_, TunePrompt(*model_.denoiser, EncodedNow(), conditioning_,
                                                  plan_, block, context_));
    End(Stage::kPromptTuning, block, conditioning_.context);
    return absl::OkStatus();
  }

  absl::Status AscendImageBlock(int block) {
    if (plan_.pgd.steps == 0) return absl::OkStatus();
    Begin(Stage::kPgd, block);
    const StepRules rules = {.centre = plan_.pgd.centre_on_original ? original_ : image_,
                             .budget = budget_,
                             .weight = weight_.has_value() ? &*weight_ : nullptr,
                             .limit = limit_.has_value() ? &*limit_ : nullptr};
    if (block == 0 && plan_.pgd.random_start) image_ = AddNoise();
    AD_ASSIGN_OR_RETURN(image_, AscendImage(model_, *objective_, image_, rules, conditioning_,
                                            plan_, block, context_));
    encoded_.reset();
    End(Stage::kPgd, block, image_);
    return absl::OkStatus();
  }

  absl::Status TuneSurrogateBlock(int epoch) {
    if (plan_.surrogate_tuning.steps == 0) return absl::OkStatus();
    TrainableWeights& weights = model_.denoiser->weights();
    if (!plan_.surrogate_tuning.stale_gradients) weights.DropGradients();
    weights.BeginMoving();
    Begin(Stage::kSurrogateTuning, epoch);
    AD_RETURN_IF_ERROR(
        TuneSurrogate(*model_.denoiser, EncodedNow(), conditioning_, plan_, context_));
    End(Stage::kSurrogateTuning, epoch, {});
    return absl::OkStatus();
  }

  // The original plus uniform noise that fills the budget, within [-1,1].
  at::Tensor AddNoise() {
    at::Tensor noise = (2 * context_.Uniform(original_) - 1) * budget_;
    if (plan_.grey) noise = noise.slice(1, 0, 1);
    return (original_ + noise).clamp(-1, 1);
  }

  // The image as it is now. Encoded once, also for the two stages that follow one PGD block.
  const EncodedImage& EncodedNow() {
    if (!encoded_.has_value()) {
      const at::NoGradGuard no_grad;
      encoded_ = model_.Encode(image_);
    }
    return *encoded_;
  }

  void Begin(Stage stage, int block) {
    context_.Observe([&](StepObserver& observer) { observer.OnBlockBegin(stage, block); });
  }
  void End(Stage stage, int block, const at::Tensor& result) {
    context_.Observe([&](StepObserver& observer) { observer.OnBlockEnd(stage, block, result); });
  }

  const Surrogate& model_;
  const std::vector<LatentEncoder*>& others_;
  const at::Tensor& original_;
  const Plan& plan_;
  StageContext& context_;
  std::optional<ImageObjective> objective_;
  std::optional<VisibilityLimit> limit_;
  std::optional<FrequencyWeight> weight_;
  at::Tensor image_;
  at::Tensor budget_;  // see StepRules
  Conditioning conditioning_;
  std::optional<EncodedImage> encoded_;
};

absl::Status RestoreWeights(const Surrogate& model) {
  if (model.denoiser == nullptr) return absl::OkStatus();
  absl::Status restored = CatchTorch([&] {
    model.denoiser->weights().Restore();
    return absl::OkStatus();
  });
  if (restored.ok()) return restored;
  return WithReason(absl::InternalError(absl::StrCat("the model's weights could not be restored: ",
                                                     restored.message())),
                    {kWeightsNotRestored, {}});
}

}  // namespace

absl::StatusOr<at::Tensor> RunProtection(const Surrogate& model,
                                         const std::vector<LatentEncoder*>& others,
                                         const WorkPiece& piece, const Plan& plan,
                                         StageContext& context) {
  at::Tensor image;
  const absl::Status ran = CatchTorch([&]() -> absl::Status {
    Loop loop(model, others, piece, plan, context);
    AD_ASSIGN_OR_RETURN(image, loop.Run());
    return absl::OkStatus();
  });
  AD_RETURN_IF_ERROR(RestoreWeights(model));
  AD_RETURN_IF_ERROR(ran);
  return image;
}

}  // namespace antidiffusion
