// NAME.json beside a checkpoint in one file.
#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "core/base/json_file.h"
#include "core/base/status_macros.h"
#include "core/surrogate/source_parts.h"

namespace antidiffusion {
namespace {

using Json = nlohmann::json;

constexpr int64_t kMaxBytes = int64_t{1} << 20;
constexpr size_t kNamedKeys = 5, kNamedBytes = 80;
constexpr absl::string_view kParts[] = {"unet", "vae", "text_encoder", "text_encoder_2",
                                        "scheduler"};

// What is in the file and has no meaning here, in one line.
std::string NoteOf(const std::vector<std::string>& ignored) {
  std::vector<std::string> named;
  for (size_t i = 0; i < ignored.size() && i < kNamedKeys; ++i) {
    named.push_back(absl::CHexEscape(ignored[i].substr(0, kNamedBytes)));
  }
  return absl::StrCat("NAME.json: ", ignored.size(), " keys have no meaning here, first ",
                      absl::StrJoin(named, ", "));
}

}  // namespace

Json Sidecar::Patched(const std::string& part, Json config) const {
  if (const auto patch = configs.find(part); patch != configs.end()) config.merge_patch(*patch);
  return config;
}

bool Sidecar::Says(const std::string& part, const std::string& key) const {
  const auto config = configs.find(part);
  if (config == configs.end()) return false;
  const auto value = config->find(key);
  return value != config->end() && !value->is_null();
}

absl::StatusOr<Sidecar> ReadSidecar(const std::string& path) {
  const std::string file = absl::StrCat(absl::StripSuffix(path, ".safetensors"), ".json");
  const absl::StatusOr<Json> json = ReadJsonFile(file, kMaxBytes);
  if (absl::IsNotFound(json.status())) return Sidecar();
  AD_RETURN_IF_ERROR(json.status());
  Sidecar sidecar;
  std::vector<std::string> ignored;
  for (const auto& [key, value] : json->items()) {
    const bool is_part = std::find(std::begin(kParts), std::end(kParts), key) != std::end(kParts);
    if (key == "prediction_type") {
      if (value != "epsilon" && value != "v_prediction") {
        return absl::DataLossError(
            absl::StrCat(file, ": prediction_type: neither epsilon nor v_prediction"));
      }
      sidecar.prediction_type = value.get<std::string>();
    } else if (is_part && value.is_object()) {
      sidecar.configs[key] = value;
    } else {
      ignored.push_back(key);
    }
  }
  if (!ignored.empty()) sidecar.notes.push_back(NoteOf(ignored));
  // Said as a config file says it.
  if (sidecar.prediction_type.empty() && sidecar.Says("scheduler", "prediction_type")) {
    const Json& said = sidecar.configs["scheduler"]["prediction_type"];
    if (said.is_string()) sidecar.prediction_type = said;
  }
  return sidecar;
}

}  // namespace antidiffusion
