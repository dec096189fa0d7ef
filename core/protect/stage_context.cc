#include "core/protect/stage_context.h"

namespace antidiffusion {

at::Tensor StageContext::NoiseLike(const at::Tensor& like) {
  at::Tensor noise = random_.Normal(like.sizes());
  if (trace_ != nullptr) trace_->draws.push_back(noise);
  return noise.to(like.device());
}

at::Tensor StageContext::Timestep(int64_t limit, c10::Device device) {
  at::Tensor timestep = random_.Timestep(limit);
  if (trace_ != nullptr) trace_->draws.push_back(timestep);
  return timestep.to(device);
}

void StageContext::CountBackward(bool weight_gradients) {
  if (trace_ == nullptr) return;
  ++trace_->unet_backwards;
  if (weight_gradients) ++trace_->weight_gradient_backwards;
}

void StageContext::BeginCurve(const std::string& name) {
  if (trace_ != nullptr) trace_->curves[name].emplace_back();
}

void StageContext::AddToCurve(const std::string& name, double value) {
  if (trace_ != nullptr) trace_->curves[name].back().push_back(value);
}

void StageContext::Keep(const std::string& name, const at::Tensor& tensor) {
  if (trace_ != nullptr) trace_->tensors[name] = tensor.detach().clone();
}

void StageContext::KeepFirst(const std::string& name, const at::Tensor& tensor) {
  if (trace_ != nullptr && trace_->tensors.count(name) == 0) Keep(name, tensor);
}

}  // namespace antidiffusion
