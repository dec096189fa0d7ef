// The server's side of a call that follows a job (Protect, WatchJob): moves the job's events into
// the stream.
#pragma once

#include <grpcpp/impl/codegen/server_callback.h>
#include <grpcpp/impl/codegen/server_context.h>

#include <functional>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "antidiffusion/v1/protection.pb.h"
#include "base/mutex.h"
#include "server/job.h"
#include "server/metrics.h"
#include "server/reader_calls.h"

namespace antidiffusion {

// One write is in flight at a time; Finish is called exactly once, also after a cancel; the object
// may be destroyed in OnDone and not before. The job never knows of it: it calls a listener, which
// is taken back before. Its only memory of the stream is a cursor, so a slow reader holds back one
// message and nothing else; one with a result is made only when there is room for it.
class JobCall : public grpc::ServerWriteReactor<v1::JobEvent>, public ReaderCall {
 public:
  struct Hooks {
    // The call follows the job no longer; once for each call that had one. `why`: it was closed
    // before it was at its end.
    std::function<void(const Job& job, const std::optional<absl::Status>& why)> leave;
    // Reads the stored image of a result and then calls `then`, once, on any thread.
    std::function<void(const Job& job, const std::string& digest,
                       std::function<void(absl::StatusOr<std::string>)> then)>
        read_image;
    // The status is about to be sent.
    std::function<void(Rpc rpc, const absl::Status& status, absl::Duration duration)> on_finish;
    // Where the call is added, before it begins.
    ReaderCalls& calls;
    Job::Clock now;
  };
  struct Order {
    Rpc rpc = Rpc::kProtect;
    absl::Time started;                            // when the call came
    absl::Time deadline = absl::InfiniteFuture();  // the caller's
    uint64_t from_sequence = 0;                    // what the caller knows already
  };

  // A stream that has been silent for this long gets its latest event again (proxies drop idle
  // streams).
  static constexpr absl::Duration kMaxSilence = absl::Seconds(8);
  static constexpr absl::Duration kMaxWrite = absl::Seconds(30);

  // A stream whose write of so many bytes has been pending for longer is ended: kMaxWrite, and what
  // the bytes take at 256 KiB a second. Slower readers count as dead.
  static absl::Duration WriteLimit(size_t message_bytes);

  // How long before the server's view of a deadline the client's may fire, `timeout` after the
  // start: it was sent rounded up, to 1 % at most, and travelled. At most 2 s.
  static absl::Duration DeadlineSlack(absl::Duration timeout);

  // `context` is gRPC's.
  JobCall(grpc::CallbackServerContext* context, const Order& order, const Hooks& hooks);

  Rpc rpc() const { return order_.rpc; }

  // Starts to talk, on any thread: to follow `job`, or to end with the error before any message.
  // Once; until then the call cannot end, whatever its caller does.
  void Begin(absl::StatusOr<std::shared_ptr<Job>> job) ABSL_LOCKS_EXCLUDED(mutex_);

  void Tick(absl::Time now) override ABSL_LOCKS_EXCLUDED(mutex_);

  void OnWriteDone(bool ok) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnCancel() override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnDone() override ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void Pump() ABSL_LOCKS_EXCLUDED(mutex_);
  Delivery Next() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool GetRoom(Delivery& next) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Take(const Delivery& next) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::shared_ptr<Job> job() ABSL_LOCKS_EXCLUDED(mutex_);
  void OnImageRead(absl::StatusOr<std::string> image) ABSL_LOCKS_EXCLUDED(mutex_);
  void Abandon() ABSL_LOCKS_EXCLUDED(mutex_);
  void Leave(const std::optional<absl::Status>& why) ABSL_LOCKS_EXCLUDED(mutex_);
  bool IsAtDeadline() const;

  grpc::CallbackServerContext* const context_;
  const Order order_;
  const Hooks& hooks_;

  Mutex mutex_;
  // Null before Begin and when refused, else the same to the end; shared with the worker and other
  // calls.
  std::shared_ptr<Job> job_ ABSL_GUARDED_BY(mutex_);
  v1::JobEvent message_;  // gRPC's while writing_
  uint64_t cursor_ ABSL_GUARDED_BY(mutex_);
  std::optional<int> listener_ ABSL_GUARDED_BY(mutex_);
  bool begun_ ABSL_GUARDED_BY(mutex_) = false;
  bool left_ ABSL_GUARDED_BY(mutex_) = false;
  bool in_line_ ABSL_GUARDED_BY(mutex_) = false;  // for room; Tick asks again
  bool reading_ ABSL_GUARDED_BY(mutex_) = false;  // the stored image; the call cannot end then
  std::optional<absl::StatusOr<std::string>> image_ ABSL_GUARDED_BY(mutex_);  // as it was read
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  bool done_ ABSL_GUARDED_BY(mutex_) = false;                 // gRPC's context is gone
  std::optional<absl::Status> gone_ ABSL_GUARDED_BY(mutex_);  // why nobody listens any more
  absl::Time last_write_ ABSL_GUARDED_BY(mutex_);
  absl::Duration write_limit_ ABSL_GUARDED_BY(mutex_) = kMaxWrite;
};

}  // namespace antidiffusion
