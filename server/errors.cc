#include "server/errors.h"

#include <cstdint>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_details.h"
#include "core/base/utf8.h"

namespace antidiffusion {
namespace {

constexpr char kRetryUrl[] = "antidiffusion/retry-delay";
constexpr char kModelUrl[] = "antidiffusion/missing-model";
constexpr char kJobUrl[] = "antidiffusion/missing-job";
constexpr absl::Duration kSoon = absl::Seconds(1);
constexpr absl::Duration kLoadingRetry = absl::Seconds(5);
constexpr size_t kMaxNameLength = 200;  // bytes of a name echoed to the caller

}  // namespace

absl::Status DrainingError() {
  return WithRetryDelay(
      WithReason(absl::UnavailableError("the server is draining"), {reason::kDraining, {}}), kSoon);
}

absl::Status ShutdownError() {
  return WithRetryDelay(
      WithReason(absl::UnavailableError("the server was shut down before the job was done"),
                 {reason::kShutdown, {}}),
      kSoon);
}

absl::Status HandedBackError() {
  return WithRetryDelay(
      WithReason(
          absl::UnavailableError("the server is shut down; its next start, or another server, "
                                 "goes on with the job"),
          {reason::kShutdown, {}}),
      kSoon);
}

absl::Status ModelLoadingError(const std::string& model) {
  return WithRetryDelay(
      WithReason(absl::UnavailableError(absl::StrCat("model ", model, " is still loading")),
                 {reason::kModelLoading, {{"model", model}}}),
      kLoadingRetry);
}

absl::Status ModelFailedError(const std::string& model) {
  return WithReason(absl::UnavailableError(absl::StrCat("model ", model, " could not be loaded")),
                    {reason::kModelFailed, {{"model", model}}});
}

absl::Status ModelNotFoundError(const std::string& model) {
  const std::string name = TruncateUtf8(model, kMaxNameLength);
  absl::Status status = WithReason(absl::NotFoundError(absl::StrCat("no model named ", name)),
                                   {reason::kModelNotFound, {{"model", name}}});
  status.SetPayload(kModelUrl, absl::Cord(name));
  return status;
}

absl::Status QueueFullError(size_t limit, absl::Duration retry_delay) {
  return WithRetryDelay(WithReason(absl::ResourceExhaustedError(absl::StrCat(
                                       "the queue is full: ", limit, " jobs are waiting")),
                                   {reason::kQueueFull, {{"limit", absl::StrCat(limit)}}}),
                        retry_delay);
}

absl::Status QueueBytesFullError(int64_t limit, absl::Duration retry_delay) {
  return WithRetryDelay(
      WithReason(absl::ResourceExhaustedError(absl::StrCat(
                     "the queue is full: its images may take ", limit, " bytes in all")),
                 {reason::kQueueBytesFull, {{"limit", absl::StrCat(limit)}}}),
      retry_delay);
}

absl::Status TenantQueueFullError(size_t limit, absl::Duration retry_delay) {
  return WithRetryDelay(
      WithReason(absl::ResourceExhaustedError(absl::StrCat(
                     "this tenant's share of the queue is full: ", limit, " of its jobs wait")),
                 {reason::kTenantQueueFull, {{"limit", absl::StrCat(limit)}, {"unit", "jobs"}}}),
      retry_delay);
}

absl::Status TenantQueueBytesFullError(int64_t limit, absl::Duration retry_delay) {
  return WithRetryDelay(
      WithReason(
          absl::ResourceExhaustedError(absl::StrCat(
              "this tenant's share of the queue is full: its images may take ", limit, " bytes")),
          {reason::kTenantQueueFull, {{"limit", absl::StrCat(limit)}, {"unit", "bytes"}}}),
      retry_delay);
}

absl::Status TenantRateError(absl::Duration retry_delay) {
  return WithRetryDelay(
      WithReason(absl::ResourceExhaustedError("this tenant sends too many requests"),
                 {reason::kTenantRate, {}}),
      absl::Ceil(retry_delay, absl::Milliseconds(1)));
}

absl::Status TenantBytesError(int64_t limit, absl::Duration retry_delay) {
  absl::Status status = WithReason(absl::ResourceExhaustedError(absl::StrCat(
                                       "this tenant may send ", limit, " bytes in 24 hours")),
                                   {reason::kTenantBytes, {{"limit", absl::StrCat(limit)}}});
  if (retry_delay == absl::InfiniteDuration()) return status;
  return WithRetryDelay(std::move(status), retry_delay);
}

absl::Status DeadlinePassedError(const std::string& stage,
                                 const std::map<std::string, std::string>& facts) {
  ErrorReason reason{reason::kDeadlinePassed, facts};
  reason.metadata["stage"] = stage;
  return WithReason(
      absl::DeadlineExceededError(absl::StrCat("the deadline passed, stage: ", stage)), reason);
}

absl::Status DeadlineUnreachableError(double eta_seconds) {
  return WithReason(
      absl::DeadlineExceededError(absl::StrCat(
          "the jobs before this one leave no time: a result is expected in ", eta_seconds, " s")),
      {reason::kDeadlineUnreachable,
       {{"stage", "admission"}, {"eta_seconds", absl::StrCat(eta_seconds)}}});
}

absl::Status CallerGoneError() {
  return WithReason(absl::CancelledError("the caller closed the call"), {reason::kCancelled, {}});
}

absl::Status JobCancelledError() {
  return WithReason(absl::CancelledError("the job was cancelled"), {reason::kJobCancelled, {}});
}

absl::Status JobNotFoundError(const std::string& name) {
  const std::string shown = TruncateUtf8(name, kMaxNameLength);
  absl::Status status = WithReason(absl::NotFoundError(absl::StrCat("no job named ", shown)),
                                   {reason::kJobNotFound, {{"job", shown}}});
  status.SetPayload(kJobUrl, absl::Cord(shown));
  return status;
}

absl::Status JobNotEndedError(const std::string& name) {
  return WithReason(
      absl::FailedPreconditionError(absl::StrCat("job ", name, " waits or runs: cancel it first")),
      {reason::kJobNotEnded, {{"job", name}}});
}

absl::Status NoResultError(const std::string& name, const std::string& state) {
  return WithReason(
      absl::FailedPreconditionError(absl::StrCat("job ", name, " has no result: it is ", state)),
      {reason::kNoResult, {{"job", name}, {"state", state}}});
}

absl::Status RequestIdReusedError(const std::string& request_id) {
  const std::string shown = TruncateUtf8(request_id, kMaxNameLength);
  return WithReason(
      absl::AlreadyExistsError(absl::StrCat("request_id ", shown, " came with another request")),
      {reason::kRequestIdReused, {{"request_id", shown}}});
}

absl::Status StoreFailedError(const absl::Status& why) {
  return WithRetryDelay(
      WithReason(absl::UnavailableError(absl::StrCat("the job store failed: ", why.message())),
                 {reason::kStoreFailed, {}}),
      kSoon);
}

absl::Status ResultsUnreadError() {
  return WithRetryDelay(
      WithReason(absl::ResourceExhaustedError(
                     "too many results wait for slow readers; no new work until they are read"),
                 {reason::kResultsUnread, {}}),
      kSoon);
}

absl::Status ResultsFullError(int64_t limit) {
  return WithReason(
      absl::ResourceExhaustedError(absl::StrCat(
          "this tenant's kept results were not read and fill its allowance of ", limit)),
      {reason::kResultsFull, {{"limit", absl::StrCat(limit)}}});
}

absl::Status LeaseLostError() {
  return WithReason(absl::AbortedError("the job's lease was lost"), {reason::kLeaseLost, {}});
}

absl::Status ServerLostTwiceError() {
  return WithReason(absl::InternalError("the server ended twice while the job ran"),
                    {reason::kServerLostTwice, {}});
}

absl::Status BudgetNotKeptError(const std::string& where, int difference, int bound) {
  return WithReason(
      absl::InternalError(absl::StrCat("the protected image breaks its budget (", where,
                                       "): ", difference, " levels, allowed: ", bound)),
      {reason::kBudgetNotKept,
       {{"difference", absl::StrCat(difference)}, {"bound", absl::StrCat(bound)}}});
}

absl::Status VisibilityNotKeptError(double chroma_bias, double limit) {
  return WithReason(
      absl::InternalError(absl::StrCat("the change can be seen: a shift of colour of ", chroma_bias,
                                       ", allowed: ", limit)),
      {reason::kVisibilityNotKept,
       {{"chroma_bias", absl::StrCat(chroma_bias)}, {"limit", absl::StrCat(limit)}}});
}

absl::Status WorkerLostTwiceError(const absl::Status& lost) {
  return WithReason(
      absl::InternalError(absl::StrCat("the worker was lost twice while it ran this job, at last: ",
                                       lost.message())),
      {reason::kWorkerLostTwice, {{"last", ReasonOf(lost)}}});
}

std::string ReasonOf(const absl::Status& status) {
  if (status.ok()) return "";
  if (const auto given = GetErrorReason(status)) return given->reason;
  if (GetFieldViolation(status).has_value()) return reason::kInvalidField;
  switch (status.code()) {
    case absl::StatusCode::kCancelled:
      return reason::kCancelled;
    case absl::StatusCode::kDeadlineExceeded:
      return reason::kDeadlinePassed;
    case absl::StatusCode::kInvalidArgument:
      return reason::kInvalidField;
    default:
      return absl::StatusCodeToString(status.code());
  }
}

std::string TextOf(const absl::Status& status) {
  return status.ToString(absl::StatusToStringMode::kWithNoExtraData);
}

absl::Status WithRetryDelay(absl::Status status, absl::Duration delay) {
  if (status.ok()) return status;
  status.SetPayload(kRetryUrl, absl::Cord(absl::StrCat(absl::ToInt64Milliseconds(delay))));
  return status;
}

std::optional<absl::Duration> GetRetryDelay(const absl::Status& status) {
  const absl::optional<absl::Cord> cord = status.GetPayload(kRetryUrl);
  int64_t milliseconds = 0;
  if (!cord.has_value() || !absl::SimpleAtoi(std::string(*cord), &milliseconds)) {
    return std::nullopt;
  }
  return absl::Milliseconds(milliseconds);
}

std::optional<MissingResource> GetMissingResource(const absl::Status& status) {
  if (const auto model = status.GetPayload(kModelUrl)) {
    return MissingResource{"model", std::string(*model)};
  }
  if (const auto job = status.GetPayload(kJobUrl)) return MissingResource{"job", std::string(*job)};
  return std::nullopt;
}

}  // namespace antidiffusion
