#include "server/trace_export.h"

#include <unistd.h>

#include <array>
#include <string>
#include <utility>

#include "core/base/status_details.h"
#include "server/errors.h"

namespace antidiffusion {
namespace {

std::string HostName() {
  std::array<char, 256> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

void LogChange(const Log& log, const absl::Status& state) {
  if (state.ok()) {
    log.Info("the trace collector takes spans again");
  } else {
    log.Warning("the trace collector takes no spans", {{"error", TextOf(state)}});
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<SpanExporter>> StartTraceExport(const ServerConfig& config,
                                                               Metrics& metrics, const Log& log) {
  if (config.otlp_endpoint.empty()) return nullptr;
  SpanExporter::Options options;
  options.endpoint = config.otlp_endpoint;
  // The conventions of OpenTelemetry for a resource. A pod's name is its host's.
  options.resource = {{"service.name", "antidiffusion"},
                      {"service.version", ThisBuild().version},
                      {"service.instance.id", HostName()},
                      {"host.name", HostName()}};
  options.on_dropped = [&metrics](const std::string& why, int64_t spans) {
    metrics.SpansDropped(why, spans);
  };
  options.on_sent = [&metrics](int64_t spans) { metrics.SpansSent(spans); };
  options.on_change = [&log](const absl::Status& state) { LogChange(log, state); };
  auto exporter = SpanExporter::Start(std::move(options));
  if (absl::IsInvalidArgument(exporter.status())) {
    return InvalidField("otlp-endpoint", config.otlp_endpoint, "http://HOST:PORT/v1/traces");
  }
  return exporter;
}

}  // namespace antidiffusion
