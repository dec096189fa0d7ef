#include "server/proto_conversion.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

#include "core/base/status_details.h"
#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

TEST(ToProtoTest, ResultKeepsEverything) {
  JobResult result;
  result.image = "bytes";
  result.format = ImageFormat::kWebp;
  result.report = {
      .max_difference = 5,
      .bound = 6,
      .psnr = 40.5,
      .ssim = 0.99,
      .visibility_limit = 0.6,
      .visibility = {.chroma_bias = 0.5, .chroma_bias_95 = 0.9, .low_frequency_share = 0.25},
      .codec_difference = 3,
      .codec_note = "note",
      .full = FullReport{}};
  result.report.full->after = {1.5, 2.5, 1};
  result.model.name = "m";
  result.model.digest = "abc";
  result.model.device = "cpu";
  result.model.precision = "fp32";
  result.seed = 7;
  result.unet_passes = 310;
  result.stage_seconds = {{"pgd", 1.25}};
  const v1::JobEvent event =
      ToProto(JobEvent{9, std::make_shared<const JobResult>(std::move(result))}, "job");
  EXPECT_EQ(event.sequence(), 9u);
  const v1::ProtectionResult& proto = event.result();
  EXPECT_EQ(proto.image_bytes(), 5);
  EXPECT_EQ(proto.mime_type(), "image/webp");
  EXPECT_EQ(proto.report().max_difference(), 5);
  EXPECT_EQ(proto.report().visibility(), 0.6);
  EXPECT_EQ(proto.report().chroma_bias(), 0.5);
  EXPECT_EQ(proto.report().chroma_bias_95(), 0.9);
  EXPECT_EQ(proto.report().low_frequency_share(), 0.25);
  EXPECT_EQ(proto.report().budget(), 6);
  EXPECT_EQ(proto.report().psnr(), 40.5);
  EXPECT_EQ(proto.report().ssim(), 0.99);
  EXPECT_EQ(proto.report().codec_difference(), 3);
  EXPECT_EQ(proto.report().codec_note(), "note");
  EXPECT_EQ(proto.report().full().after().denoising_loss(), 1.5);
  EXPECT_EQ(proto.report().full().after().attention_concentration(), 2.5);
  EXPECT_EQ(proto.report().full().after().gain_left(), 1);
  EXPECT_EQ(proto.model(), "m");
  EXPECT_EQ(proto.model_digest(), "abc");
  EXPECT_EQ(proto.device(), "cpu");
  EXPECT_EQ(proto.precision(), "fp32");
  EXPECT_EQ(proto.seed(), 7u);
  EXPECT_EQ(proto.unet_passes(), 310);
  EXPECT_EQ(proto.stage_seconds().at("pgd"), 1.25);
}

}  // namespace
}  // namespace antidiffusion
