// Paths of every kind: what loads, and what is refused before or beside the weights.
#include "core/surrogate/model_source.h"

#include <ATen/ATen.h>

#include <filesystem>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/surrogate/model_folder.h"
#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

using ::testing::IsEmpty;
using Json = nlohmann::json;

TEST(ModelSourceTest, ReadsTheGoldenModels) {
  struct Case {
    const char* name;
    const char* family;
    PredictionType prediction;
    int64_t latent_side;
    size_t text_encoders;
  };
  constexpr PredictionType kEpsilon = PredictionType::kEpsilon;
  for (const Case& c :
       {Case{"sd1-like", "sd1", kEpsilon, 16, 1}, Case{"sd2-base-like", "sd2", kEpsilon, 16, 1},
        Case{"sd2-v-like", "sd2", PredictionType::kVPrediction, 12, 1},
        Case{"inpaint-like", "inpaint", kEpsilon, 12, 1},
        Case{"pix2pix-like", "pix2pix", kEpsilon, 12, 1},
        Case{"sdxl-like", "sdxl", kEpsilon, 12, 2},
        Case{"sdxl-inpaint-like", "sdxl-inpaint", kEpsilon, 12, 2},
        Case{"sdxl-pix2pix-like", "sdxl-pix2pix", kEpsilon, 12, 2}}) {
    AD_ASSERT_OK_AND_ASSIGN(const ModelSource source, ReadModelSource(GoldenModelPath(c.name), {}));
    EXPECT_EQ(source.family, c.family);
    ASSERT_TRUE(source.denoiser.has_value());
    EXPECT_EQ(source.denoiser->schedule.prediction_type, c.prediction);
    EXPECT_FALSE(source.denoiser->prediction_is_open);
    EXPECT_EQ(source.denoiser->config.sample_size, c.latent_side) << c.name;
    EXPECT_EQ(source.denoiser->text.size(), c.text_encoders);
    EXPECT_THAT(source.notes, IsEmpty()) << c.name;
  }
}

TEST(ModelSourceTest, TheSecondTextEncoderOfXlHasATokenizerOfItsOwn) {
  AD_ASSERT_OK_AND_ASSIGN(const ModelSource source,
                          ReadModelSource(GoldenModelPath("sdxl-like"), {}));
  const std::vector<TextSource>& text = source.denoiser->text;
  EXPECT_EQ(text[0].tokenizer->Encode("", 4), (std::vector<int64_t>{812, 813, 813, 813}));
  EXPECT_EQ(text[1].tokenizer->Encode("", 4), (std::vector<int64_t>{862, 863, 0, 0}));  // pads "!"
  EXPECT_EQ(text[0].config.projection_dim, 0);
  EXPECT_EQ(text[1].config.projection_dim, 40);
}

TEST(ModelSourceTest, ReadsAutoencodersAlone) {
  AD_ASSERT_OK_AND_ASSIGN(const ModelSource kl, ReadModelSource(GoldenModelPath("vae16-like"), {}));
  EXPECT_EQ(kl.family, "encoder");
  EXPECT_FALSE(kl.denoiser.has_value());
  EXPECT_EQ(std::get<VaeConfig>(kl.encoder_config).latent_channels, 16);
  AD_ASSERT_OK_AND_ASSIGN(const ModelSource tiny, ReadModelSource(GoldenModelPath("tae-like"), {}));
  EXPECT_EQ(std::get<TinyVaeConfig>(tiny.encoder_config).latent_channels, 4);
  EXPECT_NE(kl.encoder_digest, tiny.encoder_digest);
  // The VAE's folder, copied out of a pipeline.
  AD_ASSERT_OK_AND_ASSIGN(const ModelSource copied,
                          ReadModelSource(GoldenModelPath("sdxl-like") + "/vae", {}));
  EXPECT_EQ(copied.family, "encoder");
}

// cat text_encoder/model.safetensors unet/*.safetensors vae/*.safetensors | sha256sum
TEST(ModelSourceTest, TheDigestIsThatOfTheWeightFilesAlone) {
  const ModelFolder folder("sd1-like");
  AD_ASSERT_OK_AND_ASSIGN(const ModelSource first, folder.Load());
  EXPECT_EQ(first.digest, "ba64f0261d483760e39395f602eb404683c44b982b910e964a918fef3f39ee70");
  folder.EditJson("unet/config.json", [](Json& json) { json["upcast_attention"] = true; });
  AD_ASSERT_OK_AND_ASSIGN(const ModelSource second, folder.Load());
  EXPECT_EQ(second.digest, first.digest);
  folder.EditTensors(kVaeWeights, [](TensorMap& tensors) {
    tensors["decoder.conv_out.bias"] = tensors["decoder.conv_out.bias"] + 1;
  });
  AD_ASSERT_OK_AND_ASSIGN(const ModelSource third, folder.Load());
  EXPECT_NE(third.digest, first.digest);
}

// Files may be exchanged while a model loads: digest and weights are of the same bytes.
TEST(ModelSourceTest, TheDigestIsThatOfTheBytesThatAreServed) {
  const ModelFolder folder("sd1-like");
  AD_ASSERT_OK_AND_ASSIGN(const ModelSource first, folder.Load());
  AD_ASSERT_OK_AND_ASSIGN(const at::Tensor before,
                          first.denoiser->tensors.at("conv_out.bias").Read());
  folder.Rename(kUNetWeights, "old");
  std::filesystem::copy_file(folder.File("old"), folder.File(kUNetWeights));
  folder.EditTensors(kUNetWeights, [](TensorMap& tensors) {
    tensors["conv_out.bias"] = tensors["conv_out.bias"] + 1;
  });
  AD_ASSERT_OK_AND_ASSIGN(const at::Tensor after,
                          first.denoiser->tensors.at("conv_out.bias").Read());
  EXPECT_TRUE(after.equal(before));
  EXPECT_EQ(first.digest, "ba64f0261d483760e39395f602eb404683c44b982b910e964a918fef3f39ee70");
  AD_ASSERT_OK_AND_ASSIGN(const ModelSource second, folder.Load());
  EXPECT_NE(second.digest, first.digest);
}

// Of the weights that encode: two models with the same VAE count once.
TEST(ModelSourceTest, TheEncodersDigestIsThatOfItsWeightsWhateverTheFiles) {
  const ModelFolder folder("sd2-v-like");
  AD_ASSERT_OK_AND_ASSIGN(const ModelSource whole, folder.Load());
  AD_ASSERT_OK_AND_ASSIGN(const ModelSource alone, ReadModelSource(folder.File("vae"), {}));
  EXPECT_EQ(alone.encoder_digest, whole.encoder_digest);
  folder.EditTensors(kVaeWeights, [](TensorMap& tensors) {
    tensors["decoder.conv_out.bias"] = tensors["decoder.conv_out.bias"] + 1;
  });
  AD_ASSERT_OK_AND_ASSIGN(const ModelSource decoder, folder.Load());
  EXPECT_EQ(decoder.encoder_digest, whole.encoder_digest);
  folder.EditTensors(kVaeWeights, [](TensorMap& tensors) {
    tensors["encoder.conv_out.bias"] = tensors["encoder.conv_out.bias"] + 1;
  });
  AD_ASSERT_OK_AND_ASSIGN(const ModelSource encoder, folder.Load());
  EXPECT_NE(encoder.encoder_digest, whole.encoder_digest);
}

TEST(ModelSourceTest, NamesWhatAPathIsInsteadOfAModel) {
  const TempDir dir;
  EXPECT_THAT(ReadModelSource(dir.path(), {}), StatusIs(kNotFound, "no model_index.json"));
  EXPECT_THAT(ReadModelSource(dir.Write("x.ckpt", "PK"), {}),
              StatusIs(kFailedPrecondition, "x.ckpt: a pickled checkpoint"));
  EXPECT_THAT(ReadModelSource(dir.Write("x.gguf", "GGUF"), {}),
              StatusIs(kFailedPrecondition, "neither a folder nor a .safetensors file"));
  const TempDir one_file;
  one_file.Write("b.safetensors", "");
  EXPECT_THAT(ReadModelSource(one_file.path(), {}),
              StatusIs(kFailedPrecondition, "give the file, b.safetensors, itself"));
  const TempDir repository;
  for (const char* name : {"b", "a"}) {
    std::filesystem::create_directory(repository.File(name));
    repository.Write(std::string(name) + "/model_index.json", "{}");
  }
  EXPECT_THAT(
      ReadModelSource(repository.path(), {}),
      StatusIs(kFailedPrecondition, "a repository of models, not a model; its models are a, b"));
  EXPECT_THAT(ReadModelSource(GoldenModelPath("sd1-like") + "/unet", {}),
              StatusIs(kFailedPrecondition, "UNet2DConditionModel"));
}

TEST(ModelSourceTest, TellsWhichFileIsMissing) {
  for (const char* name :
       {"model_index.json", "unet/config.json", "vae/config.json", "text_encoder/config.json",
        "scheduler/scheduler_config.json", "tokenizer/vocab.json", "tokenizer/merges.txt",
        kUNetWeights, kVaeWeights, kTextWeights, "unet", "tokenizer"}) {
    const ModelFolder folder("sd1-like");
    folder.Remove(name);
    EXPECT_THAT(folder.Load(), StatusIs(kNotFound, std::string(name).substr(0, 3))) << name;
  }
  EXPECT_THAT(ReadModelSource("/no/such/folder", {}),
              StatusIs(kNotFound, "/no/such/folder: no such file or folder"));
}

TEST(ModelSourceTest, RefusesOtherPipelinesByName) {
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

TEST(ModelSourceTest, RefusesOtherParts) {
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

TEST(ModelSourceTest, RefusesPartsThatDoNotFitTogether) {
  const ModelFolder context("sd1-like");
  context.EditJson("unet/config.json", [](Json& json) { json["cross_attention_dim"] = 768; });
  EXPECT_THAT(context.Load(), StatusIs(kFailedPrecondition,
                                       "hidden_size 32 is not the UNet's cross_attention_dim 768"));
  const ModelFolder latent("sd1-like");
  latent.EditJson("vae/config.json", [](Json& json) { json["latent_channels"] = 16; });
  EXPECT_THAT(latent.Load(), StatusIs(kFailedPrecondition, "latent_channels 16"));
  const ModelFolder positions("sd1-like");
  positions.EditJson("text_encoder/config.json",
                     [](Json& json) { json["max_position_embeddings"] = 64; });
  EXPECT_THAT(positions.Load(), StatusIs(kFailedPrecondition, "max_position_embeddings 64"));
}

TEST(ModelSourceTest, RefusesATokenizerWithMoreIdsThanTheTextEncoder) {
  const ModelFolder folder("sd1-like");
  folder.EditJson("tokenizer/vocab.json", [](Json& json) { json["dog"] = 1014; });
  EXPECT_THAT(folder.Load(), StatusIs(kDataLoss, "\"dog\" is not in [0, 1014)"));
}

// "!" in a text is the padding's id 0 in SD 2.x, and text in SD 1.x.
TEST(ModelSourceTest, ThePaddingIsThatOfTheSpecialTokensMap) {
  const ModelFolder folder("sd2-base-like");
  AD_ASSERT_OK_AND_ASSIGN(const ModelSource exclamation, folder.Load());
  folder.EditJson("tokenizer/special_tokens_map.json",
                  [](Json& json) { json["pad_token"] = "<|endoftext|>"; });
  AD_ASSERT_OK_AND_ASSIGN(const ModelSource end, folder.Load());
  EXPECT_NE(exclamation.denoiser->text[0].tokenizer->Encode(""),
            end.denoiser->text[0].tokenizer->Encode(""));
}

TEST(ModelSourceTest, RefusesBrokenAndOversizedConfigs) {
  for (const char* name : {"model_index.json", "unet/config.json", "vae/config.json",
                           "text_encoder/config.json", "scheduler/scheduler_config.json"}) {
    const ModelFolder folder("sd1-like");
    folder.Write(name, "{\"sample_size\": ");
    EXPECT_THAT(folder.Load(), StatusIs(kDataLoss, name));
    std::string oversized(2'000'000, ' ');
    oversized.append("{}");
    folder.Write(name, oversized);
    EXPECT_THAT(folder.Load(), StatusIs(kDataLoss, "limit"));
  }
}

TEST(ModelSourceTest, ReadsTheScheduleAndRefusesOneThatDoesNotAddUp) {
  const ModelFolder folder("sd1-like");
  const auto set = [&folder](const char* key, const Json& value) {
    folder.EditJson("scheduler/scheduler_config.json", [&](Json& json) { json[key] = value; });
  };
  set("num_train_timesteps", 500);
  set("beta_schedule", "linear");
  AD_ASSERT_OK_AND_ASSIGN(const ModelSource source, folder.Load());
  EXPECT_EQ(source.denoiser->schedule.num_train_timesteps, 500);
  EXPECT_EQ(source.denoiser->schedule.beta_schedule, "linear");
  set("beta_end", 0.0001);
  EXPECT_THAT(folder.Load(), StatusIs(kDataLoss, "scheduler_config.json"));
}

}  // namespace
}  // namespace antidiffusion
