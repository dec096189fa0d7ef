#include "core/api/protector.h"

#include <ATen/Context.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/full.h>
#include <ATen/ops/isfinite.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_details.h"
#include "core/base/status_macros.h"
#include "core/image/similarity.h"
#include "core/protect/image_seed.h"
#include "core/protect/protection_loop.h"
#include "core/protect/report.h"
#include "core/protect/work_grid.h"
#include "core/surrogate/model_directory.h"
#include "core/surrogate/unet_snapshot.h"
#include "core/tensor/device.h"
#include "core/tensor/image_tensor.h"

namespace antidiffusion {
namespace {

constexpr int kMinSide = 64;            // pixels
constexpr int64_t kTestSide = 8;        // latent cells of the self-test: what three halvings need
constexpr int64_t kTestTimestep = 500;  // about the middle of the schedule

absl::Status CheckImage(const Image& image) {
  if (image.width < kMinSide || image.height < kMinSide) {
    return InvalidField("image", absl::StrCat(image.width, "x", image.height),
                        absl::StrCat("sides of at least ", kMinSide, " pixels"));
  }
  if (image.channels != 1 && image.channels != 3) {
    return InvalidField("image", absl::StrCat(image.channels, " channels"), "1 or 3 channels");
  }
  if (image.pixels.size() != image.size()) {
    return InvalidField("image", absl::StrCat(image.pixels.size(), " samples"),
                        absl::StrCat(image.size(), " samples"));
  }
  return absl::OkStatus();
}

// Steps of all pieces; a job too long to count in an int is shown as the largest one.
StepCounts TimesPieces(const StepCounts& steps, size_t pieces) {
  const auto times = [pieces](int count) {
    constexpr int64_t kMost = std::numeric_limits<int>::max() / 4;
    return static_cast<int>(std::min(kMost, int64_t{count} * static_cast<int64_t>(pieces)));
  };
  return {.prompt_tuning = times(steps.prompt_tuning),
          .pgd = times(steps.pgd),
          .surrogate_tuning = times(steps.surrogate_tuning)};
}

// A model on this process's device.
class LocalProtector : public Protector {
 public:
  LocalProtector(std::unique_ptr<StableDiffusion> model, ModelInfo info)
      : model_(std::move(model)), pristine_(model_->unet()), info_(std::move(info)) {}

  absl::StatusOr<ProtectionResult> Protect(const Image& image, const ProtectionOptions& options,
                                           const RunContext& run) override {
    AD_RETURN_IF_ERROR(options.Validate());
    AD_RETURN_IF_ERROR(CheckImage(image));
    ProtectionResult result;
    AD_RETURN_IF_ERROR(CatchTorch([&]() -> absl::Status {
      AD_ASSIGN_OR_RETURN(result, ProtectImage(image, options, run));
      return absl::OkStatus();
    }));
    return result;
  }

  absl::Status SelfTest() override {
    return CatchTorch([&]() -> absl::Status {
      const at::NoGradGuard no_grad;
      const at::Tensor latent =
          at::full({1, model_->latent_channels(), kTestSide, kTestSide}, 0.5, model_->device());
      const at::Tensor timestep = at::full({1}, kTestTimestep, at::kLong).to(model_->device());
      const at::Tensor noise = model_->Predict(latent, timestep, model_->EncodePrompt(""));
      if (at::isfinite(noise).all().item<bool>()) return absl::OkStatus();
      return absl::InternalError("the device computes what is not finite");
    });
  }

  const ModelInfo& model() const override { return info_; }

  DeviceMemory memory() const override {
    DeviceMemory memory;
    const absl::Status told = CatchTorch([&] {
      const MemoryUse use = GetMemoryUse(model_->device());
      memory = {.used = use.used, .reserved = use.reserved, .total = use.total};
      return absl::OkStatus();
    });
    return told.ok() ? memory : DeviceMemory{};
  }

 private:
  absl::StatusOr<ProtectionResult> ProtectImage(const Image& image,
                                                const ProtectionOptions& options,
                                                const RunContext& run) {
    AD_ASSIGN_OR_RETURN(const WorkGrid grid, PlanWork(image.height, image.width,
                                                      model_->native_side(), model_->factor()));
    const ProtectionPlan plan = MakePlan(options, image.channels == 1);
    const bool full = options.report == ReportLevel::kFull;
    ProgressMeter progress(run,
                           TimesPieces(CountSteps(plan.schedule, options.mode), grid.pieces.size()),
                           full ? kReportSteps : 0);
    ProtectionResult result;
    result.seed = options.seed.value_or(SeedOf(image));
    result.bound = ProvenBound(plan.schedule, options.mode);
    Random random(result.seed);
    StageContext context(random, progress);
    const int64_t passes_before = model_->counts().unet_forwards;
    AD_ASSIGN_OR_RETURN(const at::Tensor difference, Difference(image, grid, plan, context));
    result.unet_passes = model_->counts().unet_forwards - passes_before;
    result.image = ApplyDifference(image, difference, result.bound);
    AD_ASSIGN_OR_RETURN(result.max_difference, MaxDifference(image, result.image));
    if (full) {
      AD_ASSIGN_OR_RETURN(result.full,
                          MakeFullReport(*model_, image, result.image, grid, progress));
    }
    result.stage_seconds = progress.stage_seconds();
    return result;
  }

  // [1,3,H,W] of the image's size, on the CPU: what the protection adds, before rounding.
  absl::StatusOr<at::Tensor> Difference(const Image& image, const WorkGrid& grid,
                                        const ProtectionPlan& plan, StageContext& context) {
    PieceBlender blender(image.height, image.width, grid.pieces);
    for (size_t i = 0; i < grid.pieces.size(); ++i) {
      const ImagePiece& piece = grid.pieces[i];
      const at::Tensor original = Resize(ImageToTensor(Cut(image, piece)), grid.height, grid.width)
                                      .clamp(-1, 1)
                                      .to(model_->device());
      AD_ASSIGN_OR_RETURN(const at::Tensor moved,
                          RunProtection(*model_, pristine_, original, plan, context));
      blender.Add(i, Resize((moved - original).cpu(), piece.height, piece.width));
    }
    return blender.Result();
  }

  std::unique_ptr<StableDiffusion> model_;
  UNetSnapshot pristine_;
  ModelInfo info_;
};

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

std::string FolderName(const std::string& directory) {
  std::filesystem::path path = std::filesystem::path(directory).lexically_normal();
  if (path.filename().empty()) path = path.parent_path();
  return path.filename().string();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Protector>> LoadProtector(const LoadOptions& options) {
  std::unique_ptr<Protector> protector;
  AD_RETURN_IF_ERROR(CatchTorch([&]() -> absl::Status {
    AD_ASSIGN_OR_RETURN(const c10::Device device, ParseDevice(options.device));
    AD_ASSIGN_OR_RETURN(const c10::ScalarType precision, ParsePrecision(options.precision, device));
    ConfigureTorch(options.threads);
    PreferExactKernels(device);
    AD_ASSIGN_OR_RETURN(LoadedModel loaded,
                        LoadModelDirectory(options.directory, device, precision));
    ModelInfo info;
    info.name = FolderName(options.directory);
    info.family = loaded.family;
    info.prediction_type = loaded.model->schedule().prediction_type() == PredictionType::kEpsilon
                               ? "epsilon"
                               : "v_prediction";
    info.native_side = static_cast<int>(loaded.model->native_side());
    info.digest = loaded.digest;
    info.device = device.str();
    info.precision = PrecisionName(precision);
    protector = std::make_unique<LocalProtector>(std::move(loaded.model), std::move(info));
    return absl::OkStatus();
  }));
  return protector;
}

}  // namespace antidiffusion
