#include "server/proto_conversion.h"

#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_details.h"
#include "core/base/status_macros.h"
#include "core/base/utf8.h"
#include "server/status_conversion.h"

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

void ToProto(const Probe& probe, v1::Probe* proto) {
  proto->set_denoising_loss(probe.denoising_loss);
  proto->set_attention_concentration(probe.attention_concentration);
  proto->set_gain_left(probe.gain_left);
}

void ToProto(const JobReport& report, v1::Report* proto) {
  proto->set_max_difference(report.max_difference);
  proto->set_budget(report.bound);
  proto->set_psnr(report.psnr);
  proto->set_ssim(report.ssim);
  proto->set_codec_difference(report.codec_difference);
  proto->set_codec_note(report.codec_note);
  if (!report.full.has_value()) return;
  v1::FullReport* full = proto->mutable_full();
  ToProto(report.full->before, full->mutable_before());
  ToProto(report.full->after, full->mutable_after());
  ToProto(report.full->after_jpeg_q75, full->mutable_after_jpeg_q75());
  ToProto(report.full->after_half_and_back, full->mutable_after_half_and_back());
  ToProto(report.full->after_blur, full->mutable_after_blur());
}

void ToProto(const Progress& progress, v1::Progress* proto) {
  proto->set_stage(progress.stage);
  proto->set_step(progress.step);
  proto->set_total(progress.total);
  proto->set_fraction(progress.fraction);
  proto->set_loss(progress.loss);
  proto->set_eta_seconds(progress.eta_seconds);
}

v1::Model::State ToProto(ModelState state) {
  switch (state) {
    case ModelState::kLoading:
      return v1::Model::LOADING;
    case ModelState::kReady:
      return v1::Model::READY;
    case ModelState::kFailed:
      return v1::Model::FAILED;
  }
  return v1::Model::STATE_UNSPECIFIED;
}

Probe FromProto(const v1::Probe& proto) {
  return {proto.denoising_loss(), proto.attention_concentration(), proto.gain_left()};
}

JobReport FromProto(const v1::Report& proto) {
  JobReport report;
  report.max_difference = proto.max_difference();
  report.bound = proto.budget();
  report.psnr = proto.psnr();
  report.ssim = proto.ssim();
  report.codec_difference = proto.codec_difference();
  report.codec_note = proto.codec_note();
  if (!proto.has_full()) return report;
  const v1::FullReport& full = proto.full();
  report.full = FullReport{FromProto(full.before()), FromProto(full.after()),
                           FromProto(full.after_jpeg_q75()), FromProto(full.after_half_and_back()),
                           FromProto(full.after_blur())};
  return report;
}

v1::Job::State ToProto(JobState state) {
  switch (state) {
    case JobState::kQueued:
      return v1::Job::QUEUED;
    case JobState::kRunning:
      return v1::Job::RUNNING;
    case JobState::kSucceeded:
      return v1::Job::SUCCEEDED;
    case JobState::kFailed:
      return v1::Job::FAILED;
    case JobState::kCancelled:
      return v1::Job::CANCELLED;
    case JobState::kExpired:
      return v1::Job::EXPIRED;
  }
  return v1::Job::STATE_UNSPECIFIED;
}

void ToProto(absl::Time time, google::protobuf::Timestamp* proto) {
  const int64_t nanoseconds = absl::ToUnixNanos(time);
  proto->set_seconds(nanoseconds / 1'000'000'000);
  proto->set_nanos(static_cast<int>(nanoseconds % 1'000'000'000));
}

}  // namespace

void ToProto(const JobResult& result, v1::ProtectionResult* proto) {
  proto->set_image(result.image);
  proto->set_mime_type(std::string(MimeType(result.format)));
  ToProto(result.report, proto->mutable_report());
  proto->set_model(result.model.name);
  proto->set_model_digest(result.model.digest);
  proto->set_seed(result.seed);
  for (const auto& [stage, seconds] : result.stage_seconds) {
    (*proto->mutable_stage_seconds())[stage] = seconds;
  }
  proto->set_device(result.model.device);
  proto->set_precision(result.model.precision);
}

JobResult ToJobResult(const v1::ProtectionResult& proto) {
  JobResult result;
  for (const ImageFormat format : {ImageFormat::kPng, ImageFormat::kJpeg, ImageFormat::kWebp}) {
    if (MimeType(format) == proto.mime_type()) result.format = format;
  }
  result.report = FromProto(proto.report());
  result.model.name = proto.model();
  result.model.digest = proto.model_digest();
  result.model.device = proto.device();
  result.model.precision = proto.precision();
  result.seed = proto.seed();
  result.stage_seconds = {proto.stage_seconds().begin(), proto.stage_seconds().end()};
  return result;
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

v1::Job ToProto(const Job& job, const JobSnapshot& now, absl::Time expires, bool result) {
  const JobRequest& request = job.request();
  v1::Job proto;
  proto.set_name(job.name());
  proto.set_state(ToProto(now.state));
  proto.set_model(request.model);
  proto.set_priority(request.priority.value_or(JobPriority::kInteractive) == JobPriority::kBatch
                         ? v1::PRIORITY_BATCH
                         : v1::PRIORITY_INTERACTIVE);
  proto.set_request_id(request.request_id);
  proto.mutable_labels()->insert(request.labels.begin(), request.labels.end());
  ToProto(job.admitted(), proto.mutable_create_time());
  if (now.started.has_value()) ToProto(*now.started, proto.mutable_start_time());
  if (now.ended.has_value()) {
    ToProto(*now.ended, proto.mutable_end_time());
    if (expires != absl::InfiniteFuture()) ToProto(expires, proto.mutable_expire_time());
  }
  proto.set_attempts(now.attempts);
  proto.set_sequence(now.sequence);
  if (now.state == JobState::kQueued) {
    proto.set_position(now.queued.position);
    proto.set_eta_seconds(now.queued.eta_seconds);
  }
  if (now.state == JobState::kRunning) {
    ToProto(now.progress, proto.mutable_progress());
    proto.set_eta_seconds(now.progress.eta_seconds);
  }
  if (now.ended.has_value() && !now.status.ok()) *proto.mutable_error() = ToRichStatus(now.status);
  if (result && now.result != nullptr) ToProto(*now.result, proto.mutable_result());
  return proto;
}

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

v1::JobEvent ToProto(const JobEvent& event, const std::string& job_name) {
  v1::JobEvent proto;
  proto.set_sequence(event.sequence);
  std::visit(
      [&](const auto& what) {
        using T = std::decay_t<decltype(what)>;
        if constexpr (std::is_same_v<T, QueuedEvent>) {
          proto.mutable_queued()->set_job(job_name);
          proto.mutable_queued()->set_position(what.position);
          proto.mutable_queued()->set_eta_seconds(what.eta_seconds);
        } else if constexpr (std::is_same_v<T, RunningEvent>) {
          proto.mutable_running()->set_model(what.model);
          proto.mutable_running()->set_device(what.device);
        } else if constexpr (std::is_same_v<T, Progress>) {
          ToProto(what, proto.mutable_progress());
        } else {
          ToProto(*what, proto.mutable_result());
        }
      },
      event.what);
  return proto;
}

v1::Model ToProto(const ModelStatus& model) {
  v1::Model proto;
  proto.set_name(model.name);
  proto.set_family(model.info.family);
  proto.set_prediction_type(model.info.prediction_type);
  proto.set_native_side(model.info.native_side);
  proto.set_digest(model.info.digest);
  proto.set_state(ToProto(model.state));
  proto.set_message(model.message);
  for (const std::string& device : model.devices) proto.add_devices(device);
  proto.set_precision(model.info.precision);
  return proto;
}

}  // namespace antidiffusion
