#include "core/protect/local_protector.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
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
#include "core/image/change_room.h"
#include "core/image/samples.h"
#include "core/image/similarity.h"
#include "core/protect/image_seed.h"
#include "core/protect/memory_plan.h"
#include "core/protect/protection_loop.h"
#include "core/protect/report.h"
#include "core/protect/semantic_loss.h"
#include "core/protect/surrogate_info.h"
#include "core/protect/visibility_limit.h"
#include "core/tensor/device.h"
#include "core/tensor/image_tensor.h"

namespace antidiffusion {
namespace {

constexpr int kMinSide = 64;            // pixels
constexpr int64_t kLatentMultiple = 4;  // the captured attention grid is a quarter of the latent

absl::Status CheckImage(const Image& image) {
  if (image.width < kMinSide || image.height < kMinSide) {
    return InvalidField("image", absl::StrCat(image.width, "x", image.height),
                        absl::StrCat("sides of at least ", kMinSide, " pixels"));
  }
  if (image.channels < 1 || image.channels > 4) {
    return InvalidField("image", absl::StrCat(image.channels, " channels"), "1 to 4 channels");
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

bool HasAlpha(const Image& image) { return image.channels % 2 == 0; }

// What a piece may use of the budget at the size that it is worked on; undefined where the image
// has no room of its own.
at::Tensor RoomOf(const Image& room, const ImagePiece& piece, const WorkGrid& grid,
                  const at::Device& device) {
  if (room.pixels.empty()) return {};
  return Resize(RoomToTensor(Cut(room, piece)), grid.height, grid.width).clamp(0, 1).to(device);
}

}  // namespace

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
    AD_ASSIGN_OR_RETURN(result, HasAlpha(image) ? ProtectColours(image, options, run)
                                                : ProtectImage(image, {}, options, run));
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

absl::StatusOr<ProtectionResult> LocalProtector::ProtectColours(const Image& image,
                                                                const ProtectionOptions& options,
                                                                const RunContext& run) {
  Picture picture;
  SplitSamples(image.pixels, image.width, image.height, image.channels, picture);
  AD_ASSIGN_OR_RETURN(ProtectionResult result,
                      ProtectImage(picture.image, picture.alpha, options, run));
  picture.image = std::move(result.image);
  result.image = {image.width, image.height, image.channels, JoinSamples(picture, false)};
  return result;
}

absl::StatusOr<ProtectionResult> LocalProtector::ProtectImage(const Image& image,
                                                              const std::vector<uint8_t>& alpha,
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
  const bool bounded = plan.visibility > 0 || plan.texture > 0;
  const Image room = bounded ? FindRoom(image, alpha, plan.texture) : Image{};
  AD_ASSIGN_OR_RETURN(const at::Tensor difference,
                      Difference(image, grid, room, plan, others, context));
  result.unet_passes = UNetPasses() - passes_before;
  if (plan.visibility > 0) {
    AD_ASSIGN_OR_RETURN(result.image, ApplyUnseen(image, difference, result.bound, room,
                                                  plan.visibility, progress));
  } else {
    result.image = ApplyDifference(image, difference, result.bound, room);
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
                                                      const Image& room, const Plan& plan,
                                                      const Encoders& others,
                                                      StageContext& context) {
  PieceBlender blender(image.height, image.width, grid.pieces);
  for (size_t i = 0; i < grid.pieces.size(); ++i) {
    const ImagePiece& piece = grid.pieces[i];
    const double scale = static_cast<double>(piece.height) / static_cast<double>(grid.height);
    const WorkPiece work = {Resize(ImageToTensor(Cut(image, piece)), grid.height, grid.width)
                                .clamp(-1, 1)
                                .to(model_.device),
                            scale, RoomOf(room, piece, grid, model_.device)};
    AD_ASSIGN_OR_RETURN(const at::Tensor moved, RunProtection(model_, others, work, plan, context));
    blender.Add(i, Resize((moved - work.original).cpu(), piece.height, piece.width));
  }
  return blender.Result();
}

int64_t LocalProtector::UNetPasses() const {
  return model_.denoiser == nullptr ? 0 : model_.denoiser->forwards();
}

}  // namespace antidiffusion
