#include "core/api/options.h"

#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "core/api/method_table.h"
#include "core/base/status_details.h"
#include "core/base/status_macros.h"
#include "core/base/utf8.h"

namespace antidiffusion {
namespace {

constexpr double kMaxBudgetLevels = 32;
constexpr int kMaxSteps = 1000;
constexpr int kMaxDraws = 64;
constexpr int kLastTimestep = 999;
constexpr double kMaxWeight = 1e6;
constexpr double kMaxVisibility = 20;
constexpr size_t kMaxAlso = 7;
constexpr size_t kMaxModelName = 256;
constexpr size_t kMaxPromptCharacters = 1000;

absl::Status CheckRange(absl::string_view field, const std::optional<int>& value, int min,
                        int max) {
  if (!value || (*value >= min && *value <= max)) return absl::OkStatus();
  return InvalidField(field, absl::StrCat(*value), absl::StrCat(min, "..", max));
}

absl::Status CheckSteps(absl::string_view field, const std::optional<int>& value) {
  return CheckRange(field, value, 0, kMaxSteps);
}

// (0, max]; written so that NaN fails.
absl::Status CheckPositive(absl::string_view field, const std::optional<double>& value,
                           double max) {
  if (!value || (*value > 0 && *value <= max)) return absl::OkStatus();
  return InvalidField(field, absl::StrCat(*value), absl::StrCat("(0, ", max, "]"));
}

// [0, 1]; NaN fails.
absl::Status CheckShare(absl::string_view field, const std::optional<double>& value) {
  if (!value || (*value >= 0 && *value <= 1)) return absl::OkStatus();
  return InvalidField(field, absl::StrCat(*value), "[0, 1]");
}

}  // namespace

absl::Status ProtectionOptions::Validate() const {
  AD_RETURN_IF_ERROR(CheckPositive("options.budget_levels", budget_levels, kMaxBudgetLevels));
  if (const size_t characters = CountCharacters(prompt); characters > kMaxPromptCharacters) {
    return InvalidField("options.prompt", absl::StrCat(characters, " characters"),
                        absl::StrCat("at most ", kMaxPromptCharacters, " characters"));
  }
  AD_RETURN_IF_ERROR(CheckSteps("options.epochs", epochs));
  AD_RETURN_IF_ERROR(CheckSteps("options.prompt_steps", prompt_steps));
  AD_RETURN_IF_ERROR(CheckSteps("options.pgd_steps", pgd_steps));
  AD_RETURN_IF_ERROR(CheckSteps("options.tuning_steps", tuning_steps));
  AD_RETURN_IF_ERROR(CheckPositive("options.step_size_levels", step_size_levels,
                                   mode == Mode::kReleased ? kMaxBudgetLevels : budget_levels));
  AD_RETURN_IF_ERROR(CheckPositive("options.prompt_lr", prompt_lr, 1));
  AD_RETURN_IF_ERROR(CheckPositive("options.tuning_lr", tuning_lr, 1));
  AD_RETURN_IF_ERROR(ValidateRefinements());
  AD_RETURN_IF_ERROR(ValidateObjectives());
  return ValidateAlso();
}

absl::Status ProtectionOptions::ValidateRefinements() const {
  AD_RETURN_IF_ERROR(CheckRange("options.pgd_draws", pgd_draws, 1, kMaxDraws));
  if (momentum && !(*momentum >= 0 && *momentum < 1)) {
    return InvalidField("options.momentum", absl::StrCat(*momentum), "[0, 1)");
  }
  AD_RETURN_IF_ERROR(CheckRange("options.timestep_min", timestep_min, 0, kLastTimestep));
  AD_RETURN_IF_ERROR(
      CheckRange("options.timestep_max", timestep_max, timestep_min.value_or(0), kLastTimestep));
  if (visibility && !(*visibility >= 0 && *visibility <= kMaxVisibility)) {
    return InvalidField("options.visibility", absl::StrCat(*visibility),
                        absl::StrCat("[0, ", kMaxVisibility, "]"));
  }
  AD_RETURN_IF_ERROR(CheckShare("options.experimental.texture", experimental.texture));
  AD_RETURN_IF_ERROR(
      CheckShare("options.experimental.frequency_power", experimental.frequency_power));
  return CheckRange("options.jpeg_quality", jpeg_quality, 0, 100);
}

absl::Status ProtectionOptions::ValidateObjectives() const {
  std::set<Objective> seen;
  for (const ObjectiveTerm& term : objectives) {
    AD_RETURN_IF_ERROR(CheckPositive("options.objectives.weight", term.weight, kMaxWeight));
    if (!seen.insert(term.objective).second) {
      return InvalidField("options.objectives",
                          absl::StrCat(ObjectiveName(term.objective), " twice"),
                          "each objective once");
    }
  }
  const bool denoising = seen.count(Objective::kDenoising) != 0;
  if (denoising && seen.count(Objective::kScoreDistillation) != 0) {
    return InvalidField("options.objectives", "denoising and score_distillation", "one of the two");
  }
  if (!denoising && seen.count(Objective::kSemantic) != 0) {
    return InvalidField("options.objectives", "semantic alone", "semantic together with denoising");
  }
  return absl::OkStatus();
}

absl::Status ProtectionOptions::ValidateAlso() const {
  if (also.size() > kMaxAlso) {
    return InvalidField("options.also", absl::StrCat(also.size(), " models"),
                        absl::StrCat("at most ", kMaxAlso, " models"));
  }
  std::set<std::string> seen;
  for (const std::string& name : also) {
    if (name.empty() || name.size() > kMaxModelName) {
      return InvalidField("options.also", absl::StrCat("a name of ", name.size(), " bytes"),
                          absl::StrCat("names of 1 to ", kMaxModelName, " bytes"));
    }
    if (!seen.insert(name).second) {
      return InvalidField("options.also", absl::StrCat(name, " twice"), "each model once");
    }
  }
  return absl::OkStatus();
}

}  // namespace antidiffusion
