#include "server/request_conversion.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "core/base/status_details.h"
#include "core/base/status_macros.h"
#include "core/base/utf8.h"
#include "server/wire/option_conversion.h"

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
