#include "core/base/status_macros.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <utility>

#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

absl::Status ReturnIfError(const absl::Status& status, int& calls, bool& reached) {
  const auto call = [&] {
    ++calls;
    return status;
  };
  AD_RETURN_IF_ERROR(call());
  reached = true;
  return absl::OkStatus();
}

TEST(ReturnIfErrorTest, ReturnsAnErrorAndEvaluatesOnce) {
  int calls = 0;
  bool reached = false;
  EXPECT_THAT(ReturnIfError(absl::NotFoundError("gone"), calls, reached),
              StatusIs(absl::StatusCode::kNotFound, "gone"));
  EXPECT_EQ(calls, 1);
  EXPECT_FALSE(reached);
}

TEST(ReturnIfErrorTest, GoesOnAfterOk) {
  int calls = 0;
  bool reached = false;
  EXPECT_THAT(ReturnIfError(absl::OkStatus(), calls, reached), IsOk());
  EXPECT_EQ(calls, 1);
  EXPECT_TRUE(reached);
}

TEST(ReturnIfErrorTest, IsOneStatementInAnIfWithoutBraces) {
  const auto run = [](bool check) -> absl::StatusOr<int> {
    if (check)
      AD_RETURN_IF_ERROR(absl::InternalError("checked"));
    else
      return 2;
    return 1;
  };
  EXPECT_EQ(*run(false), 2);
  EXPECT_THAT(run(true), StatusIs(absl::StatusCode::kInternal, "checked"));
}

absl::StatusOr<std::unique_ptr<int>> Make(int value) {
  if (value < 0) return absl::InvalidArgumentError("negative");
  return std::make_unique<int>(value);
}

absl::StatusOr<int> Sum(int a, int b) {
  AD_ASSIGN_OR_RETURN(const std::unique_ptr<int> x, Make(a));
  std::unique_ptr<int> y;
  AD_ASSIGN_OR_RETURN(y, Make(b));
  return *x + *y;
}

TEST(AssignOrReturnTest, MovesTheValueOrReturnsTheError) {
  AD_ASSERT_OK_AND_ASSIGN(const int sum, Sum(2, 3));
  EXPECT_EQ(sum, 5);
  EXPECT_THAT(Sum(-1, 3), StatusIs(absl::StatusCode::kInvalidArgument, "negative"));
  EXPECT_THAT(Sum(2, -3), StatusIs(absl::StatusCode::kInvalidArgument, "negative"));
}

}  // namespace
}  // namespace antidiffusion
