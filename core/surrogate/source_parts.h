// What the readers of all kinds of model files share. Used by them alone.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/surrogate/model_source.h"

namespace antidiffusion {

absl::StatusOr<ModelSource> ReadPipelineFolder(const std::string& path);
absl::StatusOr<ModelSource> ReadEncoderFolder(const std::string& path);
absl::StatusOr<ModelSource> ReadSingleFile(const std::string& path, const SourceOptions& options);

// NAME.json beside a checkpoint NAME.safetensors: what the file's tensors cannot tell.
//   {"prediction_type": "epsilon" or "v_prediction",
//    "unet": {...}, "vae": {...}, "text_encoder": {...}, "text_encoder_2": {...},
//    "scheduler": {...}}
// All of it may be missing. The objects hold keys of the config files of diffusers and
// transformers; each stands in place of what was told from shapes or assumed. A1111's web UI keeps
// a card of its own under that name ({"description": ..., "notes": ..., "vae": "NAME"}), so
// whatever else there is, is noted and ignored.
struct Sidecar {
  std::string prediction_type;                        // "": not said
  nlohmann::json configs = nlohmann::json::object();  // objects alone, by part
  std::vector<std::string> notes;                     // what was ignored

  // `config` with what is said of `part` over it (RFC 7396).
  nlohmann::json Patched(const std::string& part, nlohmann::json config) const;

  // Whether a value, not null, is said of `part`.
  bool Says(const std::string& part, const std::string& key) const;
};

// That of the checkpoint at `path`; an empty one when there is none. DATA_LOSS: no JSON object, or
// a prediction_type that is neither of the two.
absl::StatusOr<Sidecar> ReadSidecar(const std::string& path);

// What can be told of the parts of `source`, which has a denoiser, by their configurations alone.
// FAILED_PRECONDITION as CheckPartsFit, behind `path`; DATA_LOSS for a schedule that NoiseSchedule
// does not take, behind `schedule`, the name of where it was read.
absl::Status CheckConfigs(const std::string& path, const std::string& schedule,
                          const ModelSource& source);

// Compares every part of `source` with the network of its configuration, on the meta device. The
// tensors that no network has a place for are noted and erased from the sources: nothing that is
// not a weight is ever read. Errors as CheckParameters'.
absl::Status CheckNetworks(ModelSource& source);

// Fills in both digests.
absl::Status ComputeDigests(ModelSource& source);

// Adds a note about `unread` tensors of `part`, unless all of them are of kinds that every
// checkpoint of some age has: positions, counters and averages of a training, the loss's own
// networks.
void NoteUnread(const std::string& part, const std::vector<std::string>& unread,
                ModelSource& source);

}  // namespace antidiffusion
