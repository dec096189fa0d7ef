#include "tests/core/surrogate/golden_stable_diffusion.h"

#include <utility>

#include "core/surrogate/noise_schedule.h"
#include "core/text/clip_tokenizer.h"
#include "tests/testing/golden.h"

namespace antidiffusion {

std::unique_ptr<StableDiffusion> MakeGoldenStableDiffusion(const std::string& model,
                                                           c10::ScalarType precision) {
  StableDiffusionParts parts;
  parts.unet = LoadGoldenUNet(model);
  parts.vae = LoadGoldenVae(model);
  parts.text_encoder = LoadGoldenTextModel(model);
  parts.tokenizer = ClipTokenizer::Create(GoldenPath("models/" + model + "/tokenizer")).value();
  NoiseScheduleConfig schedule;
  schedule.beta_start = 0.00085;
  schedule.beta_end = 0.012;
  schedule.beta_schedule = "scaled_linear";
  if (model == "sd2-v-like") schedule.prediction_type = PredictionType::kVPrediction;
  parts.schedule = std::make_unique<NoiseSchedule>(NoiseSchedule::Create(schedule).value());
  parts.unet_config = GoldenUNetConfig(model);
  parts.vae_config = GoldenVaeConfig(model);
  parts.precision = precision;
  return std::make_unique<StableDiffusion>(std::move(parts));
}

}  // namespace antidiffusion
