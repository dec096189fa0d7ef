// Whole folders: what loads, and what is refused before or beside the weights.
#include "core/surrogate/model_directory.h"

#include <ATen/Functions.h>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/surrogate/model_folder.h"
#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

using Json = nlohmann::json;

constexpr absl::StatusCode kDataLoss = absl::StatusCode::kDataLoss;
constexpr absl::StatusCode kNotFound = absl::StatusCode::kNotFound;
constexpr absl::StatusCode kFailedPrecondition = absl::StatusCode::kFailedPrecondition;

TEST(ModelDirectoryTest, LoadsTheGoldenModels) {
  struct Case {
    const char* name;
    const char* family;
    PredictionType prediction;
    int64_t native_side;
    int64_t factor;
  };
  for (const Case& c : {Case{"sd1-like", "sd1", PredictionType::kEpsilon, 128, 8},
                        Case{"sd2-base-like", "sd2", PredictionType::kEpsilon, 128, 8},
                        Case{"sd2-v-like", "sd2", PredictionType::kVPrediction, 96, 8}}) {
    AD_ASSERT_OK_AND_ASSIGN(LoadedModel loaded, ModelFolder(c.name).Load());
    EXPECT_EQ(loaded.family, c.family);
    EXPECT_EQ(loaded.model->schedule().prediction_type(), c.prediction);
    EXPECT_EQ(loaded.model->native_side(), c.native_side);
    EXPECT_EQ(loaded.model->factor(), c.factor);
    EXPECT_TRUE(Outputs(*loaded.model).isfinite().all().item<bool>());
    for (const at::Tensor& parameter : loaded.model->unet()->parameters()) {
      EXPECT_FALSE(parameter.requires_grad());
      EXPECT_EQ(parameter.scalar_type(), c10::kFloat);
    }
  }
}

// cat text_encoder/model.safetensors unet/*.safetensors vae/*.safetensors | sha256sum
TEST(ModelDirectoryTest, TheDigestIsThatOfTheWeightFilesAlone) {
  const ModelFolder folder("sd1-like");
  AD_ASSERT_OK_AND_ASSIGN(const LoadedModel first, folder.Load());
  EXPECT_EQ(first.digest, "ba64f0261d483760e39395f602eb404683c44b982b910e964a918fef3f39ee70");
  folder.EditJson("unet/config.json", [](Json& json) { json["upcast_attention"] = true; });
  AD_ASSERT_OK_AND_ASSIGN(const LoadedModel second, folder.Load());
  EXPECT_EQ(second.digest, first.digest);
  folder.EditTensors(kVaeWeights, [](TensorMap& tensors) {
    tensors["decoder.conv_out.bias"] = tensors["decoder.conv_out.bias"] + 1;
  });
  AD_ASSERT_OK_AND_ASSIGN(const LoadedModel third, folder.Load());
  EXPECT_NE(third.digest, first.digest);
}

TEST(ModelDirectoryTest, TellsWhichFileIsMissing) {
  for (const char* name :
       {"model_index.json", "unet/config.json", "vae/config.json", "text_encoder/config.json",
        "scheduler/scheduler_config.json", "tokenizer/vocab.json", "tokenizer/merges.txt",
        kUNetWeights, kVaeWeights, kTextWeights, "unet", "tokenizer"}) {
    const ModelFolder folder("sd1-like");
    folder.Remove(name);
    EXPECT_THAT(folder.Load(), StatusIs(kNotFound, std::string(name).substr(0, 3))) << name;
  }
  EXPECT_THAT(LoadModelDirectory("/no/such/folder", c10::kCPU, c10::kFloat),
              StatusIs(kNotFound, "/no/such/folder: no such folder"));
}

TEST(ModelDirectoryTest, RefusesOtherPipelinesByName) {
  for (const char* name : {"StableDiffusion3Pipeline", "FluxPipeline",
                           "StableDiffusionUpscalePipeline", "DDPMPipeline"}) {
    const ModelFolder folder("sd1-like");
    folder.EditJson("model_index.json", [name](Json& json) { json["_class_name"] = name; });
    EXPECT_THAT(folder.Load(), StatusIs(kFailedPrecondition, std::string("found ") + name));
  }
  const ModelFolder folder("sd1-like");
  folder.EditJson("model_index.json", [](Json& json) { json.erase("_class_name"); });
  EXPECT_THAT(folder.Load(), StatusIs(kFailedPrecondition, "found none"));
}

TEST(ModelDirectoryTest, RefusesOtherParts) {
  const ModelFolder folder("sd1-like");
  folder.EditJson("model_index.json", [](Json& json) {
    json["text_encoder"] = {"transformers", "T5EncoderModel"};
  });
  EXPECT_THAT(folder.Load(), StatusIs(kFailedPrecondition, "found T5EncoderModel"));
  folder.EditJson("model_index.json", [](Json& json) {
    json["text_encoder"] = {nullptr, nullptr};
  });
  EXPECT_THAT(folder.Load(), StatusIs(kFailedPrecondition, "text_encoder"));
}

TEST(ModelDirectoryTest, RefusesPartsThatDoNotFitTogether) {
  const ModelFolder context("sd1-like");
  context.EditJson("unet/config.json", [](Json& json) { json["cross_attention_dim"] = 768; });
  EXPECT_THAT(context.Load(), StatusIs(kFailedPrecondition,
                                       "hidden_size 32 is not the UNet's "
                                       "cross_attention_dim 768"));
  const ModelFolder latent("sd1-like");
  latent.EditJson("vae/config.json", [](Json& json) { json["latent_channels"] = 16; });
  EXPECT_THAT(latent.Load(), StatusIs(kFailedPrecondition, "latent_channels 16"));
  const ModelFolder positions("sd1-like");
  positions.EditJson("text_encoder/config.json",
                     [](Json& json) { json["max_position_embeddings"] = 64; });
  EXPECT_THAT(positions.Load(), StatusIs(kFailedPrecondition, "max_position_embeddings 64"));
}

TEST(ModelDirectoryTest, RefusesATokenizerWithMoreIdsThanTheTextEncoder) {
  const ModelFolder folder("sd1-like");
  folder.EditJson("tokenizer/vocab.json", [](Json& json) { json["dog"] = 1014; });
  EXPECT_THAT(folder.Load(), StatusIs(kDataLoss, "\"dog\" is not in [0, 1014)"));
}

// "!" in a text is the padding's id 0 in SD 2.x, and text in SD 1.x.
TEST(ModelDirectoryTest, ThePaddingOfTheSpecialTokensMapReachesTheEmbedding) {
  const ModelFolder folder("sd2-base-like");
  AD_ASSERT_OK_AND_ASSIGN(LoadedModel exclamation, folder.Load());
  folder.EditJson("tokenizer/special_tokens_map.json",
                  [](Json& json) { json["pad_token"] = "<|endoftext|>"; });
  AD_ASSERT_OK_AND_ASSIGN(LoadedModel end, folder.Load());
  EXPECT_FALSE(exclamation.model->EncodePrompt("").equal(end.model->EncodePrompt("")));
}

TEST(ModelDirectoryTest, RefusesBrokenAndOversizedConfigs) {
  for (const char* name : {"model_index.json", "unet/config.json", "vae/config.json",
                           "text_encoder/config.json", "scheduler/scheduler_config.json"}) {
    const ModelFolder folder("sd1-like");
    folder.Write(name, "{\"sample_size\": ");
    EXPECT_THAT(folder.Load(), StatusIs(kDataLoss, name));
    folder.Write(name, std::string(2'000'000, ' ') + "{}");
    EXPECT_THAT(folder.Load(), StatusIs(kDataLoss, "limit"));
  }
}

TEST(ModelDirectoryTest, ReadsTheScheduleAndRefusesOneThatDoesNotAddUp) {
  const ModelFolder folder("sd1-like");
  const auto set = [&folder](const char* key, const Json& value) {
    folder.EditJson("scheduler/scheduler_config.json", [&](Json& json) { json[key] = value; });
  };
  set("num_train_timesteps", 500);
  set("beta_schedule", "linear");
  AD_ASSERT_OK_AND_ASSIGN(const LoadedModel loaded, folder.Load());
  EXPECT_EQ(loaded.model->schedule().timesteps(), 500);
  EXPECT_NEAR(loaded.model->schedule().alphas_cumprod()[0].item<double>(), 1 - 0.00085, 1e-7);
  set("beta_end", 0.0001);
  EXPECT_THAT(folder.Load(), StatusIs(kDataLoss, "scheduler_config.json"));
}

}  // namespace
}  // namespace antidiffusion
