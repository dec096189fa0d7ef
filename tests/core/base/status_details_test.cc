#include "core/base/status_details.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

TEST(InvalidFieldTest, SaysFieldValueAndLimitToPeopleAndPrograms) {
  const absl::Status status = InvalidField("options.budget_levels", "0", "(0, 32]");
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument,
                               "options.budget_levels: 0, allowed: (0, 32]"));
  const auto violation = GetFieldViolation(status);
  ASSERT_TRUE(violation.has_value());
  EXPECT_EQ(violation->field, "options.budget_levels");
  EXPECT_EQ(violation->value, "0");
  EXPECT_EQ(violation->limit, "(0, 32]");
}

TEST(InvalidFieldTest, ShortensALongValue) {
  const auto violation = GetFieldViolation(InvalidField("image", std::string(5000, 'x'), "less"));
  ASSERT_TRUE(violation.has_value());
  EXPECT_EQ(violation->value, std::string(200, 'x'));
  EXPECT_EQ(violation->limit, "less");
}

TEST(InvalidFieldTest, AValueCannotForgeParts) {
  const auto violation = GetFieldViolation(InvalidField("model",
                                                        "a\x1f"
                                                        "b",
                                                        "c"));
  ASSERT_TRUE(violation.has_value());
  EXPECT_EQ(violation->value, "a b");
  EXPECT_EQ(violation->limit, "c");
}

TEST(InvalidFieldTest, EmptyPartsSurvive) {
  const auto violation = GetFieldViolation(InvalidField("image", "", ""));
  ASSERT_TRUE(violation.has_value());
  EXPECT_EQ(violation->field, "image");
  EXPECT_EQ(violation->value, "");
  EXPECT_EQ(violation->limit, "");
}

TEST(InvalidFieldTest, OtherStatusesHaveNoViolation) {
  EXPECT_FALSE(GetFieldViolation(absl::OkStatus()).has_value());
  EXPECT_FALSE(GetFieldViolation(absl::InvalidArgumentError("image: bad")).has_value());
}

TEST(ErrorReasonTest, KeepsItsFacts) {
  const absl::Status status =
      WithReason(absl::ResourceExhaustedError("full"),
                 {"QUEUE_FULL", {{"queued", "64"}, {"limit", "64"}, {"empty", ""}}});
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted, "full"));
  const auto reason = GetErrorReason(status);
  ASSERT_TRUE(reason.has_value());
  EXPECT_EQ(reason->reason, "QUEUE_FULL");
  EXPECT_EQ(reason->metadata,
            (std::map<std::string, std::string>{{"queued", "64"}, {"limit", "64"}, {"empty", ""}}));
}

TEST(ErrorReasonTest, ALaterReasonReplacesAnEarlierOne) {
  const auto reason = GetErrorReason(
      WithReason(WithReason(absl::InternalError("x"), {"FIRST", {{"a", "b"}}}), {"SECOND", {}}));
  ASSERT_TRUE(reason.has_value());
  EXPECT_EQ(reason->reason, "SECOND");
  EXPECT_TRUE(reason->metadata.empty());
}

TEST(ErrorReasonTest, OkStaysOkWithoutOne) {
  const absl::Status status = WithReason(absl::OkStatus(), {"REASON", {}});
  EXPECT_THAT(status, IsOk());
  EXPECT_FALSE(GetErrorReason(status).has_value());
  EXPECT_FALSE(GetErrorReason(absl::InternalError("x")).has_value());
}

TEST(ErrorReasonTest, LivesBesideAFieldViolation) {
  const absl::Status status = WithReason(InvalidField("image", "1x1", "64"), {"SMALL", {}});
  EXPECT_THAT(status, ViolatesField("image"));
  EXPECT_THAT(status, HasReason("SMALL"));
}

}  // namespace
}  // namespace antidiffusion
