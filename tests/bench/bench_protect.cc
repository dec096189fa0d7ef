// What a protection costs and gains, by stage, on one image and one model folder:
//   bench_protect MODEL_DIR [IMAGE] [ROUNDS] [fp32|bf16|both] [SETTING]
// SETTING: only those whose name contains it.
// All settings in turn (A B C A B C) in one process; the least seconds of all rounds are shown,
// since shared cores only ever add time. The denoising loss is that of the full report.
#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/api/protector.h"
#include "core/image/codec.h"
#include "core/image/similarity.h"
#include "tests/testing/synthetic_image.h"

namespace antidiffusion {
namespace {

// The value, or the end of the program with the status on stderr.
template <typename T>
T ValueOrExit(absl::StatusOr<T> value) {
  if (!value.ok()) {
    std::fprintf(stderr, "%s\n", value.status().ToString().c_str());
    std::exit(1);
  }
  return *std::move(value);
}

struct Setting {
  std::string name;
  ProtectionOptions options;
};

Setting MakeSetting(const std::string& name, Method method, Mode mode, Effort effort) {
  Setting setting{name, {}};
  setting.options.method = method;
  setting.options.mode = mode;
  setting.options.effort = effort;
  setting.options.seed = 1;
  setting.options.report = ReportLevel::kFull;
  return setting;
}

std::vector<Setting> SettingsNamed(const std::string& part) {
  constexpr Method kOurs = Method::kAntiDiffusion;
  std::vector<Setting> settings = {
      MakeSetting("noise", Method::kNoise, Mode::kPaper, Effort::kStandard),
      MakeSetting("draft", kOurs, Mode::kPaper, Effort::kDraft),
      MakeSetting("standard", kOurs, Mode::kPaper, Effort::kStandard),
      MakeSetting("strong", kOurs, Mode::kPaper, Effort::kStrong),
      MakeSetting("published, paper", kOurs, Mode::kPaper, Effort::kPublished),
      MakeSetting("published, released", kOurs, Mode::kReleased, Effort::kPublished)};
  settings.erase(std::remove_if(settings.begin(), settings.end(),
                                [&](const Setting& setting) {
                                  return setting.name.find(part) == std::string::npos;
                                }),
                 settings.end());
  return settings;
}

Image ReadImage(const std::string& path, int native_side) {
  if (path.empty()) return SyntheticImage(native_side, native_side);
  std::ifstream file(path, std::ios::binary);
  const std::string bytes(std::istreambuf_iterator<char>(file), {});
  return std::move(ValueOrExit(DecodePicture(bytes, {})).image);
}

struct Outcome {
  std::map<std::string, double> seconds;  // least, by stage
  ProtectionResult result;                // of the last round

  double Seconds(const std::string& stage) const {
    const auto entry = seconds.find(stage);
    return entry == seconds.end() ? 0 : entry->second;
  }
};

void Measure(Protector& protector, const Image& image, const Setting& setting, Outcome& outcome) {
  outcome.result = ValueOrExit(protector.Protect(image, setting.options, {}));
  for (const auto& [stage, value] : outcome.result.stage_seconds) {
    const auto [entry, is_new] = outcome.seconds.emplace(stage, value);
    if (!is_new) entry->second = std::min(entry->second, value);
  }
}

void Print(const std::string& precision, const std::string& name, const Image& image,
           const Outcome& outcome) {
  const double prompt = outcome.Seconds("prompt_tuning");
  const double pgd = outcome.Seconds("pgd");
  const double tuning = outcome.Seconds("surrogate_tuning");
  const FullReport& report = outcome.result.full.value();
  std::printf("%-5s %-20s %8.2f %8.2f %8.2f %8.2f  %7.4f %7.4f %6.1f%%  %5.1f dB  max %d\n",
              precision.c_str(), name.c_str(), prompt + pgd + tuning, prompt, pgd, tuning,
              report.before.denoising_loss, report.after.denoising_loss,
              100 * (report.after.denoising_loss / report.before.denoising_loss - 1),
              ValueOrExit(Psnr(image, outcome.result.image)), outcome.result.max_difference);
}

int Main(const std::vector<std::string>& arguments) {
  if (arguments.empty()) {
    std::fprintf(stderr,
                 "usage: bench_protect MODEL_DIR [IMAGE] [ROUNDS] [fp32|bf16|both] [SETTING]\n");
    return 2;
  }
  const int rounds = arguments.size() > 2 ? std::max(1, std::atoi(arguments[2].c_str())) : 3;
  const std::string which = arguments.size() > 3 ? arguments[3] : "both";
  LoadedModels loaded;
  std::map<std::string, std::unique_ptr<Protector>> protectors;
  for (const std::string precision : {"fp32", "bf16"}) {
    if (which != "both" && which != precision) continue;
    LoadOptions options;
    options.directory = arguments[0];
    options.precision = precision;
    protectors[precision] = ValueOrExit(LoadProtector(options, loaded));
  }
  if (protectors.empty()) return 2;
  const ModelInfo& info = protectors.begin()->second->model();
  const Image image = ReadImage(arguments.size() > 1 ? arguments[1] : "", info.native_side);
  std::printf("model %s, %dx%d, native side %d, device %s, threads %d, jemalloc, least of %d\n",
              info.name.c_str(), image.width, image.height, info.native_side, info.device.c_str(),
              at::get_num_threads(), rounds);
  const std::vector<Setting> settings = SettingsNamed(arguments.size() > 4 ? arguments[4] : "");
  std::map<std::pair<std::string, std::string>, Outcome> outcomes;
  for (int round = 0; round < rounds; ++round) {
    for (const Setting& setting : settings) {
      for (const auto& [precision, protector] : protectors) {
        std::fprintf(stderr, "round %d: %s %s\n", round, precision.c_str(), setting.name.c_str());
        Measure(*protector, image, setting, outcomes[{precision, setting.name}]);
      }
    }
  }
  std::printf("%-26s %8s %8s %8s %8s  %7s %7s %7s\n", "", "seconds", "pt", "pgd", "tuning",
              "before", "after", "loss");
  for (const auto& [precision, protector] : protectors) {
    for (const Setting& setting : settings) {
      Print(precision, setting.name, image, outcomes[{precision, setting.name}]);
    }
  }
  return 0;
}

}  // namespace
}  // namespace antidiffusion

int main(int argc, char** argv) {
  return antidiffusion::Main(std::vector<std::string>(argv + 1, argv + argc));
}
