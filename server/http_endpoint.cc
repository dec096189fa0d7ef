#include "server/http_endpoint.h"

#include <CivetServer.h>
#include <civetweb.h>

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "core/base/status_details.h"

namespace antidiffusion {
namespace {

// Idle connections must not keep a scrape waiting, so: more threads than probes and scrapers, and a
// short timeout.
constexpr char kThreads[] = "8";
constexpr char kTimeoutMs[] = "5000";

struct Reply {
  int code = 200;
  std::string type = "text/plain; charset=utf-8";
  std::string body;
};

Reply HealthReply(const std::string& why_not) {
  if (why_not.empty()) return {200, {}, "ok\n"};
  return {503, {}, absl::StrCat("not ok: ", why_not, "\n")};
}

}  // namespace

class HttpEndpoint::Handler : public CivetHandler {
 public:
  explicit Handler(std::function<Reply()> reply) : reply_(std::move(reply)) {}

  bool handleGet(CivetServer* /*server*/, mg_connection* connection) override {
    Send(connection, true);
    return true;
  }
  bool handleHead(CivetServer* /*server*/, mg_connection* connection) override {
    Send(connection, false);
    return true;
  }

 private:
  void Send(mg_connection* connection, bool with_body) const {
    const Reply reply = reply_();
    const std::string type = reply.type.empty() ? Reply().type : reply.type;
    const std::string head =
        absl::StrCat("HTTP/1.1 ", reply.code, reply.code == 200 ? " OK" : " Service Unavailable",
                     "\r\nContent-Type: ", type, "\r\nContent-Length: ", reply.body.size(),
                     "\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n");
    mg_write(connection, head.data(), head.size());
    if (with_body) mg_write(connection, reply.body.data(), reply.body.size());
  }

  const std::function<Reply()> reply_;
};

bool HttpHasIpv6() { return mg_check_feature(MG_FEATURES_IPV6) != 0; }

absl::StatusOr<std::string> HttpAddressFor(const std::string& grpc_address, bool has_ipv6) {
  absl::string_view bare = grpc_address;
  if (absl::ConsumePrefix(&bare, "[")) absl::ConsumeSuffix(&bare, "]");
  if (has_ipv6 || !absl::StrContains(bare, ":")) return grpc_address;
  if (bare == "::1") return "127.0.0.1";
  if (bare == "::") return "0.0.0.0";
  return InvalidField("--metrics-address", "none",
                      absl::StrCat("an IPv4 address beside --grpc-address ", grpc_address,
                                   ": HTTP is built without IPv6"));
}

HttpEndpoint::HttpEndpoint() = default;
HttpEndpoint::~HttpEndpoint() = default;

absl::StatusOr<std::unique_ptr<HttpEndpoint>> HttpEndpoint::Start(const std::string& address,
                                                                  int port, Sources sources) {
  std::unique_ptr<HttpEndpoint> endpoint(new HttpEndpoint());
  const bool bare_ipv6 = absl::StrContains(address, ":") && !absl::StartsWith(address, "[");
  const std::string host = bare_ipv6 ? absl::StrCat("[", address, "]") : address;
  const std::string listen = absl::StrCat(host, ":", port);
  try {
    endpoint->server_ = std::make_unique<CivetServer>(std::vector<std::string>{
        "listening_ports", listen, "num_threads", kThreads, "request_timeout_ms", kTimeoutMs});
  } catch (const CivetException& error) {
    return absl::UnavailableError(absl::StrCat("cannot listen on ", listen, ": ", error.what()));
  }
  const std::vector<int> ports = endpoint->server_->getListeningPorts();
  if (ports.empty() || ports.front() <= 0) {
    return absl::UnavailableError(absl::StrCat("cannot listen on ", listen));
  }
  endpoint->port_ = ports.front();

  const auto add = [&](const char* path, std::function<Reply()> reply) {
    endpoint->handlers_.push_back(std::make_unique<Handler>(std::move(reply)));
    // "$": exactly this path, not those below it.
    endpoint->server_->addHandler(absl::StrCat(path, "$"), endpoint->handlers_.back().get());
  };
  add("/metrics", [metrics = std::move(sources.metrics)] {
    return Reply{200, "text/plain; version=0.0.4; charset=utf-8", metrics()};
  });
  add("/livez", [why_not = std::move(sources.not_live)] { return HealthReply(why_not()); });
  add("/readyz", [why_not = std::move(sources.not_ready)] { return HealthReply(why_not()); });
  add("/startupz", [why_not = std::move(sources.not_started)] { return HealthReply(why_not()); });
  return endpoint;
}

}  // namespace antidiffusion
