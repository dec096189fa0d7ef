// The server's side of a GetJob that asks for the result.
#pragma once

#include <grpcpp/impl/codegen/server_callback.h>
#include <grpcpp/impl/codegen/server_context.h>

#include <cstdint>
#include <functional>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/mutex.h"
#include "server/job.h"
#include "server/reader_calls.h"

namespace antidiffusion {

// Waits for room, then is sent, and ended where its reader takes too long: gRPC would hold the
// answer for as long as the reader likes.
class ResultAnswer : public grpc::ServerUnaryReactor, public ReaderCall {
 public:
  // `context` is gRPC's; the answer is added to `calls` before it begins.
  ResultAnswer(grpc::CallbackServerContext* context, ReaderCalls& calls, Job::Clock now)
      : context_(context), calls_(calls), now_(std::move(now)) {}

  // Once, for a result of so many bytes. Either `send` is called, which fills the answer and
  // finishes the call, or `refuse`, which finishes it; once, on any thread. Until then the call
  // cannot end.
  using Send = std::function<void()>;
  using RefuseWith = std::function<void(const absl::Status& why)>;
  void Begin(int64_t bytes, Send send, RefuseWith refuse) ABSL_LOCKS_EXCLUDED(mutex_);
  // In place of Begin: calls `end`.
  void EndAtOnce(const absl::Status& status, const RefuseWith& end) ABSL_LOCKS_EXCLUDED(mutex_);

  void Tick(absl::Time now) override ABSL_LOCKS_EXCLUDED(mutex_);

  void OnCancel() override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnDone() override ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void TrySend() ABSL_LOCKS_EXCLUDED(mutex_);

  grpc::CallbackServerContext* const context_;
  ReaderCalls& calls_;
  const Job::Clock now_;

  Mutex mutex_;
  int64_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  Send send_ ABSL_GUARDED_BY(mutex_);  // null before Begin, and once the answer has ended
  RefuseWith refuse_ ABSL_GUARDED_BY(mutex_);
  bool gone_ ABSL_GUARDED_BY(mutex_) = false;                          // the caller, before Begin
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;                         // sent or refused
  bool done_ ABSL_GUARDED_BY(mutex_) = false;                          // gRPC's context is gone
  absl::Time limit_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();  // of sending
};

}  // namespace antidiffusion
