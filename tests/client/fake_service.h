// A service in the test's own process, on a port of its own, that answers as the test says.
//
//   FakeService service;
//   service.protect = [](auto*, const auto& request, auto& writer) {
//     writer.Write(ResultEvent("bytes"));
//     return grpc::Status::OK;
//   };
//   ProtectionClient client({.server = service.address()});
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "antidiffusion/v1/protection.grpc.pb.h"
#include "core/base/mutex.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "grpcpp/server.h"

namespace antidiffusion {

using EventWriter = grpc::ServerWriter<v1::JobEvent>;

class FakeService {
 public:
  using ProtectHandler =
      std::function<grpc::Status(grpc::ServerContext*, const v1::ProtectRequest&, EventWriter&)>;

  FakeService();
  ~FakeService();

  // Set before the first call; called on gRPC's threads, several at a time.
  ProtectHandler protect;
  std::function<grpc::Status(grpc::ServerContext*, v1::ListModelsResponse&)> list_models;
  grpc::health::v1::HealthCheckResponse::ServingStatus health =
      grpc::health::v1::HealthCheckResponse::SERVING;

  const std::string& address() const { return address_; }
  // All Protect calls so far, in the order of their arrival.
  std::vector<v1::ProtectRequest> requests() const;

 private:
  class Protection;
  class Health;

  void Record(const v1::ProtectRequest& request);

  mutable Mutex mutex_;
  std::vector<v1::ProtectRequest> requests_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<grpc::Service> protection_service_;
  std::unique_ptr<grpc::Service> health_service_;
  std::string address_;
  std::unique_ptr<grpc::Server> server_;
};

v1::JobEvent QueuedEvent(int position);
v1::JobEvent ProgressEvent(const std::string& stage, int step, int total, double fraction);
// A complete result: model "clothing", digest "abc123", seed 2^63 + 5.
v1::JobEvent ResultEvent(const std::string& image);

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
