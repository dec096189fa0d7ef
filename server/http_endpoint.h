// Plain HTTP for machines: /metrics, /livez, /readyz, /startupz. Anything else is 404.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

class CivetServer;

namespace antidiffusion {

// Whether HTTP can listen on IPv6 addresses: Debian builds its library without.
bool HttpHasIpv6();

// Where HTTP listens beside a gRPC port on `grpc_address`: on the same address; without IPv6 on the
// IPv4 address of the same reach, 127.0.0.1 for ::1 and 0.0.0.0 for ::. INVALID_ARGUMENT naming
// --metrics-address: another IPv6 address has none.
absl::StatusOr<std::string> HttpAddressFor(const std::string& grpc_address,
                                           bool has_ipv6 = HttpHasIpv6());

class HttpEndpoint {
 public:
  // Called on the endpoint's own threads, several at a time, from Start to the destructor.
  struct Sources {
    std::function<std::string()> metrics;  // the text format of Prometheus
    // Why not; "": yes. 200 or 503, the body says it.
    std::function<std::string()> not_live;
    std::function<std::string()> not_ready;
    std::function<std::string()> not_started;
  };

  // Listens on `address` (IPv4, or IPv6 where HttpHasIpv6) and `port` (0: any free one).
  // UNAVAILABLE: the port is taken, or not ours to take.
  static absl::StatusOr<std::unique_ptr<HttpEndpoint>> Start(const std::string& address, int port,
                                                             Sources sources);
  ~HttpEndpoint();
  HttpEndpoint(const HttpEndpoint&) = delete;
  HttpEndpoint& operator=(const HttpEndpoint&) = delete;

  int port() const { return port_; }

 private:
  class Handler;

  HttpEndpoint();

  std::vector<std::unique_ptr<Handler>> handlers_;  // outlive server_
  std::unique_ptr<CivetServer> server_;
  int port_ = 0;
};

}  // namespace antidiffusion
