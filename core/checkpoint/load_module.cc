#include "core/checkpoint/load_module.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/aminmax.h>
#include <torch/nn/module.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "core/base/status_macros.h"

namespace antidiffusion {
namespace {

constexpr size_t kNamedProblems = 10;

using Parameters = torch::OrderedDict<std::string, at::Tensor>;

bool IsIgnored(const std::string& name, const LoadRules& rules) {
  return std::find(rules.ignored.begin(), rules.ignored.end(), name) != rules.ignored.end() ||
         std::any_of(rules.ignored_prefixes.begin(), rules.ignored_prefixes.end(),
                     [&name](const std::string& prefix) { return absl::StartsWith(name, prefix); });
}

std::string ModuleName(const std::string& name, const LoadRules& rules) {
  if (rules.renamed_parts.empty()) return name;
  std::vector<std::string> parts = absl::StrSplit(name, '.');
  for (std::string& part : parts) {
    for (const auto& [from, to] : rules.renamed_parts) {
      if (part == from) {
        part = to;
        break;
      }
    }
  }
  return absl::StrJoin(parts, ".");
}

bool Fits(const std::vector<int64_t>& shape, c10::IntArrayRef wanted, bool pointwise) {
  if (c10::IntArrayRef(shape) == wanted) return true;
  if (!pointwise || wanted.size() != 2) return false;
  return c10::IntArrayRef(shape) == c10::IntArrayRef({wanted[0], wanted[1], 1, 1});
}

std::string ShapeText(c10::IntArrayRef shape) {
  return absl::StrCat("[", absl::StrJoin(shape.begin(), shape.end(), ","), "]");
}

// What does not agree, in words.
struct Problems {
  std::vector<std::string> missing;
  std::vector<std::string> misshapen;
  std::vector<std::string> surplus;
};

absl::Status DescribeProblems(const Problems& problems, const std::string& where) {
  std::vector<std::string> all = problems.missing;
  all.insert(all.end(), problems.misshapen.begin(), problems.misshapen.end());
  all.insert(all.end(), problems.surplus.begin(), problems.surplus.end());
  if (all.size() > kNamedProblems) all.resize(kNamedProblems);
  return absl::DataLossError(absl::StrCat(where, ": ", problems.missing.size(), " keys missing, ",
                                          problems.surplus.size(), " surplus, ",
                                          problems.misshapen.size(), " misshapen; first ",
                                          all.size(), ": ", absl::StrJoin(all, "; ")));
}

// The paths of the files that `sources` lie in.
std::string PathsOf(const TensorSources& sources) {
  std::vector<std::string> paths;
  for (const auto& [name, source] : sources) paths.push_back(source.file->path());
  std::sort(paths.begin(), paths.end());
  paths.erase(std::unique(paths.begin(), paths.end()), paths.end());
  return paths.empty() ? "no tensors" : absl::StrJoin(paths, " + ");
}

// One pass and no copy: both ends of the range are finite only when everything is.
bool IsFinite(const at::Tensor& tensor) {
  if (tensor.numel() == 0) return true;
  const auto [least, greatest] = at::aminmax(tensor);
  return std::isfinite(least.item<double>()) && std::isfinite(greatest.item<double>());
}

absl::Status ReadOne(const TensorSource& source, at::Tensor& parameter) {
  AD_ASSIGN_OR_RETURN(const at::Tensor tensor, source.Read());
  parameter.copy_(source.pointwise ? tensor.view(parameter.sizes()) : tensor);
  if (IsFinite(parameter)) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(source.Label(), " holds a weight that is not finite"));
}

}  // namespace

absl::StatusOr<TensorSources> CollectSources(const std::vector<SafetensorsFile>& files,
                                             const LoadRules& rules) {
  TensorSources sources;
  for (const SafetensorsFile& file : files) {
    for (const std::string& name : file.names()) {
      if (IsIgnored(name, rules)) continue;
      TensorSource source{.file = &file, .name = name};
      source.pointwise = rules.accept_pointwise_convolutions;
      const auto [position, is_new] = sources.try_emplace(ModuleName(name, rules), source);
      if (!is_new) {
        return absl::DataLossError(absl::StrCat(source.Label(), " is there twice, the other time ",
                                                "as ", position->second.Label()));
      }
    }
  }
  return sources;
}

absl::Status CheckParameters(const TensorSources& sources, const torch::nn::Module& module,
                             std::vector<std::string>* surplus) {
  const Parameters parameters = module.named_parameters();
  Problems problems;
  for (const auto& parameter : parameters) {
    const auto source = sources.find(parameter.key());
    if (source == sources.end()) {
      problems.missing.push_back(absl::StrCat("missing ", parameter.key()));
      continue;
    }
    AD_ASSIGN_OR_RETURN(const std::vector<int64_t> shape, source->second.Shape());
    if (!Fits(shape, parameter.value().sizes(), source->second.pointwise)) {
      problems.misshapen.push_back(absl::StrCat("misshapen ", parameter.key(), " ",
                                                ShapeText(shape), " instead of ",
                                                ShapeText(parameter.value().sizes())));
    }
    AD_RETURN_IF_ERROR(source->second.file->CheckIsWeight(source->second.name));
  }
  std::vector<std::string> unread;
  for (const auto& [name, source] : sources) {
    if (parameters.find(name) != nullptr) continue;
    unread.push_back(source.name);
    problems.surplus.push_back(absl::StrCat("surplus ", absl::CHexEscape(source.name)));
  }
  const bool surplus_counts = surplus == nullptr && !problems.surplus.empty();
  if (!problems.missing.empty() || !problems.misshapen.empty() || surplus_counts) {
    return DescribeProblems(problems, PathsOf(sources));
  }
  if (surplus != nullptr) *surplus = std::move(unread);
  return absl::OkStatus();
}

absl::Status ReadParameters(const TensorSources& sources, torch::nn::Module& module) {
  const at::NoGradGuard no_grad;
  for (auto& parameter : module.named_parameters()) {
    AD_RETURN_IF_ERROR(ReadOne(sources.at(parameter.key()), parameter.value()));
  }
  return absl::OkStatus();
}

absl::Status LoadParameters(const std::vector<SafetensorsFile>& files, torch::nn::Module& module,
                            const LoadRules& rules) {
  AD_ASSIGN_OR_RETURN(const TensorSources sources, CollectSources(files, rules));
  AD_RETURN_IF_ERROR(CheckParameters(sources, module));
  return ReadParameters(sources, module);
}

}  // namespace antidiffusion
