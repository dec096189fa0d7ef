// The server with worker processes that are killed, hang, or lose their device.
#include "server/device_worker.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "core/image/codec.h"
#include "server/engine/worker_engine.h"
#include "tests/server/test_server.h"
#include "tests/server/worker/worker_program.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/synthetic_image.h"

namespace antidiffusion {
namespace {

constexpr absl::Duration kPatient = absl::Seconds(120);

// A server whose devices are worker processes of the fake program.
class ProcessServer {
 public:
  explicit ProcessServer(const WorkerOrders& orders, std::vector<std::string> devices = {"cpu"},
                         absl::Duration hang_timeout = kPatient,
                         absl::Duration self_test_interval = absl::ZeroDuration(), bool wait = true,
                         const std::vector<std::string>& models = {"alpha"})
      : program_(orders),
        server_(
            OwnEngines(SpawnWorkers(program_.Options(hang_timeout))),
            [&](ServerConfig& config) {
              config.devices = std::move(devices);
              config.self_test_interval = self_test_interval;
            },
            models) {
    if (wait) server_.WaitReady();
  }

  TestServer& operator*() { return server_; }
  TestServer* operator->() { return &server_; }
  const WorkerProgram& program() const { return program_; }

  double Restarts(const std::string& device, const std::string& reason) {
    return server_
        .Metric("worker_restarts_total{device=\"" + device + "\",reason=\"" + reason + "\"}")
        .value_or(-1);
  }

 private:
  WorkerProgram program_;
  TestServer server_;
};

std::string Png(int width) {
  Picture picture;
  picture.image = SyntheticImage(width, 64);
  return EncodePicture(picture, {}).value();
}

// Reads until the job has done a step.
void WaitForStep(OpenCall& call) {
  while (const auto event = call.Next()) {
    if (event->has_progress() && event->progress().step() > 0) return;
  }
  FAIL() << "the call ended before a step";
}

TEST(DeviceWorkerTest, AKilledWorkersJobIsRunAgainAndNoOtherNotices) {
  constexpr int kJobs = 16;
  ProcessServer server({.steps = "20", .step_time = "5ms"}, {"cpu", "cpu"});
  std::vector<std::unique_ptr<OpenCall>> calls;
  calls.reserve(kJobs);
  for (int i = 0; i < kJobs; ++i) calls.push_back(server->Open(RequestWith(SmallPng())));
  WaitForStep(*calls[0]);
  WaitForStep(*calls[1]);
  const std::vector<pid_t> pids = server.program().Pids();
  ASSERT_EQ(pids.size(), 2u);
  kill(pids[0], SIGKILL);
  for (const auto& call : calls) {
    EXPECT_TRUE(call->Finish().ok());
    EXPECT_TRUE(call->result().whole());
  }
  EXPECT_EQ(server.Restarts("cpu#0", "WORKER_DIED") + server.Restarts("cpu#1", "WORKER_DIED"), 1);
  EXPECT_EQ(server->Metric(R"(jobs_total{model="alpha",outcome="succeeded",reason=""})"), kJobs);
  EXPECT_TRUE(IsAlive(pids[1]));
}

TEST(DeviceWorkerTest, AJobThatIsRunAgainStartsFromTheQueue) {
  ProcessServer server({.faults = "crash@step=3;ONCE"});
  const auto call = server->Open(RequestWith(SmallPng()));
  std::vector<std::string> story;
  uint64_t sequence = 0;
  while (const auto event = call->Next()) {
    if (event->has_chunk()) {
      EXPECT_EQ(event->sequence(), sequence) << "that of its result";
      continue;
    }
    EXPECT_GT(event->sequence(), sequence);
    sequence = event->sequence();
    const std::string kind = event->has_queued()     ? "queued"
                             : event->has_running()  ? "running"
                             : event->has_progress() ? "progress"
                                                     : "result";
    if (story.empty() || story.back() != kind) story.push_back(kind);
  }
  EXPECT_TRUE(call->Finish().ok());
  EXPECT_EQ(story.front(), "queued");
  EXPECT_EQ(story.back(), "result");
  EXPECT_EQ(server.Restarts("cpu", "WORKER_DIED"), 1);
}

TEST(DeviceWorkerTest, AJobThatKillsTwoWorkersIsPoison) {
  ProcessServer server({.faults = "crash@step=2,width=96", .step_time = "1ms"}, {"cpu", "cpu"});
  std::vector<std::unique_ptr<OpenCall>> healthy;
  for (int i = 0; i < 4; ++i) {
    healthy.push_back(server->Open(RequestWith(SmallPng())));
    EXPECT_TRUE(healthy.back()->Next().has_value()) << "admitted";
  }
  const grpc::Status status = server->Protect(RequestWith(Png(96)));
  EXPECT_EQ(status.error_code(), grpc::INTERNAL);
  EXPECT_EQ(ErrorInfoOf(status).reason(), "WORKER_LOST_TWICE");
  EXPECT_EQ(ErrorInfoOf(status).metadata().at("last"), "WORKER_DIED");
  while (server.Restarts("cpu#0", "WORKER_DIED") + server.Restarts("cpu#1", "WORKER_DIED") < 2) {
  }
  server->WaitReady();  // both workers may be down for a moment
  for (int i = 0; i < 4; ++i) healthy.push_back(server->Open(RequestWith(SmallPng())));
  for (const auto& call : healthy) EXPECT_TRUE(call->Finish().ok());
  EXPECT_EQ(server.Restarts("cpu#0", "WORKER_DIED") + server.Restarts("cpu#1", "WORKER_DIED"), 2);
  EXPECT_EQ(
      server->Metric(R"(jobs_total{model="alpha",outcome="failed",reason="WORKER_LOST_TWICE"})"),
      1);
}

TEST(DeviceWorkerTest, AWorkerThatHangsIsReplaced) {
  ProcessServer server({.faults = "hang@step=2;ONCE"}, {"cpu"}, absl::Milliseconds(300));
  EXPECT_TRUE(server->Protect(RequestWith(SmallPng())).ok());
  EXPECT_EQ(server.Restarts("cpu", "WORKER_HUNG"), 1);
  const std::vector<pid_t> pids = server.program().Pids();
  ASSERT_EQ(pids.size(), 2u);
  EXPECT_FALSE(IsAlive(pids[0]));
}

TEST(DeviceWorkerTest, AJobThatDoesNotFitLeavesItsWorkerAlive) {
  ProcessServer server({.faults = "oom@job=1"});
  const grpc::Status status = server->Protect(RequestWith(SmallPng()));
  EXPECT_EQ(status.error_code(), grpc::RESOURCE_EXHAUSTED);
  EXPECT_EQ(ErrorInfoOf(status).reason(), "DEVICE_MEMORY");
  EXPECT_TRUE(server->Protect(RequestWith(SmallPng())).ok());
  EXPECT_EQ(server.Restarts("cpu", "WORKER_DIED"), 0);
  EXPECT_EQ(server.program().Pids().size(), 1u);
  EXPECT_TRUE(IsAlive(server.program().Pids().front()));
}

TEST(DeviceWorkerTest, ADeviceThatStaysBrokenIsReplaced) {
  ProcessServer server({.faults = "sticky@job=1;ONCE"});
  EXPECT_TRUE(server->Protect(RequestWith(SmallPng())).ok());
  EXPECT_EQ(server.Restarts("cpu", "DEVICE_FAULT"), 1);
}

TEST(DeviceWorkerTest, AWorkerThatCouldNotRestoreWeightsIsReplaced) {
  ProcessServer server({.faults = "unrestored@job=1;ONCE"});
  EXPECT_TRUE(server->Protect(RequestWith(SmallPng())).ok());
  EXPECT_EQ(server.Restarts("cpu", "WEIGHTS_NOT_RESTORED"), 1);
  ASSERT_EQ(server.program().Pids().size(), 2u);
  EXPECT_FALSE(IsAlive(server.program().Pids().front()));
}

TEST(DeviceWorkerTest, AJobThatSpoilsTwoWorkersFails) {
  ProcessServer server({.faults = "unrestored@step=2"});
  const grpc::Status status = server->Protect(RequestWith(SmallPng()));
  EXPECT_EQ(status.error_code(), grpc::INTERNAL);
  EXPECT_EQ(ErrorInfoOf(status).reason(), "WORKER_LOST_TWICE");
  EXPECT_EQ(ErrorInfoOf(status).metadata().at("last"), "WEIGHTS_NOT_RESTORED");
}

TEST(DeviceWorkerTest, AJobOfSeveralModelsFindsThemInOneWorker) {
  ProcessServer server({}, {"cpu", "cpu"}, kPatient, absl::ZeroDuration(), /*wait=*/true,
                       {"alpha", "beta", "gamma"});
  v1::ProtectRequest request = RequestWith(SmallPng());
  request.set_model("beta");
  request.mutable_options()->add_also("alpha");
  request.mutable_options()->add_also("gamma");
  for (int i = 0; i < 4; ++i) {  // on either worker
    const grpc::Status status = server->Protect(request);
    EXPECT_TRUE(status.ok()) << status.error_message();
  }
}

TEST(DeviceWorkerTest, AnIdleDeviceIsTestedAndReplaced) {
  // The first test is the one after loading.
  ProcessServer server({.faults = "fail_test@step=2;ONCE"}, {"cpu"}, kPatient,
                       absl::Milliseconds(10));
  server->WaitForMetric(R"(worker_restarts_total{device="cpu",reason="DEVICE_FAULT"})", 1);
  server->WaitReady();
  EXPECT_TRUE(server->Protect(RequestWith(SmallPng())).ok());
}

TEST(DeviceWorkerTest, ADeviceThatFailsItsFirstTestIsNotReady) {
  ProcessServer server({.faults = "fail_test@step=1;ONCE"});
  EXPECT_EQ(server.program().Pids().size(), 2u);
  EXPECT_TRUE(server->Protect(RequestWith(SmallPng())).ok());
}

TEST(DeviceWorkerTest, ReadyWhileOneWorkerIsLeft) {
  ProcessServer server({.faults = "slow_load=100ms"}, {"cpu", "cpu"});
  const std::vector<pid_t> pids = server.program().Pids();
  kill(pids[0], SIGKILL);
  EXPECT_TRUE(server->Protect(RequestWith(SmallPng())).ok());
  EXPECT_TRUE(server->Healthy());
  EXPECT_TRUE(IsAlive(pids[1]));
}

TEST(DeviceWorkerTest, NotReadyWithoutAWorkerAndReadyAgain) {
  ProcessServer server({.faults = "slow_load=100ms"});
  kill(server.program().Pids().front(), SIGKILL);
  server->WaitForHealth(false);
  EXPECT_EQ(server->Get("/readyz").code, 503);
  EXPECT_EQ(server->Get("/startupz").code, 200);
  server->WaitReady();
  EXPECT_EQ(server->Metric(R"(worker_up{device="cpu"})"), 1);
  EXPECT_TRUE(server->Protect(RequestWith(SmallPng())).ok());
}

TEST(DeviceWorkerTest, ACancelledJobFreesItsWorker) {
  ProcessServer server({.steps = "1000000", .step_time = "1ms"});
  const auto call = server->Open(RequestWith(SmallPng()));
  WaitForStep(*call);
  call->Cancel();
  server->WaitForMetric(R"(jobs_running{device="cpu"})", 0);
  server->WaitForMetric(R"(jobs_total{model="alpha",outcome="cancelled",reason="CANCELLED"})", 1);
  EXPECT_EQ(server.Restarts("cpu", "WORKER_DIED"), 0);
}

TEST(DeviceWorkerTest, ACancelledJobIsNotRunAgain) {
  ProcessServer server({.faults = "hang@step=2;ONCE"}, {"cpu"}, absl::Milliseconds(300));
  const auto call = server->Open(RequestWith(SmallPng()));
  WaitForStep(*call);
  call->Cancel();
  server->WaitForMetric(R"(jobs_total{model="alpha",outcome="cancelled",reason="CANCELLED"})", 1);
  server->WaitForMetric(R"(worker_restarts_total{device="cpu",reason="WORKER_HUNG"})", 1);
}

TEST(DeviceWorkerTest, AServerWithoutJobsDoesNotWaitForItsModels) {
  ProcessServer server({.faults = "slow_load=1h"}, {"cpu"}, kPatient, absl::ZeroDuration(),
                       /*wait=*/false);
  server->server().StartDrain();
  while (!server->server().WaitDrained(absl::Seconds(1))) {
  }
}

TEST(DeviceWorkerTest, CancelledJobsDoNotWaitForTheirWorker) {
  ProcessServer server({.faults = "crash@step=2;ONCE;slow_load=100ms"});
  // Whether the second load is still under way or done: both end at once.
  const auto call = server->Open(RequestWith(SmallPng()));
  server->WaitForMetric(R"(worker_restarts_total{device="cpu",reason="WORKER_DIED"})", 1);
  server->server().StartDrain();
  server->server().CancelJobs();
  while (!server->server().WaitDrained(absl::Seconds(1))) {
  }
  EXPECT_EQ(ErrorInfoOf(call->Finish()).reason(), "SERVER_SHUTDOWN");
}

TEST(DeviceWorkerTest, ADrainFinishesAJobThatLosesItsWorker) {
  ProcessServer server({.faults = "crash@step=20;ONCE", .steps = "40", .step_time = "5ms"});
  const auto call = server->Open(RequestWith(SmallPng()));
  WaitForStep(*call);
  server->server().StartDrain();
  EXPECT_TRUE(call->Finish().ok());
  EXPECT_TRUE(call->result().whole());
  while (!server->server().WaitDrained(absl::Seconds(1))) {
  }
}

}  // namespace
}  // namespace antidiffusion
