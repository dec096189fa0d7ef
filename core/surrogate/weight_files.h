// Which files of a model folder hold the weights, and their digest.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace antidiffusion {

// The .safetensors files of one part: `folder` with `stem` as libraries name them (unet and vae
// `diffusion_pytorch_model`, text encoder `model`). Of a plain file, an index of shards, and the
// same as variant fp16 or bf16, the first that exists. Shards are sorted by name and lie in the
// folder itself, whatever the index says.
// NOT_FOUND: no weights; FAILED_PRECONDITION: only pickled ones (the message names the tool that
// converts them); DATA_LOSS: an index that does not add up.
absl::StatusOr<std::vector<std::string>> FindWeightFiles(const std::string& folder,
                                                         const std::string& stem);

// The name of a pickled checkpoint (.bin, .ckpt, ...) in a folder, or "".
std::string FindPickle(const std::string& folder);

// SHA-256, in hex, of the contents of all files one after the other: what `cat FILES | sha256sum`
// prints. Reads in small pieces. NOT_FOUND and the like where a file cannot be read.
absl::StatusOr<std::string> Sha256OfFiles(const std::vector<std::string>& paths);

}  // namespace antidiffusion
