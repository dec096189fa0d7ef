#include "core/protect/adamw.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

namespace antidiffusion {
namespace {

at::Tensor Leaf(const at::Tensor& value, const at::Tensor& gradient) {
  at::Tensor leaf = value.clone().set_requires_grad(true);
  leaf.mutable_grad() = gradient.clone();
  return leaf;
}

TEST(AdamWTest, FollowsTheFormula) {
  const AdamWOptions options = {.learning_rate = 0.01, .weight_decay = 0.1};
  const at::Tensor start = at::linspace(-2, 2, 1000, at::kDouble);
  at::Tensor expected = start.clone();
  at::Tensor parameter = Leaf(start.to(at::kFloat), at::zeros({1000}));
  AdamW optimizer({parameter}, options);
  at::Tensor first = at::zeros({1000}, at::kDouble);
  at::Tensor second = at::zeros({1000}, at::kDouble);
  for (int step = 1; step <= 5; ++step) {
    const at::Tensor gradient = (start * step).sin();
    parameter.mutable_grad() = gradient.to(at::kFloat);
    optimizer.Step();
    expected = expected * (1 - 0.01 * 0.1);
    first = 0.9 * first + 0.1 * gradient;
    second = 0.999 * second + 0.001 * gradient.square();
    const at::Tensor mean = first / (1 - std::pow(0.9, step));
    const at::Tensor deviation = (second / (1 - std::pow(0.999, step))).sqrt();
    expected = expected - 0.01 * mean / (deviation + 1e-8);
  }
  EXPECT_LT((parameter.detach().to(at::kDouble) - expected).abs().max().item<double>(), 1e-6);
}

TEST(AdamWTest, LeavesParametersWithoutGradientAlone) {
  at::Tensor still = at::ones({3}).set_requires_grad(true);
  at::Tensor moved = Leaf(at::ones({3}), at::ones({3}));
  AdamW optimizer({still, moved}, {});
  optimizer.Step();
  EXPECT_TRUE(at::equal(still.detach(), at::ones({3})));
  EXPECT_LT(moved.detach().max().item<double>(), 1);
}

TEST(AdamWTest, DropsGradients) {
  at::Tensor parameter = Leaf(at::ones({3}), at::ones({3}));
  AdamW optimizer({parameter}, {});
  optimizer.DropGradients();
  EXPECT_FALSE(parameter.grad().defined());
  optimizer.Step();
  EXPECT_TRUE(at::equal(parameter.detach(), at::ones({3})));
}

}  // namespace
}  // namespace antidiffusion
