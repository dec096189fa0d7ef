// Plain HTTP for machines: /metrics, /livez, /readyz, /startupz. Anything else is 404.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

class CivetServer;

namespace antidiffusion {

class HttpEndpoint {
 public:
  // Called on the endpoint's own threads, several at a time, from Start to the destructor.
  struct Sources {
    std::function<std::string()> metrics;  // the text format of Prometheus
    std::function<bool()> live;            // 200 or 503, as the next two
    std::function<bool()> ready;
    std::function<bool()> started;
  };

  // Listens on `address` (an IPv4 or IPv6 address) and `port` (0: any free one). UNAVAILABLE: the
  // port is taken, or not ours to take.
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
