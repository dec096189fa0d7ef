#include "server/wire/message_conversion.h"

namespace antidiffusion {
namespace {

void Fill(const Probe& probe, v1::Probe* proto) {
  proto->set_denoising_loss(probe.denoising_loss);
  proto->set_attention_concentration(probe.attention_concentration);
  proto->set_gain_left(probe.gain_left);
}

Probe FromProto(const v1::Probe& proto) {
  return {proto.denoising_loss(), proto.attention_concentration(), proto.gain_left()};
}

}  // namespace

v1::Model ToProto(const ModelInfo& info) {
  v1::Model proto;
  proto.set_name(info.name);
  proto.set_family(info.family);
  proto.set_prediction_type(info.prediction_type);
  proto.set_native_side(info.native_side);
  proto.set_digest(info.digest);
  if (!info.device.empty()) proto.add_devices(info.device);
  proto.set_precision(info.precision);
  v1::Capabilities& capabilities = *proto.mutable_capabilities();
  capabilities.set_denoises(info.denoises);
  capabilities.set_semantic_layers(info.has_semantic_layers);
  capabilities.set_guides_by_image(info.guides_by_image);
  capabilities.set_latent_channels(info.latent_channels);
  return proto;
}

ModelInfo FromProto(const v1::Model& proto) {
  ModelInfo info;
  info.name = proto.name();
  info.family = proto.family();
  info.prediction_type = proto.prediction_type();
  info.native_side = proto.native_side();
  info.digest = proto.digest();
  if (proto.devices_size() > 0) info.device = proto.devices(0);
  info.precision = proto.precision();
  info.denoises = proto.capabilities().denoises();
  info.has_semantic_layers = proto.capabilities().semantic_layers();
  info.guides_by_image = proto.capabilities().guides_by_image();
  info.latent_channels = proto.capabilities().latent_channels();
  return info;
}

v1::FullReport ToProto(const FullReport& report) {
  v1::FullReport proto;
  Fill(report.before, proto.mutable_before());
  Fill(report.after, proto.mutable_after());
  Fill(report.after_jpeg_q75, proto.mutable_after_jpeg_q75());
  Fill(report.after_half_and_back, proto.mutable_after_half_and_back());
  Fill(report.after_blur, proto.mutable_after_blur());
  return proto;
}

FullReport FromProto(const v1::FullReport& proto) {
  return {FromProto(proto.before()), FromProto(proto.after()), FromProto(proto.after_jpeg_q75()),
          FromProto(proto.after_half_and_back()), FromProto(proto.after_blur())};
}

}  // namespace antidiffusion
