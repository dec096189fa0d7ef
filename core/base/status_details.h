// What a program, not a person, reads from an error: the machine-readable part of an absl::Status.
// It travels as status payloads, so every layer may add to it and the server alone turns it into
// google.rpc details (BadRequest, ErrorInfo).
//
//   return InvalidField("options.budget_levels", "0", "(0, 32]");
#pragma once

#include <map>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace antidiffusion {

// One field of a request that cannot be accepted. Names are those of the request's message, with
// dots (`image`, `options.budget_levels`).
struct FieldViolation {
  std::string field;
  std::string value;  // as given, shortened; never image bytes
  std::string limit;  // what would be accepted
};

// A reason in SCREAMING_SNAKE_CASE (google.rpc.ErrorInfo.reason) with its facts.
struct ErrorReason {
  std::string reason;
  std::map<std::string, std::string> metadata;
};

// INVALID_ARGUMENT with the message "FIELD: VALUE, allowed: LIMIT" and a FieldViolation.
absl::Status InvalidField(absl::string_view field, absl::string_view value,
                          absl::string_view limit);

// The violation of a status made by InvalidField, else nullopt.
std::optional<FieldViolation> GetFieldViolation(const absl::Status& status);

// `status` with a reason attached (replacing an earlier one). OK stays OK without one.
absl::Status WithReason(absl::Status status, const ErrorReason& reason);
std::optional<ErrorReason> GetErrorReason(const absl::Status& status);

}  // namespace antidiffusion
