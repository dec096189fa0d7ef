// GoogleTest matchers for absl::Status and absl::StatusOr<T> (Debian's abseil has none).
//
//   EXPECT_THAT(options.Validate(), IsOk());
//   EXPECT_THAT(result, StatusIs(absl::StatusCode::kNotFound, "no such model"));
//   EXPECT_THAT(result, ViolatesField("options.budget_levels"));
//   AD_ASSERT_OK_AND_ASSIGN(const Image image, Decode(bytes));
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/status_details.h"
#include "core/base/status_macros.h"

namespace antidiffusion {

// The codes of files that cannot be used.
inline constexpr absl::StatusCode kDataLoss = absl::StatusCode::kDataLoss;
inline constexpr absl::StatusCode kNotFound = absl::StatusCode::kNotFound;
inline constexpr absl::StatusCode kFailedPrecondition = absl::StatusCode::kFailedPrecondition;

inline const absl::Status& ToStatus(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& ToStatus(const absl::StatusOr<T>& status_or) {
  return status_or.status();
}

MATCHER(IsOk, "is OK") {
  *result_listener << ToStatus(arg);
  return ToStatus(arg).ok();
}

MATCHER_P(StatusIs, code, "has code " + absl::StatusCodeToString(code)) {
  *result_listener << ToStatus(arg);
  return ToStatus(arg).code() == code;
}

// `substring`: a part of the message.
MATCHER_P2(StatusIs, code, substring,
           "has code " + absl::StatusCodeToString(code) + " and a message with \"" +
               std::string(substring) + "\"") {
  *result_listener << ToStatus(arg);
  return ToStatus(arg).code() == code &&
         std::string(ToStatus(arg).message()).find(substring) != std::string::npos;
}

// INVALID_ARGUMENT with a FieldViolation of this field.
MATCHER_P(ViolatesField, field, "violates the field " + std::string(field)) {
  *result_listener << ToStatus(arg);
  const auto violation = GetFieldViolation(ToStatus(arg));
  return ToStatus(arg).code() == absl::StatusCode::kInvalidArgument && violation.has_value() &&
         violation->field == field;
}

// An ErrorReason with this name.
MATCHER_P(HasReason, reason, "has the reason " + std::string(reason)) {
  *result_listener << ToStatus(arg);
  const auto found = GetErrorReason(ToStatus(arg));
  return found.has_value() && found->reason == reason;
}

}  // namespace antidiffusion

// Ends the test when `expression`, a StatusOr, is an error; else moves its value to `lhs`.
#define AD_ASSERT_OK_AND_ASSIGN(lhs, expression) \
  AD_ASSERT_OK_AND_ASSIGN_IMPL(AD_CONCAT(ad_status_or_, __LINE__), lhs, expression)

#define AD_ASSERT_OK_AND_ASSIGN_IMPL(status_or, lhs, expression) \
  auto status_or = (expression);                                 \
  ASSERT_TRUE(status_or.ok()) << status_or.status();             \
  lhs = std::move(status_or).value()
