// The traceparent header of any caller.
#include <algorithm>
#include <string>

#include "server/tracing/trace_context.h"
#include "server/tracing/tracer.h"
#include "tests/fuzz/fuzz.h"

namespace antidiffusion {
namespace {

bool IsId(const std::string& text, size_t digits) {
  return text.size() == digits && text.find_first_not_of("0123456789abcdef") == std::string::npos &&
         text.find_first_not_of('0') != std::string::npos;
}

void CheckParsed(absl::string_view header) {
  const auto trace = ParseTraceParent(header);
  if (!trace.has_value()) return;
  Require(IsId(trace->trace_id, 32) && IsId(trace->parent_id, 16), "an id that is none");
  Require(trace->span_id.empty(), "a span of our own that nobody began");
  TraceContext own = *trace;
  own.span_id = trace->parent_id;
  const std::string sent = TraceParentOf(own);
  const auto again = ParseTraceParent(sent);
  Require(again.has_value() && again->trace_id == trace->trace_id &&
              again->parent_id == trace->parent_id && again->sampled == trace->sampled,
          "a header of ours says something else");
  // Version 00 of the standard is what we write; of its flags one bit is defined.
  if (header.size() == 55 && header.substr(0, 2) == "00") {
    Require(header.substr(0, 53) == absl::string_view(sent).substr(0, 53), "another header");
  }
}

void CheckBegun(absl::string_view header) {
  const Tracer tracer(1, [](const Span&) {});
  const TraceContext trace = tracer.Begin(header, absl::UnixEpoch());
  Require(IsId(trace.trace_id, 32) && IsId(trace.span_id, 16), "a trace without ids");
  Require(trace.parent_id.empty() || IsId(trace.parent_id, 16), "a caller's span that is none");
}

}  // namespace
}  // namespace antidiffusion

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view header = antidiffusion::AsText(data, size);
  antidiffusion::CheckParsed(header);
  antidiffusion::CheckBegun(header);
  return 0;
}
