// The seam between the service and the engine. Free of torch.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/api/loaded_models.h"
#include "core/api/options.h"
#include "core/api/run_context.h"
#include "core/image/image.h"

namespace antidiffusion {

// A loaded model as the server may see it.
struct ModelInfo {
  std::string name;             // the folder's
  std::string family;           // sd1 sd2 inpaint pix2pix sdxl sdxl-inpaint sdxl-pix2pix encoder
  std::string prediction_type;  // epsilon, v_prediction; "" without a UNet
  int native_side = 0;          // pixels; 0: none, images are worked on at about their own size
  std::string digest;           // SHA-256 of the weights, hex
  std::string device;           // cpu, cuda:0
  std::string precision;        // fp32, bf16
  int latent_channels = 0;
  std::vector<std::string> notes;  // for the log: what was guessed or left unread in loading
  // What it can do (capabilities.h).
  bool denoises = false;  // has a UNet: denoising objectives, prompt and surrogate tuning
  bool has_semantic_layers = false;  // cross-attention at a quarter of the latent's side
  bool guides_by_image = false;  // an editor that sees the photograph: Objective::kImageGuidance
};

struct DeviceMemory {  // bytes; all 0 where the device does not tell (cpu)
  int64_t used = 0;
  int64_t reserved = 0;
  int64_t total = 0;
};

// Denoising loss and attention concentration (T * mean(M^2), 1/T * ... 1) on fixed probes.
struct Probe {
  double denoising_loss = 0;
  double attention_concentration = 0;  // of cross-attention two halvings below the latent; 0: none
  double gain_left = 0;                // share of the loss gain over `before` that is left
};

struct FullReport {
  Probe before, after, after_jpeg_q75, after_half_and_back, after_blur;
};

struct ProtectionResult {
  Image image;              // width, height and channels of the input; its alpha too
  int max_difference = 0;   // largest change of any channel, in 8-bit levels
  double visibility = 0;    // the largest chroma_bias promised (core/image/visibility.h); 0: none
  int bound = 0;            // the proven bound: floor(budget), or the true one of Mode::kReleased
  uint64_t seed = 0;        // the one used
  int64_t unet_passes = 0;  // forward ones, without those of the full report
  std::map<std::string, double> stage_seconds;  // by stage name, as in Progress
  std::optional<FullReport> full;               // with ReportLevel::kFull
};

// Reason of an INTERNAL error of Protect and SelfTest.
inline constexpr char kWeightsNotRestored[] = "WEIGHTS_NOT_RESTORED";

// Makes an image useless to diffusion models while people see no difference.
// Thread-compatible: one call at a time. Each device worker owns one for each model.
class Protector {
 public:
  virtual ~Protector() = default;

  // Blocks for seconds to minutes. `image` may have alpha: the colour of pixels where it is 0 stays
  // as it is, as long as there is a limit of visibility. On one CPU equal image, options, build and
  // thread count give equal bytes, unless memory is so short that a wide image has to be worked on
  // in smaller pieces. On CUDA deterministic kernels are preferred where there are some (the
  // backward pass of attention may have none), so equal bytes are not promised there.
  //
  // Errors: INVALID_ARGUMENT (options, what the model cannot do, a side under 64 px, a long side
  // over 193 short ones); NOT_FOUND (a model of options.also, by name); CANCELLED or
  // DEADLINE_EXCEEDED (`run` is asked before every optimiser step); RESOURCE_EXHAUSTED with reason
  // DEVICE_MEMORY; INTERNAL (the device failed, or the numbers left the finite).
  //
  // Usable again after any of them; the model's weights are then bit-identical to those loaded.
  // The exception is INTERNAL with reason WEIGHTS_NOT_RESTORED: that could not be brought about.
  // This and every later job then fail with it, and so does SelfTest: the process must end.
  virtual absl::StatusOr<ProtectionResult> Protect(const Image& image,
                                                   const ProtectionOptions& options,
                                                   const RunContext& run) = 0;

  // A tiny forward pass through the UNet, or through the encoder where there is none: whether the
  // device still works. INTERNAL when it does not, or computes what is not finite.
  virtual absl::Status SelfTest() = 0;

  virtual const ModelInfo& model() const = 0;
  virtual DeviceMemory memory() const = 0;
};

struct LoadOptions {
  std::string directory;           // a model's folder, or NAME.safetensors; named like that
  std::string device = "auto";     // auto (cuda:0 if there is one, else cpu), cpu, cuda, cuda:N
  std::string precision = "auto";  // auto (from the device), fp32, bf16
  int threads = 0;                 // of the CPU; 0: one for each physical core
  std::string tokenizers = {};     // a folder of those for files that have none of their own
};

// Loads a model onto a device; seconds. Its encoder is in `loaded` as long as the protector lives,
// and jobs find those of `options.also` there; `loaded` must outlive it. NOT_FOUND (no folder, no
// file), INVALID_ARGUMENT (device, precision), DATA_LOSS (broken files), FAILED_PRECONDITION (an
// architecture of no family, pickled weights), RESOURCE_EXHAUSTED (device memory).
absl::StatusOr<std::unique_ptr<Protector>> LoadProtector(const LoadOptions& options,
                                                         LoadedModels& loaded);

}  // namespace antidiffusion
