// The VAE of a checkpoint in the original layout.
#include "absl/strings/str_cat.h"
#include "core/surrogate/original_layout.h"

namespace antidiffusion {
namespace {

using Json = nlohmann::json;

constexpr Rename kVaeResnetNames[] = {{"nin_shortcut.", "conv_shortcut."}};
constexpr Rename kAttentionNames[] = {{"norm.", "group_norm."},
                                      {"q.", "to_q."},
                                      {"k.", "to_k."},
                                      {"v.", "to_v."},
                                      {"proj_out.", "to_out.0."}};

}  // namespace

OriginalPart ReadOriginalVae(const NamedShapes& shapes, const std::string& prefix,
                             const SafetensorsFile* file) {
  OriginalKeys keys(shapes, prefix, file);
  OriginalPart part;
  Json& config = part.config;
  config["_class_name"] = "AutoencoderKL";

  const int64_t levels = keys.Count("encoder.down.");
  for (int64_t i = 0; i < levels; ++i) {
    const std::string from = absl::StrCat("encoder.down.", i, ".");
    const std::string to = absl::StrCat("encoder.down_blocks.", i, ".");
    const int64_t blocks = keys.Count(from + "block.");
    for (int64_t j = 0; j < blocks; ++j) {
      keys.MapUnder(absl::StrCat(from, "block.", j, "."), absl::StrCat(to, "resnets.", j, "."),
                    kVaeResnetNames);
    }
    keys.MapUnder(from + "downsample.conv.", to + "downsamplers.0.conv.");
    config["block_out_channels"].push_back(keys.Side(from + "block.0.conv2.weight", 0));
    config["down_block_types"].push_back("DownEncoderBlock2D");
    config["up_block_types"].push_back("UpDecoderBlock2D");
    config["layers_per_block"] = blocks;
  }
  keys.MapUnder("encoder.mid.block_1.", "encoder.mid_block.resnets.0.", kVaeResnetNames);
  keys.MapUnder("encoder.mid.block_2.", "encoder.mid_block.resnets.1.", kVaeResnetNames);
  keys.MapUnder("encoder.mid.attn_1.", "encoder.mid_block.attentions.0.", kAttentionNames,
                /*pointwise=*/true);
  keys.MapUnder("encoder.conv_in.", "encoder.conv_in.");
  keys.MapUnder("encoder.norm_out.", "encoder.conv_norm_out.");
  keys.MapUnder("encoder.conv_out.", "encoder.conv_out.");
  keys.MapUnder("quant_conv.", "quant_conv.");

  config["latent_channels"] = keys.Side("encoder.conv_out.weight", 0) / 2;  // mean and logvar
  config["use_quant_conv"] = keys.Has("quant_conv.weight");
  part.tensors = keys.Take();
  return part;
}

}  // namespace antidiffusion
