#include "tests/core/protect/golden_model.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>

#include "core/image/codec.h"
#include "core/protect/objective.h"
#include "core/protect/surrogate_info.h"
#include "core/surrogate/load_surrogate.h"
#include "core/tensor/image_tensor.h"
#include "tests/testing/golden.h"
#include "tests/testing/temp_dir.h"

namespace antidiffusion {

namespace {

bool IsOfFamilies(const std::string& name) {
  const std::vector<std::string>& first = GoldenModelNames();
  return std::find(first.begin(), first.end(), name) == first.end();
}

template <typename T>
T ValueOrThrow(absl::StatusOr<T> value) {
  if (!value.ok()) throw std::runtime_error(value.status().ToString());
  return *std::move(value);
}

}  // namespace

Surrogate LoadGoldenModel(const std::string& name) {
  const std::string folder = (IsOfFamilies(name) ? "families/models/" : "models/") + name;
  return ValueOrThrow(LoadSurrogate(GoldenPath(folder), c10::kCPU, c10::kFloat));
}

const std::vector<std::string>& GoldenFamilyNames() {
  static const auto* const kNames =
      new std::vector<std::string>{"bk-like", "inpaint-like", "pix2pix-like", "sdxl-like"};
  return *kNames;
}

std::string GoldenValuesFolder(const std::string& name) {
  return IsOfFamilies(name) ? "families/" + name : name;
}

at::Tensor GoldenPicture(const std::string& name) {
  if (!IsOfFamilies(name)) return GoldenValues(name, "trajectory_paper")["image/original"];
  const std::string bytes = ReadFileBytes(GoldenPath(GoldenValuesFolder(name) + "/image.png"));
  return ImageToTensor(ValueOrThrow(DecodePicture(bytes, {})).image);
}

Plan PlanFor(const Surrogate& model, const ProtectionOptions& options, bool grey) {
  return MakePlan(options, DescribeSurrogate(model, "golden"), grey);
}

double GradientNorm(const std::vector<at::Tensor>& weights) {
  double sum = 0;
  for (const at::Tensor& weight : weights) {
    if (!weight.grad().defined()) continue;
    sum += weight.grad().to(at::kDouble).square().sum().item<double>();
  }
  return std::sqrt(sum);
}

RunRecorder::RunRecorder(const Surrogate& model, std::vector<std::string> encoder_names)
    : encoder_names_(std::move(encoder_names)) {
  if (model.denoiser == nullptr) return;
  weights_ = model.denoiser->weights().tensors();
  for (const at::Tensor& weight : weights_) before_.push_back(weight.detach().clone());
}

void RunRecorder::OnBlockBegin(Stage stage, int /*block*/) {
  if (stage == Stage::kSurrogateTuning) {
    curves["tune_stale_norm"].push_back(GradientNorm(weights_));
  }
}

void RunRecorder::OnBlockEnd(Stage stage, int block, const at::Tensor& result) {
  const std::string number = std::to_string(block);
  if (stage == Stage::kPromptTuning) tensors["emb/" + number] = result.clone();
  if (stage == Stage::kPgd) tensors["image/" + number] = result.clone();
  if (stage != Stage::kSurrogateTuning) return;
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> norms;
  for (size_t i = 0; i < weights_.size(); ++i) {
    norms.push_back(at::linalg_vector_norm(weights_[i] - before_[i], 2, {}, false, at::kDouble));
  }
  curves["unet_drift"].push_back(at::stack(norms).norm().item<double>());
}

void RunRecorder::OnPgdLoss(const LossTerms& terms, const at::Tensor& image) {
  KeepFirstGradient("first/sdl_grad", terms.semantic, image);
  KeepFirstGradient("first/away_grad", terms.away, image);
  Add("pgd_adv", terms.denoising);
  Add("pgd_sdl", terms.semantic);
  Add("pgd_guidance", terms.image_guidance);
  Add("pgd_away", terms.away);
  Add("pgd_norm", terms.norm);
  for (size_t i = 0; i < encoder_names_.size() && i < terms.encoders.size(); ++i) {
    Add((terms.away.defined() ? "away/" : "norm/") + encoder_names_[i], terms.encoders[i]);
  }
}

void RunRecorder::OnGradient(Stage stage, const at::Tensor& gradient) {
  ++gradients;
  if (!weights_.empty() && weights_.front().requires_grad()) ++weight_gradients;
  if (stage == Stage::kPromptTuning) KeepFirst("first/pt_grad", gradient);
  if (stage == Stage::kPgd) KeepFirst("first/pgd_grad", gradient);
  if (stage == Stage::kSurrogateTuning) curves["tune_grad_norm"].push_back(GradientNorm(weights_));
}

void RunRecorder::OnStep(Stage stage, double loss) {
  if (stage == Stage::kPromptTuning) curves["pt_loss"].push_back(loss);
  if (stage == Stage::kPgd) curves["pgd_loss"].push_back(loss);
  if (stage == Stage::kSurrogateTuning) curves["tune_loss"].push_back(loss);
}

void RunRecorder::KeepFirst(const std::string& name, const at::Tensor& tensor) {
  if (tensors.count(name) == 0) tensors[name] = tensor.detach().clone();
}

void RunRecorder::KeepFirstGradient(const std::string& name, const at::Tensor& term,
                                    const at::Tensor& image) {
  if (!term.defined() || tensors.count(name) != 0) return;
  const at::Tensor before = image.grad();
  at::Tensor leaf = image;
  leaf.mutable_grad() = at::Tensor();
  term.backward({}, /*retain_graph=*/true, /*create_graph=*/false, at::TensorList(&image, 1));
  KeepFirst(name, image.grad());
  leaf.mutable_grad() = before;
}

void RunRecorder::Add(const std::string& curve, const at::Tensor& term) {
  if (term.defined()) curves[curve].push_back(term.item<double>());
}

}  // namespace antidiffusion
