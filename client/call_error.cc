#include "client/call_error.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "client/exit_codes.h"
#include "client/terminal_text.h"
#include "core/base/status_details.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace antidiffusion {
namespace {

constexpr char kPushback[] = "grpc-retry-pushback-ms";

struct Details {
  std::vector<google::rpc::BadRequest::FieldViolation> violations;
  std::optional<google::rpc::ErrorInfo> info;
  std::optional<absl::Duration> retry_delay;
};

Details ParseDetails(const std::string& serialized) {
  Details details;
  google::rpc::Status status;
  if (!status.ParseFromString(serialized)) return details;
  for (const auto& any : status.details()) {
    google::rpc::BadRequest bad_request;
    google::rpc::ErrorInfo info;
    google::rpc::RetryInfo retry;
    if (any.UnpackTo(&bad_request)) {
      for (const auto& violation : bad_request.field_violations()) {
        details.violations.push_back(violation);
      }
    } else if (any.UnpackTo(&info)) {
      details.info = info;
    } else if (any.UnpackTo(&retry)) {
      details.retry_delay = absl::Seconds(retry.retry_delay().seconds()) +
                            absl::Nanoseconds(retry.retry_delay().nanos());
    }
  }
  return details;
}

std::string OneLine(const std::string& message, const Details& details) {
  std::string line = message;
  for (const auto& violation : details.violations) {
    if (line.find(violation.field()) != std::string::npos) continue;
    absl::StrAppend(&line, line.empty() ? "" : "; ", violation.field(), ": ",
                    violation.description());
  }
  if (details.info.has_value()) {
    std::vector<std::string> words = {details.info->reason()};
    for (const auto& [key, value] : details.info->metadata()) {
      if (!absl::StrContains(line, value)) words.push_back(absl::StrCat(key, "=", value));
    }
    std::sort(words.begin() + 1, words.end());
    absl::StrAppend(&line, line.empty() ? "[" : " [", absl::StrJoin(words, " "), "]");
  }
  return PrintableText(line);
}

}  // namespace

CallError ReadCallError(const grpc::Status& status, const TrailingMetadata& trailing) {
  const Details details = ParseDetails(status.error_details());
  CallError error;
  error.status = absl::Status(static_cast<absl::StatusCode>(status.error_code()),
                              OneLine(status.error_message(), details));
  if (details.info.has_value()) {
    ErrorReason reason;
    reason.reason = details.info->reason();
    reason.metadata.insert(details.info->metadata().begin(), details.info->metadata().end());
    error.status = WithReason(error.status, reason);
  }
  error.retry_after = details.retry_delay;
  const auto pushback = trailing.find(kPushback);
  int64_t milliseconds = 0;
  if (pushback != trailing.end() &&
      absl::SimpleAtoi(absl::string_view(pushback->second.data(), pushback->second.size()),
                       &milliseconds)) {
    error.retry_forbidden = milliseconds < 0;
    error.retry_after = std::max(error.retry_after.value_or(absl::ZeroDuration()),
                                 absl::Milliseconds(milliseconds));
  }
  return error;
}

bool IsUnreachable(const absl::Status& status) {
  return absl::IsUnavailable(status) && !GetErrorReason(status).has_value();
}

int ExitCodeOf(const absl::Status& status) {
  if (status.ok()) return kExitOk;
  const bool servers_word = GetErrorReason(status).has_value();
  if (absl::IsCancelled(status) && !servers_word) return kExitInterrupted;
  return IsUnreachable(status) ? kExitUnreachable : kExitFailed;
}

}  // namespace antidiffusion
