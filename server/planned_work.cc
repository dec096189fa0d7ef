#include "server/planned_work.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "core/base/status_details.h"
#include "core/protect/plan.h"

namespace antidiffusion {
namespace {

constexpr double kUsualSide = 512;      // of a model without a native side, pixels
constexpr double kLargestSide = 1024;   // the short side that such a model works at, at most
constexpr double kLongestPiece = 4;     // in short sides; longer images are cut into pieces
constexpr double kOverlap = 4.0 / 3.0;  // of pieces that share a quarter of their length

// The size worked on, in squares of the model's native side.
double Squares(const ModelInfo& model, const ImageHeader& image) {
  const double shorter = std::min(image.width, image.height);
  const double longer = std::max(image.width, image.height);
  const double ratio = longer / std::max(shorter, 1.0);
  const double scale = model.native_side > 0 || model.name.empty()
                           ? 1
                           : std::min(shorter, kLargestSide) / kUsualSide;
  return scale * scale * ratio * (ratio > kLongestPiece ? kOverlap : 1);
}

// UNet and encoder passes of one square.
int64_t PassesOf(const Plan& plan, int64_t further_encoders) {
  const StepCounts steps = CountSteps(plan);
  const bool uses_unet = plan.raised.NeedUNet();
  // Guidance is the difference of two passes.
  const int64_t of_a_draw = uses_unet ? (plan.raised.image_guidance > 0 ? 2 : 1) : 0;
  const int64_t unet = int64_t{steps.prompt_tuning} + steps.surrogate_tuning +
                       int64_t{steps.pgd} * plan.pgd.draws * of_a_draw;
  const int64_t own_encoder = uses_unet || plan.compares_own_encoder ? 1 : 0;
  return unet + steps.pgd * (own_encoder + further_encoders);
}

}  // namespace

int64_t PlannedPasses(const ProtectionOptions& options, const ModelInfo& model,
                      const ImageHeader& image) {
  const Plan plan = MakePlan(options, model, /*grey=*/false);
  const int64_t passes = PassesOf(plan, static_cast<int64_t>(options.also.size()));
  return std::max(1LL, std::llround(static_cast<double>(passes) * Squares(model, image)));
}

absl::Status CheckPlannedPasses(const ProtectionOptions& options, const ModelInfo& model,
                                const ImageHeader& image, int64_t limit) {
  if (limit == 0) return absl::OkStatus();
  const int64_t planned = PlannedPasses(options, model, image);
  if (planned <= limit) return absl::OkStatus();
  return InvalidField("options", absl::StrCat(planned, " planned passes"),
                      absl::StrCat("at most ", limit, " for a job"));
}

}  // namespace antidiffusion
