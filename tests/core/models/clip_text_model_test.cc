#include "core/models/clip_text_model.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "tests/testing/golden.h"

namespace antidiffusion {
namespace {

TEST(ClipTextModelTest, ATokenSeesNoneAfterIt) {
  ClipTextModel model = LoadGoldenTextModel("sd1-like");
  const at::NoGradGuard no_grad;
  at::Tensor ids = at::arange(77, at::kLong).unsqueeze(0);
  const at::Tensor before = model(ids);
  ids[0][40] = 500;
  const at::Tensor after = model(ids);
  const at::Tensor change = (after - before).abs().amax({0, 2});
  EXPECT_LT(change.slice(0, 0, 40).max().item<double>(), 1e-5);
  EXPECT_GT(change.slice(0, 40).min().item<double>(), 1e-4);
}

TEST(ClipTextModelTest, ShorterSequencesAreThePrefixOfLongerOnes) {
  ClipTextModel model = LoadGoldenTextModel("sd2-v-like");
  const at::NoGradGuard no_grad;
  const at::Tensor ids = at::arange(77, at::kLong).unsqueeze(0);
  const at::Tensor whole = model(ids);
  const at::Tensor part = model(ids.slice(1, 0, 20));
  EXPECT_LT((whole.slice(1, 0, 20) - part).abs().max().item<double>(), 3e-5);
}

TEST(ClipTextModelTest, UnknownActivationThrows) {
  ClipTextConfig config = GoldenTextConfig("sd1-like");
  config.hidden_act = "relu";
  EXPECT_THROW(ClipTextModel model(config), c10::Error);
}

TEST(ClipTextModelTest, TooLongASequenceThrows) {
  ClipTextModel model = LoadGoldenTextModel("sd1-like");
  EXPECT_ANY_THROW(model(at::zeros({1, 78}, at::kLong)));
}

}  // namespace
}  // namespace antidiffusion
