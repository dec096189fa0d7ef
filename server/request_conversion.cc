#include "server/request_conversion.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "core/base/status_details.h"
#include "core/base/status_macros.h"
#include "core/base/utf8.h"

namespace antidiffusion {
namespace {

constexpr size_t kMaxRequestIdCharacters = 128;
constexpr int kMaxLabels = 16;
constexpr size_t kMaxLabelCharacters = 64;

absl::Status CheckLength(const std::string& field, const std::string& text, size_t limit) {
  const size_t length = CountCharacters(text);
  if (length <= limit) return absl::OkStatus();
  return InvalidField(field, absl::StrCat(length, " characters"),
                      absl::StrCat("at most ", limit, " characters"));
}

absl::Status UnknownEnum(const std::string& field, int value) {
  return InvalidField(field, absl::StrCat(value), "a value of its enum");
}

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
  AD_ASSIGN_OR_RETURN(options.semantic_form, ToSemanticForm(proto.semantic_form()));
  AD_RETURN_IF_ERROR(options.Validate());
  return options;
}

absl::StatusOr<OutputFormat> ToOutputFormat(v1::OutputOptions::Format format) {
  switch (format) {
    case v1::OutputOptions::FORMAT_UNSPECIFIED:
    case v1::OutputOptions::PNG:
      return OutputFormat::kPng;
    case v1::OutputOptions::SAME_AS_INPUT:
      return OutputFormat::kSameAsInput;
    case v1::OutputOptions::JPEG:
      return OutputFormat::kJpeg;
    case v1::OutputOptions::WEBP:
      return OutputFormat::kWebp;
    default:
      return UnknownEnum("output.format", format);
  }
}

absl::StatusOr<std::optional<JobPriority>> ToPriority(v1::Priority priority) {
  switch (priority) {
    case v1::PRIORITY_UNSPECIFIED:
      return std::nullopt;
    case v1::PRIORITY_INTERACTIVE:
      return JobPriority::kInteractive;
    case v1::PRIORITY_BATCH:
      return JobPriority::kBatch;
    default:
      return UnknownEnum("priority", priority);
  }
}

absl::Status CheckLabels(const v1::ProtectRequest& request) {
  if (request.labels_size() > kMaxLabels) {
    return InvalidField("labels", absl::StrCat(request.labels_size(), " labels"),
                        absl::StrCat("at most ", kMaxLabels));
  }
  for (const auto& [key, value] : request.labels()) {
    AD_RETURN_IF_ERROR(CheckLength("labels", key, kMaxLabelCharacters));
    AD_RETURN_IF_ERROR(CheckLength("labels", value, kMaxLabelCharacters));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<JobRequest> ToJobRequest(const v1::ProtectRequest& request) {
  JobRequest job;
  AD_RETURN_IF_ERROR(CheckLength("request_id", request.request_id(), kMaxRequestIdCharacters));
  AD_RETURN_IF_ERROR(CheckLabels(request));
  AD_ASSIGN_OR_RETURN(job.options, ToOptions(request.options()));
  AD_ASSIGN_OR_RETURN(job.output, ToOutputFormat(request.output().format()));
  if (request.output().has_quality()) {
    job.quality = request.output().quality();
    if (job.quality < 1 || job.quality > 100) {
      return InvalidField("output.quality", absl::StrCat(job.quality), "1..100");
    }
  }
  AD_ASSIGN_OR_RETURN(job.priority, ToPriority(request.priority()));
  job.model = request.model();
  job.request_id = request.request_id();
  job.labels = {request.labels().begin(), request.labels().end()};
  return job;
}

absl::StatusOr<std::optional<JobState>> ToJobState(v1::Job::State state) {
  switch (state) {
    case v1::Job::STATE_UNSPECIFIED:
      return std::nullopt;
    case v1::Job::QUEUED:
      return JobState::kQueued;
    case v1::Job::RUNNING:
      return JobState::kRunning;
    case v1::Job::SUCCEEDED:
      return JobState::kSucceeded;
    case v1::Job::FAILED:
      return JobState::kFailed;
    case v1::Job::CANCELLED:
      return JobState::kCancelled;
    case v1::Job::EXPIRED:
      return JobState::kExpired;
    default:
      return UnknownEnum("state", state);
  }
}

}  // namespace antidiffusion
