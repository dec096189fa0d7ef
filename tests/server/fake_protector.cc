#include "tests/server/fake_protector.h"

#include <algorithm>
#include <filesystem>
#include <stop_token>
#include <utility>

#include "core/base/status_macros.h"

namespace antidiffusion {

class FakeProtector : public Protector {
 public:
  FakeProtector(FakeEngine& engine, std::string name, const FakeEngine::Orders& orders)
      : engine_(engine) {
    info_.denoises = orders.encoders.count(name) == 0;
    info_.family = info_.denoises ? "sd1" : "encoder";
    info_.prediction_type = info_.denoises ? "epsilon" : "";
    info_.has_semantic_layers = info_.denoises;
    info_.latent_channels = 4;
    info_.native_side = 64;
    const auto digest = orders.digests.find(name);
    info_.digest = digest == orders.digests.end() ? "0123abcd" : digest->second;
    info_.device = "fake:0";
    info_.precision = "fp32";
    info_.name = std::move(name);
  }

  absl::StatusOr<ProtectionResult> Protect(const Image& image, const ProtectionOptions& options,
                                           const RunContext& run) override {
    return engine_.Run(image, options, run);
  }
  absl::Status SelfTest() override { return absl::OkStatus(); }
  const ModelInfo& model() const override { return info_; }
  DeviceMemory memory() const override { return {100, 200, 300}; }

 private:
  FakeEngine& engine_;
  ModelInfo info_;
};

// In the server's own process, and never lost.
class FakeDeviceEngine : public DeviceEngine {
 public:
  explicit FakeDeviceEngine(FakeEngine& engine) : engine_(engine) {}

  absl::StatusOr<std::unique_ptr<Protector>> Load(const LoadOptions& options,
                                                  std::stop_token /*stop*/) override {
    return engine_.Load(options);
  }
  absl::Status health() const override { return absl::OkStatus(); }

 private:
  FakeEngine& engine_;
};

EngineFactory FakeEngine::Factory() {
  return [this](const std::string& /*device*/, const std::function<void()>& /*on_failure*/) {
    return std::make_unique<FakeDeviceEngine>(*this);
  };
}

absl::StatusOr<std::unique_ptr<Protector>> FakeEngine::Load(const LoadOptions& options) {
  const std::string name = std::filesystem::path(options.directory).filename().string();
  MutexLock lock(mutex_);
  while (orders_.hold_loading) changed_.Wait(lock);
  const auto broken = orders_.broken_models.find(name);
  if (broken != orders_.broken_models.end()) return broken->second;
  return std::make_unique<FakeProtector>(*this, name, orders_);
}

absl::StatusOr<ProtectionResult> FakeEngine::Run(const Image& image,
                                                 const ProtectionOptions& options,
                                                 const RunContext& run) {
  Orders orders;
  {
    MutexLock lock(mutex_);
    orders = orders_;
    last_options_ = options;
    last_channels_ = image.channels;
    ++jobs_;
    changed_.NotifyAll();
  }
  const std::stop_callback on_stop(run.stop, [this] {
    MutexLock lock(mutex_);
    ++stops_;
    changed_.NotifyAll();
  });
  for (int step = 1; step <= orders.steps; ++step) {
    AD_RETURN_IF_ERROR(run.Check());
    OneStep();
    if (run.on_progress) {
      run.on_progress({"pgd", step, orders.steps, static_cast<double>(step) / orders.steps, 0.5,
                       orders.eta_seconds, 0.01});
    }
  }
  AD_RETURN_IF_ERROR(run.Check());
  if (!orders.error.ok()) return orders.error;
  ProtectionResult result;
  result.image = image;
  for (uint8_t& sample : result.image.pixels) {
    sample = static_cast<uint8_t>(sample < 128 ? sample + orders.difference
                                               : sample - orders.difference);
  }
  result.max_difference = orders.difference;
  result.bound = orders.bound;
  result.visibility = orders.visibility;
  result.seed = options.seed.value_or(42);
  result.stage_seconds = {{"pgd", 0.25}};
  if (options.report == ReportLevel::kFull) result.full = FullReport{};
  return result;
}

void FakeEngine::OneStep() {
  MutexLock lock(mutex_);
  ++steps_begun_;
  changed_.NotifyAll();
  while (orders_.hold_steps && allowed_steps_ == 0) changed_.Wait(lock);
  if (orders_.hold_steps) --allowed_steps_;
  ++steps_;
  changed_.NotifyAll();
}

void FakeEngine::ReleaseLoading() {
  MutexLock lock(mutex_);
  orders_.hold_loading = false;
  changed_.NotifyAll();
}

void FakeEngine::AllowSteps(int count) {
  MutexLock lock(mutex_);
  allowed_steps_ += count;
  changed_.NotifyAll();
}

void FakeEngine::AllowAllSteps() {
  MutexLock lock(mutex_);
  orders_.hold_steps = false;
  changed_.NotifyAll();
}

void FakeEngine::WaitForJobs(int started) {
  MutexLock lock(mutex_);
  while (jobs_ < started) changed_.Wait(lock);
}

void FakeEngine::WaitForStepBegun(int step) {
  MutexLock lock(mutex_);
  while (steps_begun_ < step) changed_.Wait(lock);
}

void FakeEngine::WaitForStop() {
  MutexLock lock(mutex_);
  while (stops_ == 0) changed_.Wait(lock);
}

int FakeEngine::jobs() const {
  MutexLock lock(mutex_);
  return jobs_;
}

int FakeEngine::steps() const {
  MutexLock lock(mutex_);
  return steps_;
}

ProtectionOptions FakeEngine::last_options() const {
  MutexLock lock(mutex_);
  return last_options_;
}

int FakeEngine::last_channels() const {
  MutexLock lock(mutex_);
  return last_channels_;
}

}  // namespace antidiffusion
