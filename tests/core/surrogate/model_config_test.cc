// The config files alone: defaults of missing keys, and features that are refused.
#include "core/surrogate/model_config.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

using ::testing::ElementsAre;
using Json = nlohmann::json;

constexpr absl::StatusCode kDataLoss = absl::StatusCode::kDataLoss;
constexpr absl::StatusCode kFailedPrecondition = absl::StatusCode::kFailedPrecondition;

// unet/config.json of SD 1.5 as diffusers 0.6 wrote it.
Json Sd15UNet() {
  return Json::parse(R"({
    "_class_name": "UNet2DConditionModel", "_diffusers_version": "0.6.0", "act_fn": "silu",
    "attention_head_dim": 8, "block_out_channels": [320, 640, 1280, 1280],
    "center_input_sample": false, "cross_attention_dim": 768,
    "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D",
                         "DownBlock2D"],
    "downsample_padding": 1, "flip_sin_to_cos": true, "freq_shift": 0, "in_channels": 4,
    "layers_per_block": 2, "mid_block_scale_factor": 1, "norm_eps": 1e-05, "norm_num_groups": 32,
    "out_channels": 4, "sample_size": 64,
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D",
                       "CrossAttnUpBlock2D"]})");
}

Json With(Json json, const char* key, const Json& value) {
  json[key] = value;
  return json;
}

TEST(UNetConfigTest, AttentionHeadDimIsTheNumberOfHeads) {
  AD_ASSERT_OK_AND_ASSIGN(const UNetConfig sd15, ParseUNetConfig(Sd15UNet(), "f"));
  EXPECT_THAT(sd15.attention_heads, ElementsAre(8, 8, 8, 8));
  EXPECT_EQ(sd15.cross_attention_dim, 768);
  AD_ASSERT_OK_AND_ASSIGN(
      const UNetConfig list,
      ParseUNetConfig(With(Sd15UNet(), "attention_head_dim", {5, 10, 20, 20}), "f"));
  EXPECT_THAT(list.attention_heads, ElementsAre(5, 10, 20, 20));
  AD_ASSERT_OK_AND_ASSIGN(const UNetConfig named,
                          ParseUNetConfig(With(Sd15UNet(), "num_attention_heads", 4), "f"));
  EXPECT_THAT(named.attention_heads, ElementsAre(4, 4, 4, 4));
}

TEST(UNetConfigTest, MissingAndNullKeysMeanDefaults) {
  const UNetConfig defaults;
  for (const Json& json : {Json::object(), Json{{"attention_head_dim", nullptr},
                                                {"use_linear_projection", nullptr},
                                                {"sample_size", nullptr}}}) {
    AD_ASSERT_OK_AND_ASSIGN(const UNetConfig config, ParseUNetConfig(json, "f"));
    EXPECT_EQ(config.sample_size, 64);
    EXPECT_EQ(config.block_out_channels, defaults.block_out_channels);
    EXPECT_EQ(config.down_block_types, defaults.down_block_types);
    EXPECT_EQ(config.up_block_types, defaults.up_block_types);
    EXPECT_THAT(config.attention_heads, ElementsAre(8, 8, 8, 8));
    EXPECT_EQ(config.cross_attention_dim, 1280);
    EXPECT_EQ(config.layers_per_block, 2);
    EXPECT_FALSE(config.use_linear_projection);
    EXPECT_TRUE(config.flip_sin_to_cos);
    EXPECT_EQ(config.norm_eps, 1e-5);
  }
}

TEST(UNetConfigTest, TheFamilyIsToldByTheLinearProjection) {
  AD_ASSERT_OK_AND_ASSIGN(const UNetConfig sd1, ParseUNetConfig(Sd15UNet(), "f"));
  EXPECT_EQ(FamilyOf(sd1), "sd1");
  AD_ASSERT_OK_AND_ASSIGN(const UNetConfig sd2,
                          ParseUNetConfig(With(Sd15UNet(), "use_linear_projection", true), "f"));
  EXPECT_EQ(FamilyOf(sd2), "sd2");
}

TEST(UNetConfigTest, AcceptsWhatChangesNothing) {
  for (const auto& [key, value] : std::vector<std::pair<const char*, Json>>{
           {"upcast_attention", true},
           {"mid_block_type", "UNetMidBlock2DCrossAttn"},
           {"only_cross_attention", {false, false, false, false}},
           {"transformer_layers_per_block", 1},
           {"transformer_layers_per_block", {1, 1, 1, 1}},
           {"layers_per_block", {2, 2, 2, 2}},
           {"cross_attention_dim", {768, 768, 768, 768}},
           {"addition_embed_type_num_heads", 64},
           {"class_embed_type", nullptr},
           {"dropout", 0.0},
           {"resnet_out_scale_factor", 1.0},
           {"some_key_of_the_future", 3}}) {
    EXPECT_THAT(ParseUNetConfig(With(Sd15UNet(), key, value), "f"), IsOk()) << key << value;
  }
}

TEST(UNetConfigTest, RefusesWhatIsNotSupportedAndTellsTheKey) {
  for (const auto& [key, value] : std::vector<std::pair<const char*, Json>>{
           {"_class_name", "UNet2DModel"},
           {"class_embed_type", "timestep"},
           {"num_class_embeds", 1000},
           {"addition_embed_type", "text_time"},
           {"encoder_hid_dim", 4096},
           {"time_embedding_type", "fourier"},
           {"time_embedding_dim", 512},
           {"time_cond_proj_dim", 256},
           {"timestep_post_act", "silu"},
           {"dual_cross_attention", true},
           {"only_cross_attention", true},
           {"only_cross_attention", {true, true, true, false}},
           {"mid_block_only_cross_attention", true},
           {"resnet_time_scale_shift", "scale_shift"},
           {"resnet_skip_time_act", true},
           {"resnet_out_scale_factor", 2.0},
           {"act_fn", "gelu"},
           {"mid_block_type", "UNetMidBlock2DSimpleCrossAttn"},
           {"mid_block_scale_factor", 1.5},
           {"attention_type", "gated"},
           {"transformer_layers_per_block", {1, 2, 10, 10}},
           {"layers_per_block", {2, 2, 2, 3}},
           {"cross_attention_dim", {768, 768, 768, 1024}},
           {"center_input_sample", true},
           {"downsample_padding", 0},
           {"conv_in_kernel", 1},
           {"conv_out_kernel", 1},
           {"dropout", 0.1},
           {"cross_attention_norm", "group_norm"},
           {"down_block_types",
            {"CrossAttnDownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"}},
           {"up_block_types", {"UpBlock2D", "UpBlock2D", "UpBlock2D", "SimpleCrossAttnUpBlock2D"}},
           {"out_channels", 8}}) {
    EXPECT_THAT(ParseUNetConfig(With(Sd15UNet(), key, value), "unet/config.json"),
                StatusIs(kFailedPrecondition, std::string("unet/config.json: ") + key))
        << value;
  }
}

TEST(UNetConfigTest, TellsWhichKindOfModelTakesMoreChannels) {
  const auto parse = [](int channels) {
    return ParseUNetConfig(With(Sd15UNet(), "in_channels", channels), "f");
  };
  EXPECT_THAT(parse(9), StatusIs(kFailedPrecondition, "9 belongs to an inpainting model"));
  EXPECT_THAT(parse(8), StatusIs(kFailedPrecondition, "image-editing"));
  EXPECT_THAT(parse(7), StatusIs(kFailedPrecondition, "upscaling"));
  EXPECT_THAT(parse(5), StatusIs(kFailedPrecondition, "depth"));
  EXPECT_THAT(parse(3), StatusIs(kFailedPrecondition, "another kind"));
}

TEST(UNetConfigTest, RefusesValuesThatDoNotAddUp) {
  for (const auto& [key, value] :
       std::vector<std::pair<const char*, Json>>{{"in_channels", "4"},
                                                 {"sample_size", {64, 64}},
                                                 {"sample_size", 0},
                                                 {"sample_size", 18446744073709551615ULL},
                                                 {"layers_per_block", -1},
                                                 {"layers_per_block", 1'000'000},
                                                 {"layers_per_block", Json::array()},
                                                 {"block_out_channels", 320},
                                                 {"block_out_channels", Json::array()},
                                                 {"block_out_channels", {320, 640, 1280, 1281}},
                                                 {"block_out_channels", {320, 640, 1280}},
                                                 {"block_out_channels", std::vector<int>(9, 320)},
                                                 {"block_out_channels", {320, 640, 1280, 1e30}},
                                                 {"attention_head_dim", {8, 8, 8}},
                                                 {"attention_head_dim", 7},
                                                 {"attention_head_dim", 0},
                                                 {"norm_num_groups", 33},
                                                 {"norm_num_groups", 0},
                                                 {"norm_eps", "small"},
                                                 {"norm_eps", -1},
                                                 {"use_linear_projection", 1},
                                                 {"down_block_types", {"DownBlock2D"}},
                                                 {"down_block_types", {1, 2, 3, 4}},
                                                 {"freq_shift", 2}}) {
    EXPECT_THAT(ParseUNetConfig(With(Sd15UNet(), key, value), "f"), StatusIs(kDataLoss))
        << key << value;
  }
}

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
           {"use_quant_conv", false},
           {"use_post_quant_conv", false},
           {"mid_block_add_attention", false},
           {"shift_factor", 0.1},
           {"latents_mean", {0.0, 0.0, 0.0, 0.0}},
           {"act_fn", "gelu"},
           {"in_channels", 4},
           {"out_channels", 4},
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

TEST(ClipTextConfigTest, MissingKeysMeanDefaults) {
  AD_ASSERT_OK_AND_ASSIGN(const ClipTextConfig config, ParseClipTextConfig(Json::object(), "f"));
  EXPECT_EQ(config.vocab_size, 49408);
  EXPECT_EQ(config.hidden_size, 512);
  EXPECT_EQ(config.intermediate_size, 2048);
  EXPECT_EQ(config.num_hidden_layers, 12);
  EXPECT_EQ(config.num_attention_heads, 8);
  EXPECT_EQ(config.max_position_embeddings, 77);
  EXPECT_EQ(config.hidden_act, "quick_gelu");
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

TEST(NoiseScheduleConfigTest, RefusesWhatIsNotSupported) {
  const Json pndm = {{"_class_name", "PNDMScheduler"}};
  for (const auto& [key, value] :
       std::vector<std::pair<const char*, Json>>{{"_class_name", "FlowMatchEulerDiscreteScheduler"},
                                                 {"beta_schedule", "sigmoid"},
                                                 {"prediction_type", "sample"},
                                                 {"trained_betas", {0.1, 0.2}},
                                                 {"rescale_betas_zero_snr", true}}) {
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
