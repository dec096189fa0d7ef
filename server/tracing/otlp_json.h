// Spans as the body of an OTLP/HTTP request in JSON:
// https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "server/tracing/tracer.h"

namespace antidiffusion {

// An ExportTraceServiceRequest. `resource` says whose spans these are (service.name, ...). Text
// that is no UTF-8 is made so.
std::string OtlpJson(const std::vector<Span>& spans, const std::vector<SpanAttribute>& resource);

// How many spans the collector says in its answer that it did not take; 0 when it says nothing.
int64_t RejectedSpans(const std::string& response);

}  // namespace antidiffusion
