// antidiffusion-worker-fake: the real worker around an engine that computes nothing, with the
// faults of ANTIDIFFUSION_FAULTS. Its work is set by the environment:
//   ANTIDIFFUSION_FAKE_STEPS      steps of a job (3)
//   ANTIDIFFUSION_FAKE_STEP_TIME  of each (0s)
//   ANTIDIFFUSION_FAKE_LOAD_TIME  of a model (0s)
//   ANTIDIFFUSION_FAKE_LOG        a file; each load appends a line to it: `load PID MODEL`
// A result differs from its image by 2 levels. A job's further models must be loaded, as for the
// real engine.
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "core/api/loaded_models.h"
#include "core/api/protector.h"
#include "core/base/status_macros.h"
#include "tests/server/worker/faults.h"

namespace antidiffusion {

// Stands in for the engine's, which is not linked here: nothing looks into one.
class LatentEncoder {};

namespace {

constexpr int kDifference = 2;  // levels

std::string Setting(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : otherwise;
}

absl::Duration DurationSetting(const char* name) {
  absl::Duration duration;
  return absl::ParseDuration(Setting(name, "0s"), &duration) ? duration : absl::ZeroDuration();
}

class FakeModel : public Protector {
 public:
  FakeModel(const LoadOptions& options, LoadedModels& loaded) : loaded_(loaded) {
    info_.name = std::filesystem::path(options.directory).filename().string();
    info_.family = "sd1";
    info_.prediction_type = "epsilon";
    info_.native_side = 64;
    info_.digest = "0123abcd";
    info_.device = options.device == "auto" ? "cpu" : options.device;
    info_.precision = "fp32";
    info_.denoises = true;
    info_.has_semantic_layers = true;
    info_.latent_channels = 4;
    info_.notes = {"nothing was computed"};
    loaded_.Add(info_.name, encoder_);
  }
  ~FakeModel() override { loaded_.Remove(info_.name, encoder_); }

  absl::StatusOr<ProtectionResult> Protect(const Image& image, const ProtectionOptions& options,
                                           const RunContext& run) override {
    for (const std::string& name : options.also) {
      if (loaded_.Find(name) != nullptr) continue;
      return absl::NotFoundError(absl::StrCat("model ", name, " is not loaded"));
    }
    int steps = 0;
    if (!absl::SimpleAtoi(Setting("ANTIDIFFUSION_FAKE_STEPS", "3"), &steps)) steps = 3;
    const absl::Duration step_time = DurationSetting("ANTIDIFFUSION_FAKE_STEP_TIME");
    for (int step = 1; step <= steps; ++step) {
      AD_RETURN_IF_ERROR(run.Check());
      if (run.on_alive) run.on_alive();
      absl::SleepFor(step_time);
      run.on_progress({"pgd", step, steps, static_cast<double>(step) / steps, 0.5,
                       absl::ToDoubleSeconds((steps - step) * step_time),
                       absl::ToDoubleSeconds(step_time)});
    }
    AD_RETURN_IF_ERROR(run.Check());
    ProtectionResult result;
    result.image = image;
    result.max_difference = kDifference;
    result.bound = 6;
    for (uint8_t& sample : result.image.pixels) {
      sample = static_cast<uint8_t>(sample < 128 ? sample + kDifference : sample - kDifference);
    }
    result.seed = options.seed.value_or(42);
    result.stage_seconds = {{"pgd", absl::ToDoubleSeconds(steps * step_time)}};
    if (options.report == ReportLevel::kFull) result.full = FullReport{};
    return result;
  }
  absl::Status SelfTest() override { return absl::OkStatus(); }
  const ModelInfo& model() const override { return info_; }
  DeviceMemory memory() const override { return {100, 200, 300}; }

 private:
  LoadedModels& loaded_;
  LatentEncoder encoder_;
  ModelInfo info_;
};

absl::StatusOr<std::unique_ptr<Protector>> LoadFake(const LoadOptions& options,
                                                    LoadedModels& loaded) {
  absl::SleepFor(DurationSetting("ANTIDIFFUSION_FAKE_LOAD_TIME"));
  auto model = std::make_unique<FakeModel>(options, loaded);
  const std::string log = Setting("ANTIDIFFUSION_FAKE_LOG", "");
  if (!log.empty()) {
    std::ofstream(log, std::ios::app) << "load " << getpid() << " " << model->model().name << "\n";
  }
  return model;
}

}  // namespace
}  // namespace antidiffusion

int main(int argc, char** argv) {
  return antidiffusion::RunFaultyWorker(argc, argv, antidiffusion::LoadFake);
}
