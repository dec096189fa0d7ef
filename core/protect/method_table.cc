#include "core/protect/method_table.h"

namespace antidiffusion {
namespace {

constexpr double kMistEncoderWeight = 4 * 64 * 64 / 1e4;

constexpr PgdObjective kDenoising{};
constexpr PgdObjective kDenoisingAndSemantic{.semantic_loss = true};

struct Row {
  Method method;
  MethodStages stages;
};

constexpr Row kTable[] = {
    {Method::kAntiDiffusion,
     {.prompt_tuning = true, .surrogate_tuning = true, .objective = kDenoisingAndSemantic}},
    {Method::kAntiDiffusionNoPt, {.surrogate_tuning = true, .objective = kDenoisingAndSemantic}},
    {Method::kAntiDiffusionNoSdl,
     {.prompt_tuning = true, .surrogate_tuning = true, .objective = kDenoising}},
    {Method::kAntiDiffusionNoTuning, {.prompt_tuning = true, .objective = kDenoisingAndSemantic}},
    {Method::kAdvDm, {.objective = kDenoising}},
    {Method::kPhotoGuard, {.objective = {.denoising_weight = 0, .encoder_weight = 1}}},
    {Method::kMist, {.objective = {.encoder_weight = kMistEncoderWeight}}},
    {Method::kAntiDreamBooth, {.surrogate_tuning = true, .objective = kDenoising}},
    {Method::kSds, {.objective = {.gradient_through_unet = false}}},
    {Method::kNoise, {.pgd = false, .uniform_noise = true}},
};

}  // namespace

MethodStages StagesOf(Method method) {
  for (const Row& row : kTable) {
    if (row.method == method) return row.stages;
  }
  return kTable[0].stages;
}

}  // namespace antidiffusion
