// The tensors of a checkpoint in the original layout (CompVis, Stability AI: what A1111, ComfyUI
// and Civitai trade in one file), on their way to the names that diffusers has for them.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/checkpoint/tensor_source.h"

namespace antidiffusion {

using NamedShapes = std::map<std::string, std::vector<int64_t>>;

// One network of such a checkpoint.
struct OriginalPart {
  nlohmann::json config;  // what diffusers or transformers would write, as far as shapes tell it
  TensorSources tensors;  // by the network's names
};

// The beginning of a name, or of a part of it, and what takes its place.
struct Rename {
  absl::string_view from, to;
};

// A part of a checkpoint: the tensors whose names begin with `prefix`, which the names below leave
// out. Not thread-safe.
class OriginalKeys {
 public:
  // `shapes` must outlive this. `file` is where the sources will say that they lie; it may be null
  // where only names and shapes matter.
  OriginalKeys(const NamedShapes& shapes, std::string prefix, const SafetensorsFile* file);

  bool Has(const std::string& name) const;
  bool HasAnyUnder(const std::string& beginning) const;
  size_t Rank(const std::string& name) const;                     // 0 when there is none
  int64_t Side(const std::string& name, size_t dimension) const;  // 0 when there is none

  // How many of beginning + "0.", beginning + "1.", ... there are, up to the first that is missing.
  int64_t Count(const std::string& beginning) const;

  // The source of one tensor, to be filled in.
  TensorSource Source(const std::string& name) const;
  void Add(const std::string& to, TensorSource source) { tensors_[to] = std::move(source); }

  // Each tensor under `from` becomes `to` + the rest of its name, whose beginning is renamed by the
  // first of `renames` that fits. Those that are missing are left for CheckParameters to find.
  void MapUnder(const std::string& from, const std::string& to,
                absl::Span<const Rename> renames = {}, bool pointwise = false);

  TensorSources Take() { return std::move(tensors_); }

 private:
  const NamedShapes& shapes_;
  const std::string prefix_;
  const SafetensorsFile* file_;
  TensorSources tensors_;
};

// Names of `shapes` that none of `parts` reads.
std::vector<std::string> UnreadNames(const NamedShapes& shapes,
                                     const std::vector<const OriginalPart*>& parts);

}  // namespace antidiffusion
