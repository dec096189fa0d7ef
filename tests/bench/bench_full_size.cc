// Memory and time of a model of real size, by stage:
//   bench_full_size MODEL_DIR [SIDE] [fp32|bf16] [short] [tune]
// Loads the folder (tests/bench/make_full_size.py makes some), then runs a shortened `standard` on
// a synthetic square of SIDE pixels (default: the model's native side): 2 prompt tuning steps and 3
// PGD steps (`short`: one of each); with `tune` one epoch of surrogate tuning, too. Linux only: the
// peak of a stage is VmHWM, which is reset between stages.
#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "core/api/protector.h"
#include "tests/testing/synthetic_image.h"

namespace antidiffusion {
namespace {

constexpr double kGigabyte = 1e9;

// Bytes, of a line of /proc/self/status such as "VmHWM:  123 kB"; 0 when it is not there.
int64_t StatusBytes(const std::string& key) {
  std::ifstream file("/proc/self/status");
  std::string word;
  while (file >> word) {
    if (word != key + ":") continue;
    int64_t kilobytes = 0;
    file >> kilobytes;
    return kilobytes * 1024;
  }
  return 0;
}

// The peak becomes the present size.
void ResetPeak() { std::ofstream("/proc/self/clear_refs") << 5; }

struct StageUse {
  int steps = 0;
  double seconds = 0;
  int64_t peak = 0;
};

class Meter {
 public:
  void Note(const std::string& stage, int steps, double seconds) {
    StageUse& use = uses_[stage];
    use.steps += steps;
    use.seconds += seconds;
    use.peak = std::max(use.peak, StatusBytes("VmHWM"));
    ResetPeak();
  }

  void Print() const {
    std::printf("%-18s %5s %9s %9s\n", "stage", "steps", "s a step", "peak GB");
    for (const auto& [stage, use] : uses_) {
      std::printf("%-18s %5d %9.2f %9.2f\n", stage.c_str(), use.steps,
                  use.seconds / std::max(1, use.steps), static_cast<double>(use.peak) / kGigabyte);
    }
  }

 private:
  std::map<std::string, StageUse> uses_;
};

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return 1;
}

int Main(const std::vector<std::string>& arguments) {
  if (arguments.empty()) {
    std::fprintf(stderr, "usage: bench_full_size MODEL_DIR [SIDE] [fp32|bf16] [short] [tune]\n");
    return 2;
  }
  const auto has = [&arguments](const char* word) {
    return std::find(arguments.begin(), arguments.end(), word) != arguments.end();
  };
  Meter meter;
  ResetPeak();
  LoadOptions load;
  load.directory = arguments[0];
  load.precision = arguments.size() > 2 ? arguments[2] : "fp32";
  const absl::Time start = absl::Now();
  LoadedModels loaded;
  absl::StatusOr<std::unique_ptr<Protector>> protector = LoadProtector(load, loaded);
  if (!protector.ok()) return Fail(protector.status());
  meter.Note("0 load", 1, absl::ToDoubleSeconds(absl::Now() - start));
  const ModelInfo& info = (*protector)->model();
  const int asked = arguments.size() > 1 ? std::atoi(arguments[1].c_str()) : 0;
  const int side = asked > 0 ? asked : info.native_side;
  std::printf("%s, family %s, %d pixels, %s on %s, %d threads, %.2f GB after loading\n",
              info.name.c_str(), info.family.c_str(), side, info.precision.c_str(),
              info.device.c_str(), at::get_num_threads(),
              static_cast<double>(StatusBytes("VmRSS")) / kGigabyte);

  ProtectionOptions options;
  options.seed = 1;
  options.prompt_steps = has("short") ? 1 : 2;
  options.pgd_steps = has("short") ? 1 : 3;
  if (has("tune")) {
    options.epochs = 1;
    options.tuning_steps = 1;
  }
  RunContext run;
  run.on_progress = [&](const Progress& progress) {
    meter.Note(progress.stage, 1, progress.step_seconds);
    std::fprintf(stderr, "step %d of %d: %s, %.1f s, loss %.4f\n", progress.step, progress.total,
                 progress.stage.c_str(), progress.step_seconds, progress.loss);
  };
  const auto result = (*protector)->Protect(SyntheticImage(side, side), options, run);
  if (!result.ok()) return Fail(result.status());
  meter.Note("rest of the job", 1, 0);
  meter.Print();
  return 0;
}

}  // namespace
}  // namespace antidiffusion

int main(int argc, char** argv) {
  return antidiffusion::Main(std::vector<std::string>(argv + 1, argv + argc));
}
