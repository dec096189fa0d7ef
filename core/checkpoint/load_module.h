// Strict loading of weights into any torch module.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "core/checkpoint/safetensors.h"

namespace torch::nn {
class Module;
}  // namespace torch::nn

namespace antidiffusion {

// What a file may call otherwise than the module does.
struct LoadRules {
  // Parts of a name between dots: {"query", "to_q"} turns `a.query.weight` into `a.to_q.weight`. A
  // name that is there in both spellings is an error.
  std::vector<std::pair<std::string, std::string>> renamed_parts;
  // Whole names that may be there and are not read.
  std::vector<std::string> ignored;
  // Beginnings of names that may be there and are not read, as of parts that the module leaves out.
  std::vector<std::string> ignored_prefixes;
  // Accepts [N,M,1,1], the weight of a 1x1 convolution, where the module has [N,M].
  bool accept_pointwise_convolutions = false;
};

// Copies the tensors of `files` (the shards of one checkpoint) into the parameters of `module`,
// converting from fp64, fp32, fp16 or bf16 to each parameter's dtype and device. Names and shapes
// must agree exactly: DATA_LOSS that tells how many keys are missing, surplus and misshapen, and
// the first ten of them, before anything is written. DATA_LOSS, too, for a weight that is not
// finite; the module is then partly written. Throws c10::Error when memory runs out.
absl::Status LoadParameters(const std::vector<SafetensorsFile>& files, torch::nn::Module& module,
                            const LoadRules& rules = {});

}  // namespace antidiffusion
