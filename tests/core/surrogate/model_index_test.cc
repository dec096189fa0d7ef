// Which pipelines there are, and whether the parts of a model fit together.
#include "core/surrogate/model_config.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/surrogate/config_json.h"
#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

using Json = nlohmann::json;

Json Index(const char* pipeline) {
  return {{"_class_name", pipeline},
          {"unet", {"diffusers", "UNet2DConditionModel"}},
          {"vae", {"diffusers", "AutoencoderKL"}},
          {"text_encoder", {"transformers", "CLIPTextModel"}},
          {"text_encoder_2", {"transformers", "CLIPTextModelWithProjection"}}};
}

TEST(ModelIndexTest, TellsThePipeline) {
  for (const auto& [name, wanted] : std::vector<std::pair<const char*, Pipeline>>{
           {"StableDiffusionPipeline", Pipeline::kTextToImage},
           {"StableDiffusionImg2ImgPipeline", Pipeline::kTextToImage},
           {"StableDiffusionInpaintPipeline", Pipeline::kInpaint},
           {"StableDiffusionInstructPix2PixPipeline", Pipeline::kInstructPix2Pix},
           {"StableDiffusionXLPipeline", Pipeline::kXl},
           {"StableDiffusionXLImg2ImgPipeline", Pipeline::kXl},
           {"StableDiffusionXLInpaintPipeline", Pipeline::kXl}}) {
    AD_ASSERT_OK_AND_ASSIGN(const Pipeline pipeline, ParseModelIndex(Index(name), "f"));
    EXPECT_EQ(pipeline, wanted) << name;
  }
}

TEST(ModelIndexTest, RefusesOtherPipelinesAndOtherParts) {
  for (const char* name : {"StableDiffusion3Pipeline", "FluxPipeline", ""}) {
    EXPECT_THAT(ParseModelIndex(Index(name), "f"), StatusIs(kFailedPrecondition, "_class_name"));
  }
  const Json sd = Index("StableDiffusionPipeline"), xl = Index("StableDiffusionXLPipeline");
  for (const char* part : {"unet", "vae", "text_encoder"}) {
    EXPECT_THAT(ParseModelIndex(With(sd, part, {"diffusers", "Other"}), "f"),
                StatusIs(kFailedPrecondition, part));
  }
  EXPECT_THAT(ParseModelIndex(With(sd, "text_encoder_2", nullptr), "f"), IsOk());
  EXPECT_THAT(ParseModelIndex(With(xl, "text_encoder_2", nullptr), "f"),
              StatusIs(kFailedPrecondition, "text_encoder_2"));
  EXPECT_THAT(ParseModelIndex(With(xl, "text_encoder", {nullptr, nullptr}), "f"),
              StatusIs(kFailedPrecondition, "text_encoder: needs a CLIPTextModel, found none"));
}

TEST(PipelineTest, FitsTheUNetsThatItCanFeed) {
  UNetConfig text, edit, inpaint, xl;
  edit.in_channels = 8;
  inpaint.in_channels = 9;
  xl.projection_class_embeddings_input_dim = 2816;
  using enum Pipeline;
  for (const auto& [pipeline, unet] :
       std::vector<std::pair<Pipeline, UNetConfig>>{{kTextToImage, text},
                                                    {kInpaint, text},
                                                    {kInpaint, inpaint},
                                                    {kInstructPix2Pix, edit},
                                                    {kXl, xl}}) {
    EXPECT_THAT(CheckPipelineFits(pipeline, unet), IsOk());
  }
  for (const auto& [pipeline, unet] :
       std::vector<std::pair<Pipeline, UNetConfig>>{{kTextToImage, inpaint},
                                                    {kTextToImage, edit},
                                                    {kTextToImage, xl},
                                                    {kInpaint, edit},
                                                    {kInstructPix2Pix, text},
                                                    {kXl, text}}) {
    EXPECT_THAT(CheckPipelineFits(pipeline, unet),
                StatusIs(kFailedPrecondition, std::to_string(unet.in_channels)));
  }
}

TEST(PartsTest, WidthsAndNumberOfTextEncodersMustFit) {
  AD_ASSERT_OK_AND_ASSIGN(const UNetConfig unet, ParseUNetConfig(SdxlUNet(), "f"));
  ClipTextConfig first, second;
  first.hidden_size = 768;
  second.hidden_size = second.projection_dim = 1280;
  const VaeConfig vae;
  EXPECT_THAT(CheckPartsFit(unet, vae, {first, second}), IsOk());
  EXPECT_THAT(CheckPartsFit(unet, vae, {first}), StatusIs(kFailedPrecondition, "1 text encoders"));
  EXPECT_THAT(CheckPartsFit(unet, vae, {first, first}),
              StatusIs(kFailedPrecondition, "hidden_size 768 + 768 is not"));
  second.projection_dim = 1024;
  EXPECT_THAT(CheckPartsFit(unet, vae, {first, second}),
              StatusIs(kFailedPrecondition, "projection_dim 1024 is not the 1280"));
  second.projection_dim = 1280;
  second.max_position_embeddings = 76;
  EXPECT_THAT(CheckPartsFit(unet, vae, {first, second}), StatusIs(kFailedPrecondition, "76"));
  VaeConfig wide;
  wide.latent_channels = 16;
  second.max_position_embeddings = 77;
  EXPECT_THAT(CheckPartsFit(unet, wide, {first, second}),
              StatusIs(kFailedPrecondition, "latent_channels 16"));
}

}  // namespace
}  // namespace antidiffusion
