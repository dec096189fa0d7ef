// One job on a worker's thread: encoded bytes in, encoded bytes with a proven budget out.
#pragma once

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "core/api/protector.h"
#include "core/image/codec.h"
#include "server/job.h"
#include "server/tracing/tracer.h"

namespace antidiffusion {

// Immutable, so thread-safe.
class JobRunner {
 public:
  // `tracer` outlives it.
  JobRunner(const DecodeLimits& limits, Job::Clock now, const Tracer& tracer)
      : limits_(limits), now_(std::move(now)), tracer_(tracer) {}

  // Decode, protect, encode, decode again, prove, report. Tells `job` its progress, and
  // `on_progress` too. Asks between the stages, as `protector` does before every optimiser step,
  // whether the job was cancelled or its deadline passed. Records the wait and each stage as spans
  // of the job's trace. Does not end the job.
  //
  // A lossless output is proven on the bytes that leave, a lossy one on the pixels before encoding
  // (the report then says what the codec added). Errors, beside Protector::Protect's:
  // INVALID_ARGUMENT (the image cannot be decoded, or the output format cannot hold it);
  // INTERNAL with reason BUDGET_NOT_KEPT; a cancelled job's own reason;
  // DEADLINE_EXCEEDED with the engine's stage, step, total and eta_seconds.
  absl::StatusOr<JobResult> Run(Job& job, Protector& protector,
                                const std::function<void(const Progress&)>& on_progress) const;

 private:
  const DecodeLimits limits_;
  const Job::Clock now_;
  const Tracer& tracer_;
};

}  // namespace antidiffusion
