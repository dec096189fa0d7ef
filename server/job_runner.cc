#include "server/job_runner.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_details.h"
#include "core/base/status_macros.h"
#include "core/image/samples.h"
#include "core/image/similarity.h"
#include "server/errors.h"
#include "server/job_trace.h"
#include "server/tracing/stage_spans.h"

namespace antidiffusion {
namespace {

constexpr char kLossyNote[] =
    "The output format is lossy: the budget was proven on the pixels before encoding, and the "
    "encoder added codec_difference levels.";

ImageFormat FormatOf(OutputFormat output, ImageFormat input) {
  switch (output) {
    case OutputFormat::kPng:
      return ImageFormat::kPng;
    case OutputFormat::kSameAsInput:
      return input;
    case OutputFormat::kJpeg:
      return ImageFormat::kJpeg;
    case OutputFormat::kWebp:
      return ImageFormat::kWebp;
  }
  return ImageFormat::kPng;
}

bool IsLossless(ImageFormat format) { return format == ImageFormat::kPng; }

// The image with `channels` channels: an encoder may have stored grey as RGB.
Image WithChannels(const Image& image, int channels) {
  if (image.channels != 1 || channels != 3) return image;
  Image rgb{image.width, image.height, 3, {}};
  rgb.pixels.reserve(rgb.size());
  for (const uint8_t sample : image.pixels) rgb.pixels.insert(rgb.pixels.end(), 3, sample);
  return rgb;
}

const absl::Status& StatusOf(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& result) {
  return result.status();
}

// What the stages of one run share.
class Stages {
 public:
  Stages(Job& job, const Job::Clock& now, StageSpans& spans,
         const std::function<void(const Progress&)>& on_progress)
      : job_(job), spans_(spans), on_progress_(on_progress) {
    context_.stop = job.stop_token();
    context_.deadline = job.deadline();
    context_.now = now;
    context_.on_progress = [this](const Progress& progress) {
      spans_.Step(progress.stage, context_.now(), progress.loss);
      Report(progress);
    };
  }

  const RunContext& context() const { return context_; }
  std::map<std::string, double>& stage_seconds() { return stage_seconds_; }

  // Runs one stage of the server's own and keeps its time.
  template <typename Body>
  auto Do(const std::string& stage, const Body& body) -> decltype(body()) {
    AD_RETURN_IF_ERROR(context_.Check());
    Progress progress = last_;
    progress.stage = stage;
    progress.eta_seconds = 0;
    progress.step_seconds = 0;
    Report(progress);
    const absl::Time start = context_.now();
    auto result = body();
    const absl::Time end = context_.now();
    stage_seconds_[stage] += absl::ToDoubleSeconds(end - start);
    spans_.Stage({.name = stage,
                  .start = start,
                  .end = end,
                  .attributes = {},
                  .error = SpanErrorOf(StatusOf(result))});
    return result;
  }

 private:
  void Report(const Progress& progress) {
    last_ = progress;
    job_.Report(progress);
    if (on_progress_) on_progress_(progress);
  }

  Job& job_;
  StageSpans& spans_;
  const std::function<void(const Progress&)>& on_progress_;
  RunContext context_;
  Progress last_;
  std::map<std::string, double> stage_seconds_;
};

absl::Status CheckBudget(const std::string& where, const Image& original, const Image& image,
                         int bound, int* difference) {
  AD_ASSIGN_OR_RETURN(*difference, MaxDifference(original, image));
  if (*difference > bound) return BudgetNotKeptError(where, *difference, bound);
  return absl::OkStatus();
}

absl::StatusOr<Picture> DecodeAgain(const std::string& encoded) {
  DecodeLimits limits;  // our own bytes: of any size
  limits.max_bytes = std::numeric_limits<int64_t>::max();
  limits.max_pixels = std::numeric_limits<int64_t>::max();
  auto picture = DecodePicture(encoded, limits);
  if (picture.ok()) return picture;
  return absl::InternalError(
      absl::StrCat("the encoded result cannot be read: ", picture.status().ToString()));
}

// Proves budget and visibility of `encoded`, and fills in all of the report but PSNR and SSIM.
// Returns what a reader of `encoded` sees.
absl::StatusOr<Image> Prove(const Image& original, const Picture& protected_picture,
                            const std::string& encoded, bool lossless, JobReport& report) {
  const Image& pixels = protected_picture.image;
  AD_RETURN_IF_ERROR(CheckBudget("pixels", original, pixels, report.bound, &report.max_difference));
  AD_ASSIGN_OR_RETURN(report.visibility, MeasureVisibility(original, pixels));
  if (report.visibility_limit > 0 && report.visibility.chroma_bias > report.visibility_limit) {
    return VisibilityNotKeptError(report.visibility.chroma_bias, report.visibility_limit);
  }
  AD_ASSIGN_OR_RETURN(Picture decoded, DecodeAgain(encoded));
  if (lossless) {
    AD_RETURN_IF_ERROR(CheckBudget("re-decoded bytes", original, decoded.image, report.bound,
                                   &report.max_difference));
    if (decoded.alpha != protected_picture.alpha) {
      return absl::InternalError("the alpha channel did not survive encoding");
    }
    return std::move(decoded.image);
  }
  AD_ASSIGN_OR_RETURN(report.codec_difference,
                      MaxDifference(WithChannels(pixels, decoded.image.channels), decoded.image));
  // What the codec adds to it is told, not refused.
  AD_ASSIGN_OR_RETURN(
      report.visibility,
      MeasureVisibility(WithChannels(original, decoded.image.channels), decoded.image));
  report.codec_note = kLossyNote;
  return std::move(decoded.image);
}

absl::Status Measure(const Image& original, const Image& image, JobReport& report) {
  const Image reference = WithChannels(original, image.channels);
  AD_ASSIGN_OR_RETURN(report.psnr, Psnr(reference, image));
  AD_ASSIGN_OR_RETURN(report.ssim, Ssim(reference, image));
  return absl::OkStatus();
}

// The engine knows of alpha only where it hides colours.
absl::StatusOr<ProtectionResult> ProtectPicture(Protector& protector, const Picture& picture,
                                                const ProtectionOptions& options,
                                                const RunContext& run) {
  if (!HidesColours(picture)) return protector.Protect(picture.image, options, run);
  const Image& image = picture.image;
  AD_ASSIGN_OR_RETURN(ProtectionResult result,
                      protector.Protect({image.width, image.height, image.channels + 1,
                                         JoinSamples(picture, false)},
                                        options, run));
  Picture split;
  SplitSamples(std::move(result.image.pixels), image.width, image.height, image.channels + 1,
               split);
  result.image = std::move(split.image);
  return result;
}

absl::StatusOr<JobResult> RunStages(Job& job, Protector& protector, const DecodeLimits& limits,
                                    Stages& stages) {
  const JobRequest& request = job.request();
  JobResult result;
  AD_ASSIGN_OR_RETURN(Picture picture, stages.Do("decode", [&]() -> absl::StatusOr<Picture> {
    const auto image = job.image();
    if (image == nullptr) return absl::CancelledError("the job has ended already");
    return DecodePicture(*image, limits);
  }));
  result.format = FormatOf(request.output, picture.format);
  const EncodeOptions encoding{result.format, request.quality};
  AD_RETURN_IF_ERROR(CheckEncodable(picture, encoding));

  AD_ASSIGN_OR_RETURN(ProtectionResult protection,
                      ProtectPicture(protector, picture, request.options, stages.context()));
  for (const auto& [stage, seconds] : protection.stage_seconds) {
    stages.stage_seconds()[stage] += seconds;
  }
  const Image original = std::exchange(picture.image, std::move(protection.image));
  result.report.bound = protection.bound;
  result.report.visibility_limit = protection.visibility;
  result.report.full = protection.full;
  result.seed = protection.seed;
  result.unet_passes = protection.unet_passes;
  result.model = protector.model();

  AD_ASSIGN_OR_RETURN(const Image delivered, stages.Do("encode", [&]() -> absl::StatusOr<Image> {
    AD_ASSIGN_OR_RETURN(result.image, EncodePicture(picture, encoding));
    return Prove(original, picture, result.image, IsLossless(result.format), result.report);
  }));
  AD_RETURN_IF_ERROR(
      stages.Do("report", [&] { return Measure(original, delivered, result.report); }));
  AD_RETURN_IF_ERROR(stages.context().Check());
  result.stage_seconds = stages.stage_seconds();
  return result;
}

// With what the engine tells: stage, step, total, eta_seconds.
absl::Status DeadlineErrorOf(const absl::Status& status) {
  const auto given = GetErrorReason(status);
  if (!given.has_value()) return DeadlinePassedError("running");
  const auto stage = given->metadata.find("stage");
  return DeadlinePassedError(stage != given->metadata.end() ? stage->second : "running",
                             given->metadata);
}

}  // namespace

absl::StatusOr<JobResult> JobRunner::Run(
    Job& job, Protector& protector, const std::function<void(const Progress&)>& on_progress) const {
  if (const auto why = job.cancel_reason()) return *why;
  if (now_() >= job.deadline()) return DeadlinePassedError("queue");
  job.Start({protector.model().name, protector.model().device});
  TraceWait(tracer_, job, now_());
  StageSpans spans(tracer_, job.request().trace, now_(),
                   {{"antidiffusion.device", protector.model().device},
                    {"antidiffusion.attempt", int64_t{job.attempts()}}});
  Stages stages(job, now_, spans, on_progress);
  absl::StatusOr<JobResult> result = RunStages(job, protector, limits_, stages);
  if (!result.ok()) spans.Fail(now_(), SpanErrorOf(result.status()));
  if (absl::IsCancelled(result.status())) return job.cancel_reason().value_or(CallerGoneError());
  if (absl::IsDeadlineExceeded(result.status())) return DeadlineErrorOf(result.status());
  return result;
}

}  // namespace antidiffusion
