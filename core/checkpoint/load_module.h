// Strict loading of weights into any torch module.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/checkpoint/safetensors.h"
#include "core/checkpoint/tensor_source.h"

namespace torch::nn {
class Module;
}  // namespace torch::nn

namespace antidiffusion {

// What a file may call otherwise than the module does.
struct LoadRules {
  // Parts of a name between dots: {"query", "to_q"} turns `a.query.weight` into `a.to_q.weight`. A
  // name that is there in both spellings is an error.
  std::vector<std::pair<std::string, std::string>> renamed_parts = {};
  // Whole names that may be there and are not read.
  std::vector<std::string> ignored = {};
  // Beginnings of names that may be there and are not read, as of parts that the module leaves out.
  std::vector<std::string> ignored_prefixes = {};
  // Accepts [N,M,1,1], the weight of a 1x1 convolution, where the module has [N,M].
  bool accept_pointwise_convolutions = false;
};

// The tensors of `files` (the shards of one checkpoint), which must outlive the result, by the
// names that the module has for them. DATA_LOSS for a name that is there twice.
absl::StatusOr<TensorSources> CollectSources(const std::vector<SafetensorsFile>& files,
                                             const LoadRules& rules = {});

// Whether `sources` are what `module`, which may be on the meta device, needs: every parameter is
// there, in its shape and as floating point. Reads no data and allocates nothing of the module's
// size. DATA_LOSS that tells how many keys are missing, surplus and misshapen, and the first ten of
// them; FAILED_PRECONDITION for a dtype that SafetensorsFile does not read. Tensors that the module
// has no parameter for are an error, unless `surplus` is given, which then receives their names in
// the file.
absl::Status CheckParameters(const TensorSources& sources, const torch::nn::Module& module,
                             std::vector<std::string>* surplus = nullptr);

// Copies the values into the parameters of a module that CheckParameters accepts, converting from
// fp64, fp32, fp16 or bf16 to each parameter's dtype and device. DATA_LOSS for a weight that is not
// finite; the module is then partly written. Throws c10::Error when memory runs out.
absl::Status ReadParameters(const TensorSources& sources, torch::nn::Module& module);

// All three. When names and shapes do not agree exactly, nothing is written.
absl::Status LoadParameters(const std::vector<SafetensorsFile>& files, torch::nn::Module& module,
                            const LoadRules& rules = {});

}  // namespace antidiffusion
