// What the readers of all kinds of model files share. Used by them alone.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/surrogate/model_source.h"

namespace antidiffusion {

absl::StatusOr<ModelSource> ReadPipelineFolder(const std::string& path);
absl::StatusOr<ModelSource> ReadEncoderFolder(const std::string& path);
absl::StatusOr<ModelSource> ReadSingleFile(const std::string& path, const SourceOptions& options);

// Compares every part of `source` with the network of its configuration, on the meta device, and
// notes the tensors that no network has a place for. Errors as CheckParameters'.
absl::Status CheckNetworks(ModelSource& source);

// Fills in both digests.
absl::Status ComputeDigests(ModelSource& source);

// Adds a note about `unread` tensors of `part`, unless all of them are of kinds that every
// checkpoint of some age has: positions, counters and averages of a training, the loss's own
// networks.
void NoteUnread(const std::string& part, const std::vector<std::string>& unread,
                ModelSource& source);

}  // namespace antidiffusion
