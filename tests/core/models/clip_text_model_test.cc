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

// A model whose pooled output is the last hidden state itself, at the end of the text.
ClipTextModel WithIdentityProjection(int64_t eos_token_id) {
  ClipTextConfig config;
  config.vocab_size = 20;
  config.hidden_size = config.intermediate_size = config.projection_dim = 8;
  config.num_hidden_layers = 2;
  config.num_attention_heads = 2;
  config.eos_token_id = eos_token_id;
  ClipTextModel model(config);
  at::manual_seed(11);
  const at::NoGradGuard no_grad;
  for (auto& item : model->named_parameters()) {
    item.value().normal_();
    if (item.key() == "text_projection.weight") item.value().copy_(at::eye(8));
  }
  return model;
}

TEST(ClipTextModelTest, PooledIsTakenAtTheFirstEndOfText) {
  const at::NoGradGuard no_grad;
  const at::Tensor ids = at::tensor({18, 5, 7, 19, 7, 7, 18, 7, 19, 3, 19, 7}).view({2, 6});
  const auto pooled_at = [&ids](int64_t eos_token_id) {
    ClipTextModel model = WithIdentityProjection(eos_token_id);
    const ClipTextOutput output = model->Outputs(ids);
    std::vector<int64_t> places;
    for (int64_t row = 0; row < 2; ++row) {
      const at::Tensor distance = (output.last_hidden[row] - output.pooled[row]).abs().amax({1});
      EXPECT_LT(distance.min().item<double>(), 1e-6);
      places.push_back(distance.argmin().item<int64_t>());
    }
    return places;
  };
  using Places = std::vector<int64_t>;
  EXPECT_EQ(pooled_at(7), (Places{2, 1}));
  EXPECT_EQ(pooled_at(2), (Places{3, 2})) << "2 stands for the largest id";
  EXPECT_EQ(pooled_at(11), (Places{0, 0})) << "no such token";
}

TEST(ClipTextModelTest, PenultimateIsWhatTheLastLayerIsGiven) {
  ClipTextModel model = WithIdentityProjection(2);
  const at::NoGradGuard no_grad;
  const at::Tensor ids = at::tensor({18, 5, 19}).view({1, 3});
  const ClipTextOutput before = model->Outputs(ids);
  for (auto& item : model->named_parameters()) {
    if (item.key().rfind("text_model.encoder.layers.1.", 0) == 0) item.value().zero_();
  }
  const ClipTextOutput after = model->Outputs(ids);
  EXPECT_TRUE(at::equal(before.penultimate, after.penultimate));
  EXPECT_FALSE(at::equal(before.last_hidden, after.last_hidden));
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
