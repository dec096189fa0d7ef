#include "core/api/method_table.h"

#include <algorithm>

namespace antidiffusion {
namespace {

constexpr ObjectiveTerm kDenoising[] = {{Objective::kDenoising}};
constexpr ObjectiveTerm kAntiDiffusion[] = {{Objective::kDenoising}, {Objective::kSemantic}};
constexpr ObjectiveTerm kScoreDistillation[] = {{Objective::kScoreDistillation}};
constexpr ObjectiveTerm kTarget[] = {{Objective::kTarget}};
constexpr ObjectiveTerm kMist[] = {{Objective::kDenoising},
                                   {Objective::kTarget, 4 * 64 * 64 / 1e4}};

struct Row {
  Method method;
  const char* name;
  MethodPreset preset;
};

constexpr Row kTable[] = {
    {Method::kAntiDiffusion, "anti_diffusion", {true, true, kAntiDiffusion}},
    {Method::kAntiDiffusionNoPt, "anti_diffusion_no_pt", {false, true, kAntiDiffusion}},
    {Method::kAntiDiffusionNoSdl, "anti_diffusion_no_sdl", {true, true, kDenoising}},
    {Method::kAntiDiffusionNoTuning, "anti_diffusion_no_tuning", {true, false, kAntiDiffusion}},
    {Method::kAdvDm, "advdm", {false, false, kDenoising}},
    {Method::kPhotoGuard, "photoguard", {false, false, kTarget}},
    {Method::kMist, "mist", {false, false, kMist}},
    {Method::kAntiDreamBooth, "anti_dreambooth", {false, true, kDenoising}},
    {Method::kSds, "sds", {false, false, kScoreDistillation}},
    {Method::kNoise, "noise", {}},
};

const Row& RowOf(Method method) {
  return *std::find_if(std::begin(kTable), std::end(kTable) - 1,
                       [method](const Row& row) { return row.method == method; });
}

}  // namespace

MethodPreset PresetOf(Method method) { return RowOf(method).preset; }

std::string MethodName(Method method) { return RowOf(method).name; }

std::vector<ObjectiveTerm> ObjectivesOf(const ProtectionOptions& options) {
  std::vector<ObjectiveTerm> terms = options.objectives;
  if (terms.empty()) {
    const std::span<const ObjectiveTerm> usual = PresetOf(options.method).objectives;
    terms.assign(usual.begin(), usual.end());
  }
  const bool compares = std::any_of(terms.begin(), terms.end(), [](const ObjectiveTerm& term) {
    return ComparesLatents(term.objective);
  });
  if (!options.also.empty() && !compares) terms.push_back({Objective::kAway, 1});
  return terms;
}

bool NeedsUNet(Objective objective) { return !ComparesLatents(objective); }

bool ComparesLatents(Objective objective) {
  return objective == Objective::kAway || objective == Objective::kNorm ||
         objective == Objective::kTarget;
}

std::string ObjectiveName(Objective objective) {
  switch (objective) {
    case Objective::kDenoising:
      return "denoising";
    case Objective::kScoreDistillation:
      return "score_distillation";
    case Objective::kSemantic:
      return "semantic";
    case Objective::kImageGuidance:
      return "image_guidance";
    case Objective::kAway:
      return "away";
    case Objective::kNorm:
      return "norm";
    case Objective::kTarget:
      return "target";
  }
  return "unknown";
}

}  // namespace antidiffusion
