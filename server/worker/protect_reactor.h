// One Protect call, from the worker's side.
#pragma once

#include <grpcpp/support/server_callback.h>

#include <deque>
#include <memory>
#include <stop_token>

#include "absl/status/status.h"
#include "antidiffusion/worker/v1/worker.pb.h"
#include "base/mutex.h"
#include "core/image/image.h"
#include "server/worker/engine_thread.h"
#include "server/worker/worker_service.h"

namespace antidiffusion {

// Gathers the image, runs the job on the engine's thread, and writes what it tells. While it runs a
// cancel, or the end of the connection, stops it before its next step.
class ProtectReactor final
    : public grpc::ServerBidiReactor<worker::v1::ProtectInput, worker::v1::ProtectOutput> {
 public:
  // `engine` and `models` outlive the call.
  static ProtectReactor* Begin(EngineThread& engine, WorkerModels& models);

  void OnReadDone(bool ok) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnWriteDone(bool ok) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnCancel() override { Stop(); }
  void OnDone() override ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  ProtectReactor(EngineThread& engine, WorkerModels& models) : engine_(engine), models_(models) {}

  // INTERNAL: the message may not come here.
  absl::Status Accept(const worker::v1::ProtectInput& input) ABSL_LOCKS_EXCLUDED(mutex_);
  bool posted() ABSL_LOCKS_EXCLUDED(mutex_);
  // Before the next step; runs what waits for it on this thread, without the lock.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);
  // On the engine's thread.
  void Run(const worker::v1::Begin& begin, const Image& image, const std::stop_token& stop);
  void Say(worker::v1::ProtectOutput output) ABSL_LOCKS_EXCLUDED(mutex_);
  void SayResult(const ProtectionResult& result, const DeviceMemory& memory)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Nothing more will be said.
  void Close() ABSL_LOCKS_EXCLUDED(mutex_);
  // Writes what waits, or finishes, if nothing is on its way.
  void WriteNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  EngineThread& engine_;
  WorkerModels& models_;
  // Shared by gRPC, until OnDone, and the engine's task, whichever is done later.
  std::shared_ptr<ProtectReactor> self_ ABSL_GUARDED_BY(mutex_);

  worker::v1::ProtectInput incoming_;  // of the reactions

  Mutex mutex_;
  std::stop_source stop_ ABSL_GUARDED_BY(mutex_);
  worker::v1::Begin begin_ ABSL_GUARDED_BY(mutex_);  // these two: until the job is posted
  Image image_ ABSL_GUARDED_BY(mutex_);
  bool posted_ ABSL_GUARDED_BY(mutex_) = false;
  std::deque<worker::v1::ProtectOutput> outgoing_ ABSL_GUARDED_BY(mutex_);  // the first: gRPC's
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool broken_ ABSL_GUARDED_BY(mutex_) = false;  // nobody reads any more
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace antidiffusion
