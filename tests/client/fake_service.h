// A service in the test's own process, on a port of its own, that answers as the test says.
//
//   FakeService service;
//   service.protect = [](auto*, const auto& request, auto& writer) {
//     WriteResult(writer, "bytes");
//     return grpc::Status::OK;
//   };
//   ProtectionClient client({.server = service.address()});
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "antidiffusion/v1/protection.grpc.pb.h"
#include "base/mutex.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"
#include "grpcpp/server_context.h"

namespace antidiffusion {

using EventWriter = grpc::ServerWriter<v1::JobEvent>;

class FakeService {
 public:
  using ProtectHandler =
      std::function<grpc::Status(grpc::ServerContext*, const v1::ProtectRequest&, EventWriter&)>;

  template <typename Request, typename Response>
  using Handler = std::function<grpc::Status(grpc::ServerContext*, const Request&, Response&)>;

  // Shared because gRPC's server shares it.
  explicit FakeService(const std::shared_ptr<grpc::ServerCredentials>& credentials =
                           grpc::InsecureServerCredentials());
  ~FakeService();

  // Set before the first call; called on gRPC's threads, several at a time.
  ProtectHandler protect;
  Handler<v1::ProtectRequest, v1::Job> create_job;
  Handler<v1::GetJobRequest, v1::Job> get_job;
  Handler<v1::ListJobsRequest, v1::ListJobsResponse> list_jobs;
  Handler<v1::WatchJobRequest, EventWriter> watch_job;
  Handler<v1::DownloadResultRequest, EventWriter> download_result;
  Handler<v1::CancelJobRequest, v1::Job> cancel_job;
  Handler<v1::DeleteJobRequest, google::protobuf::Empty> delete_job;
  std::function<grpc::Status(grpc::ServerContext*, v1::ListModelsResponse&)> list_models;
  grpc::health::v1::HealthCheckResponse::ServingStatus health =
      grpc::health::v1::HealthCheckResponse::SERVING;

  // gRPC orders a call's sides in a way that ThreadSanitizer cannot see. What was set before
  // address() is seen by the handlers of calls that come later, what handlers did is seen after
  // Settle().
  const std::string& address() const;
  void Settle() const { MutexLock lock(mutex_); }
  int port() const { return port_; }
  // All Protect and CreateJob calls so far, in the order of their arrival.
  std::vector<v1::ProtectRequest> requests() const;

 private:
  class Protection;
  class Health;
  class CallOrder;

  void Record(const v1::ProtectRequest& request);

  mutable Mutex mutex_;
  std::vector<v1::ProtectRequest> requests_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<grpc::Service> protection_service_;
  std::unique_ptr<grpc::Service> health_service_;
  int port_ = 0;
  std::string address_;
  std::unique_ptr<grpc::Server> server_;
};

// The value of the metadata `key` of a call; empty when there is none.
std::string Metadata(const grpc::ServerContext& context, const std::string& key);

v1::JobEvent QueuedEvent(int position);
v1::JobEvent ProgressEvent(const std::string& stage, int step, int total, double fraction);
// A complete result, of an image of so many bytes: model "clothing", digest "abc123", seed 2^63
// + 5.
v1::JobEvent ResultEvent(size_t image_bytes);
v1::JobEvent ChunkEvent(size_t offset, const std::string& bytes);
// The result and its image, as a server sends them.
void WriteResult(EventWriter& writer, const std::string& image, uint64_t sequence = 0);

v1::JobEvent WithSequence(v1::JobEvent event, uint64_t sequence);
// A job as a server tells it: model "clothing", batch.
v1::Job MakeJob(const std::string& name, v1::Job::State state);

// A status with google.rpc details, as a server sends them.
struct StatusDetails {
  std::string reason = {};          // ErrorInfo, unless empty
  double retry_delay_seconds = -1;  // RetryInfo, unless negative
  std::string field = {};           // BadRequest, unless empty
  std::string description = {};
};
grpc::Status DetailedStatus(grpc::StatusCode code, const std::string& message,
                            const StatusDetails& details);

// An address where nobody listens: a port that was just given back.
std::string UnusedAddress();

}  // namespace antidiffusion
