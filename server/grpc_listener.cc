#include "server/grpc_listener.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/server_builder.h>

#include <limits>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "grpc/health/v1/health.pb.h"

namespace antidiffusion {
namespace {

constexpr int64_t kMessageMargin = 1 << 20;  // a request beside its image
constexpr int kMinPingIntervalMs = 10'000;

std::string ListenAddress(const std::string& address, int port) {
  const bool bare_ipv6 = absl::StrContains(address, ":") && !absl::StartsWith(address, "[");
  return bare_ipv6 ? absl::StrCat("[", address, "]:", port) : absl::StrCat(address, ":", port);
}

void LimitMemory(const ServerConfig& config, grpc::ServerBuilder& builder) {
  const int64_t max_message = config.max_image_bytes + kMessageMargin;
  // Of what gRPC itself holds, requests on their way in above all.
  builder.SetResourceQuota(
      grpc::ResourceQuota("antidiffusion")
          .Resize(static_cast<size_t>(config.max_queue_bytes + 16 * max_message)));
  builder.SetMaxReceiveMessageSize(static_cast<int>(max_message));
  // gRPC unpacks a message whole before it compares its size: 1 MB of gzip would take a gigabyte.
  for (const grpc_compression_algorithm algorithm : {GRPC_COMPRESS_DEFLATE, GRPC_COMPRESS_GZIP}) {
    builder.SetCompressionAlgorithmSupportStatus(algorithm, false);
  }
}

void LimitConnections(const ServerConfig& config, grpc::ServerBuilder& builder) {
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(
      GRPC_ARG_KEEPALIVE_TIME_MS,
      static_cast<int>(absl::ToInt64Milliseconds(config.grpc_keepalive_time)));
  builder.AddChannelArgument(
      GRPC_ARG_KEEPALIVE_TIMEOUT_MS,
      static_cast<int>(absl::ToInt64Milliseconds(config.grpc_keepalive_timeout)));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             kMinPingIntervalMs);
  if (config.grpc_max_connection_age > absl::ZeroDuration()) {
    builder.AddChannelArgument(
        GRPC_ARG_MAX_CONNECTION_AGE_MS,
        static_cast<int>(absl::ToInt64Milliseconds(config.grpc_max_connection_age)));
    // Without end: a stream may follow its job for hours, and keepalive ends those that are dead.
    builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS,
                               std::numeric_limits<int>::max());
  }
}

}  // namespace

absl::StatusOr<GrpcListener> ListenForGrpc(
    const ServerConfig& config, grpc::Service* service,
    const std::shared_ptr<grpc::ServerCredentials>& credentials) {
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  // gRPC's own health service brings no description: link ours, so that reflection can show it.
  grpc::health::v1::HealthCheckRequest::descriptor();
  grpc::ServerBuilder builder;
  LimitMemory(config, builder);
  LimitConnections(config, builder);
  const std::string address = ListenAddress(config.grpc_address, config.grpc_port);
  GrpcListener listener;
  builder.AddListeningPort(address, credentials, &listener.port);
  if (service != nullptr) builder.RegisterService(service);
  listener.server = builder.BuildAndStart();
  if (listener.server == nullptr || listener.port == 0) {
    return absl::UnavailableError(absl::StrCat("cannot listen on ", address));
  }
  return listener;
}

}  // namespace antidiffusion
