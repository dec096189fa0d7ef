// What a worker process costs each job: the same job in this process and through a worker, in turn.
//   bench_worker_hop WORKER_PROGRAM MODEL_DIR [ROUNDS]
// Least and median seconds of all rounds, for a job of noise alone (no optimiser step: what is left
// is the image's way) at three sizes, and for a short protection of 50 steps.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "core/api/protector.h"
#include "server/engine/worker_engine.h"
#include "tests/testing/synthetic_image.h"

namespace antidiffusion {
namespace {

template <typename T>
T ValueOrExit(absl::StatusOr<T> value) {
  if (!value.ok()) {
    std::fprintf(stderr, "%s\n", value.status().ToString().c_str());
    std::exit(1);
  }
  return *std::move(value);
}

double Seconds(Protector& protector, const Image& image, const ProtectionOptions& options) {
  const absl::Time start = absl::Now();
  ValueOrExit(protector.Protect(image, options, {}));
  return absl::ToDoubleSeconds(absl::Now() - start);
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void Compare(const char* name, Protector& here, Protector& there, int side,
             const ProtectionOptions& options, int rounds) {
  const Image image = SyntheticImage(side, side);
  std::vector<double> local;
  std::vector<double> remote;
  for (int round = 0; round < rounds; ++round) {
    local.push_back(Seconds(here, image, options));
    remote.push_back(Seconds(there, image, options));
  }
  std::printf("%-12s %5d px  here %8.4f / %8.4f s  worker %8.4f / %8.4f s  median hop %7.2f ms\n",
              name, side, *std::min_element(local.begin(), local.end()), Median(local),
              *std::min_element(remote.begin(), remote.end()), Median(remote),
              1000 * (Median(remote) - Median(local)));
}

int Main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: bench_worker_hop WORKER_PROGRAM MODEL_DIR [ROUNDS]\n");
    return 2;
  }
  const int rounds = argc > 3 ? std::max(1, std::atoi(argv[3])) : 15;
  const LoadOptions load{argv[2], "cpu", "fp32", 1};
  LoadedModels loaded;
  const auto here = ValueOrExit(LoadProtector(load, loaded));
  const auto engine = ValueOrExit(WorkerEngine::Start({argv[1]}, nullptr));
  const auto there = ValueOrExit(engine->Load(load, {}));
  ProtectionOptions noise;
  noise.method = Method::kNoise;
  noise.seed = 1;
  for (const int side : {512, 2048, 7000}) Compare("noise", *here, *there, side, noise, rounds);
  ProtectionOptions steps;
  steps.method = Method::kAdvDm;
  steps.seed = 1;
  steps.pgd_steps = 50;
  Compare("50 steps", *here, *there, 96, steps, rounds);
  return 0;
}

}  // namespace
}  // namespace antidiffusion

int main(int argc, char** argv) { return antidiffusion::Main(argc, argv); }
