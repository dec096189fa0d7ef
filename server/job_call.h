// The server's side of a call that follows a job (Protect, WatchJob) or takes its result
// (DownloadResult): moves the job's events, and the result's image piece by piece, into the stream.
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
#include "server/database/job_database.h"
#include "server/job.h"
#include "server/metrics.h"
#include "server/reader_calls.h"
#include "server/unread_results.h"

namespace antidiffusion {

// One write is in flight at a time; Finish is called exactly once, also after a cancel; the object
// may be destroyed in OnDone and not before. The job never knows of it: it calls a listener, which
// is taken back before. Its only memory of the stream are a cursor and a place in the image, so a
// slow reader holds back one message and no copy of the image.
class JobCall : public grpc::ServerWriteReactor<v1::JobEvent>, public ReaderCall {
 public:
  struct Hooks {
    // The call follows the job no longer; once for each call that had one. `why`: it was closed
    // before it was at its end.
    std::function<void(const Job& job, const std::optional<absl::Status>& why)> leave;
    // Reads a piece of the stored image of a result and then calls `then`, once, on any thread.
    std::function<void(const Job& job, const StoredPiece& piece,
                       std::function<void(absl::StatusOr<std::string>)> then)>
        read_image;
    // The status is about to be sent.
    std::function<void(Rpc rpc, const absl::Status& status, absl::Duration duration)> on_finish;
    // Where the call is added, before it begins.
    ReaderCalls& calls;
    UnreadResults& unread;
    Job::Clock now;
  };
  struct Order {
    Rpc rpc = Rpc::kProtect;
    absl::Time started;                            // when the call came
    absl::Time deadline = absl::InfiniteFuture();  // the caller's
    uint64_t from_sequence = 0;                    // what the caller knows already
    int64_t image_offset = 0;                      // bytes of the image that it has, [0, its size]
  };

  // A stream that has been silent for this long gets its latest event again (proxies drop idle
  // streams).
  static constexpr absl::Duration kMaxSilence = absl::Seconds(8);
  // A stream whose write has been pending for longer is ended: its reader counts as dead.
  static constexpr absl::Duration kMaxWrite = absl::Seconds(30);
  // Of the image, in one message: a reader with gRPC's default limit of 4 MiB can take it.
  static constexpr int64_t kChunkBytes = int64_t{1} << 20;

  // How long before the server's view of a deadline the client's may fire, `timeout` after the
  // start: it was sent rounded up, to 1 % at most, and travelled. At most 2 s.
  static absl::Duration DeadlineSlack(absl::Duration timeout);

  // `context` is gRPC's.
  JobCall(grpc::CallbackServerContext* context, const Order& order, const Hooks& hooks);

  Rpc rpc() const { return order_.rpc; }

  // Starts to talk, on any thread: to follow `job`, or to end with the error before any message.
  // `from_sequence`: in place of the order's. Once; until then the call cannot end, whatever its
  // caller does.
  void Begin(absl::StatusOr<std::shared_ptr<Job>> job,
             std::optional<uint64_t> from_sequence = std::nullopt) ABSL_LOCKS_EXCLUDED(mutex_);

  void Tick(absl::Time now) override ABSL_LOCKS_EXCLUDED(mutex_);

  void OnWriteDone(bool ok) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnCancel() override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnDone() override ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // What to do next: write message_, end the stream, or both in one.
  struct Step {
    bool write = false;
    std::optional<absl::Status> end = {};
    std::optional<StoredPiece> read = {};  // from the database, before anything else
  };
  // How far the image has been sent, once the result has been.
  struct ImagePlace {
    int64_t offset = 0;
    int64_t size = 0;
    bool checked = false;                                          // what the database holds
    std::optional<absl::StatusOr<std::string>> stored_piece = {};  // the next, as it was read
  };

  void Pump() ABSL_LOCKS_EXCLUDED(mutex_);
  Step Next() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Step NextEvent() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Step NextPiece() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Step SendPiece(std::string bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void End(const Step& last, absl::Duration duration);
  std::shared_ptr<Job> job() ABSL_LOCKS_EXCLUDED(mutex_);
  void OnPieceRead(absl::StatusOr<std::string> piece) ABSL_LOCKS_EXCLUDED(mutex_);
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
  bool reading_ ABSL_GUARDED_BY(mutex_) = false;  // a stored piece; the call cannot end then
  std::optional<ImagePlace> image_ ABSL_GUARDED_BY(mutex_);  // once the result was sent
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  bool done_ ABSL_GUARDED_BY(mutex_) = false;                   // gRPC's context is gone
  std::optional<absl::Status> gone_ ABSL_GUARDED_BY(mutex_);    // why nobody listens any more
  std::optional<absl::Status> failed_ ABSL_GUARDED_BY(mutex_);  // an end that was not OK
  absl::Time last_write_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace antidiffusion
