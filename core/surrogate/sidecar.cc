#include "core/surrogate/sidecar.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "core/base/json_file.h"
#include "core/base/status_macros.h"

namespace antidiffusion {
namespace {

using Json = nlohmann::json;

constexpr int64_t kMaxBytes = int64_t{1} << 20;
constexpr absl::string_view kParts[] = {"unet", "vae", "text_encoder", "text_encoder_2",
                                        "scheduler"};

absl::Status Broken(const std::string& file, const std::string& key, absl::string_view reason) {
  return absl::DataLossError(
      absl::StrCat(file, ": ", absl::CHexEscape(key.substr(0, 80)), ": ", reason));
}

}  // namespace

Json Sidecar::Patched(const std::string& part, Json config) const {
  if (const auto patch = configs.find(part); patch != configs.end()) config.merge_patch(*patch);
  return config;
}

absl::StatusOr<Sidecar> ReadSidecar(const std::string& path) {
  const std::string file = absl::StrCat(absl::StripSuffix(path, ".safetensors"), ".json");
  absl::StatusOr<Json> json = ReadJsonFile(file, kMaxBytes);
  if (absl::IsNotFound(json.status())) return Sidecar();
  AD_RETURN_IF_ERROR(json.status());
  Sidecar sidecar;
  for (const auto& [key, value] : json->items()) {
    if (key == "prediction_type") {
      if (value != "epsilon" && value != "v_prediction") {
        return Broken(file, key, "neither epsilon nor v_prediction");
      }
      sidecar.prediction_type = value.get<std::string>();
    } else if (std::find(std::begin(kParts), std::end(kParts), key) == std::end(kParts)) {
      return Broken(file, key, "unknown; known are prediction_type and the parts' configurations");
    } else if (!value.is_object()) {
      return Broken(file, key, "no object");
    }
  }
  sidecar.configs = std::move(json).value();
  // Said as a config file says it.
  const auto scheduler = sidecar.configs.find("scheduler");
  if (scheduler != sidecar.configs.end() && sidecar.prediction_type.empty()) {
    const auto said = scheduler->find("prediction_type");
    if (said != scheduler->end() && said->is_string()) sidecar.prediction_type = *said;
  }
  return sidecar;
}

}  // namespace antidiffusion
