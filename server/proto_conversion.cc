#include "server/proto_conversion.h"

#include <string>
#include <type_traits>
#include <utility>

#include "server/status_conversion.h"
#include "server/wire/message_conversion.h"

namespace antidiffusion {

void ToProto(const Progress& progress, v1::Progress* proto) {
  proto->set_stage(progress.stage);
  proto->set_step(progress.step);
  proto->set_total(progress.total);
  proto->set_fraction(progress.fraction);
  proto->set_loss(progress.loss);
  proto->set_eta_seconds(progress.eta_seconds);
}

Progress ToProgress(const v1::Progress& proto) {
  Progress progress;
  progress.stage = proto.stage();
  progress.step = proto.step();
  progress.total = proto.total();
  progress.fraction = proto.fraction();
  progress.loss = proto.loss();
  progress.eta_seconds = proto.eta_seconds();
  return progress;
}

namespace {

void ToProto(const JobReport& report, v1::Report* proto) {
  proto->set_max_difference(report.max_difference);
  proto->set_budget(report.bound);
  proto->set_psnr(report.psnr);
  proto->set_ssim(report.ssim);
  proto->set_visibility(report.visibility_limit);
  proto->set_chroma_bias(report.visibility.chroma_bias);
  proto->set_chroma_bias_95(report.visibility.chroma_bias_95);
  proto->set_low_frequency_share(report.visibility.low_frequency_share);
  proto->set_codec_difference(report.codec_difference);
  proto->set_codec_note(report.codec_note);
  if (report.full.has_value()) *proto->mutable_full() = ToProto(*report.full);
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

JobReport ToJobReport(const v1::Report& proto) {
  JobReport report;
  report.max_difference = proto.max_difference();
  report.bound = proto.budget();
  report.psnr = proto.psnr();
  report.ssim = proto.ssim();
  report.visibility_limit = proto.visibility();
  report.visibility = {.chroma_bias = proto.chroma_bias(),
                       .chroma_bias_95 = proto.chroma_bias_95(),
                       .low_frequency_share = proto.low_frequency_share()};
  report.codec_difference = proto.codec_difference();
  report.codec_note = proto.codec_note();
  if (proto.has_full()) report.full = FromProto(proto.full());
  return report;
}

void ToProto(absl::Time time, google::protobuf::Timestamp* proto) {
  const int64_t nanoseconds = absl::ToUnixNanos(time);
  proto->set_seconds(nanoseconds / 1'000'000'000);
  proto->set_nanos(static_cast<int>(nanoseconds % 1'000'000'000));
}

}  // namespace

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

void ToProto(const JobResult& result, v1::ProtectionResult* proto) {
  proto->set_image_bytes(result.bytes());
  proto->set_mime_type(std::string(MimeType(result.format)));
  ToProto(result.report, proto->mutable_report());
  proto->set_model(result.model.name);
  proto->set_model_digest(result.model.digest);
  proto->set_seed(result.seed);
  proto->set_unet_passes(result.unet_passes);
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
  result.report = ToJobReport(proto.report());
  result.model.name = proto.model();
  result.model.digest = proto.model_digest();
  result.model.device = proto.device();
  result.model.precision = proto.precision();
  result.seed = proto.seed();
  result.unet_passes = proto.unet_passes();
  result.stage_seconds = {proto.stage_seconds().begin(), proto.stage_seconds().end()};
  return result;
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
  if (!model.info.name.empty()) proto = ToProto(model.info);  // loaded
  proto.set_name(model.name);
  proto.set_state(ToProto(model.state));
  proto.set_message(model.message);
  *proto.mutable_devices() = {model.devices.begin(), model.devices.end()};
  return proto;
}

}  // namespace antidiffusion
