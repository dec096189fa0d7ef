#include "server/job_trace.h"

#include <utility>

#include "absl/strings/string_view.h"
#include "core/base/utf8.h"
#include "server/errors.h"

namespace antidiffusion {
namespace {

constexpr size_t kMaxErrorBytes = 256;

// "" unless the caller sent it exactly once, as the standard demands.
absl::string_view TraceParent(const grpc::ServerContextBase& context) {
  const auto [first, last] = context.client_metadata().equal_range("traceparent");
  if (first == last || std::next(first) != last) return "";
  return {first->second.data(), first->second.size()};
}

std::vector<SpanAttribute> FactsOf(const Job& job) {
  const JobRequest& request = job.request();
  return {{"antidiffusion.job", job.name()},
          {"antidiffusion.tenant", request.tenant},
          {"antidiffusion.model", request.model},
          {"antidiffusion.image_bytes", job.bytes()}};
}

}  // namespace

std::string SpanErrorOf(const absl::Status& status) {
  return status.ok() ? "" : TruncateUtf8(TextOf(status), kMaxErrorBytes);
}

TraceContext BeginTrace(const Tracer& tracer, const grpc::ServerContextBase& context,
                        absl::Time arrived) {
  return tracer.Begin(TraceParent(context), arrived);
}

void TraceAdmission(const Tracer& tracer, const Job& job, absl::Time now) {
  const TraceContext& trace = job.request().trace;
  tracer.RecordStage(trace, {.name = "admit", .start = trace.start, .end = now});
}

void TraceRefusal(const Tracer& tracer, const TraceContext& trace, const absl::Status& why,
                  absl::Time now) {
  SpanFacts facts = {.name = "admit", .start = trace.start, .end = now};
  facts.error = SpanErrorOf(why);
  tracer.RecordStage(trace, facts);
  facts.name = "job";
  facts.attributes = {{"antidiffusion.outcome", "refused"}, {"error.type", ReasonOf(why)}};
  tracer.RecordJob(trace, std::move(facts));
}

void TraceWait(const Tracer& tracer, const Job& job, absl::Time now) {
  if (job.attempts() > 1) return;  // it has waited since its worker was lost, which nobody noted
  tracer.RecordStage(job.request().trace, {.name = "queue", .start = job.admitted(), .end = now});
}

void TraceEnd(const Tracer& tracer, const Job& job, JobOutcome outcome, const absl::Status& status,
              absl::Time now) {
  if (outcome == JobOutcome::kHandedBack) return;  // the server that goes on with it records it
  const TraceContext& trace = job.request().trace;
  SpanFacts facts = {.name = "job", .start = trace.start, .end = now, .attributes = FactsOf(job)};
  facts.error = SpanErrorOf(status);
  facts.attributes.emplace_back("antidiffusion.outcome", OutcomeName(outcome));
  if (!status.ok()) facts.attributes.emplace_back("error.type", ReasonOf(status));
  tracer.RecordJob(trace, std::move(facts));
}

}  // namespace antidiffusion
