// What a caller may ask of a protection. Free of torch: the server fills it in.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace antidiffusion {

enum class Method {
  kAntiDiffusion,
  kAntiDiffusionNoPt,
  kAntiDiffusionNoSdl,
  kAntiDiffusionNoTuning,
  kAdvDm,
  kPhotoGuard,
  kMist,
  kAntiDreamBooth,
  kSds,
  kNoise,
};

// kPaper: mended, the budget holds against the original. kReleased: what the published script does
// when run (docs/algorithm.md).
enum class Mode { kPaper, kReleased };

enum class Effort { kDraft, kStandard, kStrong, kPublished };

// What PGD raises: a sum of terms, each with its weight (docs/algorithm.md, "Objectives").
enum class Objective {
  kDenoising,          // the denoising loss, its gradient taken through the UNet
  kScoreDistillation,  // the same loss without the UNet's Jacobian (SDS); excludes kDenoising
  kSemantic,           // minus the semantic disturbance loss of that pass; needs kDenoising
  kImageGuidance,      // minus the difference that the photograph makes to an editor (pix2pix)
  kAway,               // distance of the latent from the original's
  kNorm,               // minus the latent's size
  kTarget,             // minus the distance of the latent from that of a uniform grey image
};

struct ObjectiveTerm {
  Objective objective = Objective::kDenoising;
  double weight = 1;  // (0, 1e6]

  bool operator==(const ObjectiveTerm&) const = default;
};

// What is lowered by Objective::kSemantic, of the mean cross-attention map M [positions,T]
// (semantic_loss.h). kOfMode: kConcentration in Mode::kPaper, kClamped in kReleased.
enum class SemanticForm { kOfMode, kConcentration, kClamped, kStartToken };

// Whose cross-attention that is: layers that see the latent at a quarter of its side (as
// published), a half, or whole; the middle block's; every layer.
enum class SemanticLayers { kQuarter, kHalf, kWhole, kMid, kAll };

// M as one map, the mean over heads (as published), or one map a head, whose losses are averaged.
enum class SemanticHeads { kMean, kEach };

// For research; may change or go. Those of the semantic loss were measured and found to gain
// nothing (docs/evaluation.md).
struct ExperimentalOptions {
  SemanticForm semantic_form = SemanticForm::kOfMode;
  SemanticLayers semantic_layers = SemanticLayers::kQuarter;
  SemanticHeads semantic_heads = SemanticHeads::kMean;
  std::optional<double> texture;  // 0..1: less budget in flat areas (core/image/change_room.h)
  std::optional<double> frequency_power;  // 0..1: more weight for fine patterns in PGD
};

enum class ReportLevel { kBasic, kFull };

// Unset optionals take the effort's value. Levels are steps of an 8-bit channel: 1/127.5 on [-1,1].
struct ProtectionOptions {
  Method method = Method::kAntiDiffusion;
  Mode mode = Mode::kPaper;
  Effort effort = Effort::kStandard;
  double budget_levels = 6.375;  // (0, 32]; bytes obey floor(budget), so below 1 nothing changes
  std::optional<uint64_t> seed;  // default: derived from the image's bytes
  std::string prompt;            // start of prompt tuning, or the fixed prompt without it
  ReportLevel report = ReportLevel::kBasic;
  std::optional<int> epochs;  // 0..1000, as the next three
  std::optional<int> prompt_steps;
  std::optional<int> pgd_steps;
  std::optional<int> tuning_steps;
  std::optional<double> step_size_levels;  // (0, budget]; in kReleased (0, 32]
  std::optional<double> prompt_lr;         // (0, 1]
  std::optional<double> tuning_lr;         // (0, 1]
  // Refinements of PGD (docs/algorithm.md); unset ones take the effort's.
  std::optional<int> pgd_draws;     // 1..64: timesteps and noises that one step averages over
  std::optional<double> momentum;   // [0, 1): share of the earlier gradients kept
  std::optional<int> timestep_min;  // 0..999, at most timestep_max: the timesteps drawn in PGD
  std::optional<int> timestep_max;
  std::optional<int> jpeg_quality;  // 1..100: every other draw looks through JPEG; 0: none
  // At most one term of each objective; empty: the method's.
  std::vector<ObjectiveTerm> objectives;
  // Whether PGD starts from the original plus uniform noise within the budget. Unset: where an
  // objective has no gradient at the original (kAway).
  std::optional<bool> random_start;
  // Further models of the server, at most 7, whose encoders PGD moves the latent of, too.
  std::vector<std::string> also;
  // The largest mean shift of a patch's colour (chroma_bias, in CIELAB units): (0, 20]; 0: no
  // limit. Unset: 0.6, which is unseen; no limit in Mode::kReleased.
  std::optional<double> visibility;
  ExperimentalOptions experimental;

  // INVALID_ARGUMENT naming the first field out of range, as `options.FIELD`.
  absl::Status Validate() const;

 private:
  absl::Status ValidateRefinements() const;
  absl::Status ValidateObjectives() const;
  absl::Status ValidateAlso() const;
};

}  // namespace antidiffusion
