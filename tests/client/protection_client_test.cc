#include "client/protection_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/client/fake_service.h"
#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

// A client that does not wait, and remembers how long it would have.
class ProtectionClientTest : public ::testing::Test {
 protected:
  ProtectionClient Client(const std::string& address) {
    return ProtectionClient({.server = address,
                             .retry = {.jitter = 0},
                             .sleep = [this](absl::Duration delay, const std::stop_token& stop) {
                               delays_.push_back(delay);
                               if (on_sleep_) on_sleep_();
                               return !stop.stop_requested();
                             }});
  }

  absl::StatusOr<ReceivedResult> Protect(const CallOptions& call = {}) {
    v1::ProtectRequest request;
    request.set_image("photograph");
    request.set_request_id("id-1");
    auto result =
        Client(service_.address()).Protect(request, call, [this](const v1::JobEvent& event) {
          events_.push_back(event);
          if (on_event_) on_event_();
        });
    service_.Settle();
    return result;
  }

  FakeService service_;
  std::vector<absl::Duration> delays_;
  std::vector<v1::JobEvent> events_;
  std::function<void()> on_sleep_;
  std::function<void()> on_event_;
  std::stop_source stop_;
};

TEST_F(ProtectionClientTest, PassesEventsOnAndGivesTheResult) {
  service_.protect = [](auto*, const auto&, EventWriter& writer) {
    writer.Write(QueuedEvent(2));
    writer.Write(ProgressEvent("pgd", 3, 10, 0.3));
    WriteResult(writer, "protected");
    return grpc::Status::OK;
  };
  const auto result = Protect();
  ASSERT_THAT(result, IsOk());
  EXPECT_EQ(result->image, "protected");
  ASSERT_THAT(events_, SizeIs(2));
  EXPECT_EQ(events_[0].queued().position(), 2);
  EXPECT_EQ(events_[1].progress().stage(), "pgd");
  EXPECT_EQ(service_.requests()[0].image(), "photograph");
}

TEST_F(ProtectionClientTest, AStreamThatEndsWithoutAResultIsAnError) {
  service_.protect = [](auto*, const auto&, EventWriter& writer) {
    writer.Write(QueuedEvent(0));
    return grpc::Status::OK;
  };
  EXPECT_THAT(Protect(), StatusIs(absl::StatusCode::kInternal));
}

TEST_F(ProtectionClientTest, RepeatsTheSameRequestUntilTheServerIsReady) {
  std::atomic<int> calls = 0;
  service_.protect = [&calls](auto*, const auto&, EventWriter& writer) {
    if (++calls < 3) {
      return DetailedStatus(grpc::StatusCode::UNAVAILABLE, "loading", {.reason = "LOADING"});
    }
    WriteResult(writer, "protected");
    return grpc::Status::OK;
  };
  std::vector<int> attempts;
  CallOptions call;
  call.on_retry = [&attempts](const RetryNotice& notice) {
    attempts.push_back(notice.next_attempt);
    EXPECT_THAT(notice.status, StatusIs(absl::StatusCode::kUnavailable, "loading"));
  };
  EXPECT_THAT(Protect(call), IsOk());
  EXPECT_THAT(attempts, ElementsAre(2, 3));
  EXPECT_THAT(delays_, ElementsAre(absl::Milliseconds(500), absl::Seconds(1)));
  ASSERT_THAT(service_.requests(), SizeIs(3));
  for (const auto& request : service_.requests()) EXPECT_EQ(request.request_id(), "id-1");
}

TEST_F(ProtectionClientTest, HonoursPushbackAndRetryInfoOfAFullQueue) {
  std::atomic<int> calls = 0;
  service_.protect = [&calls](grpc::ServerContext* context, const auto&, EventWriter& writer) {
    const int call = ++calls;
    if (call == 1) context->AddTrailingMetadata("grpc-retry-pushback-ms", "7000");
    if (call < 3) {
      return DetailedStatus(grpc::StatusCode::RESOURCE_EXHAUSTED, "queue full",
                            {.reason = "QUEUE_FULL", .retry_delay_seconds = 2});
    }
    WriteResult(writer, "protected");
    return grpc::Status::OK;
  };
  EXPECT_THAT(Protect(), IsOk());
  EXPECT_THAT(delays_, ElementsAre(absl::Seconds(7), absl::Seconds(2)));
}

TEST_F(ProtectionClientTest, DoesNotRepeatAfterANegativePushback) {
  service_.protect = [](grpc::ServerContext* context, const auto&, EventWriter&) {
    context->AddTrailingMetadata("grpc-retry-pushback-ms", "-1");
    return DetailedStatus(grpc::StatusCode::RESOURCE_EXHAUSTED, "too large for the device",
                          {.reason = "DEVICE_MEMORY", .retry_delay_seconds = 1});
  };
  EXPECT_THAT(Protect(), StatusIs(absl::StatusCode::kResourceExhausted, "DEVICE_MEMORY"));
  EXPECT_THAT(service_.requests(), SizeIs(1));
}

TEST_F(ProtectionClientTest, DoesNotRepeatAfterTheFirstMessage) {
  service_.protect = [](auto*, const auto&, EventWriter& writer) {
    writer.Write(QueuedEvent(0));
    return DetailedStatus(grpc::StatusCode::UNAVAILABLE, "draining",
                          {.reason = "DRAINING", .retry_delay_seconds = 1});
  };
  EXPECT_THAT(Protect(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(service_.requests(), SizeIs(1));
}

TEST_F(ProtectionClientTest, DoesNotRepeatWhatCannotSucceed) {
  service_.protect = [](auto*, const auto&, EventWriter&) {
    return DetailedStatus(grpc::StatusCode::INVALID_ARGUMENT, "bad option", {.reason = "OPTION"});
  };
  EXPECT_THAT(Protect(), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(service_.requests(), SizeIs(1));
}

TEST_F(ProtectionClientTest, GivesUpAfterABoundedNumberOfAttempts) {
  service_.protect = [](auto*, const auto&, EventWriter&) {
    return DetailedStatus(grpc::StatusCode::UNAVAILABLE, "loading", {.reason = "LOADING"});
  };
  EXPECT_THAT(Protect(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(service_.requests(), SizeIs(10));
}

TEST_F(ProtectionClientTest, RetriesCanBeSwitchedOff) {
  service_.protect = [](auto*, const auto&, EventWriter&) {
    return DetailedStatus(grpc::StatusCode::UNAVAILABLE, "loading", {.reason = "LOADING"});
  };
  EXPECT_THAT(Protect({.retry = false}), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(service_.requests(), SizeIs(1));
}

TEST_F(ProtectionClientTest, AServerThatIsNotThereIsNamed) {
  const std::string address = UnusedAddress();
  const auto result = Client(address).Protect({}, {}, nullptr);
  EXPECT_THAT(result, StatusIs(absl::StatusCode::kUnavailable, address));
  EXPECT_TRUE(IsUnreachable(result.status()));
  EXPECT_THAT(delays_, SizeIs(3));
}

TEST_F(ProtectionClientTest, StoppingCancelsTheCallOnTheServer) {
  // Nothing but the cancellation ends the handler, and the service's destructor waits for it.
  service_.protect = [](auto*, const auto&, EventWriter& writer) {
    while (writer.Write(ProgressEvent("pgd", 1, 10, 0.1))) {
    }
    return grpc::Status::CANCELLED;
  };
  on_event_ = [this] { stop_.request_stop(); };
  EXPECT_THAT(Protect({.stop = stop_.get_token()}), StatusIs(absl::StatusCode::kCancelled));
}

TEST_F(ProtectionClientTest, StoppingEndsTheWaitBetweenAttempts) {
  service_.protect = [](auto*, const auto&, EventWriter&) {
    return DetailedStatus(grpc::StatusCode::UNAVAILABLE, "loading", {.reason = "LOADING"});
  };
  on_sleep_ = [this] { stop_.request_stop(); };
  EXPECT_THAT(Protect({.stop = stop_.get_token()}), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_THAT(service_.requests(), SizeIs(1));
}

TEST_F(ProtectionClientTest, NothingIsSentOnceStopped) {
  stop_.request_stop();
  EXPECT_THAT(Protect({.stop = stop_.get_token()}), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_THAT(service_.requests(), SizeIs(0));
}

TEST_F(ProtectionClientTest, TheServerIsToldTheDeadlineAndOnlyIfThereIsOne) {
  std::vector<absl::Time> deadlines;
  service_.protect = [&deadlines](grpc::ServerContext* context, const auto&, EventWriter& writer) {
    deadlines.push_back(absl::FromChrono(context->deadline()));
    WriteResult(writer, "protected");
    return grpc::Status::OK;
  };
  EXPECT_THAT(Protect(), IsOk());
  EXPECT_THAT(Protect({.deadline = absl::Now() + absl::Hours(2)}), IsOk());
  ASSERT_THAT(deadlines, SizeIs(2));
  EXPECT_GT(deadlines[0], absl::Now() + absl::Hours(24 * 365));
  EXPECT_GT(deadlines[1], absl::Now() + absl::Hours(1));
  EXPECT_LT(deadlines[1], absl::Now() + absl::Hours(3));
}

TEST_F(ProtectionClientTest, DoesNotWaitBeyondTheDeadline) {
  service_.protect = [](auto*, const auto&, EventWriter&) {
    return DetailedStatus(grpc::StatusCode::UNAVAILABLE, "loading",
                          {.reason = "LOADING", .retry_delay_seconds = 200});
  };
  EXPECT_THAT(Protect({.deadline = absl::Now() + absl::Seconds(100)}),
              StatusIs(absl::StatusCode::kDeadlineExceeded, "loading"));
  EXPECT_THAT(delays_, SizeIs(0));
}

TEST_F(ProtectionClientTest, ADeadlineThatPassesEndsTheCallOnBothSides) {
  service_.protect = [](auto*, const auto&, EventWriter& writer) {
    while (writer.Write(ProgressEvent("pgd", 1, 10, 0.1))) {
    }
    return grpc::Status::CANCELLED;
  };
  EXPECT_THAT(Protect({.deadline = absl::Now() + absl::Milliseconds(50)}),
              StatusIs(absl::StatusCode::kDeadlineExceeded, "the time given"));
}

TEST_F(ProtectionClientTest, TakesImagesAboveGrpcsDefaultLimit) {
  const std::string large(size_t{6} << 20, 'x');
  service_.protect = [&large](auto*, const auto&, EventWriter& writer) {
    WriteResult(writer, large);
    return grpc::Status::OK;
  };
  const auto result = Protect();
  ASSERT_THAT(result, IsOk());
  EXPECT_EQ(result->image.size(), large.size());
}

// A client that holds on to the first address of a name leaves the other servers without work.
TEST_F(ProtectionClientTest, CallsGoToAllAddressesOfAName) {
  FakeService other;
  const auto answer = [](auto*, v1::ListModelsResponse& /*response*/) { return grpc::Status::OK; };
  std::atomic<int> here = 0;
  std::atomic<int> there = 0;
  service_.list_models = [&](auto* context, auto& response) {
    ++here;
    return answer(context, response);
  };
  other.list_models = [&](auto* context, auto& response) {
    ++there;
    return answer(context, response);
  };
  const ProtectionClient client =
      Client(absl::StrCat("ipv4:", service_.address(), ",", other.address(), ",", UnusedAddress()));
  while (here == 0 || there == 0) ASSERT_THAT(client.ListModels({}), IsOk());
  const int before = here - there;
  for (int i = 0; i < 10; ++i) ASSERT_THAT(client.ListModels({}), IsOk());
  EXPECT_EQ(here - there, before) << "in turn";
}

TEST(InterruptibleSleepTest, TellsWhetherItWasStopped) {
  std::stop_source stop;
  EXPECT_TRUE(InterruptibleSleep(absl::ZeroDuration(), stop.get_token()));
  stop.request_stop();
  EXPECT_FALSE(InterruptibleSleep(absl::InfiniteDuration(), stop.get_token()));
}

TEST_F(ProtectionClientTest, SendsTheApiKeyWithEveryCall) {
  std::string heard;
  service_.get_job = [&heard](grpc::ServerContext* context, const auto&, v1::Job& job) {
    heard = Metadata(*context, "authorization");
    job = MakeJob("a", v1::Job::QUEUED);
    return grpc::Status::OK;
  };
  const ProtectionClient client(
      {.server = service_.address(), .credentials = {.api_key = "secret"}});
  EXPECT_THAT(client.GetJob({}, {}), IsOk());
  EXPECT_EQ(heard, "Bearer secret");
}

// A stream that breaks after each event: what came is not asked for again.
TEST_F(ProtectionClientTest, AWatchIsPickedUpWhereItBroke) {
  std::vector<uint64_t> asked;
  service_.watch_job = [&asked](auto*, const v1::WatchJobRequest& request, EventWriter& writer) {
    asked.push_back(request.from_sequence());
    if (asked.size() == 1) {
      writer.Write(WithSequence(QueuedEvent(1), 4));
      writer.Write(WithSequence(ProgressEvent("pgd", 1, 3, 0.3), 6));
      return grpc::Status(grpc::StatusCode::UNAVAILABLE, "Socket closed");
    }
    if (asked.size() == 2) return grpc::Status(grpc::StatusCode::UNAVAILABLE, "Socket closed");
    writer.Write(WithSequence(ProgressEvent("pgd", 2, 3, 0.6), 7));
    WriteResult(writer, "protected", 8);
    return grpc::Status::OK;
  };
  v1::WatchJobRequest request;
  request.set_name("a");
  request.set_from_sequence(3);
  std::vector<uint64_t> heard;
  const auto result =
      Client(service_.address()).WatchJob(request, {}, [&heard](const v1::JobEvent& event) {
        heard.push_back(event.sequence());
      });
  service_.Settle();
  ASSERT_THAT(result, IsOk());
  EXPECT_EQ(result->image, "protected");
  EXPECT_THAT(asked, ElementsAre(3, 6, 6));
  EXPECT_THAT(heard, ElementsAre(4, 6, 7));
}

TEST_F(ProtectionClientTest, AWatchThatWasThereWaitsLongerForTheServerThanANewCall) {
  std::atomic<int> calls = 0;
  service_.watch_job = [&calls](auto*, const auto&, EventWriter& writer) {
    if (++calls == 1) writer.Write(WithSequence(QueuedEvent(1), 1));
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "Socket closed");
  };
  EXPECT_THAT(Client(service_.address()).WatchJob({}, {}, nullptr),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(calls, 10);  // a call that never heard anything: 4
}

TEST_F(ProtectionClientTest, AWatchedJobThatFailedIsNotWatchedAgain) {
  std::atomic<int> calls = 0;
  service_.watch_job = [&calls](auto*, const auto&, EventWriter& writer) {
    ++calls;
    writer.Write(WithSequence(QueuedEvent(1), 1));
    return DetailedStatus(grpc::StatusCode::INTERNAL, "lost", {.reason = "WORKER_LOST_TWICE"});
  };
  EXPECT_THAT(Client(service_.address()).WatchJob({}, {}, nullptr),
              StatusIs(absl::StatusCode::kInternal, "WORKER_LOST_TWICE"));
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace antidiffusion
