// What a running job may ask of its surroundings: "shall I go on?", and a place to report to.
#pragma once

#include <functional>
#include <stop_token>
#include <string>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace antidiffusion {

struct Progress {
  std::string stage;        // prompt_tuning, pgd, surrogate_tuning, report
  int step = 0;             // optimiser steps done, of the whole job
  int total = 0;            // optimiser steps of the whole job
  double fraction = 0;      // 0..1 of the expected work
  double loss = 0;          // of the step just done
  double eta_seconds = 0;   // until the result, from the speed so far
  double step_seconds = 0;  // what the step just done took
};

// Copyable. The callbacks are called on the thread that runs the job and must return quickly:
// `on_progress` after every optimiser step, `on_alive` before every part of one that can take long
// (a draw, a network's first pass). `now` is the clock of deadline and ETA (tests give their own).
struct RunContext {
  std::stop_token stop;
  absl::Time deadline = absl::InfiniteFuture();
  std::function<void(const Progress&)> on_progress;
  std::function<void()> on_alive;
  std::function<absl::Time()> now = [] { return absl::Now(); };

  // OK, CANCELLED, or DEADLINE_EXCEEDED. Asked before every optimiser step.
  absl::Status Check() const {
    if (stop.stop_requested()) return absl::CancelledError("the job was cancelled");
    if (now() >= deadline) return absl::DeadlineExceededError("the deadline passed");
    return absl::OkStatus();
  }
};

}  // namespace antidiffusion
