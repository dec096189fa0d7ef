#include "server/wire/message_conversion.h"

#include <gtest/gtest.h>

namespace antidiffusion {
namespace {

TEST(MessageConversionTest, AModelKeepsWhatItCanDo) {
  ModelInfo info;
  info.name = "editor";
  info.family = "pix2pix";
  info.prediction_type = "epsilon";
  info.native_side = 512;
  info.digest = "abc";
  info.device = "cuda:1";
  info.precision = "bf16";
  info.latent_channels = 4;
  info.denoises = true;
  info.has_semantic_layers = true;
  info.guides_by_image = true;
  const v1::Model proto = ToProto(info);
  EXPECT_EQ(proto.capabilities().latent_channels(), 4);
  EXPECT_TRUE(proto.capabilities().denoises());
  EXPECT_TRUE(proto.capabilities().semantic_layers());
  EXPECT_TRUE(proto.capabilities().guides_by_image());
  const ModelInfo read = FromProto(proto);
  EXPECT_EQ(read.name, "editor");
  EXPECT_EQ(read.family, "pix2pix");
  EXPECT_EQ(read.prediction_type, "epsilon");
  EXPECT_EQ(read.native_side, 512);
  EXPECT_EQ(read.digest, "abc");
  EXPECT_EQ(read.device, "cuda:1");
  EXPECT_EQ(read.precision, "bf16");
  EXPECT_EQ(read.latent_channels, 4);
  EXPECT_TRUE(read.denoises && read.has_semantic_layers && read.guides_by_image);
}

TEST(MessageConversionTest, AnEncoderCanDoLess) {
  ModelInfo info;
  info.name = "vae";
  info.latent_channels = 16;
  const ModelInfo read = FromProto(ToProto(info));
  EXPECT_EQ(read.latent_channels, 16);
  EXPECT_FALSE(read.denoises || read.has_semantic_layers || read.guides_by_image);
  EXPECT_EQ(read.device, "");
}

TEST(MessageConversionTest, AFullReportKeepsItsProbes) {
  const FullReport report{{1, 2, 3}, {4, 5, 6}, {7, 8, 9}, {10, 11, 12}, {13, 14, 15}};
  const FullReport read = FromProto(ToProto(report));
  EXPECT_EQ(read.before.denoising_loss, 1);
  EXPECT_EQ(read.after.attention_concentration, 5);
  EXPECT_EQ(read.after_jpeg_q75.gain_left, 9);
  EXPECT_EQ(read.after_half_and_back.denoising_loss, 10);
  EXPECT_EQ(read.after_blur.gain_left, 15);
}

}  // namespace
}  // namespace antidiffusion
