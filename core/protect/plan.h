// Options and a model -> everything that a job's stages go by, each value resolved once. Free of
// torch.
//
// PT prompt tuning, TUNE surrogate tuning: PT, PGD, then `epochs` times TUNE, PGD, PT.
#pragma once

#include <string>

#include "core/api/options.h"
#include "core/api/protector.h"

namespace antidiffusion {

// Weights of what PGD raises; 0: not a part of it.
struct ObjectiveWeights {
  double denoising = 0;
  double score_distillation = 0;
  double semantic = 0;
  double image_guidance = 0;
  double away = 0;
  double norm = 0;
  double target = 0;

  bool NeedUNet() const { return denoising + score_distillation + semantic + image_guidance > 0; }
  bool CompareLatents() const { return away + norm + target > 0; }
};

// What is measured of the cross-attention that Objective::kSemantic lowers (semantic_loss.h).
struct SemanticMeasure {
  SemanticForm form = SemanticForm::kConcentration;  // not kOfMode
  SemanticLayers layers = SemanticLayers::kQuarter;
  bool mean_heads = true;  // false: each head's map by itself
  bool all_heads = true;   // false: the second half of each layer's heads
};

struct PromptTuningPlan {
  int steps = 0;  // of one block, as in the other stages
  double learning_rate = 1e-3;
  bool target_is_noise = false;  // whatever the model predicts
  bool after_last_pgd = false;   // run a block there whose result nothing uses
};

struct PgdPlan {
  int steps = 0;
  double step_size = 0;            // on [-1,1]
  bool centre_on_original = true;  // the budget's centre; else the image that enters the block
  bool random_start = false;       // the first block starts from uniform noise within the budget
  int draws = 1;                   // timesteps and noises that one step averages over
  double momentum = 0;             // share of the earlier gradients kept
  int timestep_min = 0;            // the timesteps drawn, both ends included
  int timestep_max = 999;
  int jpeg_quality = 0;        // every other draw looks through JPEG of this quality; 0: none
  double frequency_power = 0;  // see FrequencyWeight
};

struct SurrogateTuningPlan {
  int steps = 0;
  double learning_rate = 5e-7;
  double weight_decay = 1e-2;
  double clip_norm = 1;          // of all weights' gradients together; 0: not clipped
  bool stale_gradients = false;  // see released_script.h
};

struct Plan {
  std::string prompt;
  bool uniform_noise = false;  // instead of every stage
  bool grey = false;           // keep the image's channels equal
  int epochs = 0;
  double budget = 0;  // on [-1,1]
  // The largest change of any channel in whole levels: floor(budget); where every block of PGD has
  // a budget of its own, the floor of their sum, each min(budget, its steps * step size), and the
  // whole budget for a first one that starts from noise; at most 255.
  int bound = 0;
  double visibility = 0;  // the largest chroma_bias (core/image/visibility.h); 0: no limit
  double texture = 0;     // see FindRoom
  ObjectiveWeights raised;
  // Whether the first model's own encoder is among those whose latents are compared: without
  // options.also, and where the job needs nothing else of the first model.
  bool compares_own_encoder = false;
  SemanticMeasure semantic;
  PromptTuningPlan prompt_tuning;
  PgdPlan pgd;
  SurrogateTuningPlan surrogate_tuning;

  bool tunes_surrogate() const { return epochs > 0 && surrogate_tuning.steps > 0; }
};

// `options` must be valid and pass CheckCapabilities for `model`. Explicit fields override the
// effort's. A stage that the method lacks has no steps, and without an objective that needs the
// UNet neither has PT or TUNE. The step size of Effort::kPublished is the published one (at most
// the budget where there is one budget for all blocks); elsewhere 2.5 * budget / (PGD steps that
// share a budget), which is room to reach the boundary and to move along it (Madry et al. 2018),
// but at least 0.3 * budget (docs/evaluation.md) and at most the budget. A timestep_max without a
// timestep_min draws from 0. A method's semantic term is left out where the model has not the
// layers.
Plan MakePlan(const ProtectionOptions& options, const ModelInfo& model, bool grey);

// Optimiser steps of one run of a plan, by stage.
struct StepCounts {
  int prompt_tuning = 0;
  int pgd = 0;
  int surrogate_tuning = 0;

  int total() const { return prompt_tuning + pgd + surrogate_tuning; }
};

StepCounts CountSteps(const Plan& plan);

}  // namespace antidiffusion
