#include <ATen/Context.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "core/api/protector.h"
#include "core/base/status_macros.h"
#include "core/protect/local_protector.h"
#include "core/protect/memory_plan.h"
#include "core/surrogate/load_surrogate.h"
#include "core/tensor/device.h"

namespace antidiffusion {
namespace {

// Of a GPU: float32 products in full, not in TF32, and deterministic kernels where there are some;
// those without a deterministic form warn. Settings of the process.
void PreferExactKernels(const c10::Device& device) {
  if (device.is_cpu()) return;
  at::globalContext().setAllowTF32CuDNN(false);
  at::globalContext().setAllowTF32CuBLAS(false);
  at::globalContext().setBenchmarkCuDNN(false);
  at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/true);
  at::globalContext().setDeterministicFillUninitializedMemory(false);
}

// The folder's whole, or the file's without its ending.
std::string ModelName(const std::string& path) {
  std::filesystem::path name = std::filesystem::path(path).lexically_normal();
  if (name.filename().empty()) name = name.parent_path();
  if (name.extension() == ".safetensors" && !std::filesystem::is_directory(path)) {
    name.replace_extension();
  }
  return name.filename().string();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Protector>> LoadProtector(const LoadOptions& options,
                                                         LoadedModels& loaded) {
  std::unique_ptr<Protector> protector;
  AD_RETURN_IF_ERROR(CatchTorch([&]() -> absl::Status {
    AD_ASSIGN_OR_RETURN(const c10::Device device, ParseDevice(options.device));
    AD_ASSIGN_OR_RETURN(const c10::ScalarType precision, ParsePrecision(options.precision, device));
    ConfigureTorch(options.threads);
    PreferExactKernels(device);
    SourceOptions source;
    source.tokenizers = options.tokenizers;
    AD_ASSIGN_OR_RETURN(Surrogate model,
                        LoadSurrogate(options.directory, device, precision, source));
    protector = std::make_unique<LocalProtector>(std::move(model), ModelName(options.directory),
                                                 loaded, [device] { return FreeMemory(device); });
    return absl::OkStatus();
  }));
  return protector;
}

}  // namespace antidiffusion
