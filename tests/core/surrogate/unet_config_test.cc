// A UNet's config file: defaults of missing keys, and features that are refused.
#include "core/surrogate/model_config.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/surrogate/config_json.h"
#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

using ::testing::ElementsAre;
using Json = nlohmann::json;

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
    EXPECT_THAT(config.layers_per_block, ElementsAre(2, 2, 2, 2));
    EXPECT_THAT(config.transformer_layers, ElementsAre(1, 1, 1, 1));
    EXPECT_TRUE(config.has_mid_block);
    EXPECT_FALSE(config.has_added_embedding());
    EXPECT_FALSE(config.use_linear_projection);
    EXPECT_TRUE(config.flip_sin_to_cos);
    EXPECT_EQ(config.norm_eps, 1e-5);
  }
}

TEST(UNetConfigTest, TheFamilyIsToldByTheUNet) {
  for (const auto& [json, family] : std::vector<std::pair<Json, std::string>>{
           {Sd15UNet(), "sd1"},
           {With(Sd15UNet(), "use_linear_projection", true), "sd2"},
           {With(Sd15UNet(), "in_channels", 9), "inpaint"},
           {With(Sd15UNet(), "in_channels", 8), "pix2pix"},
           {SdxlUNet(), "sdxl"},
           {With(SdxlUNet(), "in_channels", 9), "sdxl-inpaint"},
           {With(SdxlUNet(), "in_channels", 8), "sdxl-pix2pix"}}) {
    AD_ASSERT_OK_AND_ASSIGN(const UNetConfig config, ParseUNetConfig(json, "f"));
    EXPECT_EQ(FamilyOf(config), family);
  }
}

TEST(UNetConfigTest, MidBlockNullIsNotTheSameAsMissing) {
  AD_ASSERT_OK_AND_ASSIGN(const UNetConfig without,
                          ParseUNetConfig(With(Sd15UNet(), "mid_block_type", nullptr), "f"));
  EXPECT_FALSE(without.has_mid_block);
  AD_ASSERT_OK_AND_ASSIGN(const UNetConfig missing, ParseUNetConfig(Sd15UNet(), "f"));
  EXPECT_TRUE(missing.has_mid_block);
}

TEST(UNetConfigTest, ListsHaveOneEntryALevel) {
  Json json = With(Sd15UNet(), "layers_per_block", {2, 1, 3, 2});
  json["transformer_layers_per_block"] = {1, 2, 4, 0};  // the last level has no transformers
  json["mid_block_type"] = nullptr;
  AD_ASSERT_OK_AND_ASSIGN(const UNetConfig config, ParseUNetConfig(json, "f"));
  EXPECT_THAT(config.layers_per_block, ElementsAre(2, 1, 3, 2));
  EXPECT_THAT(config.transformer_layers, ElementsAre(1, 2, 4, 0));
  json.erase("mid_block_type");
  EXPECT_THAT(ParseUNetConfig(json, "f"), StatusIs(kDataLoss, "transformer_layers_per_block: 0"));
}

TEST(UNetConfigTest, SampleSizeMayBeAPair) {
  AD_ASSERT_OK_AND_ASSIGN(const UNetConfig config,
                          ParseUNetConfig(With(Sd15UNet(), "sample_size", {96, 64}), "f"));
  EXPECT_EQ(config.sample_size, 64);
}

TEST(UNetConfigTest, ReadsTheAddedEmbedding) {
  AD_ASSERT_OK_AND_ASSIGN(const UNetConfig config, ParseUNetConfig(SdxlUNet(), "f"));
  EXPECT_TRUE(config.has_added_embedding());
  EXPECT_EQ(config.addition_time_embed_dim, 256);
  EXPECT_EQ(config.pooled_dim(), 1280);
  EXPECT_THAT(config.attention_heads, ElementsAre(5, 10, 20));
  EXPECT_THAT(config.transformer_layers, ElementsAre(1, 2, 10));
  for (const auto& [key, value] : std::vector<std::pair<const char*, Json>>{
           {"addition_time_embed_dim", nullptr},
           {"addition_time_embed_dim", 255},
           {"addition_time_embed_dim", 1'000'000},
           {"projection_class_embeddings_input_dim", nullptr},
           {"projection_class_embeddings_input_dim", 1536},
           {"projection_class_embeddings_input_dim", 1'000'000}}) {
    EXPECT_THAT(ParseUNetConfig(With(SdxlUNet(), key, value), "f"), StatusIs(kDataLoss))
        << key << value;
  }
  EXPECT_THAT(ParseUNetConfig(With(SdxlUNet(), "addition_embed_type", "text"), "f"),
              StatusIs(kFailedPrecondition, "addition_embed_type"));
}

TEST(UNetConfigTest, AcceptsWhatChangesNothing) {
  for (const auto& [key, value] : std::vector<std::pair<const char*, Json>>{
           {"upcast_attention", true},
           {"mid_block_type", "UNetMidBlock2DCrossAttn"},
           {"only_cross_attention", {false, false, false, false}},
           {"transformer_layers_per_block", 1},
           {"addition_time_embed_dim", 256},  // without addition_embed_type
           {"projection_class_embeddings_input_dim", 1},
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
           {"addition_embed_type", "image"},
           {"reverse_transformer_layers_per_block", {{1, 1}, {1, 1}}},
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

TEST(UNetConfigTest, TellsWhichKindOfModelTakesOtherChannels) {
  const auto parse = [](int channels) {
    return ParseUNetConfig(With(Sd15UNet(), "in_channels", channels), "f");
  };
  EXPECT_THAT(parse(8), IsOk());
  EXPECT_THAT(parse(9), IsOk());
  EXPECT_THAT(parse(7), StatusIs(kFailedPrecondition, "in_channels: 7 belongs to an upscaling"));
  EXPECT_THAT(parse(5), StatusIs(kFailedPrecondition, "depth"));
  EXPECT_THAT(parse(3), StatusIs(kFailedPrecondition, "another kind"));
}

TEST(UNetConfigTest, RefusesValuesThatDoNotAddUp) {
  for (const auto& [key, value] :
       std::vector<std::pair<const char*, Json>>{{"in_channels", "4"},
                                                 {"sample_size", {64}},
                                                 {"sample_size", {64, 64, 64}},
                                                 {"sample_size", {64, 0}},
                                                 {"sample_size", {64, "64"}},
                                                 {"layers_per_block", {2, 2, 2}},
                                                 {"layers_per_block", 17},
                                                 {"transformer_layers_per_block", 33},
                                                 {"transformer_layers_per_block", 0},
                                                 {"transformer_layers_per_block", {1, 1, 1}},
                                                 {"transformer_layers_per_block", {1, 1, 1, {1}}},
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

}  // namespace
}  // namespace antidiffusion
