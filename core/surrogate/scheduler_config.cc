// The noise levels that scheduler_config.json asks for.
#include <algorithm>
#include <iterator>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "core/base/status_macros.h"
#include "core/surrogate/config_reader.h"
#include "core/surrogate/model_config.h"

namespace antidiffusion {
namespace {

// A sampler's defaults of the keys that are read.
struct SchedulerDefaults {
  absl::string_view name;
  double beta_start;
  double beta_end;
  absl::string_view beta_schedule;
};

constexpr SchedulerDefaults kSchedulers[] = {
    {"PNDMScheduler", 0.0001, 0.02, "linear"},
    {"DDIMScheduler", 0.0001, 0.02, "linear"},
    {"DDIMInverseScheduler", 0.0001, 0.02, "linear"},
    {"DDIMParallelScheduler", 0.0001, 0.02, "linear"},
    {"DDPMScheduler", 0.0001, 0.02, "linear"},
    {"DDPMParallelScheduler", 0.0001, 0.02, "linear"},
    {"DEISMultistepScheduler", 0.0001, 0.02, "linear"},
    {"DPMSolverMultistepScheduler", 0.0001, 0.02, "linear"},
    {"DPMSolverSDEScheduler", 0.00085, 0.012, "linear"},
    {"DPMSolverSinglestepScheduler", 0.0001, 0.02, "linear"},
    {"EulerAncestralDiscreteScheduler", 0.0001, 0.02, "linear"},
    {"EulerDiscreteScheduler", 0.0001, 0.02, "linear"},
    {"HeunDiscreteScheduler", 0.00085, 0.012, "linear"},
    {"KDPM2AncestralDiscreteScheduler", 0.00085, 0.012, "linear"},
    {"KDPM2DiscreteScheduler", 0.00085, 0.012, "linear"},
    {"LCMScheduler", 0.00085, 0.012, "scaled_linear"},
    {"LMSDiscreteScheduler", 0.0001, 0.02, "linear"},
    {"SASolverScheduler", 0.0001, 0.02, "linear"},
    {"TCDScheduler", 0.00085, 0.012, "scaled_linear"},
    {"UniPCMultistepScheduler", 0.0001, 0.02, "linear"},
};

const SchedulerDefaults* FindScheduler(const std::string& name) {
  const auto* found =
      std::find_if(std::begin(kSchedulers), std::end(kSchedulers),
                   [&name](const SchedulerDefaults& known) { return known.name == name; });
  return found == std::end(kSchedulers) ? nullptr : found;
}

}  // namespace

absl::StatusOr<NoiseScheduleConfig> ParseNoiseScheduleConfig(const nlohmann::json& json,
                                                             const std::string& file) {
  ConfigReader reader(json, file);
  const std::string name = reader.String("_class_name", "");
  const SchedulerDefaults* known = FindScheduler(name);
  const bool complete = reader.Has("beta_start") && reader.Has("beta_end") &&
                        reader.Has("beta_schedule") && reader.Has("num_train_timesteps") &&
                        reader.Has("prediction_type");
  if (known == nullptr && !complete) {
    reader.Unsupported("_class_name", absl::StrCat(name.empty() ? "none" : absl::CHexEscape(name),
                                                   " is not supported without all of its betas"));
  }
  const SchedulerDefaults& defaults = known == nullptr ? kSchedulers[0] : *known;
  reader.Require("trained_betas", nullptr);
  NoiseScheduleConfig config;
  config.rescale_betas_zero_snr = reader.Bool("rescale_betas_zero_snr", false);
  config.num_train_timesteps = reader.Int("num_train_timesteps", config.num_train_timesteps, 1,
                                          NoiseScheduleConfig::kMaxTimesteps);
  config.beta_start = reader.Number("beta_start", defaults.beta_start, 0.0, 1.0);
  config.beta_end = reader.Number("beta_end", defaults.beta_end, 0.0, 1.0);
  config.beta_schedule = reader.Choice("beta_schedule", defaults.beta_schedule,
                                       {"linear", "scaled_linear", "squaredcos_cap_v2"});
  const std::string prediction =
      reader.Choice("prediction_type", "epsilon", {"epsilon", "v_prediction"});
  config.prediction_type =
      prediction == "v_prediction" ? PredictionType::kVPrediction : PredictionType::kEpsilon;
  AD_RETURN_IF_ERROR(reader.status());
  return config;
}

}  // namespace antidiffusion
