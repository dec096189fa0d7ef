// Seconds a protection takes, by stage, on one image and one model folder:
//   bench_protect MODEL_DIR [IMAGE] [ROUNDS]
// fp32 and bf16, modes paper and released, in turn (A B A B) in one process; the least of all
// rounds is shown, since shared cores only ever add time.
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

#include "absl/time/clock.h"
#include "core/image/codec.h"
#include "core/protect/protector.h"
#include "tests/testing/synthetic_image.h"

namespace antidiffusion {
namespace {

struct Setting {
  std::string precision;
  Mode mode;
  Effort effort;
  std::string name() const {
    const std::string schedule = effort == Effort::kPublished ? "published" : "standard";
    return precision + " " + (mode == Mode::kPaper ? "paper" : "released") + " " + schedule;
  }
};

Image ReadImage(const std::string& path, int native_side) {
  if (path.empty()) return SyntheticImage(native_side, native_side);
  std::ifstream file(path, std::ios::binary);
  const std::string bytes(std::istreambuf_iterator<char>(file), {});
  auto picture = DecodePicture(bytes, {});
  if (!picture.ok()) {
    std::fprintf(stderr, "%s: %s\n", path.c_str(), picture.status().ToString().c_str());
    std::exit(1);
  }
  return std::move(picture->image);
}

std::unique_ptr<Protector> Load(const std::string& directory, const std::string& precision) {
  LoadOptions options;
  options.directory = directory;
  options.precision = precision;
  auto protector = LoadProtector(options);
  if (!protector.ok()) {
    std::fprintf(stderr, "%s\n", protector.status().ToString().c_str());
    std::exit(1);
  }
  return *std::move(protector);
}

// Least seconds of each stage over the rounds, and of the whole.
using Seconds = std::map<std::string, double>;

void Measure(Protector& protector, const Image& image, const Setting& setting, Seconds& least) {
  ProtectionOptions options;
  options.mode = setting.mode;
  options.effort = setting.effort;
  options.seed = 1;
  const absl::Time start = absl::Now();
  const auto result = protector.Protect(image, options, {});
  if (!result.ok()) {
    std::fprintf(stderr, "%s\n", result.status().ToString().c_str());
    std::exit(1);
  }
  Seconds seconds = result->stage_seconds;
  seconds["total"] = absl::ToDoubleSeconds(absl::Now() - start);
  for (const auto& [stage, value] : seconds) {
    const auto [entry, is_new] = least.emplace(stage, value);
    if (!is_new) entry->second = std::min(entry->second, value);
  }
}

int Main(const std::vector<std::string>& arguments) {
  if (arguments.empty()) {
    std::fprintf(stderr, "usage: bench_protect MODEL_DIR [IMAGE] [ROUNDS]\n");
    return 2;
  }
  const int rounds = arguments.size() > 2 ? std::max(1, std::atoi(arguments[2].c_str())) : 3;
  std::map<std::string, std::unique_ptr<Protector>> protectors;
  for (const char* precision : {"fp32", "bf16"}) {
    protectors[precision] = Load(arguments[0], precision);
  }
  const ModelInfo& info = protectors["fp32"]->model();
  const Image image = ReadImage(arguments.size() > 1 ? arguments[1] : "", info.native_side);
  std::vector<Setting> settings;
  for (const Effort effort : {Effort::kStandard, Effort::kPublished}) {
    for (const Mode mode : {Mode::kPaper, Mode::kReleased}) {
      for (const char* precision : {"fp32", "bf16"}) settings.push_back({precision, mode, effort});
    }
  }
  std::map<std::string, Seconds> results;
  for (int round = 0; round < rounds; ++round) {
    for (const Setting& setting : settings) {
      Measure(*protectors[setting.precision], image, setting, results[setting.name()]);
    }
  }
  std::printf("model %s, %dx%d, native side %d, device %s, threads %d, least of %d rounds\n",
              info.name.c_str(), image.width, image.height, info.native_side, info.device.c_str(),
              at::get_num_threads(), rounds);
  std::printf("%-26s %8s %8s %8s %8s  seconds\n", "", "total", "pt", "pgd", "tuning");
  for (const Setting& setting : settings) {
    Seconds& seconds = results[setting.name()];
    std::printf("%-26s %8.3f %8.3f %8.3f %8.3f\n", setting.name().c_str(), seconds["total"],
                seconds["prompt_tuning"], seconds["pgd"], seconds["surrogate_tuning"]);
  }
  return 0;
}

}  // namespace
}  // namespace antidiffusion

int main(int argc, char** argv) {
  return antidiffusion::Main(std::vector<std::string>(argv + 1, argv + argc));
}
