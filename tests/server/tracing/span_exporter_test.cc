#include "server/tracing/span_exporter.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/server/tracing/collector.h"
#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

class SpanExporterTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { collector_ = std::make_unique<Collector>(); }
  static void TearDownTestSuite() { collector_.reset(); }
  SpanExporterTest() { collector_->Clear(); }

  // Sends each span at once, and repeats without a pause.
  SpanExporter::Options Options() {
    SpanExporter::Options options;
    options.endpoint = collector_->endpoint();
    options.resource = {{"service.name", "antidiffusion"}};
    options.max_batch = 1;
    options.timeout = absl::Minutes(5);
    options.pause = absl::ZeroDuration();
    options.on_dropped = [this](const std::string& why, int64_t spans) {
      MutexLock lock(mutex_);
      dropped_[why] += spans;
      changed_.NotifyAll();
    };
    options.on_sent = [this](int64_t spans) {
      MutexLock lock(mutex_);
      sent_ += spans;
      changed_.NotifyAll();
    };
    options.on_change = [this](const absl::Status& state) {
      MutexLock lock(mutex_);
      states_.push_back(state.ok());
    };
    return options;
  }

  void Start(SpanExporter::Options options) {
    auto exporter = SpanExporter::Start(std::move(options));
    ASSERT_THAT(exporter, IsOk());
    exporter_ = *std::move(exporter);
  }

  void Add(int count) {
    for (int i = 0; i < count; ++i) {
      Span span;
      span.trace_id = "0af7651916cd43dd8448eb211c80319c";
      span.span_id = "00f067aa0ba902b7";
      span.facts.name = "span " + std::to_string(added_++);
      exporter_->Add(std::move(span));
    }
  }

  void WaitForAccounts(int64_t sent, const std::map<std::string, int64_t>& dropped) {
    MutexLock lock(mutex_);
    while (sent_ != sent || dropped_ != dropped) changed_.Wait(lock);
  }

  std::vector<std::string> Names() {
    std::vector<std::string> names;
    for (const auto& span : collector_->spans()) names.push_back(span.at("name"));
    return names;
  }

  Mutex mutex_;
  CondVar changed_;
  int64_t sent_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<std::string, int64_t> dropped_ ABSL_GUARDED_BY(mutex_);
  std::vector<bool> states_ ABSL_GUARDED_BY(mutex_);
  int added_ = 0;
  static std::unique_ptr<Collector> collector_;
  std::unique_ptr<SpanExporter> exporter_;  // ends before what it calls
};
std::unique_ptr<Collector> SpanExporterTest::collector_;

TEST_F(SpanExporterTest, PostsJsonToTheEndpoint) {
  Start(Options());
  Add(1);
  const auto requests = collector_->WaitForRequests(1);
  EXPECT_EQ(requests[0].path, "/v1/traces");
  EXPECT_EQ(requests[0].content_type, "application/json");
  const auto body = nlohmann::json::parse(requests[0].body);
  EXPECT_EQ(body["resourceSpans"][0]["resource"]["attributes"][0]["key"], "service.name");
  WaitForAccounts(1, {});
}

TEST_F(SpanExporterTest, BatchesKeepTheOrder) {
  SpanExporter::Options options = Options();
  options.max_batch = 3;
  options.interval = absl::Hours(1);
  Start(std::move(options));
  Add(3);
  collector_->WaitForRequests(1);
  Add(4);  // a batch and one that waits for more
  exporter_.reset();
  EXPECT_EQ(collector_->WaitForRequests(3).size(), 3u);
  EXPECT_EQ(Names(), (std::vector<std::string>{"span 0", "span 1", "span 2", "span 3", "span 4",
                                               "span 5", "span 6"}));
  WaitForAccounts(7, {});
}

TEST_F(SpanExporterTest, ALoneSpanGoesOutAfterTheInterval) {
  SpanExporter::Options options = Options();
  options.max_batch = 100;
  options.interval = absl::Milliseconds(1);
  Start(std::move(options));
  Add(1);
  WaitForAccounts(1, {});
}

TEST_F(SpanExporterTest, ASlowCollectorCostsSpansNotMemory) {
  SpanExporter::Options options = Options();
  options.max_waiting = 2;
  Start(std::move(options));
  collector_->Hold();
  Add(1);
  collector_->WaitForRequests(1);  // under way: no place is taken
  Add(5);
  WaitForAccounts(0, {{span_loss::kQueueFull, 3}});
  collector_->Release();
  WaitForAccounts(3, {{span_loss::kQueueFull, 3}});
  EXPECT_EQ(Names(), (std::vector<std::string>{"span 0", "span 1", "span 2"}));
}

TEST_F(SpanExporterTest, ACollectorThatIsAwayIsAskedAgain) {
  collector_->WillAnswer({{.code = 503}, {.code = 429, .header = "Retry-After: 0"}, {.code = 200}});
  Start(Options());
  Add(1);
  WaitForAccounts(1, {});
  EXPECT_EQ(collector_->WaitForRequests(3).size(), 3u);
  exporter_.reset();
  MutexLock lock(mutex_);
  EXPECT_EQ(states_, (std::vector<bool>{false, true})) << "told once each";
}

TEST_F(SpanExporterTest, AfterTheLastAttemptTheBatchIsDropped) {
  collector_->WillAnswer({{.code = 503}, {.code = 504}, {.code = 200}});
  SpanExporter::Options options = Options();
  options.max_attempts = 2;
  Start(std::move(options));
  Add(1);
  WaitForAccounts(0, {{span_loss::kNotSent, 1}});
  Add(1);
  WaitForAccounts(1, {{span_loss::kNotSent, 1}});
}

TEST_F(SpanExporterTest, WhatTheCollectorDoesNotWantIsNotRepeated) {
  collector_->WillAnswer({{.code = 400}, {.code = 302, .header = "Location: /elsewhere"}});
  Start(Options());
  Add(2);
  WaitForAccounts(0, {{span_loss::kRejected, 2}});
  EXPECT_EQ(collector_->WaitForRequests(2).size(), 2u);
}

TEST_F(SpanExporterTest, APartialSuccessIsCounted) {
  collector_->WillAnswer({{.body = R"({"partialSuccess": {"rejectedSpans": "2"}})"}});
  SpanExporter::Options options = Options();
  options.max_batch = 3;
  options.interval = absl::Hours(1);
  Start(std::move(options));
  Add(3);
  WaitForAccounts(1, {{span_loss::kRejected, 2}});
}

TEST_F(SpanExporterTest, ACollectorThatNeverAnswersDoesNotHoldUpTheEnd) {
  SpanExporter::Options options = Options();
  options.farewell = absl::ZeroDuration();
  Start(std::move(options));
  collector_->Hold();
  Add(1);
  collector_->WaitForRequests(1);
  Add(1);
  exporter_.reset();
  MutexLock lock(mutex_);
  EXPECT_EQ(sent_, 0);
  EXPECT_EQ(dropped_, (std::map<std::string, int64_t>{{span_loss::kNotSent, 2}}));
}

TEST_F(SpanExporterTest, WithoutACollectorThereIsNoHarm) {
  SpanExporter::Options options = Options();
  options.endpoint = "http://127.0.0.1:1/v1/traces";
  options.max_attempts = 1;
  Start(std::move(options));
  Add(1);
  WaitForAccounts(0, {{span_loss::kNotSent, 1}});
}

TEST_F(SpanExporterTest, AnEndpointMustBeAnAddress) {
  for (const char* bad : {"", "localhost:4318", "ftp://127.0.0.1/", "http://", "file:///etc/passwd",
                          "http://bad host/"}) {
    SpanExporter::Options options = Options();
    options.endpoint = bad;
    EXPECT_THAT(SpanExporter::Start(std::move(options)),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << bad;
  }
}

}  // namespace
}  // namespace antidiffusion
