// What the spans of a job say, and where they begin and end. The stages on the worker are recorded
// by job_runner.
#pragma once

#include <grpcpp/impl/codegen/server_context.h>

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/job.h"
#include "server/metrics.h"
#include "server/tracing/tracer.h"

namespace antidiffusion {

// The trace that the call's metadata (`traceparent`) names, or a new one, or none.
TraceContext BeginTrace(const Tracer& tracer, const grpc::ServerContextBase& context,
                        absl::Time arrived);

// The span `admit`: from the call's arrival to the place in the queue.
void TraceAdmission(const Tracer& tracer, const Job& job, absl::Time now);

// The job's span and `admit`, of a call that got no job.
void TraceRefusal(const Tracer& tracer, const TraceContext& trace, const absl::Status& why,
                  absl::Time now);

// The span `queue`: from admission to the worker; of the first attempt only.
void TraceWait(const Tracer& tracer, const Job& job, absl::Time now);

// The job's own span, with what became of it.
void TraceEnd(const Tracer& tracer, const Job& job, JobOutcome outcome, const absl::Status& status,
              absl::Time now);

// What a span tells of an error; "" for OK.
std::string SpanErrorOf(const absl::Status& status);

}  // namespace antidiffusion
