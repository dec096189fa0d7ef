// Which files of a model folder hold the weights.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/checkpoint/safetensors.h"

namespace antidiffusion {

// Opens the .safetensors files of one part: `folder` with `stem` as libraries name them (unet and
// vae `diffusion_pytorch_model`, text encoder `model`). Of a plain file, an index of shards, and
// the same as variant fp16 or bf16, the first that exists; one whose files are git-LFS pointers
// only when there is no other, and with a line in `notes` when there is. Shards are sorted by name
// and lie in the folder itself, whatever the index says. NOT_FOUND: no weights;
// FAILED_PRECONDITION: only pickled ones (the message names the tool that converts them);
// DATA_LOSS: an index that does not add up or is over 4 MiB; and as SafetensorsFile::Open's.
absl::StatusOr<std::vector<SafetensorsFile>> OpenWeightFiles(const std::string& folder,
                                                             const std::string& stem,
                                                             std::vector<std::string>& notes);

// The name of a pickled checkpoint (.bin, .ckpt, ...) in a folder, or "".
std::string FindPickle(const std::string& folder);

// Whether a path ends as those of pickled checkpoints do.
bool IsPickleName(const std::string& path);

// FAILED_PRECONDITION that tells how to convert the single pickled checkpoint at `path`.
absl::Status PickledCheckpoint(const std::string& path);

}  // namespace antidiffusion
