// A JSON file of a model folder, read as each kind that there is.
#include <string>

#include "core/base/json_file.h"
#include "core/surrogate/model_config.h"
#include "tests/fuzz/fuzz.h"

namespace antidiffusion {
namespace {

void CheckCode(const absl::Status& status) {
  Require(status.ok() || absl::IsDataLoss(status) || absl::IsFailedPrecondition(status),
          "an error of another code");
}

void CheckUNet(const UNetConfig& unet) {
  const size_t levels = unet.block_out_channels.size();
  Require(levels >= 1 && unet.down_block_types.size() == levels &&
              unet.up_block_types.size() == levels && unet.attention_heads.size() == levels &&
              unet.layers_per_block.size() == levels && unet.transformer_layers.size() == levels,
          "levels that do not agree");
  Require(!unet.has_added_embedding() || unet.pooled_dim() > 0, "no room for a pooled text");
  for (size_t i = 0; i < levels; ++i) {
    Require(unet.attention_heads[i] >= 1 && unet.norm_num_groups >= 1 &&
                unet.block_out_channels[i] % unet.attention_heads[i] == 0 &&
                unet.block_out_channels[i] % unet.norm_num_groups == 0,
            "channels that cannot be shared out");
  }
}

void Check(const nlohmann::json& json) {
  const auto pipeline = ParseModelIndex(json, "f");
  const auto unet = ParseUNetConfig(json, "f");
  const auto vae = ParseVaeConfig(json, "f");
  const auto tiny = ParseTinyVaeConfig(json, "f");
  const auto encoder = ParseEncoderConfig(json, "f");
  const auto text = ParseClipTextConfig(json, "f");
  const auto schedule = ParseNoiseScheduleConfig(json, "f");
  for (const absl::Status& status : {pipeline.status(), unet.status(), vae.status(), tiny.status(),
                                     encoder.status(), text.status(), schedule.status()}) {
    CheckCode(status);
  }
  if (unet.ok()) CheckUNet(*unet);
  if (text.ok()) {
    Require(text->hidden_size % text->num_attention_heads == 0, "a text encoder's heads");
  }
  if (schedule.ok()) {
    Require(schedule->beta_start >= 0 && schedule->beta_end <= 1, "betas out of range");
    Require(schedule->num_train_timesteps >= 1, "no timesteps");
  }
  CheckCode(CheckPartsFit(unet.value_or(UNetConfig()), vae.value_or(VaeConfig()),
                          {text.value_or(ClipTextConfig())}));
  CheckCode(
      CheckPipelineFits(pipeline.value_or(Pipeline{.is_xl = true}), unet.value_or(UNetConfig())));
}

}  // namespace
}  // namespace antidiffusion

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace antidiffusion;
  const absl::StatusOr<nlohmann::json> json =
      ParseJsonObject(std::string(AsText(data, size)), "config.json");
  if (json.ok()) {
    Check(*json);
  } else {
    Require(absl::IsDataLoss(json.status()), "a file's error is not DATA_LOSS");
  }
  return 0;
}
