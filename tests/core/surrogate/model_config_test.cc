// Config files of encoders and samplers: defaults of missing keys, and features that are refused.
#include "core/surrogate/model_config.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/surrogate/config_json.h"
#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

using ::testing::ElementsAre;
using Json = nlohmann::json;

Json Sd15Vae() {
  return Json::parse(R"({
    "_class_name": "AutoencoderKL", "_diffusers_version": "0.6.0", "act_fn": "silu",
    "block_out_channels": [128, 256, 512, 512], "in_channels": 3, "out_channels": 3,
    "down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D",
                         "DownEncoderBlock2D"],
    "latent_channels": 4, "layers_per_block": 2, "norm_num_groups": 32, "sample_size": 512,
    "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D",
                       "UpDecoderBlock2D"]})");
}

TEST(VaeConfigTest, ReadsSd15WhoseScalingFactorIsMissing) {
  AD_ASSERT_OK_AND_ASSIGN(const VaeConfig config, ParseVaeConfig(Sd15Vae(), "f"));
  EXPECT_EQ(config.scaling_factor, 0.18215);
  EXPECT_EQ(config.factor(), 8);
  EXPECT_THAT(config.block_out_channels, ElementsAre(128, 256, 512, 512));
  AD_ASSERT_OK_AND_ASSIGN(const VaeConfig scaled,
                          ParseVaeConfig(With(Sd15Vae(), "scaling_factor", 0.5), "f"));
  EXPECT_EQ(scaled.scaling_factor, 0.5);
  AD_ASSERT_OK_AND_ASSIGN(const VaeConfig defaults, ParseVaeConfig(Json::object(), "f"));
  EXPECT_EQ(defaults.factor(), 1);
  EXPECT_EQ(defaults.layers_per_block, 1);
}

TEST(VaeConfigTest, RefusesWhatIsNotSupported) {
  for (const auto& [key, value] : std::vector<std::pair<const char*, Json>>{
           {"_class_name", "AutoencoderTiny"},
           {"mid_block_add_attention", false},
           {"latents_mean", {0.0, 0.0, 0.0, 0.0}},
           {"act_fn", "gelu"},
           {"in_channels", 4},
           {"down_block_types",
            {"DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D",
             "AttnDownEncoderBlock2D"}}}) {
    EXPECT_THAT(ParseVaeConfig(With(Sd15Vae(), key, value), "f"),
                StatusIs(kFailedPrecondition, key))
        << value;
  }
  EXPECT_THAT(ParseVaeConfig(With(Sd15Vae(), "force_upcast", false), "f"), IsOk());
  EXPECT_THAT(ParseVaeConfig(With(Sd15Vae(), "scaling_factor", 0), "f"), StatusIs(kDataLoss));
  EXPECT_THAT(ParseVaeConfig(With(Sd15Vae(), "norm_num_groups", 48), "f"), StatusIs(kDataLoss));
}

TEST(VaeConfigTest, ReadsSixteenChannelsWithoutQuantConvs) {
  Json flux = Sd15Vae();
  flux.update(
      Json::parse(R"({"latent_channels": 16, "use_quant_conv": false, "use_post_quant_conv": false,
    "scaling_factor": 0.3611, "shift_factor": 0.1159})"));
  AD_ASSERT_OK_AND_ASSIGN(const VaeConfig config, ParseVaeConfig(flux, "f"));
  EXPECT_EQ(config.latent_channels, 16);
  EXPECT_FALSE(config.use_quant_conv);
  EXPECT_EQ(config.scaling_factor, 0.3611);
  EXPECT_EQ(config.shift_factor, 0.1159);
  AD_ASSERT_OK_AND_ASSIGN(const VaeConfig sd15,
                          ParseVaeConfig(With(Sd15Vae(), "shift_factor", nullptr), "f"));
  EXPECT_TRUE(sd15.use_quant_conv);
  EXPECT_EQ(sd15.shift_factor, 0);
}

// Files of the decoder's half that are of no use here.
TEST(VaeConfigTest, DoesNotLookAtTheDecoder) {
  for (const auto& [key, value] :
       std::vector<std::pair<const char*, Json>>{{"out_channels", 4},
                                                 {"use_post_quant_conv", false},
                                                 {"up_block_types", {"AttnUpDecoderBlock2D"}}}) {
    EXPECT_THAT(ParseVaeConfig(With(Sd15Vae(), key, value), "f"), IsOk()) << key;
  }
}

TEST(TinyVaeConfigTest, MissingKeysMeanDefaults) {
  AD_ASSERT_OK_AND_ASSIGN(const TinyVaeConfig config, ParseTinyVaeConfig(Json::object(), "f"));
  EXPECT_EQ(config.channels, 64);
  EXPECT_THAT(config.num_blocks, ElementsAre(1, 3, 3, 3));
  EXPECT_EQ(config.factor(), 8);
  EXPECT_EQ(config.latent_channels, 4);
  EXPECT_EQ(config.scaling_factor, 1);
  EXPECT_EQ(config.shift_factor, 0);
}

TEST(TinyVaeConfigTest, RefusesWhatIsNotSupportedAndWhatDoesNotAddUp) {
  const auto parse = [](const char* key, const Json& value) {
    return ParseTinyVaeConfig({{"_class_name", "AutoencoderTiny"}, {key, value}}, "f");
  };
  EXPECT_THAT(parse("encoder_block_out_channels", {12, 12, 12, 12}), IsOk());
  EXPECT_THAT(parse("act_fn", "gelu"), StatusIs(kFailedPrecondition, "act_fn"));
  EXPECT_THAT(parse("in_channels", 4), StatusIs(kFailedPrecondition, "in_channels"));
  EXPECT_THAT(parse("encoder_block_out_channels", {12, 12, 12, 24}),
              StatusIs(kFailedPrecondition, "encoder_block_out_channels"));
  EXPECT_THAT(parse("encoder_block_out_channels", {12, 12}), StatusIs(kDataLoss));
  EXPECT_THAT(parse("num_encoder_blocks", {1, 3}), IsOk());
  EXPECT_THAT(parse("num_encoder_blocks", {1, 1000}), StatusIs(kDataLoss));
  EXPECT_THAT(parse("num_encoder_blocks", std::vector<int>(9, 1)), StatusIs(kDataLoss));
  EXPECT_THAT(ParseTinyVaeConfig({{"_class_name", "AutoencoderKL"}}, "f"),
              StatusIs(kFailedPrecondition, "_class_name"));
}

TEST(EncoderConfigTest, IsToldByTheClass) {
  AD_ASSERT_OK_AND_ASSIGN(const EncoderConfig kl, ParseEncoderConfig(Sd15Vae(), "f"));
  EXPECT_TRUE(std::holds_alternative<VaeConfig>(kl));
  AD_ASSERT_OK_AND_ASSIGN(const EncoderConfig tiny,
                          ParseEncoderConfig({{"_class_name", "AutoencoderTiny"}}, "f"));
  EXPECT_TRUE(std::holds_alternative<TinyVaeConfig>(tiny));
  EXPECT_THAT(ParseEncoderConfig(Json::object(), "f"), StatusIs(kFailedPrecondition, "none"));
  EXPECT_THAT(ParseEncoderConfig({{"_class_name", "AutoencoderDC"}}, "f"),
              StatusIs(kFailedPrecondition, "AutoencoderDC"));
}

TEST(ClipTextConfigTest, MissingKeysMeanDefaults) {
  AD_ASSERT_OK_AND_ASSIGN(const ClipTextConfig config, ParseClipTextConfig(Json::object(), "f"));
  EXPECT_EQ(config.vocab_size, 49408);
  EXPECT_EQ(config.hidden_size, 512);
  EXPECT_EQ(config.intermediate_size, 2048);
  EXPECT_EQ(config.num_hidden_layers, 12);
  EXPECT_EQ(config.num_attention_heads, 8);
  EXPECT_EQ(config.max_position_embeddings, 77);
  EXPECT_EQ(config.hidden_act, "quick_gelu");
  EXPECT_EQ(config.projection_dim, 0);
  EXPECT_EQ(config.eos_token_id, 49407);
}

TEST(ClipTextConfigTest, OnlyTheClassWithAProjectionHasOne) {
  Json json = {{"architectures", {"CLIPTextModel"}}, {"projection_dim", 768}, {"eos_token_id", 2}};
  AD_ASSERT_OK_AND_ASSIGN(const ClipTextConfig plain, ParseClipTextConfig(json, "f"));
  EXPECT_EQ(plain.projection_dim, 0);
  json["architectures"] = {"CLIPTextModelWithProjection"};
  AD_ASSERT_OK_AND_ASSIGN(const ClipTextConfig projected, ParseClipTextConfig(json, "f"));
  EXPECT_EQ(projected.projection_dim, 768);
  EXPECT_EQ(projected.eos_token_id, 2);
  json.erase("projection_dim");
  AD_ASSERT_OK_AND_ASSIGN(const ClipTextConfig by_default, ParseClipTextConfig(json, "f"));
  EXPECT_EQ(by_default.projection_dim, 512);
  EXPECT_THAT(ParseClipTextConfig(With(json, "projection_dim", 1 << 30), "f"),
              StatusIs(kDataLoss, "projection_dim"));
  EXPECT_THAT(ParseClipTextConfig(With(json, "eos_token_id", -1), "f"),
              StatusIs(kDataLoss, "eos_token_id"));
}

TEST(ClipTextConfigTest, RefusesWhatIsNotSupported) {
  EXPECT_THAT(ParseClipTextConfig({{"hidden_act", "gelu"}}, "f"), IsOk());
  EXPECT_THAT(ParseClipTextConfig({{"hidden_act", "gelu_new"}}, "f"),
              StatusIs(kFailedPrecondition, "gelu_new"));
  EXPECT_THAT(ParseClipTextConfig({{"architectures", {"T5EncoderModel"}}}, "f"),
              StatusIs(kFailedPrecondition, "architectures"));
  EXPECT_THAT(ParseClipTextConfig({{"num_attention_heads", 7}}, "f"), StatusIs(kDataLoss));
  EXPECT_THAT(ParseClipTextConfig({{"vocab_size", 1e9}}, "f"), StatusIs(kDataLoss));
}

TEST(NoiseScheduleConfigTest, DefaultsAreThoseOfTheSamplersClass) {
  AD_ASSERT_OK_AND_ASSIGN(const NoiseScheduleConfig pndm,
                          ParseNoiseScheduleConfig({{"_class_name", "PNDMScheduler"}}, "f"));
  EXPECT_EQ(pndm.num_train_timesteps, 1000);
  EXPECT_EQ(pndm.beta_start, 0.0001);
  EXPECT_EQ(pndm.beta_end, 0.02);
  EXPECT_EQ(pndm.beta_schedule, "linear");
  EXPECT_EQ(pndm.prediction_type, PredictionType::kEpsilon);
  AD_ASSERT_OK_AND_ASSIGN(const NoiseScheduleConfig lcm,
                          ParseNoiseScheduleConfig({{"_class_name", "LCMScheduler"}}, "f"));
  EXPECT_EQ(lcm.beta_start, 0.00085);
  EXPECT_EQ(lcm.beta_end, 0.012);
  EXPECT_EQ(lcm.beta_schedule, "scaled_linear");
}

TEST(NoiseScheduleConfigTest, ReadsThePublishedFilesOfAnySampler) {
  for (const char* name :
       {"PNDMScheduler", "DDIMScheduler", "EulerDiscreteScheduler",
        "EulerAncestralDiscreteScheduler", "DPMSolverMultistepScheduler", "ASamplerOfTheFuture"}) {
    AD_ASSERT_OK_AND_ASSIGN(const NoiseScheduleConfig config,
                            ParseNoiseScheduleConfig({{"_class_name", name},
                                                      {"beta_start", 0.00085},
                                                      {"beta_end", 0.012},
                                                      {"beta_schedule", "scaled_linear"},
                                                      {"num_train_timesteps", 1000},
                                                      {"prediction_type", "v_prediction"},
                                                      {"trained_betas", nullptr},
                                                      {"clip_sample", false}},
                                                     "f"));
    EXPECT_EQ(config.beta_start, 0.00085);
    EXPECT_EQ(config.beta_end, 0.012);
    EXPECT_EQ(config.beta_schedule, "scaled_linear");
    EXPECT_EQ(config.prediction_type, PredictionType::kVPrediction);
  }
}

TEST(NoiseScheduleConfigTest, ReadsWhetherTheLastStepIsNoiseAlone) {
  Json json = {{"_class_name", "DDIMScheduler"}};
  AD_ASSERT_OK_AND_ASSIGN(const NoiseScheduleConfig plain, ParseNoiseScheduleConfig(json, "f"));
  EXPECT_FALSE(plain.rescale_betas_zero_snr);
  json["rescale_betas_zero_snr"] = true;
  AD_ASSERT_OK_AND_ASSIGN(const NoiseScheduleConfig rescaled, ParseNoiseScheduleConfig(json, "f"));
  EXPECT_TRUE(rescaled.rescale_betas_zero_snr);
}

TEST(NoiseScheduleConfigTest, RefusesWhatIsNotSupported) {
  const Json pndm = {{"_class_name", "PNDMScheduler"}};
  for (const auto& [key, value] :
       std::vector<std::pair<const char*, Json>>{{"_class_name", "FlowMatchEulerDiscreteScheduler"},
                                                 {"beta_schedule", "sigmoid"},
                                                 {"prediction_type", "sample"},
                                                 {"trained_betas", {0.1, 0.2}}}) {
    EXPECT_THAT(ParseNoiseScheduleConfig(With(pndm, key, value), "f"),
                StatusIs(kFailedPrecondition, key));
  }
  for (const auto& [key, value] : std::vector<std::pair<const char*, Json>>{
           {"beta_start", "0.1"}, {"beta_end", 2}, {"num_train_timesteps", 0}}) {
    EXPECT_THAT(ParseNoiseScheduleConfig(With(pndm, key, value), "f"), StatusIs(kDataLoss, key));
  }
}

}  // namespace
}  // namespace antidiffusion
