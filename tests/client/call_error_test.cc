#include "client/call_error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/client/fake_service.h"
#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

using ::testing::Optional;

TEST(CallErrorTest, TellsCodeMessageReasonAndFactsInOneLine) {
  const CallError error = ReadCallError(
      DetailedStatus(grpc::StatusCode::RESOURCE_EXHAUSTED, "queue\nfull", {.reason = "QUEUE_FULL"}),
      {});
  EXPECT_EQ(error.status.message(), "queue full [QUEUE_FULL limit=32]");
  EXPECT_THAT(error.status, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(error.status, HasReason("QUEUE_FULL"));
}

TEST(CallErrorTest, FactsThatTheMessageTellsAreNotRepeated) {
  EXPECT_EQ(ReadCallError(DetailedStatus(grpc::StatusCode::INVALID_ARGUMENT, "64, allowed: 32",
                                         {.reason = "INVALID_FIELD"}),
                          {})
                .status.message(),
            "64, allowed: 32 [INVALID_FIELD]");
}

TEST(CallErrorTest, NamesViolatedFieldsOnce) {
  const StatusDetails details = {.field = "options.budget_levels",
                                 .description = "0, allowed: (0, 32]"};
  EXPECT_EQ(
      ReadCallError(DetailedStatus(grpc::StatusCode::INVALID_ARGUMENT, "bad option", details), {})
          .status.message(),
      "bad option; options.budget_levels: 0, allowed: (0, 32]");
  EXPECT_EQ(ReadCallError(DetailedStatus(grpc::StatusCode::INVALID_ARGUMENT,
                                         "options.budget_levels: 0, allowed: (0, 32]", details),
                          {})
                .status.message(),
            "options.budget_levels: 0, allowed: (0, 32]");
}

TEST(CallErrorTest, TakesTheLongerOfTheServersTwoDelays) {
  const grpc::Status status =
      DetailedStatus(grpc::StatusCode::UNAVAILABLE, "loading", {.retry_delay_seconds = 3});
  EXPECT_THAT(ReadCallError(status, {}).retry_after, Optional(absl::Seconds(3)));
  EXPECT_THAT(ReadCallError(status, {{"grpc-retry-pushback-ms", "4500"}}).retry_after,
              Optional(absl::Milliseconds(4500)));
  EXPECT_THAT(ReadCallError(status, {{"grpc-retry-pushback-ms", "500"}}).retry_after,
              Optional(absl::Seconds(3)));
}

TEST(CallErrorTest, ANegativePushbackForbidsRetries) {
  const grpc::Status status(grpc::StatusCode::RESOURCE_EXHAUSTED, "out of memory");
  EXPECT_TRUE(ReadCallError(status, {{"grpc-retry-pushback-ms", "-1"}}).retry_forbidden);
  EXPECT_FALSE(ReadCallError(status, {{"grpc-retry-pushback-ms", "0"}}).retry_forbidden);
}

TEST(CallErrorTest, DetailsThatAreNoneAreIgnored) {
  const CallError error = ReadCallError(
      grpc::Status(grpc::StatusCode::UNAVAILABLE, "x", "\xff\xff not a google.rpc.Status"),
      {{"grpc-retry-pushback-ms", "soon"}});
  EXPECT_EQ(error.status, absl::UnavailableError("x"));
  EXPECT_EQ(error.retry_after, std::nullopt);
  EXPECT_FALSE(error.retry_forbidden);
}

TEST(CallErrorTest, UnreachableIsUnavailableWithoutAWordFromTheServer) {
  EXPECT_TRUE(IsUnreachable(absl::UnavailableError("connection refused")));
  EXPECT_FALSE(IsUnreachable(absl::InternalError("x")));
  EXPECT_FALSE(IsUnreachable(absl::OkStatus()));
  EXPECT_FALSE(IsUnreachable(
      ReadCallError(
          DetailedStatus(grpc::StatusCode::UNAVAILABLE, "draining", {.reason = "DRAINING"}), {})
          .status));
}

}  // namespace
}  // namespace antidiffusion
