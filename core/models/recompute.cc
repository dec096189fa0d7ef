#include "core/models/recompute.h"

#include <ATen/autocast_mode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/functions/utils.h>

#include <memory>
#include <utility>

namespace antidiffusion {
namespace {

using torch::autograd::variable_list;

// Autocast of one device type on this thread: back-propagation runs without the caller's.
class AutocastState {
 public:
  explicit AutocastState(c10::DeviceType type)
      : type_(type),
        enabled_(at::autocast::is_autocast_enabled(type)),
        dtype_(at::autocast::get_autocast_dtype(type)) {}

  void Set() const {
    at::autocast::set_autocast_enabled(type_, enabled_);
    at::autocast::set_autocast_dtype(type_, dtype_);
  }

 private:
  c10::DeviceType type_;
  bool enabled_;
  c10::ScalarType dtype_;
};

class AutocastSwitch {
 public:
  explicit AutocastSwitch(const AutocastState& state, c10::DeviceType type) : before_(type) {
    at::autocast::increment_nesting();
    state.Set();
  }
  ~AutocastSwitch() {
    if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
    before_.Set();
  }
  AutocastSwitch(const AutocastSwitch&) = delete;
  AutocastSwitch& operator=(const AutocastSwitch&) = delete;

 private:
  AutocastState before_;
};

class RecomputedNode final : public torch::autograd::Node {
 public:
  RecomputedNode(torch::autograd::edge_list&& edges, RecomputedBody body,
                 const std::vector<at::Tensor>& inputs, c10::DeviceType type)
      : Node(std::move(edges)), body_(std::move(body)), type_(type), autocast_(type) {
    for (const at::Tensor& input : inputs) inputs_.push_back(input.detach());
  }

  variable_list apply(variable_list&& gradients) override {
    TORCH_CHECK(!inputs_.empty(), "a recomputed part was back-propagated twice");
    const at::AutoGradMode with_graph(true);
    const AutocastSwitch autocast(autocast_, type_);
    variable_list inputs;
    for (size_t i = 0; i < inputs_.size(); ++i) {
      inputs.push_back(inputs_[i].detach().set_requires_grad(should_compute_output(i)));
    }
    const variable_list outputs = body_(inputs);
    variable_list asked;
    variable_list asked_gradients;
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (!gradients[i].defined()) continue;
      asked.push_back(outputs[i]);
      asked_gradients.push_back(gradients[i]);
    }
    torch::autograd::backward(asked, asked_gradients);
    variable_list results;
    for (const at::Tensor& input : inputs) results.push_back(input.grad());
    return results;
  }

  void release_variables() override { inputs_.clear(); }

  std::string name() const override { return "Recomputed"; }

 private:
  RecomputedBody body_;
  c10::DeviceType type_;
  AutocastState autocast_;
  std::vector<at::Tensor> inputs_;
};

}  // namespace

std::vector<at::Tensor> Recomputed(RecomputedBody body, const std::vector<at::Tensor>& inputs) {
  bool on_graph = false;
  for (const at::Tensor& input : inputs) on_graph = on_graph || input.requires_grad();
  if (!at::GradMode::is_enabled() || !on_graph) return body(inputs);
  std::vector<at::Tensor> outputs;
  {
    const at::NoGradGuard no_graph;
    outputs = body(inputs);
  }
  const auto node =
      std::make_shared<RecomputedNode>(torch::autograd::collect_next_edges(inputs), std::move(body),
                                       inputs, inputs.front().device().type());
  torch::autograd::set_history(outputs, node);
  return outputs;
}

void SetRecompute(torch::nn::Module& network, bool on) {
  for (const std::shared_ptr<torch::nn::Module>& module : network.modules(/*include_self=*/false)) {
    if (auto* part = dynamic_cast<RecomputableModule*>(module.get())) part->set_recompute(on);
  }
}

}  // namespace antidiffusion
