#include "server/tracing/stage_spans.h"

#include <utility>

namespace antidiffusion {

void StageSpans::Step(const std::string& phase, absl::Time now, double loss) {
  if (phase_.has_value() && phase_->facts.name != phase) EndPhase();
  if (!phase_.has_value()) phase_ = Phase{{.name = phase, .start = last_end_, .end = now}};
  phase_->facts.end = now;
  phase_->loss = loss;
  ++phase_->steps;
  last_end_ = now;
}

void StageSpans::Stage(SpanFacts facts) {
  EndPhase();
  last_end_ = facts.end;
  Record(std::move(facts));
}

void StageSpans::Fail(absl::Time now, const std::string& error) {
  if (!phase_.has_value()) return;
  phase_->facts.end = now;
  phase_->facts.error = error;
  EndPhase();
}

void StageSpans::EndPhase() {
  if (!phase_.has_value()) return;
  phase_->facts.attributes = {{"antidiffusion.steps", phase_->steps},
                              {"antidiffusion.loss", phase_->loss}};
  Record(std::move(phase_->facts));
  phase_.reset();
}

void StageSpans::Record(SpanFacts facts) {
  facts.attributes.insert(facts.attributes.end(), shared_.begin(), shared_.end());
  tracer_.RecordStage(trace_, std::move(facts));
}

}  // namespace antidiffusion
