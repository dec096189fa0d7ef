#include "core/protect/protection_loop.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros_like.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_details.h"
#include "core/base/status_macros.h"
#include "core/protect/pgd.h"
#include "core/protect/prompt_tuning.h"
#include "core/protect/surrogate_tuning.h"
#include "core/protect/weight_gradients.h"
#include "core/tensor/device.h"

namespace antidiffusion {
namespace {

constexpr double kLevelsPerUnit = 127.5;

CapturedLayers CapturedOf(SemanticLayers layers) {
  switch (layers) {
    case SemanticLayers::kWhole:
      return {.levels = 1U << 0};
    case SemanticLayers::kHalf:
      return {.levels = 1U << 1};
    case SemanticLayers::kQuarter:
      return {.levels = 1U << 2};
    case SemanticLayers::kMid:
      return {.levels = 0, .mid = true};
    case SemanticLayers::kAll:
      return {.levels = ~0U, .mid = true};
  }
  return {};
}

SemanticLossOptions SemanticOf(const SemanticOptions& options, const ModeRules& rules) {
  const SemanticForm of_mode =
      rules.clamped_semantic_loss ? SemanticForm::kClamped : SemanticForm::kConcentration;
  return {.all_heads = rules.all_heads,
          .mean_heads = options.heads == SemanticHeads::kMean,
          .form = options.form == SemanticForm::kOfMode ? of_mode : options.form,
          .layers = CapturedOf(options.layers),
          .weight = options.weight};
}

// A model without the layers that are taken as published goes without the semantic loss; those that
// a caller asked for must be there.
absl::Status CheckLayers(const StableDiffusion& model, const ProtectionPlan& plan) {
  const SemanticLayers layers = plan.semantic.layers;
  if (layers == SemanticLayers::kQuarter || !plan.stages.objective.semantic_loss ||
      model.HasCrossAttention(CapturedOf(layers))) {
    return absl::OkStatus();
  }
  return InvalidField("options.semantic_layers",
                      layers == SemanticLayers::kWhole ? "whole" : "half",
                      "layers with cross-attention in the model");
}

// One run of the algorithm. Blocks are numbered as in the paper: 0, then one for each epoch.
class Loop {
 public:
  Loop(StableDiffusion& model, UNetSnapshot& pristine, const at::Tensor& original,
       const ProtectionPlan& plan, StageContext& context)
      : model_(model),
        pristine_(pristine),
        original_(original),
        plan_(plan),
        context_(context),
        image_(original),
        embedding_(model.EncodePrompt(plan.prompt)) {
    context_.Keep("emb/init", embedding_);
  }

  // Whatever happened, the model leaves as it came. Where even that copy fails the device is lost,
  // and so is every later job on it.
  ~Loop() {
    DropWeightGradients(model_);
    if (!weights_moved_) return;
    CatchTorch([this] {
      pristine_.Restore();
      return absl::OkStatus();
    }).IgnoreError();
  }
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  absl::StatusOr<at::Tensor> Run() {
    if (plan_.stages.uniform_noise) return AddUniformNoise();
    const int epochs = plan_.schedule.epochs;
    AD_RETURN_IF_ERROR(TunePromptBlock(0));
    AD_RETURN_IF_ERROR(AscendImageBlock(0));
    for (int epoch = 1; epoch <= epochs; ++epoch) {
      AD_RETURN_IF_ERROR(TuneSurrogateBlock(epoch));
      AD_RETURN_IF_ERROR(AscendImageBlock(epoch));
      if (epoch < epochs || plan_.rules.last_prompt_tuning) {
        AD_RETURN_IF_ERROR(TunePromptBlock(epoch));
      }
    }
    return image_;
  }

 private:
  absl::Status TunePromptBlock(int block) {
    const Schedule& schedule = plan_.schedule;
    if (schedule.prompt_steps == 0) return absl::OkStatus();
    const PromptTuningOptions options = {
        .steps = schedule.prompt_steps,
        .learning_rate = schedule.prompt_lr,
        .target =
            plan_.rules.prompt_target_is_noise ? LossTarget::kNoise : LossTarget::kByPredictionType,
        .gather_weight_gradients = block > 0 && GradientsGoStale(block)};
    AD_ASSIGN_OR_RETURN(embedding_,
                        TunePrompt(model_, ImagePosterior(), embedding_, options, context_));
    context_.Keep(absl::StrCat("emb/", block), embedding_);
    return absl::OkStatus();
  }

  absl::Status AscendImageBlock(int block) {
    const Schedule& schedule = plan_.schedule;
    if (schedule.pgd_steps == 0) return absl::OkStatus();
    const PgdOptions options = {.steps = schedule.pgd_steps,
                                .step_size = schedule.step_size_levels / kLevelsPerUnit,
                                .budget = schedule.budget_levels / kLevelsPerUnit,
                                .objective = plan_.stages.objective,
                                .semantic = SemanticOf(plan_.semantic, plan_.rules),
                                .target = TargetLatent(),
                                .refinements = schedule.refinements,
                                .tie_channels = plan_.tie_channels,
                                .gather_last_weight_gradients = GradientsGoStale(block)};
    const at::Tensor centre = plan_.rules.centre_on_original ? original_ : image_;
    AD_ASSIGN_OR_RETURN(image_, AscendImage(model_, image_, centre, embedding_, options, context_));
    posterior_ = {};
    context_.Keep(absl::StrCat("image/", block), image_);
    return absl::OkStatus();
  }

  absl::Status TuneSurrogateBlock(int epoch) {
    const Schedule& schedule = plan_.schedule;
    if (schedule.tuning_steps == 0) return absl::OkStatus();
    const SurrogateTuningOptions options = {.steps = schedule.tuning_steps,
                                            .learning_rate = schedule.tuning_lr,
                                            .clip_norm = plan_.rules.clip_norm,
                                            .start_from_zero = !plan_.rules.stale_gradients};
    weights_moved_ = true;
    AD_RETURN_IF_ERROR(TuneSurrogate(model_, ImagePosterior(), embedding_, options, context_));
    if (context_.trace() != nullptr) {
      if (epoch == 1) context_.BeginCurve("unet_drift");
      context_.AddToCurve("unet_drift", pristine_.Drift());
    }
    return absl::OkStatus();
  }

  at::Tensor AddUniformNoise() {
    const double budget = plan_.schedule.budget_levels / kLevelsPerUnit;
    at::Tensor noise = context_.random().Uniform(original_.sizes(), -budget, budget);
    if (plan_.tie_channels) noise = noise.slice(1, 0, 1);
    return (original_ + noise.to(original_.device())).clamp(-1, 1);
  }

  // Whether the weight gradients of this block are still there when surrogate tuning begins.
  bool GradientsGoStale(int block) const {
    return plan_.rules.stale_gradients && plan_.schedule.tuning_steps > 0 &&
           block < plan_.schedule.epochs;
  }

  // Of the image as it is now. Encoded once, also for the two stages that follow one PGD phase.
  const LatentPosterior& ImagePosterior() {
    if (!posterior_.mean.defined()) {
      const at::NoGradGuard no_grad;
      posterior_ = model_.EncodeImage(image_);
    }
    return posterior_;
  }

  const at::Tensor& TargetLatent() {
    if (plan_.stages.objective.encoder_weight != 0 && !target_.defined()) {
      const at::NoGradGuard no_grad;
      target_ = model_.EncodeImage(at::zeros_like(original_)).mean;
    }
    return target_;
  }

  StableDiffusion& model_;
  UNetSnapshot& pristine_;
  const at::Tensor& original_;
  const ProtectionPlan& plan_;
  StageContext& context_;
  at::Tensor image_;
  at::Tensor embedding_;
  LatentPosterior posterior_;
  at::Tensor target_;
  bool weights_moved_ = false;
};

}  // namespace

ProtectionPlan MakePlan(const ProtectionOptions& options, bool grey) {
  return {.stages = StagesOf(options.method),
          .rules = RulesOf(options.mode),
          .schedule = ResolveSchedule(options),
          .semantic = options.semantic,
          .prompt = options.prompt,
          .tie_channels = grey};
}

absl::StatusOr<at::Tensor> RunProtection(StableDiffusion& model, UNetSnapshot& pristine,
                                         const at::Tensor& original, const ProtectionPlan& plan,
                                         StageContext& context) {
  AD_RETURN_IF_ERROR(CheckLayers(model, plan));
  Loop loop(model, pristine, original, plan, context);
  return loop.Run();
}

}  // namespace antidiffusion
