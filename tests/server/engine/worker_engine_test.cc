// A worker process alone: the fake program behind the real protocol.
#include "server/engine/worker_engine.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>
#include <stop_token>
#include <thread>

#include "base/mutex.h"
#include "core/base/status_details.h"
#include "tests/server/worker/worker_program.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/synthetic_image.h"

namespace antidiffusion {
namespace {

// One worker with one model.
class LoadedWorker {
 public:
  explicit LoadedWorker(const WorkerOrders& orders = {},
                        absl::Duration hang_timeout = absl::Seconds(120))
      : program_(orders) {
    engine_ = WorkerEngine::Start(program_.Options(hang_timeout), [this] {
                MutexLock lock(mutex_);
                ++failures_;
                changed_.NotifyAll();
              }).value();
    protector_ = engine_->Load({"models/alpha", "cpu", "fp32", 1}, {}).value();
  }
  ~LoadedWorker() {
    protector_.reset();
    engine_.reset();
  }

  DeviceEngine& engine() { return *engine_; }
  Protector& protector() { return *protector_; }
  pid_t pid() const { return program_.Pids().front(); }
  absl::StatusOr<ProtectionResult> Protect(const RunContext& run = {}) {
    return protector_->Protect(SyntheticImage(80, 64), {}, run);
  }
  void Kill() const { kill(pid(), SIGKILL); }
  void WaitForFailure() {
    MutexLock lock(mutex_);
    while (failures_ == 0) changed_.Wait(lock);
  }

 private:
  WorkerProgram program_;
  Mutex mutex_;
  CondVar changed_;
  int failures_ ABSL_GUARDED_BY(mutex_) = 0;
  std::unique_ptr<DeviceEngine> engine_;
  std::unique_ptr<Protector> protector_;
};

TEST(WorkerEngineTest, ProtectsInAProcessOfItsOwn) {
  LoadedWorker worker;
  EXPECT_NE(worker.pid(), getpid());
  EXPECT_EQ(worker.protector().model().name, "alpha");
  EXPECT_EQ(worker.protector().model().device, "cpu");
  std::vector<int> steps;
  RunContext run;
  run.on_progress = [&](const Progress& progress) { steps.push_back(progress.step); };
  AD_ASSERT_OK_AND_ASSIGN(const ProtectionResult result, worker.Protect(run));
  EXPECT_EQ(steps, (std::vector<int>{1, 2, 3}));
  const Image original = SyntheticImage(80, 64);
  ASSERT_EQ(result.image.pixels.size(), original.pixels.size());
  for (size_t i = 0; i < original.pixels.size(); ++i) {
    ASSERT_EQ(std::abs(result.image.pixels[i] - original.pixels[i]), 2);
  }
  EXPECT_EQ(worker.protector().memory().total, 300);
  EXPECT_THAT(worker.protector().SelfTest(), IsOk());
  EXPECT_THAT(worker.engine().health(), IsOk());
}

TEST(WorkerEngineTest, ManyPiecesArriveAsOneImage) {
  LoadedWorker worker;
  const Image image = SyntheticImage(2000, 1500);  // 9 MB
  AD_ASSERT_OK_AND_ASSIGN(const ProtectionResult result, worker.protector().Protect(image, {}, {}));
  EXPECT_EQ(result.image.pixels.size(), image.pixels.size());
  EXPECT_EQ(result.image.pixels.back(),
            image.pixels.back() < 128 ? image.pixels.back() + 2 : image.pixels.back() - 2);
}

TEST(WorkerEngineTest, ACancelReachesTheWorkerBeforeItsNextStep) {
  LoadedWorker worker({.steps = "1000000", .step_time = "1ms"});
  std::stop_source stop;
  RunContext run;
  run.stop = stop.get_token();
  run.on_progress = [&](const Progress&) { stop.request_stop(); };
  EXPECT_THAT(worker.Protect(run), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_THAT(worker.engine().health(), IsOk());
}

TEST(WorkerEngineTest, ACancelBeforeTheCallRunsNoStep) {
  LoadedWorker worker;
  std::stop_source stop;
  stop.request_stop();
  RunContext run;
  run.stop = stop.get_token();
  run.on_progress = [](const Progress&) {};
  EXPECT_THAT(worker.Protect(run), StatusIs(absl::StatusCode::kCancelled));
}

TEST(WorkerEngineTest, ADeadlineIsKeptByTheWorker) {
  LoadedWorker worker({.steps = "1000000", .step_time = "1ms"});
  RunContext run;
  run.on_progress = [](const Progress&) {};
  run.deadline = absl::Now() + absl::Milliseconds(50);
  EXPECT_THAT(worker.Protect(run), StatusIs(absl::StatusCode::kDeadlineExceeded));
  run.deadline = absl::InfiniteFuture();
  run.now = [] { return absl::FromUnixSeconds(1'000'000); };  // a clock of the test's own
  run.deadline = run.now() - absl::Seconds(1);
  EXPECT_THAT(worker.Protect(run), StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_THAT(worker.engine().health(), IsOk());
}

TEST(WorkerEngineTest, AnIdleWorkersDeathIsTold) {
  LoadedWorker worker;
  worker.Kill();
  worker.WaitForFailure();
  EXPECT_THAT(worker.engine().health(), HasReason("WORKER_DIED"));
  EXPECT_EQ(GetErrorReason(worker.engine().health())->metadata.at("ending"), "signal 9");
  EXPECT_THAT(worker.Protect(), HasReason("WORKER_DIED"));
  EXPECT_THAT(worker.protector().SelfTest(), HasReason("WORKER_DIED"));
  EXPECT_THAT(worker.engine().Load({"models/beta", "cpu", "fp32", 1}, {}),
              HasReason("WORKER_DIED"));
}

TEST(WorkerEngineTest, ACrashEndsTheCall) {
  LoadedWorker worker({.faults = "crash@step=2"});
  EXPECT_THAT(worker.Protect(), HasReason("WORKER_DIED"));
  EXPECT_THAT(worker.engine().health(), HasReason("WORKER_DIED"));
}

TEST(WorkerEngineTest, AHangEndsTheCallAndTheProcess) {
  LoadedWorker worker({.faults = "hang@step=2"}, absl::Milliseconds(200));
  EXPECT_THAT(worker.Protect(), HasReason("WORKER_HUNG"));
  EXPECT_THAT(worker.engine().health(), HasReason("WORKER_HUNG"));
  worker.WaitForFailure();
  EXPECT_FALSE(IsAlive(worker.pid()));
}

TEST(WorkerEngineTest, OutOfMemoryIsTheJobsError) {
  LoadedWorker worker({.faults = "oom@job=1"});
  const auto result = worker.Protect();
  EXPECT_THAT(result, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(result, HasReason("DEVICE_MEMORY"));
  EXPECT_THAT(worker.engine().health(), IsOk());
  EXPECT_THAT(worker.Protect(), IsOk());
}

TEST(WorkerEngineTest, AnErrorThatStaysIsTheDevices) {
  LoadedWorker worker({.faults = "sticky@step=2"});
  EXPECT_THAT(worker.Protect(), HasReason("DEVICE_FAULT"));
  EXPECT_THAT(worker.engine().health(), HasReason("DEVICE_FAULT"));
}

TEST(WorkerEngineTest, AResultOfAnotherShapeIsNoResult) {
  LoadedWorker worker({.faults = "shape@job=1"});
  EXPECT_THAT(worker.Protect(), HasReason("WORKER_DIED"));
  worker.WaitForFailure();
}

TEST(WorkerEngineTest, WeightsThatAreNotRestoredEndTheProcess) {
  LoadedWorker worker({.faults = "unrestored@job=1"});
  EXPECT_THAT(worker.Protect(), HasReason("WEIGHTS_NOT_RESTORED"));
  EXPECT_THAT(worker.engine().health(), HasReason("WEIGHTS_NOT_RESTORED"));
  EXPECT_THAT(worker.engine().health(), StatusIs(absl::StatusCode::kUnavailable));
  worker.WaitForFailure();
  EXPECT_FALSE(IsAlive(worker.pid()));
}

TEST(WorkerEngineTest, AJobFindsTheOtherModelsOfItsProcess) {
  LoadedWorker worker;  // alpha
  ProtectionOptions options;
  options.also = {"beta"};
  const auto protect = [&](Protector& protector) {
    return protector.Protect(SyntheticImage(80, 64), options, {});
  };
  EXPECT_THAT(protect(worker.protector()), StatusIs(absl::StatusCode::kNotFound, "beta"));
  AD_ASSERT_OK_AND_ASSIGN(const auto beta, worker.engine().Load({"models/beta", "cpu"}, {}));
  EXPECT_THAT(protect(worker.protector()), IsOk());
  options.also = {"alpha"};
  EXPECT_THAT(protect(*beta), IsOk());
  EXPECT_THAT(worker.engine().Load({"models/beta", "cpu"}, {}), IsOk());  // once more
  options.also = {"beta"};
  EXPECT_THAT(protect(worker.protector()), IsOk());
}

TEST(WorkerEngineTest, TheModelsAbilitiesAndTheOptionsTravel) {
  LoadedWorker worker;
  EXPECT_TRUE(worker.protector().model().denoises);
  EXPECT_EQ(worker.protector().model().latent_channels, 4);
  EXPECT_EQ(worker.protector().model().notes, std::vector<std::string>{"nothing was computed"});
  ProtectionOptions options;
  options.seed = 7;
  options.report = ReportLevel::kFull;
  AD_ASSERT_OK_AND_ASSIGN(const ProtectionResult result,
                          worker.protector().Protect(SyntheticImage(80, 64), options, {}));
  EXPECT_EQ(result.seed, 7u);
  EXPECT_TRUE(result.full.has_value());
  options.budget_levels = 33;  // no caller of this build sends it; the worker looks nevertheless
  EXPECT_THAT(worker.protector().Protect(SyntheticImage(80, 64), options, {}),
              ViolatesField("options.budget_levels"));
}

TEST(WorkerEngineTest, TheProcessEndsWithItsEngine) {
  pid_t pid = 0;
  {
    LoadedWorker worker;
    pid = worker.pid();
    EXPECT_TRUE(IsAlive(pid));
  }
  EXPECT_FALSE(IsAlive(pid));
}

TEST(WorkerEngineTest, LoadingCanBeStopped) {
  const WorkerProgram program({.faults = "slow_load=1h"});
  AD_ASSERT_OK_AND_ASSIGN(const auto engine, WorkerEngine::Start(program.Options(), nullptr));
  std::stop_source stop;
  std::jthread loader([&] {
    EXPECT_THAT(engine->Load({"models/alpha"}, stop.get_token()), HasReason("WORKER_DIED"));
  });
  stop.request_stop();
}

TEST(WorkerEngineTest, LoadingThatNeverEndsIsAHang) {
  const WorkerProgram program({.faults = "slow_load=1h"});
  AD_ASSERT_OK_AND_ASSIGN(const auto engine,
                          WorkerEngine::Start(program.Options(absl::Milliseconds(20)), nullptr));
  EXPECT_THAT(engine->Load({"models/alpha"}, {}), HasReason("WORKER_HUNG"));
}

TEST(WorkerEngineTest, AProgramThatIsNotThereIsAnError) {
  EXPECT_THAT(WorkerEngine::Start({"/no/such/program", absl::Seconds(1)}, nullptr),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST(WorkerEngineTest, AProgramThatIsNoWorkerDies) {
  AD_ASSERT_OK_AND_ASSIGN(const auto engine,
                          WorkerEngine::Start({"/bin/false", absl::Seconds(1)}, nullptr));
  EXPECT_THAT(engine->Load({"models/alpha"}, {}), HasReason("WORKER_DIED"));
}

}  // namespace
}  // namespace antidiffusion
