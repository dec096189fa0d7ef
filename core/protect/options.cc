#include "core/protect/options.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "core/base/status_details.h"
#include "core/base/status_macros.h"
#include "core/base/utf8.h"

namespace antidiffusion {
namespace {

constexpr double kMaxBudgetLevels = 32;
constexpr int kMaxSteps = 1000;
constexpr size_t kMaxPromptCharacters = 1000;

absl::Status CheckSteps(absl::string_view field, const std::optional<int>& value) {
  if (!value || (*value >= 0 && *value <= kMaxSteps)) return absl::OkStatus();
  return InvalidField(field, absl::StrCat(*value), absl::StrCat("0..", kMaxSteps));
}

// (0, max]; written so that NaN fails.
absl::Status CheckPositive(absl::string_view field, const std::optional<double>& value,
                           double max) {
  if (!value || (*value > 0 && *value <= max)) return absl::OkStatus();
  return InvalidField(field, absl::StrCat(*value), absl::StrCat("(0, ", max, "]"));
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
  return CheckPositive("options.tuning_lr", tuning_lr, 1);
}

}  // namespace antidiffusion
