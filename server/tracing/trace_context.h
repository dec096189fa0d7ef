// The trace that a call belongs to: https://www.w3.org/TR/trace-context/.
#pragma once

#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace antidiffusion {

struct TraceContext {
  std::string trace_id;   // 32 hex digits in lower case; "": of no trace
  std::string parent_id;  // 16 hex digits, the caller's span; "": the trace begins here
  std::string span_id;    // 16 hex digits, the job's own span, above those of its stages
  bool sampled = false;   // whether spans are recorded
  absl::Time start = {};  // of the job's span: the call's arrival

  // For the log, whose lines leave it out when there is none.
  std::optional<std::string> id() const {
    return trace_id.empty() ? std::nullopt : std::make_optional(trace_id);
  }
};

// Trace, caller's span and sampling of a `traceparent` header; the rest is left empty. nullopt
// for what the standard calls invalid: it is to be ignored, not refused. Of a version after 00 the
// fields known here are read.
std::optional<TraceContext> ParseTraceParent(absl::string_view header);

// The header with which `trace` goes on below its own span. "" without a trace.
std::string TraceParentOf(const TraceContext& trace);

// All of it as text for a journal, and back; "" is no trace, as is what cannot be read.
std::string ToText(const TraceContext& trace);
TraceContext TraceOfText(absl::string_view text);

}  // namespace antidiffusion
