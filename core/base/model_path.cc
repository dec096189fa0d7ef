#include "core/base/model_path.h"

#include <filesystem>
#include <system_error>

#include "absl/strings/match.h"
#include "core/base/json_file.h"

namespace antidiffusion {
namespace {

constexpr int64_t kMaxConfigBytes = int64_t{1} << 20;
constexpr char kSingleFileExtension[] = ".safetensors";

}  // namespace

ModelPathKind KindOfModelPath(const std::string& path) {
  const std::filesystem::path place(path);
  std::error_code error;
  if (std::filesystem::is_regular_file(place, error)) {
    return place.extension() == kSingleFileExtension ? ModelPathKind::kSingleFile
                                                     : ModelPathKind::kNone;
  }
  if (std::filesystem::exists(place / "model_index.json", error)) return ModelPathKind::kPipeline;
  const absl::StatusOr<nlohmann::json> config =
      ReadJsonFile((place / "config.json").string(), kMaxConfigBytes);
  if (!config.ok()) return ModelPathKind::kNone;
  const auto name = config->find("_class_name");
  const bool is_encoder = name != config->end() && name->is_string() &&
                          absl::StartsWith(name->get_ref<const std::string&>(), "Autoencoder");
  return is_encoder ? ModelPathKind::kEncoder : ModelPathKind::kNone;
}

std::string ModelNameOf(const std::string& path) {
  std::filesystem::path place = std::filesystem::path(path).lexically_normal();
  if (place.filename().empty()) place = place.parent_path();
  if (place.extension() == kSingleFileExtension) return place.stem().string();
  return place.filename().string();
}

}  // namespace antidiffusion
