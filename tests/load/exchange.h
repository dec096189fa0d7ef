// One arrival from its request to its end.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "antidiffusion/v1/protection.grpc.pb.h"
#include "base/mutex.h"
#include "tests/load/arrival_plan.h"
#include "tests/load/ending.h"
#include "tests/load/schedule.h"

namespace antidiffusion {

// What all exchanges of a run share; outlives them.
struct ExchangeSurroundings {
  Schedule& schedule;
  const LoadSettings& settings;
  std::function<void(const Ending&)> on_end;  // on any thread, once an exchange
  std::function<void(int)> count_call;        // +1 before a call, -1 as the last thing after it
};

// Shared by gRPC's pending calls and the schedule's pending actions, whichever lives longest.
// Thread-safe.
class Exchange : public std::enable_shared_from_this<Exchange> {
 public:
  Exchange(const ExchangeSurroundings& with, const Arrival& arrival,
           v1::ProtectionService::Stub& stub, absl::string_view picture);
  ~Exchange();

  void Start();
  // As the arrival's own cancel: closes a Protect, sends CancelJob for a job.
  void Cancel();
  // Ends it as it stands: the run is over.
  void GiveUp();

 private:
  class EventStream;
  class UnaryCall;

  v1::ProtectRequest MakeRequest(absl::string_view picture) const;
  std::unique_ptr<grpc::ClientContext> MakeContext() const;
  void StartProtect();
  void CreateJob();
  void OnCreated(const grpc::Status& status, const v1::Job& job);
  void OnCancelAnswered(const grpc::Status& status);
  void Watch();
  void SendCancel();
  void OnEvent(const v1::JobEvent& event);
  // All of its image.
  bool HasResult() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ForgetCall();
  void OnStreamEnd(const grpc::Status& status);
  bool Resume(const absl::Status& error);
  void End(const absl::Status& error);

  const ExchangeSurroundings& with_;
  const Arrival arrival_;
  v1::ProtectionService::Stub& stub_;
  const absl::Time begun_;

  mutable Mutex mutex_;
  v1::ProtectRequest request_ ABSL_GUARDED_BY(mutex_);
  std::string job_ ABSL_GUARDED_BY(mutex_);
  uint64_t sequence_ ABSL_GUARDED_BY(mutex_) = 0;
  bool accepted_ ABSL_GUARDED_BY(mutex_) = false;
  int64_t image_bytes_ ABSL_GUARDED_BY(mutex_) = 0;  // of the result; 0 before it came
  int64_t received_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  bool cancel_wanted_ ABSL_GUARDED_BY(mutex_) = false;
  bool over_ ABSL_GUARDED_BY(mutex_) = false;  // GiveUp
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Time accepted_at_ ABSL_GUARDED_BY(mutex_);
  std::optional<absl::Time> cancel_sent_ ABSL_GUARDED_BY(mutex_);
  // The call that is open, for TryCancel; owned by its stream or call object.
  grpc::ClientContext* open_ ABSL_GUARDED_BY(mutex_) = nullptr;
  Ending ending_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace antidiffusion
