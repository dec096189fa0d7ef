// The port that gRPC listens on.
#pragma once

#include <grpcpp/impl/service_type.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>

#include <memory>

#include "absl/status/statusor.h"
#include "server/server_config.h"

namespace antidiffusion {

struct GrpcListener {
  std::unique_ptr<grpc::Server> server;
  int port = 0;  // the chosen one
};

// Serves `service` (may be null; outlives the server) with health and reflection. UNAVAILABLE: the
// port is taken, or not ours to take.
absl::StatusOr<GrpcListener> ListenForGrpc(
    const ServerConfig& config, grpc::Service* service,
    const std::shared_ptr<grpc::ServerCredentials>& credentials);

}  // namespace antidiffusion
