// The encoders of all models that one process has loaded, for jobs that name several models.
#pragma once

#include <map>
#include <string>

namespace antidiffusion {

class LatentEncoder;  // core/surrogate/latent_encoder.h

// Thread-compatible: used on the engine's thread alone. Borrows the encoders; whoever adds one
// takes it out again before it goes. Must outlive every Protector that was loaded with it.
class LoadedModels {
 public:
  LoadedModels() = default;
  LoadedModels(const LoadedModels&) = delete;
  LoadedModels& operator=(const LoadedModels&) = delete;

  // `name` is the model's, as in ModelInfo; a later model of that name takes its place.
  void Add(const std::string& name, LatentEncoder& encoder) { encoders_[name] = &encoder; }

  // Nothing where another encoder has taken the name since.
  void Remove(const std::string& name, const LatentEncoder& encoder) {
    const auto entry = encoders_.find(name);
    if (entry != encoders_.end() && entry->second == &encoder) encoders_.erase(entry);
  }

  // Null where no model of that name is loaded.
  LatentEncoder* Find(const std::string& name) const {
    const auto entry = encoders_.find(name);
    return entry == encoders_.end() ? nullptr : entry->second;
  }

 private:
  std::map<std::string, LatentEncoder*> encoders_;
};

}  // namespace antidiffusion
