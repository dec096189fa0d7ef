// Spans: what a job spent its time on, for a tracing system (OpenTelemetry).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/tracing/trace_context.h"

namespace antidiffusion {

using SpanAttribute = std::pair<std::string, std::variant<std::string, int64_t, double>>;

// What a recorder tells of a span. Never image bytes, prompts or keys.
struct SpanFacts {
  std::string name;
  absl::Time start = {};
  absl::Time end = {};
  std::vector<SpanAttribute> attributes = {};
  std::string error = {};  // "": it went well
};

struct Span {
  std::string trace_id;    // 32 hex digits, as the ids of TraceContext
  std::string span_id;     // 16
  std::string parent_id;   // 16, or "" at the root of a trace
  bool is_server = false;  // answers a caller in another process
  SpanFacts facts;
};

// Decides which jobs are traced, and gives ids to their spans. Immutable, so thread-safe.
class Tracer {
 public:
  // Takes a span and returns at once; called on any thread.
  using Sink = std::function<void(Span)>;

  // `sample` (0..1): the share of the traces begun here that is recorded. Without a sink nothing is
  // recorded.
  explicit Tracer(double sample = 0, Sink sink = nullptr)
      : sample_(sample), sink_(std::move(sink)) {}

  // The trace of a call that arrived `now`, with an id for its job's span. A valid `traceparent`
  // goes on and decides whether it is recorded; else a trace begins here if the sample takes it,
  // and without that there is none.
  TraceContext Begin(absl::string_view traceparent, absl::Time now) const;

  // Below the job's span.
  void RecordStage(const TraceContext& trace, SpanFacts facts) const;
  // The job's own span, below the caller's.
  void RecordJob(const TraceContext& trace, SpanFacts facts) const;

 private:
  const double sample_;
  const Sink sink_;
};

}  // namespace antidiffusion
