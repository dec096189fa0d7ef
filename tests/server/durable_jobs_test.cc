// Jobs in a durable store: drained and full servers.
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "tests/server/jobs_client.h"
#include "tests/server/store/store_faults.h"
#include "tests/server/test_server.h"
#include "tests/testing/temp_dir.h"

namespace antidiffusion {
namespace {

using google::protobuf::util::MessageDifferencer;

class DurableJobsTest : public ::testing::Test {
 protected:
  // A server on the store; the one before it ends first.
  TestServer& Start(FakeEngine::Orders orders = {}, const StoreFaults& faults = {}) {
    server_.reset();
    server_ = std::make_unique<TestServer>(
        std::move(orders),
        [this](ServerConfig& config) {
          config.job_store = "sqlite:" + dir_.File("jobs.db");
          config.result_cache = result_cache_;
        },
        models_, nullptr, WithFaults(faults));
    server_->WaitReady();
    return *server_;
  }
  static v1::ProtectRequest Request(const std::string& id) {
    v1::ProtectRequest request = RequestWith(SmallPng());
    request.set_request_id(id);
    return request;
  }
  int64_t Blobs() const { return server_->Ask("SELECT count(*) FROM blobs"); }

  TempDir dir_;
  std::vector<std::string> models_ = {"alpha"};
  bool result_cache_ = false;
  std::unique_ptr<TestServer> server_;
};

TEST_F(DurableJobsTest, ADrainedServerLeavesItsJobsToTheNext) {
  TestServer& first = Start({.steps = 100, .hold_steps = true});
  const JobsClient before(first);
  const std::string running = before.Create(Request("running")).value.name();
  first.engine().WaitForJobs(1);
  const std::string waiting = before.Create(Request("waiting")).value.name();
  const auto bound = first.Open(RequestWith(SmallPng()));
  ASSERT_TRUE(bound->Event().has_queued());
  JobWatch watch(first, waiting);
  ASSERT_TRUE(watch.Event().has_queued());
  first.engine().WaitForStepBegun(1);
  first.server().StartDrain();
  first.server().CancelJobs();
  first.engine().WaitForStop();
  first.engine().AllowSteps(1);
  const grpc::Status told = watch.Finish();
  EXPECT_EQ(told.error_code(), grpc::UNAVAILABLE);
  EXPECT_EQ(ErrorInfoOf(told).reason(), "SERVER_SHUTDOWN");
  EXPECT_EQ(bound->Finish().error_code(), grpc::UNAVAILABLE);
  while (!first.server().WaitDrained(absl::Seconds(1))) {
  }
  EXPECT_EQ(first.server().jobs_left(), 2);
  EXPECT_EQ(first.Metric(R"(jobs_total{model="alpha",outcome="handed_back",reason=""})"), 2);
  EXPECT_EQ(
      first.Metric(R"(jobs_total{model="alpha",outcome="cancelled",reason="SERVER_SHUTDOWN"})"), 1)
      << "the one that was bound to its call";

  TestServer& second = Start();
  const JobsClient after(second);
  EXPECT_TRUE(JobWatch(second, running).Finish().ok());
  EXPECT_TRUE(JobWatch(second, waiting).Finish().ok());
  EXPECT_EQ(after.Get(running).value.attempts(), 1) << "the first attempt was no loss";
  EXPECT_EQ(after.Create(Request("waiting")).value.name(), waiting);
  EXPECT_EQ(second.Metric(R"(jobs_total{model="alpha",outcome="restored",reason=""})"), 2);
  EXPECT_EQ(second.Metric(R"(jobs_total{model="alpha",outcome="succeeded",reason=""})"), 2);
  EXPECT_EQ(after.List().value.jobs_size(), 2);
}

TEST_F(DurableJobsTest, AKeptResultIsOfTheSameWeightsOfAllItsModels) {
  models_ = {"alpha", "beta"};
  result_cache_ = true;
  const auto jobs_run = [&](const FakeEngine::Orders& orders, const std::string& id, bool also) {
    TestServer& server = Start(orders);
    v1::ProtectRequest request = Request(id);
    if (also) request.mutable_options()->add_also("beta");
    EXPECT_TRUE(server.Protect(request).ok());
    return server.engine().jobs();
  };
  EXPECT_EQ(jobs_run({}, "1", true), 1);
  EXPECT_EQ(jobs_run({}, "2", true), 0) << "the same weights";
  EXPECT_EQ(jobs_run({.digests = {{"beta", "other"}}}, "3", true), 1);
  EXPECT_EQ(jobs_run({.digests = {{"alpha", "other"}}}, "4", true), 1);
  EXPECT_EQ(jobs_run({}, "5", false), 1) << "without the further model";
  EXPECT_EQ(jobs_run({.digests = {{"beta", "other"}}}, "6", false), 0) << "not of this job";
}

TEST_F(DurableJobsTest, AJobThatRunsWithOtherWeightsIsNotFoundAsTheOldOnes) {
  result_cache_ = true;
  TestServer& first = Start({.steps = 100, .hold_steps = true});
  const std::string job = JobsClient(first).Create(Request("a")).value.name();
  first.engine().WaitForStepBegun(1);
  first.server().StartDrain();
  first.server().CancelJobs();
  first.engine().WaitForStop();
  first.engine().AllowSteps(1);
  while (!first.server().WaitDrained(absl::Seconds(1))) {
  }
  TestServer& second = Start({.digests = {{"alpha", "other"}}});
  EXPECT_TRUE(JobWatch(second, job).Finish().ok());
  TestServer& third = Start();  // with the weights that the job was admitted for
  EXPECT_TRUE(third.Protect(Request("b")).ok());
  EXPECT_EQ(third.engine().jobs(), 1);
}

TEST_F(DurableJobsTest, AJobAcceptedAsTheServerEndsIsTheNextOnes) {
  TestServer& first = Start({.steps = 100, .hold_steps = true});
  const std::string running = JobsClient(first).Create(Request("running")).value.name();
  first.engine().WaitForStepBegun(1);
  v1::ProtectRequest late = RequestWith(LargePng());  // bytes that no other job names
  late.set_request_id("late");
  const auto call = first.Open(late);
  first.WaitForMetric(R"(queue_depth{class="interactive"})", 1);
  first.server().StartDrain();
  first.server().CancelJobs();
  first.engine().WaitForStop();
  first.engine().AllowSteps(1);
  EXPECT_EQ(call->Finish().error_code(), grpc::UNAVAILABLE);
  while (!first.server().WaitDrained(absl::Seconds(1))) {
  }
  EXPECT_EQ(first.server().jobs_left(), 2);

  TestServer& second = Start();
  const JobsClient after(second);
  EXPECT_TRUE(JobWatch(second, running).Finish().ok());
  EXPECT_TRUE(JobWatch(second, after.Create(late).value.name()).Finish().ok());
  EXPECT_EQ(second.Metric(R"(jobs_total{model="alpha",outcome="restored",reason=""})"), 2);
  EXPECT_EQ(second.Metric(R"(jobs_total{model="alpha",outcome="succeeded",reason=""})"), 2);
}

// What waits is not begun by a server that would have to cut it off.
TEST_F(DurableJobsTest, ADrainBeginsNothingThatTheNextServerCanRun) {
  TestServer& first = Start({.steps = 100, .hold_steps = true});
  const std::string running = JobsClient(first).Create(Request("running")).value.name();
  first.engine().WaitForStepBegun(1);
  const std::string waiting = JobsClient(first).Create(Request("waiting")).value.name();
  const auto bound = first.Open(RequestWith(SmallPng()));
  ASSERT_TRUE(bound->Event().has_queued());
  JobWatch watch(first, waiting);
  ASSERT_TRUE(watch.Next().has_value());
  first.server().StartDrain();
  EXPECT_EQ(ErrorInfoOf(watch.Finish()).reason(), "SERVER_SHUTDOWN") << "told at once";
  first.engine().AllowAllSteps();
  EXPECT_TRUE(bound->Finish().ok()) << "it ends with its call: nobody else could run it";
  while (!first.server().WaitDrained(absl::Seconds(1))) {
  }
  EXPECT_EQ(first.engine().jobs(), 2);
  EXPECT_EQ(first.server().jobs_left(), 1);
  TestServer& second = Start();
  EXPECT_EQ(JobsClient(second).Get(running).value.state(), v1::Job::SUCCEEDED);
  EXPECT_TRUE(JobWatch(second, waiting).Finish().ok());
}

TEST_F(DurableJobsTest, ResultsAndErrorsOutliveTheServer) {
  TestServer& first = Start();
  const std::string good = JobsClient(first).Create(Request("good")).value.name();
  ASSERT_TRUE(JobWatch(first, good).Finish().ok());
  v1::ProtectRequest request = Request("bad");
  request.set_image(SmallPng().substr(0, 2000));  // an intact header
  const std::string bad = JobsClient(first).Create(request).value.name();
  ASSERT_EQ(JobWatch(first, bad).Finish().error_code(), grpc::INVALID_ARGUMENT);
  const v1::Job was = JobsClient(first).Get(good).value;
  const std::string image = ImageOf(first, good);
  const v1::Job error = JobsClient(first).Get(bad).value;

  TestServer& second = Start();
  const JobsClient after(second);
  EXPECT_TRUE(MessageDifferencer::Equals(after.Get(good).value, was));
  v1::Job again = after.Get(bad).value;
  EXPECT_EQ(again.error().message(), error.error().message());
  EXPECT_EQ(again.error().details_size(), error.error().details_size());
  *again.mutable_error() = error.error();  // its packed maps have no order
  EXPECT_TRUE(MessageDifferencer::Equals(again, error));
  JobWatch watch(second, good);
  EXPECT_TRUE(watch.Finish().ok());
  EXPECT_EQ(watch.result().image(), image);
  EXPECT_EQ(Blobs(), 1) << "the result; the images went with the ends";
  EXPECT_EQ(second.Metric("result_bytes"), static_cast<double>(image.size()));
  EXPECT_TRUE(after.Delete(good).status.ok());
  EXPECT_EQ(Blobs(), 0);
  EXPECT_EQ(Start().Metric("jobs_kept"), 1);
}

TEST_F(DurableJobsTest, AJobWaitsForItsModelToLoad) {
  models_ = {"alpha", "beta"};
  server_ = std::make_unique<TestServer>(
      FakeEngine::Orders{.hold_loading = true,
                         .broken_models = {{"beta", absl::DataLossError("a bad header")}}},
      [this](ServerConfig& config) { config.job_store = "sqlite:" + dir_.File("jobs.db"); },
      models_);
  const JobsClient jobs(*server_);
  const auto good = jobs.Create(Request("good"));
  ASSERT_TRUE(good.status.ok()) << good.status.error_message();
  EXPECT_EQ(good.value.state(), v1::Job::QUEUED);
  v1::ProtectRequest request = Request("bad");
  request.set_model("beta");
  const auto bad = jobs.Create(request);
  ASSERT_TRUE(bad.status.ok()) << bad.status.error_message();
  request.set_model("gamma");
  request.set_request_id("unknown");
  EXPECT_EQ(jobs.Create(request).reason(), "MODEL_NOT_FOUND");
  EXPECT_EQ(ErrorInfoOf(server_->Protect(Request("call"))).reason(), "MODEL_LOADING")
      << "whoever waits in a call may find another server";

  server_->engine().ReleaseLoading();
  EXPECT_TRUE(JobWatch(*server_, good.value.name()).Finish().ok());
  const grpc::Status failed = JobWatch(*server_, bad.value.name()).Finish();
  EXPECT_EQ(ErrorInfoOf(failed).reason(), "MODEL_FAILED");
  EXPECT_EQ(jobs.Get(bad.value.name()).value.state(), v1::Job::FAILED);
}

TEST_F(DurableJobsTest, OfACallWithoutARequestIdNothingIsLeft) {
  TestServer& server = Start();
  ASSERT_TRUE(server.Protect(RequestWith(SmallPng())).ok());
  while (server.Ask("SELECT count(*) FROM jobs") != 0) {  // until gRPC is done with the call
  }
  EXPECT_EQ(Blobs(), 0);
}

TEST_F(DurableJobsTest, AFullDiskRefusesAJobAndTheRetryIsSafe) {
  TestServer& server = Start({}, {.first_full = 1, .last_full = 2});
  const JobsClient jobs(server);
  const auto refused = jobs.Create(Request("a"));
  EXPECT_EQ(refused.status.error_code(), grpc::UNAVAILABLE);
  EXPECT_EQ(refused.reason(), "STORE_FAILED");
  const auto call = server.Open(Request("a"));
  const grpc::Status status = call->Finish();
  EXPECT_EQ(ErrorInfoOf(status).reason(), "STORE_FAILED");
  EXPECT_EQ(call->events(), 0) << "before any message";
  EXPECT_EQ(call->Trailer("grpc-retry-pushback-ms"), "1000");
  EXPECT_EQ(jobs.List().value.jobs_size(), 0);
  const auto created = jobs.Create(Request("a"));
  ASSERT_TRUE(created.status.ok()) << created.status.error_message();
  EXPECT_TRUE(JobWatch(server, created.value.name()).Finish().ok());
  EXPECT_EQ(server.engine().jobs(), 1);
  EXPECT_EQ(server.Metric(R"(jobs_total{model="alpha",outcome="accepted",reason=""})"), 1);
  EXPECT_EQ(server.Metric(R"(rejected_total{reason="STORE_FAILED"})"), 2);
  EXPECT_EQ(server.Metric(R"(jobs_total{model="alpha",outcome="succeeded",reason=""})"), 1);
  EXPECT_EQ(server.Metric("job_store_failures_total"), 2);
}

TEST_F(DurableJobsTest, AnEndThatCannotBeWrittenIsTriedUntilItCan) {
  const auto is_full = std::make_shared<std::atomic<bool>>(false);
  TestServer& server = Start({.hold_steps = true}, {.is_full = is_full});
  const std::string name = JobsClient(server).Create(Request("a")).value.name();
  server.engine().WaitForStepBegun(1);
  *is_full = true;
  server.engine().AllowAllSteps();
  const double before = server.Metric("job_store_failures_total").value_or(0);
  while (server.Metric("job_store_failures_total") < before + 3) {
  }
  EXPECT_EQ(JobsClient(server).Get(name).value.state(), v1::Job::RUNNING)
      << "it has not ended before the database knows";
  *is_full = false;
  ASSERT_TRUE(JobWatch(server, name).Finish().ok());
  EXPECT_EQ(server.engine().jobs(), 1);
  EXPECT_FALSE(ImageOf(server, name).empty());
  EXPECT_EQ(JobsClient(Start()).Get(name).value.state(), v1::Job::SUCCEEDED);
}

// The sum of a family over the models and reasons.
double Jobs(TestServer& server, const std::string& outcome) {
  double sum = 0;
  const std::string text = server.Get("/metrics").body;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    double value = 0;
    if (absl::StartsWith(line, "antidiffusion_jobs_total{") &&
        absl::StrContains(line, "outcome=\"" + outcome + "\"") &&
        absl::SimpleAtod(line.substr(line.rfind(' ') + 1), &value)) {
      sum += value;
    }
  }
  return sum;
}

TEST_F(DurableJobsTest, TheAccountsBalanceWithJoinsCancelsFullDisksAndADrain) {
  TestServer& server = Start({}, {.first_full = 20, .last_full = 25});
  std::vector<std::jthread> callers;
  callers.reserve(6);
  for (int caller = 0; caller < 6; ++caller) {
    callers.emplace_back([&server, caller] {
      const JobsClient jobs(server);
      for (int i = 0; i < 10; ++i) {
        const std::string id = std::to_string((caller * 10 + i) % 17);  // shared by callers
        if (i % 3 == 0) {
          const auto call = server.Open(Request(id));
          call->Next();
          if (caller % 2 == 0) call->Cancel();
          call->Finish();
          continue;
        }
        const auto created = jobs.Create(Request(id));
        if (!created.status.ok()) continue;
        if (i % 3 == 1) jobs.Cancel(created.value.name());
        JobWatch(server, created.value.name()).Finish();
        if (i % 4 == 1) jobs.Delete(created.value.name());
      }
    });
  }
  callers.clear();
  server.server().StartDrain();
  server.server().CancelJobs();
  while (!server.server().WaitDrained(absl::Seconds(1))) {
  }
  double ends = 0;
  for (const char* outcome : {"succeeded", "failed", "cancelled", "expired", "handed_back"}) {
    ends += Jobs(server, outcome);
  }
  EXPECT_EQ(Jobs(server, "accepted"), ends);
  EXPECT_GT(ends, 17);
  EXPECT_GT(*server.Metric("jobs_joined_total"), 0);
  EXPECT_EQ(server.Metric("jobs_running{device=\"fake:0\"}"), 0);
}

}  // namespace
}  // namespace antidiffusion
