#include "core/api/capabilities.h"

#include "absl/strings/str_cat.h"
#include "core/api/method_table.h"
#include "core/base/status_details.h"
#include "core/base/status_macros.h"

namespace antidiffusion {
namespace {

std::string ModelOf(const ModelInfo& model) {
  return absl::StrCat(model.name, " (family ", model.family, ")");
}

absl::Status CheckNoise(const ProtectionOptions& options) {
  if (!options.objectives.empty()) {
    return InvalidField("options.objectives", ObjectiveName(options.objectives.front().objective),
                        "none with method noise, which raises nothing");
  }
  if (options.also.empty()) return absl::OkStatus();
  return InvalidField("options.also", options.also.front(),
                      "none with method noise, which raises nothing");
}

// A term that the caller named. What only the method wants is left to CheckMethod.
absl::Status CheckObjective(Objective objective, const ProtectionOptions& options,
                            const ModelInfo& model) {
  const std::string name = ObjectiveName(objective);
  if (NeedsUNet(objective) && !model.denoises) {
    return InvalidField("options.objectives", name,
                        absl::StrCat("away, norm, target: ", ModelOf(model), " has no UNet"));
  }
  if (objective == Objective::kImageGuidance && !model.guides_by_image) {
    return InvalidField("options.objectives", name,
                        absl::StrCat("a model of family pix2pix or sdxl-pix2pix, which ",
                                     ModelOf(model), " is not"));
  }
  const bool usual_layers = options.experimental.semantic_layers == SemanticLayers::kQuarter;
  if (objective == Objective::kSemantic && usual_layers && !model.has_semantic_layers) {
    return InvalidField("options.objectives", name,
                        absl::StrCat("a model with cross-attention at a quarter of the latent's "
                                     "side, which ",
                                     ModelOf(model), " has not"));
  }
  return absl::OkStatus();
}

absl::Status CheckMethod(const ProtectionOptions& options, const ModelInfo& model) {
  for (const ObjectiveTerm& term : ObjectivesOf(options)) {
    if (!NeedsUNet(term.objective) || model.denoises) continue;
    return InvalidField("options.method", MethodName(options.method),
                        absl::StrCat("photoguard, noise, or objectives of away, norm, target: ",
                                     ModelOf(model), " has no UNet"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckCapabilities(const ProtectionOptions& options, const ModelInfo& model) {
  if (options.method == Method::kNoise) AD_RETURN_IF_ERROR(CheckNoise(options));
  for (const ObjectiveTerm& term : options.objectives) {
    AD_RETURN_IF_ERROR(CheckObjective(term.objective, options, model));
  }
  AD_RETURN_IF_ERROR(CheckMethod(options, model));
  if (options.report == ReportLevel::kFull && !model.denoises) {
    return InvalidField("options.report", "full",
                        absl::StrCat("basic: ", ModelOf(model), " has no UNet"));
  }
  return absl::OkStatus();
}

}  // namespace antidiffusion
