#include "core/protect/local_protector.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/full.h>
#include <ATen/ops/isfinite.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/api/capabilities.h"
#include "core/base/status_details.h"
#include "core/base/status_macros.h"
#include "core/image/similarity.h"
#include "core/protect/image_seed.h"
#include "core/protect/memory_plan.h"
#include "core/protect/protection_loop.h"
#include "core/protect/report.h"
#include "core/protect/semantic_loss.h"
#include "core/protect/visibility_limit.h"
#include "core/tensor/device.h"
#include "core/tensor/image_tensor.h"

namespace antidiffusion {
namespace {

constexpr int kMinSide = 64;            // pixels
constexpr int64_t kTestSide = 8;        // latent cells of the self-test: what three halvings need
constexpr int64_t kTestTimestep = 500;  // about the middle of the schedule
constexpr int64_t kLatentMultiple = 4;  // the captured attention grid is a quarter of the latent

absl::Status CheckImage(const Image& image) {
  if (image.width < kMinSide || image.height < kMinSide) {
    return InvalidField("image", absl::StrCat(image.width, "x", image.height),
                        absl::StrCat("sides of at least ", kMinSide, " pixels"));
  }
  if (image.channels != 1 && image.channels != 3) {
    return InvalidField("image", absl::StrCat(image.channels, " channels"), "1 or 3 channels");
  }
  if (image.pixels.size() != image.size()) {
    return InvalidField("image", absl::StrCat(image.pixels.size(), " samples"),
                        absl::StrCat(image.size(), " samples"));
  }
  return absl::OkStatus();
}

std::string LayersName(SemanticLayers layers) {
  switch (layers) {
    case SemanticLayers::kQuarter:
      return "quarter";
    case SemanticLayers::kHalf:
      return "half";
    case SemanticLayers::kWhole:
      return "whole";
    case SemanticLayers::kMid:
      return "mid";
    case SemanticLayers::kAll:
      return "all";
  }
  return "unknown";
}

// Layers other than the published ones must be there. Without those, a method's semantic term is
// left out (MakePlan), and one that a caller names is refused (CheckCapabilities).
absl::Status CheckSemanticLayers(const Surrogate& model, const Plan& plan) {
  if (plan.raised.semantic == 0 ||
      model.denoiser->HasCrossAttention(CapturedOf(plan.semantic.layers))) {
    return absl::OkStatus();
  }
  return InvalidField("options.experimental.semantic_layers", LayersName(plan.semantic.layers),
                      "layers with cross-attention in the model");
}

// Steps of all pieces; a job too long to count in an int is shown as the largest one.
StepCounts TimesPieces(const StepCounts& steps, size_t pieces) {
  const auto times = [pieces](int count) {
    constexpr int64_t kMost = std::numeric_limits<int>::max() / 4;
    return static_cast<int>(std::min(kMost, int64_t{count} * static_cast<int64_t>(pieces)));
  };
  return {.prompt_tuning = times(steps.prompt_tuning),
          .pgd = times(steps.pgd),
          .surrogate_tuning = times(steps.surrogate_tuning)};
}

// A pass of the UNet, or of the encoder where there is none.
absl::StatusOr<at::Tensor> TinyPass(const Surrogate& model) {
  const auto filled = [&](int64_t channels, int64_t side) {
    return at::full({1, channels, side, side}, 0.5, at::TensorOptions().device(model.device));
  };
  const int64_t pixels = kTestSide * model.encoder->factor();
  if (model.denoiser == nullptr) return model.encoder->Mean(filled(3, pixels));
  const int64_t channels = model.encoder->latent_channels();
  LatentPosterior posterior;
  posterior.mean = filled(channels, kTestSide);
  posterior.unscaled_mean = posterior.mean;
  AD_ASSIGN_OR_RETURN(const Conditioning prompt, model.denoiser->Condition("", pixels, pixels));
  return model.denoiser->Predict(posterior.mean,
                                 at::full({1}, kTestTimestep, at::kLong).to(model.device), prompt,
                                 model.denoiser->ExtraChannels(filled(3, pixels), posterior));
}

}  // namespace

ModelInfo DescribeSurrogate(const Surrogate& model, const std::string& name) {
  ModelInfo info;
  info.name = name;
  info.family = model.family;
  info.native_side = static_cast<int>(model.native_side);
  info.digest = model.digest;
  info.notes = model.notes;
  info.device = model.device.str();
  info.precision = PrecisionName(model.precision);
  info.latent_channels = static_cast<int>(model.encoder->latent_channels());
  if (model.denoiser == nullptr) return info;
  info.prediction_type = model.denoiser->prediction_type();
  info.denoises = true;
  info.has_semantic_layers =
      model.denoiser->HasCrossAttention(CapturedOf(SemanticLayers::kQuarter));
  info.guides_by_image = model.denoiser->guides_by_image();
  return info;
}

LocalProtector::LocalProtector(Surrogate model, const std::string& name, LoadedModels& loaded,
                               std::function<int64_t()> free_memory)
    : model_(std::move(model)),
      info_(DescribeSurrogate(model_, name)),
      loaded_(loaded),
      free_memory_(std::move(free_memory)) {
  loaded_.Add(info_.name, *model_.encoder);
}

LocalProtector::~LocalProtector() { loaded_.Remove(info_.name, *model_.encoder); }

absl::StatusOr<ProtectionResult> LocalProtector::Protect(const Image& image,
                                                         const ProtectionOptions& options,
                                                         const RunContext& run) {
  AD_RETURN_IF_ERROR(lost_);
  AD_RETURN_IF_ERROR(options.Validate());
  AD_RETURN_IF_ERROR(CheckCapabilities(options, info_));
  AD_RETURN_IF_ERROR(CheckImage(image));
  ProtectionResult result;
  const absl::Status status = CatchTorch([&]() -> absl::Status {
    AD_ASSIGN_OR_RETURN(result, ProtectImage(image, options, run));
    return absl::OkStatus();
  });
  const auto reason = GetErrorReason(status);
  if (reason.has_value() && reason->reason == kWeightsNotRestored) lost_ = status;
  AD_RETURN_IF_ERROR(status);
  return result;
}

absl::Status LocalProtector::SelfTest() {
  AD_RETURN_IF_ERROR(lost_);
  return CatchTorch([&]() -> absl::Status {
    const at::NoGradGuard no_grad;
    AD_ASSIGN_OR_RETURN(const at::Tensor result, TinyPass(model_));
    if (at::isfinite(result).all().item<bool>()) return absl::OkStatus();
    return absl::InternalError("the device computes what is not finite");
  });
}

DeviceMemory LocalProtector::memory() const {
  DeviceMemory memory;
  const absl::Status told = CatchTorch([&] {
    const MemoryUse use = GetMemoryUse(model_.device);
    memory = {.used = use.used, .reserved = use.reserved, .total = use.total};
    return absl::OkStatus();
  });
  return told.ok() ? memory : DeviceMemory{};
}

absl::StatusOr<ProtectionResult> LocalProtector::ProtectImage(const Image& image,
                                                              const ProtectionOptions& options,
                                                              const RunContext& run) {
  const Plan plan = MakePlan(options, info_, image.channels == 1);
  AD_RETURN_IF_ERROR(CheckSemanticLayers(model_, plan));
  AD_ASSIGN_OR_RETURN(const Encoders others, FindEncoders(options, plan));
  AD_ASSIGN_OR_RETURN(const WorkRules rules, RulesFor(plan, others));
  AD_ASSIGN_OR_RETURN(const WorkGrid grid, PlanWork(image.height, image.width, rules));
  SetRecompute(rules.memory.Recomputes(grid.height * grid.width), others);
  const bool full = options.report == ReportLevel::kFull;
  ProgressMeter progress(run, TimesPieces(CountSteps(plan), grid.pieces.size()),
                         full ? kReportSteps : 0);
  ProtectionResult result;
  result.seed = options.seed.value_or(SeedOf(image));
  result.bound = plan.bound;
  result.visibility = plan.visibility;
  Random random(result.seed);
  StageContext context(random, progress);
  const int64_t passes_before = UNetPasses();
  const Margins margins = plan.visibility > 0 ? FindMargins(image) : Margins{};
  AD_ASSIGN_OR_RETURN(const at::Tensor difference,
                      Difference(image, grid, margins, plan, others, context));
  result.unet_passes = UNetPasses() - passes_before;
  if (plan.visibility > 0) {
    AD_ASSIGN_OR_RETURN(result.image, ApplyUnseen(image, difference, result.bound, plan.visibility,
                                                  margins, progress));
  } else {
    result.image = ApplyDifference(image, difference, result.bound);
  }
  AD_ASSIGN_OR_RETURN(result.max_difference, MaxDifference(image, result.image));
  if (full) {
    AD_ASSIGN_OR_RETURN(result.full, MakeFullReport(model_, image, result.image, grid, progress));
  }
  result.stage_seconds = progress.stage_seconds();
  return result;
}

absl::StatusOr<LocalProtector::Encoders> LocalProtector::FindEncoders(
    const ProtectionOptions& options, const Plan& plan) {
  Encoders encoders;
  std::set<std::string> seen;
  if (plan.compares_own_encoder && !options.also.empty()) seen.insert(model_.encoder->digest());
  for (const std::string& name : options.also) {
    LatentEncoder* const encoder = loaded_.Find(name);
    if (encoder == nullptr) {
      return absl::NotFoundError(absl::StrCat("options.also: no model ", name, " is loaded"));
    }
    if (!seen.insert(encoder->digest()).second) continue;
    // One pass is enough where the first model's VAE is the same.
    const bool is_own = encoder->digest() == model_.encoder->digest();
    encoders.push_back(is_own ? model_.encoder.get() : encoder);
  }
  return encoders;
}

absl::StatusOr<WorkRules> LocalProtector::RulesFor(const Plan& plan, const Encoders& others) {
  WorkRules rules;
  rules.native_side = model_.native_side;
  rules.side_multiple =
      model_.encoder->factor() * (model_.denoiser != nullptr ? kLatentMultiple : 1);
  for (const LatentEncoder* encoder : others) {
    rules.side_multiple = std::lcm(rules.side_multiple, encoder->factor());
    if (rules.native_side % encoder->factor() == 0) continue;
    return InvalidField("options.also",
                        absl::StrCat("an encoder of ", encoder->factor(), " pixels a cell"),
                        absl::StrCat("encoders whose cells fit into ", rules.native_side,
                                     " pixels, the side that ", info_.name, " works at"));
  }
  rules.memory = PlanMemory(model_, others, plan, free_memory_());
  return rules;
}

void LocalProtector::SetRecompute(bool on, const Encoders& others) const {
  model_.encoder->Recompute(on);
  if (model_.denoiser != nullptr) model_.denoiser->Recompute(on);
  for (LatentEncoder* encoder : others) encoder->Recompute(on);
}

absl::StatusOr<at::Tensor> LocalProtector::Difference(const Image& image, const WorkGrid& grid,
                                                      const Margins& margins, const Plan& plan,
                                                      const Encoders& others,
                                                      StageContext& context) {
  PieceBlender blender(image.height, image.width, grid.pieces);
  for (size_t i = 0; i < grid.pieces.size(); ++i) {
    const ImagePiece& piece = grid.pieces[i];
    const double scale = static_cast<double>(piece.height) / static_cast<double>(grid.height);
    const WorkPiece work = {Resize(ImageToTensor(Cut(image, piece)), grid.height, grid.width)
                                .clamp(-1, 1)
                                .to(model_.device),
                            scale, MarginsOf(piece, image, margins, scale)};
    AD_ASSIGN_OR_RETURN(const at::Tensor moved, RunProtection(model_, others, work, plan, context));
    blender.Add(i, Resize((moved - work.original).cpu(), piece.height, piece.width));
  }
  return blender.Result();
}

int64_t LocalProtector::UNetPasses() const {
  return model_.denoiser == nullptr ? 0 : model_.denoiser->forwards();
}

}  // namespace antidiffusion
