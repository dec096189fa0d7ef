// Which pipelines there are, and whether the parts of a model fit together.
#include "core/surrogate/model_config.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/surrogate/config_json.h"
#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

using Json = nlohmann::json;
using Task = Pipeline::Task;

constexpr Pipeline kText = {Task::kTextToImage, false}, kXlText = {Task::kTextToImage, true};
constexpr Pipeline kInpaint = {Task::kInpaint, false}, kXlInpaint = {Task::kInpaint, true};
constexpr Pipeline kEdit = {Task::kInstructPix2Pix, false},
                   kXlEdit = {Task::kInstructPix2Pix, true};

Json Index(const char* pipeline) {
  return {{"_class_name", pipeline},
          {"unet", {"diffusers", "UNet2DConditionModel"}},
          {"vae", {"diffusers", "AutoencoderKL"}},
          {"text_encoder", {"transformers", "CLIPTextModel"}},
          {"text_encoder_2", {"transformers", "CLIPTextModelWithProjection"}}};
}

TEST(ModelIndexTest, TellsThePipeline) {
  for (const auto& [name, wanted] : std::vector<std::pair<const char*, Pipeline>>{
           {"StableDiffusionPipeline", kText},
           {"StableDiffusionImg2ImgPipeline", kText},
           {"StableDiffusionInpaintPipeline", kInpaint},
           {"StableDiffusionInstructPix2PixPipeline", kEdit},
           {"StableDiffusionXLPipeline", kXlText},
           {"StableDiffusionXLImg2ImgPipeline", kXlText},
           {"StableDiffusionXLInpaintPipeline", kXlInpaint},
           {"StableDiffusionXLInstructPix2PixPipeline", kXlEdit}}) {
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
  const Json edit = Index("StableDiffusionXLInstructPix2PixPipeline");
  EXPECT_THAT(ParseModelIndex(With(edit, "is_cosxl_edit", false), "f"), IsOk());
  EXPECT_THAT(ParseModelIndex(With(edit, "is_cosxl_edit", true), "f"),
              StatusIs(kFailedPrecondition, "is_cosxl_edit"));
  EXPECT_THAT(ParseModelIndex(With(sd, "text_encoder_2", nullptr), "f"), IsOk());
  EXPECT_THAT(ParseModelIndex(With(xl, "text_encoder_2", nullptr), "f"),
              StatusIs(kFailedPrecondition, "text_encoder_2"));
  EXPECT_THAT(ParseModelIndex(With(xl, "text_encoder", {nullptr, nullptr}), "f"),
              StatusIs(kFailedPrecondition, "text_encoder: needs a CLIPTextModel, found none"));
}

TEST(PipelineTest, FitsTheUNetsThatItCanFeed) {
  UNetConfig text, edit, inpaint;
  edit.in_channels = 8;
  inpaint.in_channels = 9;
  UNetConfig xl = text, xl_edit = edit, xl_inpaint = inpaint;
  for (UNetConfig* unet : {&xl, &xl_edit, &xl_inpaint}) {
    unet->projection_class_embeddings_input_dim = 2816;
  }
  for (const auto& [pipeline, unet] :
       std::vector<std::pair<Pipeline, UNetConfig>>{{kText, text},
                                                    {kInpaint, text},
                                                    {kInpaint, inpaint},
                                                    {kEdit, edit},
                                                    {kXlText, xl},
                                                    {kXlInpaint, xl},
                                                    {kXlInpaint, xl_inpaint},
                                                    {kXlEdit, xl_edit}}) {
    EXPECT_THAT(CheckPipelineFits(pipeline, unet), IsOk());
  }
  for (const auto& [pipeline, unet] :
       std::vector<std::pair<Pipeline, UNetConfig>>{{kText, inpaint},
                                                    {kText, edit},
                                                    {kText, xl},
                                                    {kInpaint, edit},
                                                    {kInpaint, xl_inpaint},
                                                    {kEdit, text},
                                                    {kXlText, text},
                                                    {kXlText, xl_edit},
                                                    {kXlEdit, xl},
                                                    {kXlEdit, edit}}) {
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
