// The engine of a device in a worker process of its own.
#pragma once

#include <memory>
#include <string>

#include "absl/time/time.h"
#include "antidiffusion/worker/v1/worker.grpc.pb.h"
#include "base/mutex.h"
#include "server/engine/device_engine.h"
#include "server/engine/worker_process.h"

namespace antidiffusion {

struct WorkerSpawnOptions {
  std::string program;
  // Without a step for so long a worker hangs. The first step of a model may take five times as
  // long, loading ten times, and a step ten times as long as the slowest one before it.
  absl::Duration hang_timeout = absl::Seconds(120);
};

class WorkerEngine : public DeviceEngine {
 public:
  static absl::StatusOr<std::unique_ptr<DeviceEngine>> Start(const WorkerSpawnOptions& options,
                                                             std::function<void()> on_failure);

  absl::StatusOr<std::unique_ptr<Protector>> Load(const LoadOptions& options,
                                                  std::stop_token stop) override;
  absl::Status health() const override ABSL_LOCKS_EXCLUDED(mutex_);

  // For the protectors.
  worker::v1::Worker::Stub& stub() { return *stub_; }
  absl::Duration hang_timeout() const { return options_.hang_timeout; }

  // Each ends the process, makes `health` bad for good and returns what it says from now on (the
  // first reason counts). Died: the connection broke. Hung: no word for `silence`.
  absl::Status Died() ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Hung(absl::Duration silence) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Faulty(const absl::Status& self_test) ABSL_LOCKS_EXCLUDED(mutex_);
  // A job changed a model's weights for good: the next one would be computed with them.
  absl::Status Spoilt(const absl::Status& error) ABSL_LOCKS_EXCLUDED(mutex_);

  // What a call that gRPC failed means: Hung after its deadline, else Died.
  absl::Status CallFailed(const grpc::Status& status, absl::Duration deadline);

 private:
  WorkerEngine(const WorkerSpawnOptions& options, std::unique_ptr<WorkerProcess> process);
  absl::Status Lose(absl::Status why) ABSL_LOCKS_EXCLUDED(mutex_);

  const WorkerSpawnOptions options_;
  const std::unique_ptr<WorkerProcess> process_;
  const std::unique_ptr<worker::v1::Worker::Stub> stub_;
  mutable Mutex mutex_;
  absl::Status lost_ ABSL_GUARDED_BY(mutex_);
};

// Makes WorkerEngines.
EngineFactory SpawnWorkers(const WorkerSpawnOptions& options);

}  // namespace antidiffusion
