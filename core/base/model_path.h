// What lies at a path where a model may be, told without opening more than a small config.
#pragma once

#include <string>

namespace antidiffusion {

enum class ModelPathKind {
  kNone,
  kPipeline,    // a folder with a model_index.json (the diffusers layout)
  kEncoder,     // a folder whose config.json is that of an autoencoder
  kSingleFile,  // NAME.safetensors
};

// Never fails: what cannot be read is kNone. Whether the model is a good one is for the loader.
ModelPathKind KindOfModelPath(const std::string& path);

// The name of the model at `path`: its last part, without .safetensors.
std::string ModelNameOf(const std::string& path);

}  // namespace antidiffusion
