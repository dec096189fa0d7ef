// The golden values of tests/golden (see its README.md), the tiny models they belong to, and the
// comparison of one with the other.
//
//   const GoldenValues golden("sd1-like", "vae");
//   Parity parity("sd1-like");
//   parity.Expect("vae mean", golden, "sq/mean", vae->encode(golden["sq/image"]).mean);
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <vector>

#include "core/checkpoint/safetensors.h"
#include "core/models/clip_text_model.h"
#include "core/models/config.h"
#include "core/models/unet.h"
#include "core/models/vae.h"

namespace antidiffusion {

// A path below tests/golden.
std::string GoldenPath(const std::string& relative);

// sd1-like, sd2-base-like, sd2-v-like.
const std::vector<std::string>& GoldenModelNames();

// GoldenModelNames() as test names may be spelled.
std::string GoldenTestName(std::string model);

// Architectures of a golden model, stated here independently of its config files.
UNetConfig GoldenUNetConfig(const std::string& model);
VaeConfig GoldenVaeConfig(const std::string& model);
ClipTextConfig GoldenTextConfig(const std::string& model);

// Fills the parameters of `module` from a file of weights. What only a decoder needs is not read.
// Throws when the file does not fit.
void LoadGoldenWeights(const std::string& path, torch::nn::Module& module);

// `module`, filled so.
template <typename Holder>
Holder Filled(Holder module, const std::string& path) {
  LoadGoldenWeights(path, *module);
  return module;
}

// The networks with their weights. Throw when a file does not fit.
UNet LoadGoldenUNet(const std::string& model);
Vae LoadGoldenVae(const std::string& model);
ClipTextModel LoadGoldenTextModel(const std::string& model);

// One file NAME/FILE.safetensors; NAME may be families/NAME. A key that is not there throws.
class GoldenValues {
 public:
  GoldenValues(const std::string& model, const std::string& file);

  at::Tensor operator[](const std::string& key) const;
  std::vector<std::string> keys() const { return file_.names(); }

  // Largest absolute deviation allowed: 20 times the distance of float32 from float64 that was
  // measured for this value, and at least 2e-6 of its largest magnitude. For values without a
  // measured distance, which are a few exact operations, 3e-7 of the largest magnitude.
  double Tolerance(const std::string& key) const;

 private:
  SafetensorsFile file_;
  std::map<std::string, double> noise_floor_;
};

// Rows of names.json: UNet parameter names in the order of `grad_stats`.
std::vector<std::string> GoldenParameterNames(const std::string& model);

// Compares, and at its end prints for each kind of value the deviation that came nearest to its
// tolerance: "PARITY <model> | <kind> | max_dev <x> | tolerance <y>".
class Parity {
 public:
  explicit Parity(std::string model) : model_(std::move(model)) {}
  ~Parity();
  Parity(const Parity&) = delete;
  Parity& operator=(const Parity&) = delete;

  // Fails the test when shapes differ, a value is not finite, or one is off by over its tolerance.
  void Expect(const std::string& kind, const GoldenValues& golden, const std::string& key,
              const at::Tensor& actual);

  // `label` is shown on failure.
  void ExpectDeviation(const std::string& kind, const std::string& label, double deviation,
                       double tolerance);

 private:
  struct Worst {
    double deviation = 0;
    double tolerance = 0;
  };
  std::string model_;
  std::map<std::string, Worst> worst_;
};

}  // namespace antidiffusion
