#include "tests/core/surrogate/golden_surrogate.h"

#include <memory>
#include <utility>
#include <vector>

#include "core/surrogate/assemble.h"
#include "core/surrogate/noise_schedule.h"
#include "core/text/clip_tokenizer.h"
#include "tests/testing/golden.h"

namespace antidiffusion {

Surrogate MakeGoldenSurrogate(const std::string& model, c10::ScalarType precision) {
  SurrogateParts parts;
  parts.unet.network = LoadGoldenUNet(model);
  parts.unet.config = GoldenUNetConfig(model);
  parts.encoder.network = LoadGoldenVae(model);
  parts.encoder.config = GoldenVaeConfig(model);
  std::vector<TextEncoderParts> texts(1);
  texts[0].read = [network = LoadGoldenTextModel(model)] { return network; };
  texts[0].tokenizer = ClipTokenizer::Create(GoldenPath("models/" + model + "/tokenizer")).value();
  parts.unet.prompts = std::make_unique<PromptEncoder>(std::move(texts), parts.device, precision);
  NoiseScheduleConfig schedule;
  schedule.beta_start = 0.00085;
  schedule.beta_end = 0.012;
  schedule.beta_schedule = "scaled_linear";
  if (model == "sd2-v-like") schedule.prediction_type = PredictionType::kVPrediction;
  parts.unet.schedule = std::make_unique<NoiseSchedule>(NoiseSchedule::Create(schedule).value());
  parts.precision = precision;
  return MakeSurrogate(std::move(parts));
}

}  // namespace antidiffusion
