#include "server/status_conversion.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "core/base/status_details.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "server/errors.h"
#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

// The detail of type T in a status, as a client reads it; default when there is none.
template <typename T>
std::optional<T> DetailOf(const grpc::Status& status) {
  google::rpc::Status rich;
  EXPECT_TRUE(rich.ParseFromString(status.error_details()));
  EXPECT_EQ(rich.code(), status.error_code());
  EXPECT_EQ(rich.message(), status.error_message());
  for (const auto& any : rich.details()) {
    T detail;
    if (any.UnpackTo(&detail)) return detail;
  }
  return std::nullopt;
}

struct ErrorCase {
  absl::Status status;
  grpc::StatusCode code;
  std::string reason;
  std::string pushback;
};

TEST(ToGrpcStatusTest, EveryErrorHasItsCodeReasonAndPushback) {
  const std::vector<ErrorCase> cases = {
      {DrainingError(), grpc::UNAVAILABLE, "DRAINING", "1000"},
      {ShutdownError(), grpc::UNAVAILABLE, "SERVER_SHUTDOWN", "1000"},
      {ModelLoadingError("m"), grpc::UNAVAILABLE, "MODEL_LOADING", "5000"},
      {ModelFailedError("m"), grpc::UNAVAILABLE, "MODEL_FAILED", "-1"},
      {ModelNotFoundError("m"), grpc::NOT_FOUND, "MODEL_NOT_FOUND", ""},
      {QueueFullError(3, absl::Milliseconds(2500)), grpc::RESOURCE_EXHAUSTED, "QUEUE_FULL", "2500"},
      {QueueBytesFullError(3, absl::Seconds(7)), grpc::RESOURCE_EXHAUSTED, "QUEUE_BYTES_FULL",
       "7000"},
      {ResultsUnreadError(), grpc::RESOURCE_EXHAUSTED, "RESULTS_UNREAD", "1000"},
      {DeadlinePassedError("queue"), grpc::DEADLINE_EXCEEDED, "DEADLINE_PASSED", ""},
      {DeadlineUnreachableError(12.5), grpc::DEADLINE_EXCEEDED, "DEADLINE_UNREACHABLE", ""},
      {CallerGoneError(), grpc::CANCELLED, "CANCELLED", ""},
      {BudgetNotKeptError("pixels", 9, 6), grpc::INTERNAL, "BUDGET_NOT_KEPT", ""},
      {InvalidField("image", "7 bytes", "PNG"), grpc::INVALID_ARGUMENT, "INVALID_FIELD", ""},
      {WithReason(absl::ResourceExhaustedError("out of memory"), {"DEVICE_MEMORY", {}}),
       grpc::RESOURCE_EXHAUSTED, "DEVICE_MEMORY", "-1"},
      {absl::InternalError("a bug"), grpc::INTERNAL, "INTERNAL", ""},
      {absl::DataLossError("broken"), grpc::DATA_LOSS, "DATA_LOSS", ""},
  };
  for (const ErrorCase& error : cases) {
    SCOPED_TRACE(error.status.ToString());
    const grpc::Status status = ToGrpcStatus(error.status);
    EXPECT_EQ(status.error_code(), error.code);
    const auto info = DetailOf<google::rpc::ErrorInfo>(status);
    ASSERT_TRUE(info.has_value());
    EXPECT_EQ(info->reason(), error.reason);
    EXPECT_EQ(info->domain(), "antidiffusion");
    EXPECT_EQ(RetryPushback(error.status), error.pushback);
    const bool has_delay = !error.pushback.empty() && error.pushback != "-1";
    EXPECT_EQ(DetailOf<google::rpc::RetryInfo>(status).has_value(), has_delay);
  }
}

TEST(ToGrpcStatusTest, AShortenedNameStaysReadable) {
  std::string name = "a";  // so that byte 200 is inside of a character
  for (int i = 0; i < 150; ++i) name += "\u00e9";
  const grpc::Status status = ToGrpcStatus(ModelNotFoundError(name));
  const auto resource = DetailOf<google::rpc::ResourceInfo>(status);
  ASSERT_TRUE(resource.has_value());
  EXPECT_EQ(resource->resource_name(), name.substr(0, 199));
}

TEST(ToGrpcStatusTest, OkHasNoDetails) {
  const grpc::Status status = ToGrpcStatus(absl::OkStatus());
  EXPECT_TRUE(status.ok());
  EXPECT_TRUE(status.error_details().empty());
}

TEST(ToGrpcStatusTest, NamesFieldValueAndLimit) {
  const grpc::Status status =
      ToGrpcStatus(InvalidField("options.budget_levels", "1000", "(0, 32]"));
  const auto bad = DetailOf<google::rpc::BadRequest>(status);
  ASSERT_TRUE(bad.has_value());
  ASSERT_EQ(bad->field_violations_size(), 1);
  EXPECT_EQ(bad->field_violations(0).field(), "options.budget_levels");
  EXPECT_EQ(bad->field_violations(0).description(), "1000, allowed: (0, 32]");
  const auto info = DetailOf<google::rpc::ErrorInfo>(status);
  EXPECT_EQ(info->metadata().at("field"), "options.budget_levels");
  EXPECT_EQ(info->metadata().at("value"), "1000");
  EXPECT_EQ(info->metadata().at("limit"), "(0, 32]");
}

TEST(ToGrpcStatusTest, TellsWhenToRetry) {
  const auto retry =
      DetailOf<google::rpc::RetryInfo>(ToGrpcStatus(QueueFullError(1, absl::Milliseconds(2500))));
  ASSERT_TRUE(retry.has_value());
  EXPECT_EQ(retry->retry_delay().seconds(), 2);
  EXPECT_EQ(retry->retry_delay().nanos(), 500'000'000);
}

TEST(ToGrpcStatusTest, NamesTheMissingModelShortened) {
  const auto resource = DetailOf<google::rpc::ResourceInfo>(
      ToGrpcStatus(ModelNotFoundError(std::string(100'000, 'm'))));
  ASSERT_TRUE(resource.has_value());
  EXPECT_EQ(resource->resource_type(), "model");
  EXPECT_EQ(resource->resource_name(), std::string(200, 'm'));
}

TEST(FromRichStatusTest, GivesBackWhatAProgramReads) {
  for (const absl::Status& status :
       {BudgetNotKeptError("pixels", 9, 6), DeadlinePassedError("queue"), ShutdownError(),
        InvalidField("image", "a truncated PNG", "a complete file")}) {
    const absl::Status back = FromRichStatus(ToRichStatus(status));
    EXPECT_EQ(back.code(), status.code());
    EXPECT_EQ(back.message(), status.message());
    EXPECT_EQ(ReasonOf(back), ReasonOf(status));
    EXPECT_EQ(GetRetryDelay(back), GetRetryDelay(status));
  }
  EXPECT_EQ(GetErrorReason(FromRichStatus(ToRichStatus(BudgetNotKeptError("pixels", 9, 6))))
                ->metadata.at("bound"),
            "6");
}

}  // namespace
}  // namespace antidiffusion
