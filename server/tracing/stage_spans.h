// The stages of one job as spans.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "server/tracing/tracer.h"

namespace antidiffusion {

// Steps of one phase that follow each other become one span; there may be thousands. For one
// thread. `tracer` and `trace` outlive it.
class StageSpans {
 public:
  // `start`: when the first stage began. Every span gets `shared`.
  StageSpans(const Tracer& tracer, const TraceContext& trace, absl::Time start,
             std::vector<SpanAttribute> shared)
      : tracer_(tracer), trace_(trace), shared_(std::move(shared)), last_end_(start) {}
  ~StageSpans() { EndPhase(); }
  StageSpans(const StageSpans&) = delete;
  StageSpans& operator=(const StageSpans&) = delete;

  // One step of `phase` ended at `now`.
  void Step(const std::string& phase, absl::Time now, double loss);

  // A stage without steps. Ends the phase before it.
  void Stage(SpanFacts facts);

  // The phase that runs, if one does, ends with an error.
  void Fail(absl::Time now, const std::string& error);

 private:
  struct Phase {
    SpanFacts facts;
    int64_t steps = 0;
    double loss = 0;  // of the last step
  };

  void EndPhase();
  void Record(SpanFacts facts);

  const Tracer& tracer_;
  const TraceContext& trace_;
  const std::vector<SpanAttribute> shared_;
  absl::Time last_end_;
  std::optional<Phase> phase_;
};

}  // namespace antidiffusion
