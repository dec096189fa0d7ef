// NAME.json beside a checkpoint NAME.safetensors: what the file's tensors cannot tell.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/statusor.h"

namespace antidiffusion {

// {"prediction_type": "epsilon" or "v_prediction",
//  "unet": {...}, "vae": {...}, "text_encoder": {...}, "text_encoder_2": {...}, "scheduler": {...}}
// All of it may be missing. The objects hold keys of the config files of diffusers and
// transformers; each stands in place of what was told from shapes or assumed.
struct Sidecar {
  std::string prediction_type;  // "": not said
  nlohmann::json configs = nlohmann::json::object();

  // `config` with what is said of `part` over it (RFC 7396).
  nlohmann::json Patched(const std::string& part, nlohmann::json config) const;
};

// That of the checkpoint at `path`; an empty one when there is none. DATA_LOSS: not such an object.
absl::StatusOr<Sidecar> ReadSidecar(const std::string& path);

}  // namespace antidiffusion
