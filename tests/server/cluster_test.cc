// Several servers on one PostgreSQL: what is created on one is run, watched, read and cancelled on
// others, and what one loses another finds.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/server/database/postgres_server.h"
#include "tests/server/jobs_client.h"
#include "tests/server/test_server.h"
#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

class ClusterTest : public ::testing::Test {
 protected:
  static void TearDownTestSuite() { postgres_.reset(); }

  void SetUp() override {
    if (postgres_ == nullptr) {
      absl::StatusOr<std::unique_ptr<PostgresServer>> server = PostgresServer::Start();
      if (absl::IsUnimplemented(server.status())) GTEST_SKIP() << server.status().message();
      ASSERT_THAT(server.status(), IsOk());
      postgres_ = *std::move(server);
    }
    store_ = "postgresql:" + postgres_->NewDatabase();
  }

  // Without `computes` its engine never gets ready: it answers calls, and runs nothing.
  std::unique_ptr<TestServer> Start(bool computes, FakeEngine::Orders orders = {}) {
    orders.hold_loading = !computes;
    auto server = std::make_unique<TestServer>(std::move(orders), [this](ServerConfig& config) {
      config.job_store = store_;
      config.job_lease = absl::Minutes(10);
    });
    if (computes) server->WaitReady();
    return server;
  }
  // Lets an engine of Start(false) go on.
  static void Compute(TestServer& server) {
    server.engine().ReleaseLoading();
    server.WaitReady();
  }
  static v1::ProtectRequest Request(const std::string& id) {
    v1::ProtectRequest request = RequestWith(SmallPng());
    request.set_request_id(id);
    return request;
  }
  static std::string Create(TestServer& server, const std::string& id) {
    const auto created = JobsClient(server).Create(Request(id));
    EXPECT_TRUE(created.status.ok()) << created.status.error_message();
    return created.value.name();
  }

  static std::unique_ptr<PostgresServer> postgres_;
  std::string store_;
};

std::unique_ptr<PostgresServer> ClusterTest::postgres_;

TEST_F(ClusterTest, CreatedOnOneRunOnAnotherReadOnAThird) {
  const auto front = Start(false);
  const auto worker = Start(true, {.steps = 5, .hold_steps = true});
  const auto third = Start(false);
  const std::string name = Create(*front, "a");
  JobWatch watch(*front, name);
  ASSERT_TRUE(watch.Next().has_value());  // it waits, or runs already
  worker->engine().WaitForStepBegun(1);
  worker->engine().AllowSteps(2);
  while (watch.Event().progress().step() < 2) {
    ASSERT_TRUE(watch.last().has_queued() || watch.last().has_running() ||
                watch.last().has_progress());
  }
  const uint64_t known = watch.last().sequence();
  watch.Cancel();
  EXPECT_EQ(JobsClient(*third).Get(name).value.state(), v1::Job::RUNNING);
  worker->engine().AllowAllSteps();
  JobWatch again(*third, name, known);  // goes on elsewhere
  while (again.Next().has_value()) {
    EXPECT_GT(again.last().sequence(), known);
  }
  EXPECT_TRUE(again.Finish().ok());
  EXPECT_TRUE(again.result().whole());
  EXPECT_EQ(ImageOf(*front, name), again.result().image());
  EXPECT_EQ(JobsClient(*front).List().value.jobs_size(), 1);
  EXPECT_TRUE(JobsClient(*front).Delete(name).status.ok());
  EXPECT_EQ(JobsClient(*third).Get(name).reason(), "JOB_NOT_FOUND");
}

TEST_F(ClusterTest, AnEqualRequestIsOneJobWhereverItIsSent) {
  const auto first = Start(false);
  const auto second = Start(false);
  auto call = first->Open(Request("a"));
  // A call cannot wait for a model to be loaded.
  EXPECT_EQ(ErrorInfoOf(call->Finish()).reason(), "MODEL_LOADING");
  const std::string name = Create(*first, "a");
  EXPECT_EQ(Create(*second, "a"), name);
  const auto joined = second->Open(Request("a"));
  EXPECT_EQ(joined->Event().queued().job(), name);
  v1::ProtectRequest other = Request("a");
  other.mutable_options()->set_seed(7);
  EXPECT_EQ(JobsClient(*second).Create(other).reason(), "REQUEST_ID_REUSED");
  Compute(*first);
  EXPECT_TRUE(joined->Finish().ok());
  EXPECT_EQ(first->engine().jobs(), 1);
}

TEST_F(ClusterTest, ACallsJobThatRunsElsewhereGivesItsResultAndIsForgotten) {
  const auto front = Start(true, {.hold_steps = true});
  const auto call = front->Open(RequestWith(SmallPng()));
  front->engine().WaitForJobs(1);
  const auto waiting = front->Open(RequestWith(SmallPng()));
  ASSERT_TRUE(waiting->Event().has_queued());
  const auto worker = Start(true);
  EXPECT_TRUE(waiting->Finish().ok());
  EXPECT_TRUE(waiting->result().whole());
  EXPECT_EQ(worker->engine().jobs(), 1);
  front->engine().AllowAllSteps();
  const grpc::Status end = call->Finish();
  EXPECT_TRUE(end.ok()) << end.error_message();
  while (front->Ask("SELECT count(*) FROM jobs") != 0) {
  }
}

TEST_F(ClusterTest, AWatchThatLeavesElsewhereTakesNoCallersJob) {
  const auto worker = Start(true, {.steps = 5, .hold_steps = true});
  const auto front = Start(false);
  std::unique_ptr<OpenCall> call;
  std::optional<v1::JobEvent> first;
  while (!first.has_value()) {  // until it knows the worker's model
    call = front->Open(RequestWith(SmallPng()));
    first = call->Next();
  }
  const std::string name = first->queued().job();
  worker->engine().WaitForStepBegun(1);
  {
    JobWatch watch(*worker, name);
    EXPECT_TRUE(watch.Next().has_value());
  }
  worker->WaitForMetric(R"(requests_total{code="CANCELLED",method="WatchJob"})", 1);
  while (JobsClient(*worker).Get(name).value.state() != v1::Job::RUNNING) {
  }
  worker->engine().AllowAllSteps();
  const grpc::Status end = call->Finish();
  EXPECT_TRUE(end.ok()) << end.error_message();
}

TEST_F(ClusterTest, WhatIsCancelledOnOneStopsOnAnother) {
  const auto front = Start(false);
  const auto worker = Start(true, {.steps = 100, .hold_steps = true});
  const std::string name = Create(*front, "a");
  worker->engine().WaitForStepBegun(1);
  EXPECT_EQ(JobsClient(*front).Cancel(name).value.state(), v1::Job::RUNNING);
  worker->engine().WaitForStop();
  worker->engine().AllowAllSteps();
  const grpc::Status end = JobWatch(*front, name).Finish();
  EXPECT_EQ(ErrorInfoOf(end).reason(), "JOB_CANCELLED");
  EXPECT_EQ(JobsClient(*front).Get(name).value.state(), v1::Job::CANCELLED);
}

// As of a server that was stopped for longer than its lease, and goes on.
TEST_F(ClusterTest, AnAttemptThatWasLostChangesNothing) {
  const auto slow = Start(true, {.steps = 100, .difference = 1, .hold_steps = true});
  const auto other = Start(false, {.difference = 2});
  const std::string name = Create(*slow, "a");
  slow->engine().WaitForStepBegun(1);
  // Again where the server renewed its lease just after the clock was moved.
  while (slow->Metric("job_leases_lost_total") != 1) other->Advance(absl::Minutes(11));
  slow->engine().WaitForStop();  // it is told that the job is no longer its own
  Compute(*other);
  EXPECT_TRUE(JobWatch(*other, name).Finish().ok());
  const std::string image = ImageOf(*other, name);
  slow->engine().AllowAllSteps();
  slow->WaitForMetric("job_ends_refused_total", 1);
  EXPECT_EQ(slow->Metric("job_leases_lost_total"), 1);
  const v1::Job job = JobsClient(*slow).Get(name).value;
  EXPECT_EQ(job.state(), v1::Job::SUCCEEDED);
  EXPECT_EQ(job.attempts(), 2);
  EXPECT_EQ(ImageOf(*slow, name), image);
  EXPECT_EQ(slow->Metric(R"(jobs_total{model="alpha",outcome="succeeded",reason=""})"), 0);
  EXPECT_EQ(other->Metric(R"(jobs_total{model="alpha",outcome="succeeded",reason=""})"), 1);
}

TEST_F(ClusterTest, ADrainedServersJobGoesOnElsewhere) {
  auto first = Start(true, {.steps = 100, .hold_steps = true});
  const auto second = Start(false);
  const std::string running = Create(*first, "running");
  first->engine().WaitForStepBegun(1);
  const std::string waiting = Create(*first, "waiting");
  first->server().StartDrain();
  first->server().CancelJobs();
  first->engine().WaitForStop();
  first->engine().AllowSteps(1);
  while (!first->server().WaitDrained(absl::Seconds(1))) {
  }
  EXPECT_EQ(first->server().jobs_left(), 0) << "they are not this server's";
  Compute(*second);
  for (const std::string& name : {running, waiting}) {
    EXPECT_TRUE(JobWatch(*second, name).Finish().ok());
    EXPECT_EQ(JobsClient(*second).Get(name).value.attempts(), 1);
  }
}

TEST_F(ClusterTest, FrontendsHaveNoDeviceAndWorkersNoCalls) {
  const auto configure = [this](ServerRole role) {
    return [this, role](ServerConfig& config) {
      config.job_store = store_;
      config.role = role;
      if (role == ServerRole::kFrontend) config.model_repository = "/nowhere";
    };
  };
  TestServer front({}, configure(ServerRole::kFrontend), {});
  front.WaitReady();
  EXPECT_EQ(ErrorInfoOf(front.Protect(RequestWith(SmallPng()))).reason(), "MODEL_LOADING")
      << "no worker has told yet what it has";
  TestServer worker({}, configure(ServerRole::kWorker));
  worker.WaitReady();
  EXPECT_EQ(worker.Protect(RequestWith(SmallPng())).error_code(), grpc::UNIMPLEMENTED);
  EXPECT_EQ(worker.Get("/readyz").code, 200);
  const auto models = [&front] {
    grpc::ClientContext context;
    v1::ListModelsResponse response;
    EXPECT_TRUE(front.stub().ListModels(&context, {}, &response).ok());
    return response;
  };
  while (models().models_size() == 0) {
  }
  const v1::ListModelsResponse known = models();
  EXPECT_EQ(known.default_model(), "alpha");
  EXPECT_EQ(known.models(0).devices(0), "fake:0");
  const auto call = front.Open(RequestWith(SmallPng()));
  EXPECT_TRUE(call->Finish().ok());
  EXPECT_EQ(call->result().facts().device(), "fake:0");
  EXPECT_EQ(worker.engine().jobs(), 1);
  EXPECT_EQ(front.engine().jobs(), 0);
}

TEST_F(ClusterTest, ADatabaseThatIsAwayForAWhileLosesNothing) {
  const auto server = Start(true, {.steps = 100, .hold_steps = true});
  const JobsClient jobs(*server);
  const std::string running = Create(*server, "running");
  server->engine().WaitForStepBegun(1);
  const std::string waiting = Create(*server, "waiting");
  JobWatch watch(*server, waiting);
  ASSERT_TRUE(watch.Next().has_value());
  postgres_->Kill();
  const auto refused = jobs.Create(Request("refused"));
  EXPECT_EQ(refused.status.error_code(), grpc::UNAVAILABLE);
  EXPECT_EQ(refused.reason(), "STORE_FAILED");
  EXPECT_EQ(server->Get("/livez").code, 200);
  EXPECT_GE(server->Metric("job_store_failures_total"), 1);
  server->engine().AllowAllSteps();  // it ends while nobody can write that down
  ASSERT_THAT(postgres_->Restart(), IsOk());
  EXPECT_TRUE(watch.Finish().ok());
  EXPECT_TRUE(JobWatch(*server, running).Finish().ok());
  EXPECT_EQ(jobs.Get(running).value.attempts(), 1);
  EXPECT_EQ(server->engine().jobs(), 2);
  EXPECT_TRUE(jobs.Create(Request("refused")).status.ok());
}

TEST(RolesTest, AServerAloneHasAllOfThem) {
  ServerConfig config;
  config.role = ServerRole::kFrontend;
  FakeEngine engine({});
  const auto log = Log::Create(LogFormat::kText, "off").value();
  EXPECT_THAT(Server::Start(config, engine.Factory(), *log), ViolatesField("role"));
}

}  // namespace
}  // namespace antidiffusion
