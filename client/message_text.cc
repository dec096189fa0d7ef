#include "client/message_text.h"

#include <google/protobuf/util/json_util.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace antidiffusion {

nlohmann::ordered_json MessageJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  std::string text;
  if (!google::protobuf::util::MessageToJsonString(message, &text, options).ok()) return nullptr;
  return nlohmann::ordered_json::parse(text, nullptr, /*allow_exceptions=*/false);
}

std::string ReportText(const v1::Report& report) {
  std::string text =
      absl::StrFormat("max %d levels, PSNR %.1f dB, SSIM %.4f, colour shift %.2f",
                      report.max_difference(), report.psnr(), report.ssim(), report.chroma_bias());
  if (report.codec_difference() > 0) {
    absl::StrAppend(&text, ", the codec added ", report.codec_difference());
  }
  if (report.has_full()) {
    absl::StrAppendFormat(&text, ", denoising loss %.4f -> %.4f",
                          report.full().before().denoising_loss(),
                          report.full().after().denoising_loss());
  }
  return text;
}

std::string RetryText(const RetryNotice& notice) {
  return absl::StrFormat("%s; attempt %d in %.1f s", notice.status.message(), notice.next_attempt,
                         absl::ToDoubleSeconds(notice.delay));
}

}  // namespace antidiffusion
