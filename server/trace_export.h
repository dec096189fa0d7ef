// The way of the server's spans to the collector that the configuration names.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "server/log.h"
#include "server/metrics.h"
#include "server/server_config.h"
#include "server/tracing/span_exporter.h"

namespace antidiffusion {

// Null without an endpoint. `metrics` and `log` outlive it. INVALID_ARGUMENT: the endpoint is no
// address.
absl::StatusOr<std::unique_ptr<SpanExporter>> StartTraceExport(const ServerConfig& config,
                                                               Metrics& metrics, const Log& log);

}  // namespace antidiffusion
