#include "server/tracing/tracer.h"

#include <random>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace antidiffusion {
namespace {

uint64_t RandomBits() {
  std::random_device device;
  return uint64_t{device()} << 32U | device();
}

// 16 hex digits that are not all zero.
std::string NewId() {
  uint64_t bits = 0;
  while (bits == 0) bits = RandomBits();
  return absl::StrFormat("%016x", bits);
}

bool Takes(double share) {
  constexpr double kSteps = 1ULL << 53U;  // what a double tells apart
  return static_cast<double>(RandomBits() >> 11U) / kSteps < share;
}

}  // namespace

TraceContext Tracer::Begin(absl::string_view traceparent, absl::Time now) const {
  if (std::optional<TraceContext> given = ParseTraceParent(traceparent)) {
    given->span_id = NewId();
    given->start = now;
    return *std::move(given);
  }
  if (!sink_ || !Takes(sample_)) return {};
  return {.trace_id = absl::StrCat(NewId(), NewId()),
          .parent_id = "",
          .span_id = NewId(),
          .sampled = true,
          .start = now};
}

void Tracer::RecordStage(const TraceContext& trace, SpanFacts facts) const {
  if (!sink_ || !trace.sampled) return;
  sink_({trace.trace_id, NewId(), trace.span_id, false, std::move(facts)});
}

void Tracer::RecordJob(const TraceContext& trace, SpanFacts facts) const {
  if (!sink_ || !trace.sampled) return;
  sink_({trace.trace_id, trace.span_id, trace.parent_id, true, std::move(facts)});
}

}  // namespace antidiffusion
