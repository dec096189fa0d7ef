// The text encoders of a checkpoint in the original layout.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/models/config.h"
#include "core/surrogate/original_layout.h"

namespace antidiffusion {
namespace {

using Json = nlohmann::json;

constexpr int64_t kClipHeadChannels = 64;  // of every published CLIP text model

// Sizes that both layouts tell by tensors of other names.
Json TextConfig(const char* architecture, const char* activation, int64_t layers,
                int64_t intermediate, const OriginalKeys& keys, const std::string& token_embedding,
                const std::string& position_embedding) {
  const int64_t width = keys.Side(token_embedding, 1);
  return {{"architectures", {architecture}},
          {"vocab_size", keys.Side(token_embedding, 0)},
          {"hidden_size", width},
          {"intermediate_size", intermediate},
          {"num_hidden_layers", layers},
          {"num_attention_heads", std::max<int64_t>(1, width / kClipHeadChannels)},
          {"max_position_embeddings", keys.Side(position_embedding, 0)},
          {"hidden_act", activation},
          {"eos_token_id", ClipTextConfig::kLargestId}};
}

// in_proj_weight [3C,C] and in_proj_bias [3C] hold q, k and v one below the other.
void SplitInProjection(OriginalKeys& keys, const std::string& from, const std::string& to) {
  for (const char* kind : {"weight", "bias"}) {
    const std::string name = absl::StrCat(from, "in_proj_", kind);
    const int64_t rows = keys.Side(name, 0) / 3;
    if (rows == 0) continue;
    int64_t first = 0;
    for (const char* projection : {"q_proj.", "k_proj.", "v_proj."}) {
      TensorSource source = keys.Source(name);
      source.first_row = first;
      source.rows = rows;
      keys.Add(absl::StrCat(to, projection, kind), source);
      first += rows;
    }
  }
}

}  // namespace

OriginalPart ReadOriginalClip(const NamedShapes& shapes, const std::string& prefix,
                              const SafetensorsFile* file) {
  OriginalKeys keys(shapes, prefix, file);
  const std::string model = keys.HasAnyUnder("text_model.") ? "text_model." : "";
  keys.MapUnder(model + "embeddings.token_embedding.", "text_model.embeddings.token_embedding.");
  keys.MapUnder(model + "embeddings.position_embedding.",
                "text_model.embeddings.position_embedding.");
  keys.MapUnder(model + "encoder.", "text_model.encoder.");
  keys.MapUnder(model + "final_layer_norm.", "text_model.final_layer_norm.");
  OriginalPart part;
  part.config = TextConfig("CLIPTextModel", "quick_gelu", keys.Count(model + "encoder.layers."),
                           keys.Side(model + "encoder.layers.0.mlp.fc1.weight", 0), keys,
                           model + "embeddings.token_embedding.weight",
                           model + "embeddings.position_embedding.weight");
  part.tensors = keys.Take();
  return part;
}

OriginalPart ReadOriginalOpenClip(const NamedShapes& shapes, const std::string& prefix,
                                  const OpenClipReading& reading, const SafetensorsFile* file) {
  OriginalKeys keys(shapes, prefix, file);
  const int64_t layers = std::min(reading.layers, keys.Count("transformer.resblocks."));
  keys.MapUnder("token_embedding.", "text_model.embeddings.token_embedding.");
  if (keys.Has("positional_embedding")) {
    keys.Add("text_model.embeddings.position_embedding.weight",
             keys.Source("positional_embedding"));
  }
  for (int64_t i = 0; i < layers; ++i) {
    const std::string from = absl::StrCat("transformer.resblocks.", i, ".");
    const std::string to = absl::StrCat("text_model.encoder.layers.", i, ".");
    SplitInProjection(keys, from + "attn.", to + "self_attn.");
    keys.MapUnder(from + "attn.out_proj.", to + "self_attn.out_proj.");
    keys.MapUnder(from + "ln_1.", to + "layer_norm1.");
    keys.MapUnder(from + "ln_2.", to + "layer_norm2.");
    keys.MapUnder(from + "mlp.c_fc.", to + "mlp.fc1.");
    keys.MapUnder(from + "mlp.c_proj.", to + "mlp.fc2.");
  }
  keys.MapUnder("ln_final.", "text_model.final_layer_norm.");
  OriginalPart part;
  part.config = TextConfig(reading.projects ? "CLIPTextModelWithProjection" : "CLIPTextModel",
                           "gelu", layers, keys.Side("transformer.resblocks.0.mlp.c_fc.weight", 0),
                           keys, "token_embedding.weight", "positional_embedding");
  if (reading.projects && keys.Has("text_projection")) {
    TensorSource source = keys.Source("text_projection");
    source.transposed = true;
    keys.Add("text_projection.weight", source);
    part.config["projection_dim"] = keys.Side("text_projection", 1);
  }
  part.tensors = keys.Take();
  return part;
}

}  // namespace antidiffusion
