// The service as a function call: credentials, deadline, retries, cancellation and the stream of
// events are dealt with here, and nothing of the command line is known.
#pragma once

#include <functional>
#include <memory>
#include <stop_token>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "antidiffusion/v1/protection.grpc.pb.h"
#include "client/credentials.h"
#include "client/result_receipt.h"
#include "client/retry_policy.h"
#include "grpc/health/v1/health.grpc.pb.h"

namespace antidiffusion {

// Waits; false as soon as `stop` is requested. Thread-safe.
bool InterruptibleSleep(absl::Duration duration, const std::stop_token& stop);

struct ClientOptions {
  std::string server = "127.0.0.1:8001";  // HOST:PORT, or any name gRPC resolves (unix:PATH)
  Credentials credentials = {};
  RetryOptions retry = {};
  // Between two attempts. Must be thread-safe.
  std::function<bool(absl::Duration, const std::stop_token&)> sleep = InterruptibleSleep;
};

struct RetryNotice {
  absl::Status status;   // why the last attempt failed
  int next_attempt = 2;  // counted from 1
  absl::Duration delay;
};

struct CallOptions {
  absl::Time deadline = absl::InfiniteFuture();  // of the whole call with its retries
  bool retry = true;
  std::stop_token stop = {};  // once requested, the call is cancelled on the server
  std::function<void(const RetryNotice&)> on_retry = {};
};

// One connection, any number of calls at a time: thread-safe. All methods block. Errors carry
// gRPC's code and a message of one line; CANCELLED once `stop` was requested; DEADLINE_EXCEEDED at
// the deadline; see IsUnreachable for "there is no such server". Attempts are repeated as
// RetryPolicy says, with an unchanged request, and only while no message has come back (WatchJob
// and DownloadResult: also afterwards). An image that has begun to come is not asked for again: the
// next attempt is a DownloadResult from the byte that is missing.
class ProtectionClient {
 public:
  // Does not connect yet.
  explicit ProtectionClient(const ClientOptions& options);

  // `on_event` hears all events but the result and its image, in order, on the calling thread.
  // INTERNAL when the stream ends well without a result, or without all of its image. With a
  // request_id a stream that breaks once the result has come is picked up.
  absl::StatusOr<ReceivedResult> Protect(
      const v1::ProtectRequest& request, const CallOptions& call,
      const std::function<void(const v1::JobEvent&)>& on_event) const;

  // The stored job. The request_id should be set: only then a repeated attempt is no second job.
  absl::StatusOr<v1::Job> CreateJob(const v1::ProtectRequest& request,
                                    const CallOptions& call) const;

  absl::StatusOr<v1::Job> GetJob(const v1::GetJobRequest& request, const CallOptions& call) const;

  // One page.
  absl::StatusOr<v1::ListJobsResponse> ListJobs(const v1::ListJobsRequest& request,
                                                const CallOptions& call) const;

  // As Protect, for a job that exists. A stream that breaks is picked up after the last event that
  // was heard, for about two minutes without a server.
  absl::StatusOr<ReceivedResult> WatchJob(
      const v1::WatchJobRequest& request, const CallOptions& call,
      const std::function<void(const v1::JobEvent&)>& on_event) const;

  // The result of a job that has succeeded.
  absl::StatusOr<ReceivedResult> DownloadResult(const std::string& name,
                                                const CallOptions& call) const;

  // The job as it is at that moment, which may still be running.
  absl::StatusOr<v1::Job> CancelJob(const std::string& name, const CallOptions& call) const;

  absl::Status DeleteJob(const std::string& name, const CallOptions& call) const;

  absl::StatusOr<v1::ListModelsResponse> ListModels(const CallOptions& call) const;

  // The server as a whole.
  absl::StatusOr<grpc::health::v1::HealthCheckResponse::ServingStatus> CheckHealth(
      const CallOptions& call) const;

 private:
  struct Attempt {
    grpc::Status status = {};
    bool message_received = false;
    bool resumable = false;  // repeated even so: the next attempt begins where this one broke
  };

  using EventHandler = std::function<void(const v1::JobEvent&)>;

  // Reads what `reader` has: results into `receipt`, all else to `on_event`.
  static Attempt Read(grpc::ClientContext& context, grpc::ClientReader<v1::JobEvent>& reader,
                      ResultReceipt& receipt, const EventHandler& on_event);
  // One attempt at what `receipt` lacks of the result of `job`.
  Attempt ReadRest(grpc::ClientContext& context, const std::string& job,
                   ResultReceipt& receipt) const;
  absl::Status Call(const CallOptions& call,
                    const std::function<Attempt(grpc::ClientContext&)>& attempt) const;
  // One attempt as the server answered it; `status` must not be OK.
  CallError DescribeError(const grpc::Status& status, const grpc::ClientContext& context) const;
  template <typename Request, typename Response>
  absl::StatusOr<Response> Unary(const CallOptions& call,
                                 grpc::Status (v1::ProtectionService::Stub::*method)(
                                     grpc::ClientContext*, const Request&, Response*),
                                 const Request& request) const;

  const ClientOptions options_;
  const std::unique_ptr<v1::ProtectionService::Stub> protection_;
  const std::unique_ptr<grpc::health::v1::Health::Stub> health_;

  ProtectionClient(const ClientOptions& options, const std::shared_ptr<grpc::Channel>& channel);
};

}  // namespace antidiffusion
