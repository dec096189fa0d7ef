#include "core/checkpoint/load_module.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/aminmax.h>
#include <torch/nn/module.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>

#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "core/base/status_macros.h"

namespace antidiffusion {
namespace {

constexpr size_t kNamedProblems = 10;

// Where a tensor lies, and its name there.
struct Source {
  const SafetensorsFile* file = nullptr;
  std::string name;
};

// By the module's name.
using Sources = std::map<std::string, Source>;
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

absl::StatusOr<Sources> CollectSources(const std::vector<SafetensorsFile>& files,
                                       const LoadRules& rules) {
  Sources sources;
  for (const SafetensorsFile& file : files) {
    for (const std::string& name : file.names()) {
      if (IsIgnored(name, rules)) continue;
      const auto [position, is_new] =
          sources.try_emplace(ModuleName(name, rules), Source{&file, name});
      if (!is_new) {
        return absl::DataLossError(absl::StrCat(
            file.path(), ": \"", absl::CHexEscape(name), "\" is there twice, the other time as \"",
            absl::CHexEscape(position->second.name), "\" in ", position->second.file->path()));
      }
    }
  }
  return sources;
}

bool Fits(const std::vector<int64_t>& shape, c10::IntArrayRef wanted, const LoadRules& rules) {
  if (c10::IntArrayRef(shape) == wanted) return true;
  if (!rules.accept_pointwise_convolutions || wanted.size() != 2) return false;
  return c10::IntArrayRef(shape) == c10::IntArrayRef({wanted[0], wanted[1], 1, 1});
}

std::string ShapeText(c10::IntArrayRef shape) {
  return absl::StrCat("[", absl::StrJoin(shape.begin(), shape.end(), ","), "]");
}

absl::Status CheckNamesAndShapes(const Sources& sources, const Parameters& parameters,
                                 const LoadRules& rules, const std::string& where) {
  std::vector<std::string> missing;
  std::vector<std::string> surplus;
  std::vector<std::string> misshapen;
  for (const auto& parameter : parameters) {
    const auto source = sources.find(parameter.key());
    if (source == sources.end()) {
      missing.push_back(absl::StrCat("missing ", parameter.key()));
      continue;
    }
    AD_ASSIGN_OR_RETURN(const std::vector<int64_t> shape,
                        source->second.file->Shape(source->second.name));
    if (!Fits(shape, parameter.value().sizes(), rules)) {
      misshapen.push_back(absl::StrCat("misshapen ", parameter.key(), " ", ShapeText(shape),
                                       " instead of ", ShapeText(parameter.value().sizes())));
    }
  }
  for (const auto& [name, source] : sources) {
    if (parameters.find(name) == nullptr) {
      surplus.push_back(absl::StrCat("surplus ", absl::CHexEscape(source.name)));
    }
  }
  if (missing.empty() && surplus.empty() && misshapen.empty()) return absl::OkStatus();
  std::string text = absl::StrCat(where, ": ", missing.size(), " keys missing, ", surplus.size(),
                                  " surplus, ", misshapen.size(), " misshapen; first ");
  std::vector<std::string> problems = std::move(missing);
  problems.insert(problems.end(), misshapen.begin(), misshapen.end());
  problems.insert(problems.end(), surplus.begin(), surplus.end());
  if (problems.size() > kNamedProblems) problems.resize(kNamedProblems);
  return absl::DataLossError(
      absl::StrCat(text, problems.size(), ": ", absl::StrJoin(problems, "; ")));
}

// One pass and no copy: both ends of the range are finite only when everything is.
bool IsFinite(const at::Tensor& tensor) {
  if (tensor.numel() == 0) return true;
  const auto [least, greatest] = at::aminmax(tensor);
  return std::isfinite(least.item<double>()) && std::isfinite(greatest.item<double>());
}

absl::Status LoadOne(const Source& source, const LoadRules& rules, at::Tensor& parameter) {
  AD_ASSIGN_OR_RETURN(at::Tensor tensor, source.file->Read(source.name));
  if (!tensor.is_floating_point()) {
    return absl::DataLossError(absl::StrCat(source.file->path(), ": \"",
                                            absl::CHexEscape(source.name),
                                            "\" holds integers, weights are floating point"));
  }
  if (rules.accept_pointwise_convolutions) tensor = tensor.view(parameter.sizes());
  parameter.copy_(tensor);
  if (!IsFinite(parameter)) {
    return absl::DataLossError(absl::StrCat(source.file->path(), ": \"",
                                            absl::CHexEscape(source.name),
                                            "\" holds a weight that is not finite"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status LoadParameters(const std::vector<SafetensorsFile>& files, torch::nn::Module& module,
                            const LoadRules& rules) {
  AD_ASSIGN_OR_RETURN(const Sources sources, CollectSources(files, rules));
  Parameters parameters = module.named_parameters();
  std::vector<std::string> paths;
  paths.reserve(files.size());
  for (const SafetensorsFile& file : files) paths.push_back(file.path());
  AD_RETURN_IF_ERROR(CheckNamesAndShapes(sources, parameters, rules, absl::StrJoin(paths, " + ")));
  const at::NoGradGuard no_grad;
  for (auto& parameter : parameters) {
    AD_RETURN_IF_ERROR(LoadOne(sources.at(parameter.key()), rules, parameter.value()));
  }
  return absl::OkStatus();
}

}  // namespace antidiffusion
