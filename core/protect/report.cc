#include "core/protect/report.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/full.h>

#include <algorithm>
#include <string>

#include "core/base/status_macros.h"
#include "core/image/codec.h"
#include "core/protect/semantic_loss.h"
#include "core/tensor/image_tensor.h"
#include "core/tensor/random.h"

namespace antidiffusion {
namespace {

constexpr int64_t kProbes = 8;
constexpr uint64_t kProbeSeed = 20250305;
constexpr int kJpegQuality = 75;
constexpr double kBlurSigma = 1;

absl::StatusOr<Probe> Measure(const Surrogate& model, const Image& image, const WorkGrid& grid,
                              const ProgressMeter& progress) {
  const at::NoGradGuard no_grad;
  Denoiser& denoiser = *model.denoiser;
  const at::Tensor pixels =
      Resize(ImageToTensor(image), grid.height, grid.width).clamp(-1, 1).to(model.device);
  const EncodedImage encoded = model.Encode(pixels);
  const at::Tensor& latent = encoded.posterior.mean;
  AD_ASSIGN_OR_RETURN(const Conditioning prompt, denoiser.Condition("", grid.height, grid.width));
  Random random(kProbeSeed);
  Probe probe;
  for (int64_t i = 0; i < kProbes; ++i) {
    AD_RETURN_IF_ERROR(progress.Check(Stage::kReport));
    NoiseDraw draw;
    draw.noise = random.Normal(latent.sizes()).to(model.device);
    const int64_t t = (2 * i + 1) * denoiser.timesteps() / (2 * kProbes);
    draw.timestep = at::full({1}, t, at::kLong).to(model.device);
    AttentionCapture capture;
    const at::Tensor loss = DenoisingLoss(denoiser, latent, draw, prompt, encoded.extra, &capture);
    probe.denoising_loss += loss.item<double>() / kProbes;
    probe.attention_concentration += SemanticLoss(capture, {}).item<double>() / kProbes;
  }
  return probe;
}

absl::StatusOr<Image> ThroughJpeg(const Image& image) {
  Picture picture;
  picture.image = image;
  AD_ASSIGN_OR_RETURN(const std::string bytes, EncodePicture(picture, {.format = ImageFormat::kJpeg,
                                                                       .quality = kJpegQuality}));
  DecodeLimits limits;
  limits.max_bytes = static_cast<int64_t>(bytes.size());
  limits.max_pixels = int64_t{image.width} * image.height;
  limits.min_side = 1;
  AD_ASSIGN_OR_RETURN(Picture decoded, DecodePicture(bytes, limits));
  return std::move(decoded.image);
}

Image FromTensor(const at::Tensor& tensor, int channels) {
  return TensorToImage(channels == 1 ? tensor.mean(1, /*keepdim=*/true) : tensor);
}

// To half the size and back, rounded to bytes both times, as files would be.
Image HalfAndBack(const Image& image) {
  const at::Tensor half =
      Resize(ImageToTensor(image), std::max(1, image.height / 2), std::max(1, image.width / 2));
  const Image small = FromTensor(half, image.channels);
  return FromTensor(Resize(ImageToTensor(small), image.height, image.width), image.channels);
}

Image Blurred(const Image& image) {
  return FromTensor(GaussianBlur(ImageToTensor(image), kBlurSigma), image.channels);
}

double GainLeft(const Probe& probe, const Probe& before, const Probe& after) {
  const double gain = after.denoising_loss - before.denoising_loss;
  return gain == 0 ? 0 : (probe.denoising_loss - before.denoising_loss) / gain;
}

}  // namespace

absl::StatusOr<FullReport> MakeFullReport(const Surrogate& model, const Image& before,
                                          const Image& after, const WorkGrid& grid,
                                          ProgressMeter& progress) {
  const ImagePiece& piece = grid.pieces[grid.pieces.size() / 2];
  const Image clean = Cut(before, piece);
  const Image protected_piece = Cut(after, piece);
  const auto measure = [&](const Image& image, Probe& probe) -> absl::Status {
    AD_ASSIGN_OR_RETURN(probe, Measure(model, image, grid, progress));
    progress.StepDone(Stage::kReport, probe.denoising_loss);
    return absl::OkStatus();
  };
  FullReport report;
  AD_RETURN_IF_ERROR(measure(clean, report.before));
  AD_RETURN_IF_ERROR(measure(protected_piece, report.after));
  AD_ASSIGN_OR_RETURN(const Image jpeg, ThroughJpeg(protected_piece));
  AD_RETURN_IF_ERROR(measure(jpeg, report.after_jpeg_q75));
  AD_RETURN_IF_ERROR(measure(HalfAndBack(protected_piece), report.after_half_and_back));
  AD_RETURN_IF_ERROR(measure(Blurred(protected_piece), report.after_blur));
  for (Probe* probe :
       {&report.after, &report.after_jpeg_q75, &report.after_half_and_back, &report.after_blur}) {
    probe->gain_left = GainLeft(*probe, report.before, report.after);
  }
  return report;
}

}  // namespace antidiffusion
