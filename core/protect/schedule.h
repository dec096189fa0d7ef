// Options -> the numbers a job runs with.
#pragma once

#include "core/api/options.h"

namespace antidiffusion {

// Refinements of PGD; those of the defaults change nothing.
struct PgdRefinements {
  int draws = 1;         // timesteps and noises that one step averages over
  double momentum = 0;   // share of the earlier gradients kept
  int timestep_min = 0;  // the timesteps drawn, both ends included
  int timestep_max = 999;
  int jpeg_quality = 0;  // every other draw looks through JPEG of this quality; 0: none
};

// Steps are those of one block; a stage that the method lacks has 0. PT prompt tuning, TUNE
// surrogate tuning: PT PGD, then `epochs` times TUNE PGD PT.
struct Schedule {
  int epochs = 0;
  int prompt_steps = 0;
  int pgd_steps = 0;
  int tuning_steps = 0;
  double budget_levels = 0;  // 8-bit levels: 1/127.5 on [-1,1]
  double step_size_levels = 0;
  double prompt_lr = 0;
  double tuning_lr = 0;
  PgdRefinements refinements;
};

// Optimiser steps of one job, by stage.
struct StepCounts {
  int prompt_tuning = 0;
  int pgd = 0;
  int surrogate_tuning = 0;

  int total() const { return prompt_tuning + pgd + surrogate_tuning; }
};

// `options` must be valid. Explicit fields override the effort's, the method's missing stages
// override both. The step size of Effort::kPublished is the published one (at most the budget where
// the mode holds the budget); elsewhere 2.5 * budget / (PGD steps that share a budget), which is
// room to reach the boundary and to move along it (Madry et al. 2018), but at least 0.3 * budget
// (docs/evaluation.md) and at most the budget. A timestep_max without a timestep_min draws from 0.
Schedule ResolveSchedule(const ProtectionOptions& options);

StepCounts CountSteps(const Schedule& schedule, Mode mode);

// The largest change of any channel in whole levels that the schedule can make: floor(budget), and
// in Mode::kReleased, where every phase has a budget of its own, floor(min(phases * budget,
// PGD steps * step size)), at most 255.
int ProvenBound(const Schedule& schedule, Mode mode);

}  // namespace antidiffusion
