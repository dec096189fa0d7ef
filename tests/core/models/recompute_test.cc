#include "core/models/recompute.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>

#include <vector>

namespace antidiffusion {
namespace {

struct Outcome {
  at::Tensor output, x_gradient, y_gradient, weight_gradient;
};

// Two bodies in a row over two inputs and a shared weight, with or without recomputing.
Outcome RunTwice(bool recompute, int* calls = nullptr) {
  at::manual_seed(5);
  at::Tensor x = at::randn({4, 8}).requires_grad_(true);
  at::Tensor y = at::randn({4, 8}).requires_grad_(true);
  at::Tensor weight = at::randn({8, 8}).requires_grad_(true);
  const RecomputedBody body = [weight, calls](const std::vector<at::Tensor>& inputs) {
    if (calls != nullptr) ++*calls;
    return at::silu(at::matmul(inputs[0], weight)) * inputs[1];
  };
  const auto apply = [&](const std::vector<at::Tensor>& inputs) {
    return recompute ? Recomputed(body, inputs) : body(inputs);
  };
  const at::Tensor output = apply({apply({x, y}), y});
  output.square().sum().backward();
  return {output.detach(), x.grad(), y.grad(), weight.grad()};
}

TEST(RecomputedTest, GivesTheSameValuesAndGradientsBitForBit) {
  const Outcome plain = RunTwice(false);
  const Outcome recomputed = RunTwice(true);
  EXPECT_TRUE(at::equal(plain.output, recomputed.output));
  EXPECT_TRUE(at::equal(plain.x_gradient, recomputed.x_gradient));
  EXPECT_TRUE(at::equal(plain.y_gradient, recomputed.y_gradient));
  EXPECT_TRUE(at::equal(plain.weight_gradient, recomputed.weight_gradient));
}

TEST(RecomputedTest, RunsTheBodyOnceMoreForTheGradient) {
  int calls = 0;
  RunTwice(true, &calls);
  EXPECT_EQ(calls, 4);
}

TEST(RecomputedTest, RunsTheBodyOnceWhereNothingAsksForAGradient) {
  int calls = 0;
  const RecomputedBody body = [&](const std::vector<at::Tensor>& inputs) {
    ++calls;
    return inputs[0] * 2;
  };
  EXPECT_FALSE(Recomputed(body, {at::ones({2})}).requires_grad());
  const at::Tensor asks = at::ones({2}).requires_grad_(true);
  {
    const at::NoGradGuard no_graph;
    EXPECT_FALSE(Recomputed(body, {asks}).requires_grad());
  }
  EXPECT_EQ(calls, 2);
}

TEST(RecomputedTest, LeavesInputsWithoutAGradientAlone) {
  const at::Tensor constant = at::ones({2});
  at::Tensor asks = at::ones({2}).requires_grad_(true);
  const RecomputedBody body = [](const std::vector<at::Tensor>& inputs) {
    return inputs[0] * inputs[1];
  };
  Recomputed(body, {constant, asks}).sum().backward();
  EXPECT_TRUE(at::equal(asks.grad(), constant));
  EXPECT_FALSE(constant.grad().defined());
}

TEST(RecomputedTest, ComputesInThePrecisionOfTheFirstPass) {
  std::vector<at::ScalarType> seen;
  at::Tensor x = at::randn({4, 4}).requires_grad_(true);
  const at::Tensor weight = at::randn({4, 4});
  const RecomputedBody body = [&](const std::vector<at::Tensor>& inputs) {
    const at::Tensor product = at::matmul(inputs[0], weight);
    seen.push_back(product.scalar_type());
    return product.to(at::kFloat);
  };
  at::autocast::set_autocast_enabled(at::kCPU, true);
  at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
  const at::Tensor output = Recomputed(body, {x});
  at::autocast::set_autocast_enabled(at::kCPU, false);
  output.sum().backward();
  EXPECT_EQ(seen, (std::vector<at::ScalarType>{at::kBFloat16, at::kBFloat16}));
  EXPECT_FALSE(at::autocast::is_autocast_enabled(at::kCPU));
}

}  // namespace
}  // namespace antidiffusion
