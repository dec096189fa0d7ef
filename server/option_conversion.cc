#include "server/option_conversion.h"

#include "absl/strings/str_cat.h"
#include "core/base/status_details.h"
#include "core/base/status_macros.h"

namespace antidiffusion {
namespace {

absl::StatusOr<Method> ToMethod(v1::ProtectionOptions::Method method) {
  using Options = v1::ProtectionOptions;
  switch (method) {
    case Options::METHOD_UNSPECIFIED:
    case Options::ANTI_DIFFUSION:
      return Method::kAntiDiffusion;
    case Options::ANTI_DIFFUSION_NO_PT:
      return Method::kAntiDiffusionNoPt;
    case Options::ANTI_DIFFUSION_NO_SDL:
      return Method::kAntiDiffusionNoSdl;
    case Options::ANTI_DIFFUSION_NO_TUNING:
      return Method::kAntiDiffusionNoTuning;
    case Options::ADVDM:
      return Method::kAdvDm;
    case Options::PHOTOGUARD:
      return Method::kPhotoGuard;
    case Options::MIST:
      return Method::kMist;
    case Options::ANTI_DREAMBOOTH:
      return Method::kAntiDreamBooth;
    case Options::SDS:
      return Method::kSds;
    case Options::NOISE:
      return Method::kNoise;
    default:
      return UnknownEnum("options.method", method);
  }
}

absl::StatusOr<Mode> ToMode(v1::ProtectionOptions::Mode mode) {
  switch (mode) {
    case v1::ProtectionOptions::MODE_UNSPECIFIED:
    case v1::ProtectionOptions::PAPER:
      return Mode::kPaper;
    case v1::ProtectionOptions::RELEASED:
      return Mode::kReleased;
    default:
      return UnknownEnum("options.mode", mode);
  }
}

absl::StatusOr<Effort> ToEffort(v1::ProtectionOptions::Effort effort) {
  switch (effort) {
    case v1::ProtectionOptions::DRAFT:
      return Effort::kDraft;
    case v1::ProtectionOptions::EFFORT_UNSPECIFIED:
    case v1::ProtectionOptions::STANDARD:
      return Effort::kStandard;
    case v1::ProtectionOptions::STRONG:
      return Effort::kStrong;
    case v1::ProtectionOptions::PUBLISHED:
      return Effort::kPublished;
    default:
      return UnknownEnum("options.effort", effort);
  }
}

absl::StatusOr<ReportLevel> ToReportLevel(v1::ProtectionOptions::Report report) {
  switch (report) {
    case v1::ProtectionOptions::REPORT_UNSPECIFIED:
    case v1::ProtectionOptions::BASIC:
      return ReportLevel::kBasic;
    case v1::ProtectionOptions::FULL:
      return ReportLevel::kFull;
    default:
      return UnknownEnum("options.report", report);
  }
}

absl::StatusOr<SemanticForm> ToSemanticForm(v1::ProtectionOptions::SemanticForm form) {
  switch (form) {
    case v1::ProtectionOptions::SEMANTIC_FORM_UNSPECIFIED:
      return SemanticForm::kOfMode;
    case v1::ProtectionOptions::CONCENTRATION:
      return SemanticForm::kConcentration;
    case v1::ProtectionOptions::CLAMPED:
      return SemanticForm::kClamped;
    case v1::ProtectionOptions::START_TOKEN:
      return SemanticForm::kStartToken;
    default:
      return UnknownEnum("options.semantic_form", form);
  }
}

absl::StatusOr<SemanticLayers> ToSemanticLayers(v1::ProtectionOptions::SemanticLayers layers) {
  switch (layers) {
    case v1::ProtectionOptions::SEMANTIC_LAYERS_UNSPECIFIED:
    case v1::ProtectionOptions::QUARTER:
      return SemanticLayers::kQuarter;
    case v1::ProtectionOptions::HALF:
      return SemanticLayers::kHalf;
    case v1::ProtectionOptions::WHOLE:
      return SemanticLayers::kWhole;
    case v1::ProtectionOptions::MID:
      return SemanticLayers::kMid;
    case v1::ProtectionOptions::ALL:
      return SemanticLayers::kAll;
    default:
      return UnknownEnum("options.semantic_layers", layers);
  }
}

absl::StatusOr<SemanticHeads> ToSemanticHeads(v1::ProtectionOptions::SemanticHeads heads) {
  switch (heads) {
    case v1::ProtectionOptions::SEMANTIC_HEADS_UNSPECIFIED:
    case v1::ProtectionOptions::MEAN:
      return SemanticHeads::kMean;
    case v1::ProtectionOptions::EACH:
      return SemanticHeads::kEach;
    default:
      return UnknownEnum("options.semantic_heads", heads);
  }
}

absl::StatusOr<SemanticOptions> ToSemantic(const v1::ProtectionOptions& proto) {
  SemanticOptions semantic;
  AD_ASSIGN_OR_RETURN(semantic.form, ToSemanticForm(proto.semantic_form()));
  AD_ASSIGN_OR_RETURN(semantic.layers, ToSemanticLayers(proto.semantic_layers()));
  AD_ASSIGN_OR_RETURN(semantic.heads, ToSemanticHeads(proto.semantic_heads()));
  if (proto.has_semantic_weight()) semantic.weight = proto.semantic_weight();
  return semantic;
}

}  // namespace

absl::Status UnknownEnum(const std::string& field, int value) {
  return InvalidField(field, absl::StrCat(value), "a value of its enum");
}

absl::StatusOr<ProtectionOptions> ToOptions(const v1::ProtectionOptions& proto) {
  ProtectionOptions options;
  AD_ASSIGN_OR_RETURN(options.method, ToMethod(proto.method()));
  AD_ASSIGN_OR_RETURN(options.mode, ToMode(proto.mode()));
  AD_ASSIGN_OR_RETURN(options.effort, ToEffort(proto.effort()));
  AD_ASSIGN_OR_RETURN(options.report, ToReportLevel(proto.report()));
  options.prompt = proto.prompt();
  if (proto.has_budget_levels()) options.budget_levels = proto.budget_levels();
  if (proto.has_seed()) options.seed = proto.seed();
  if (proto.has_epochs()) options.epochs = proto.epochs();
  if (proto.has_prompt_steps()) options.prompt_steps = proto.prompt_steps();
  if (proto.has_pgd_steps()) options.pgd_steps = proto.pgd_steps();
  if (proto.has_tuning_steps()) options.tuning_steps = proto.tuning_steps();
  if (proto.has_step_size_levels()) options.step_size_levels = proto.step_size_levels();
  if (proto.has_prompt_lr()) options.prompt_lr = proto.prompt_lr();
  if (proto.has_tuning_lr()) options.tuning_lr = proto.tuning_lr();
  if (proto.has_pgd_draws()) options.pgd_draws = proto.pgd_draws();
  if (proto.has_momentum()) options.momentum = proto.momentum();
  if (proto.has_timestep_min()) options.timestep_min = proto.timestep_min();
  if (proto.has_timestep_max()) options.timestep_max = proto.timestep_max();
  if (proto.has_jpeg_quality()) options.jpeg_quality = proto.jpeg_quality();
  AD_ASSIGN_OR_RETURN(options.semantic, ToSemantic(proto));
  AD_RETURN_IF_ERROR(options.Validate());
  return options;
}

}  // namespace antidiffusion
