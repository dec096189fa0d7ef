// One Protect call to a worker process, from its caller's side.
#pragma once

#include <grpcpp/client_context.h>
#include <grpcpp/support/client_callback.h>

#include <cstddef>
#include <deque>

#include "absl/time/time.h"
#include "antidiffusion/worker/v1/worker.grpc.pb.h"
#include "base/mutex.h"
#include "core/image/image.h"

namespace antidiffusion {

// Sends `begin` and the pixels of `image`, which outlives it, and gathers what comes back.
// Thread-safe. Next is for one thread.
class ProtectStream final
    : public grpc::ClientBidiReactor<worker::v1::ProtectInput, worker::v1::ProtectOutput> {
 public:
  ProtectStream(worker::v1::Worker::Stub& stub, const worker::v1::Begin& begin, const Image& image);
  // Ends the call if it is still open, and waits for that.
  ~ProtectStream() override;

  // Asks the worker to stop before its next step; it answers with CANCELLED.
  void Cancel() ABSL_LOCKS_EXCLUDED(mutex_);

  enum class Event {
    kOutput,    // `output` is set
    kEnded,     // the worker has no more to say, or is gone
    kTimedOut,  // nothing came
  };
  Event Next(absl::Duration timeout, worker::v1::ProtectOutput& output) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void OnReadDone(bool ok) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnWriteDone(bool ok) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnDone(const grpc::Status& status) override ABSL_LOCKS_EXCLUDED(mutex_);
  // Writes what is to be said next, if nothing is on its way.
  void WriteNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Image& image_;
  grpc::ClientContext context_;
  Mutex mutex_;
  CondVar changed_;
  worker::v1::ProtectInput outgoing_ ABSL_GUARDED_BY(mutex_);  // gRPC's while writing_
  bool writing_ ABSL_GUARDED_BY(mutex_) = true;
  bool write_failed_ ABSL_GUARDED_BY(mutex_) = false;
  size_t sent_ ABSL_GUARDED_BY(mutex_) = 0;  // samples
  bool cancel_wanted_ ABSL_GUARDED_BY(mutex_) = false;
  bool cancel_sent_ ABSL_GUARDED_BY(mutex_) = false;
  worker::v1::ProtectOutput incoming_ ABSL_GUARDED_BY(mutex_);
  std::deque<worker::v1::ProtectOutput> received_ ABSL_GUARDED_BY(mutex_);
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;  // nothing more will be read
  bool done_ ABSL_GUARDED_BY(mutex_) = false;   // gRPC has let go of this object
};

}  // namespace antidiffusion
