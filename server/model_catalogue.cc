#include "server/model_catalogue.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "core/base/status_macros.h"
#include "core/base/utf8.h"
#include "server/errors.h"

namespace antidiffusion {

namespace {

namespace fs = std::filesystem;

constexpr char kPipelineFile[] = "model_index.json";
constexpr char kEncoderFile[] = "config.json";
constexpr char kCheckpointSuffix[] = ".safetensors";
constexpr char kWhatAModelIs[] =
    "a folder with a model_index.json or, for an encoder, a config.json; or a file "
    "NAME.safetensors";

bool IsFile(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

// Whether a file NAME.safetensors of this stem is one of several that make one model.
bool IsShard(absl::string_view stem) {
  constexpr absl::string_view kEnd = "-00000-of-00000";  // any digits
  if (stem.size() < kEnd.size()) return false;
  const absl::string_view end = stem.substr(stem.size() - kEnd.size());
  return std::equal(end.begin(), end.end(), kEnd.begin(), [](char c, char wanted) {
    return wanted == '0' ? absl::ascii_isdigit(static_cast<unsigned char>(c)) : c == wanted;
  });
}

// The model at `path`, a folder or file of a repository, if it is one.
std::optional<ModelEntry> EntryAt(const fs::path& path) {
  const std::string name = path.filename().string();
  if (name.empty() || name.front() == '.' || ToValidUtf8(name) != name) return std::nullopt;
  if (IsFile(path / kPipelineFile)) return ModelEntry{name, path.string()};
  if (IsFile(path / kEncoderFile)) return ModelEntry{name, path.string(), /*is_encoder=*/true};
  absl::string_view stem = name;
  if (!absl::ConsumeSuffix(&stem, kCheckpointSuffix) || stem.empty() || IsShard(stem) ||
      !IsFile(path)) {
    return std::nullopt;
  }
  return ModelEntry{std::string(stem), path.string()};
}

// OK, or why `repository` is a model where a folder of models is needed.
absl::Status CheckNoModel(const std::string& repository) {
  fs::path path = fs::path(repository).lexically_normal();
  if (path.filename().empty()) path = path.parent_path();  // it ended with a slash
  if (!IsFile(path) && !IsFile(path / kPipelineFile) && !IsFile(path / kEncoderFile)) {
    return absl::OkStatus();
  }
  std::error_code ignored;
  const fs::path parent = fs::absolute(path, ignored).parent_path();
  return absl::FailedPreconditionError(absl::StrCat(
      "model repository ", repository, " is itself a model: give the folder that it is in, ",
      parent.string(), ", and load it alone with --load-model ", path.stem().string()));
}

// `entries` by name.
absl::Status SortByName(std::vector<ModelEntry>& entries) {
  const auto by_name = [](const ModelEntry& a, const ModelEntry& b) { return a.name < b.name; };
  std::sort(entries.begin(), entries.end(), by_name);
  const auto twin =
      std::adjacent_find(entries.begin(), entries.end(),
                         [](const auto& a, const auto& b) { return a.name == b.name; });
  if (twin == entries.end()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("two models are called ", twin->name, ": ",
                                                    twin->directory, " and ",
                                                    std::next(twin)->directory));
}

}  // namespace

absl::StatusOr<std::vector<ModelEntry>> ScanModelRepository(
    const std::string& repository, const std::vector<std::string>& wanted) {
  AD_RETURN_IF_ERROR(CheckNoModel(repository));
  std::error_code error;
  fs::directory_iterator folder(repository, error);
  if (error) {
    return absl::NotFoundError(
        absl::StrCat("model repository ", repository, ": ", error.message()));
  }
  std::vector<ModelEntry> entries;
  for (; !error && folder != fs::directory_iterator(); folder.increment(error)) {
    std::optional<ModelEntry> entry = EntryAt(folder->path());
    if (!entry.has_value()) continue;
    const bool is_wanted =
        wanted.empty() || std::find(wanted.begin(), wanted.end(), entry->name) != wanted.end();
    if (is_wanted) entries.push_back(*std::move(entry));
  }
  AD_RETURN_IF_ERROR(SortByName(entries));
  for (const std::string& name : wanted) {
    if (std::none_of(entries.begin(), entries.end(),
                     [&](const ModelEntry& entry) { return entry.name == name; })) {
      return absl::NotFoundError(absl::StrCat("model repository ", repository, " has no model ",
                                              name, " (", kWhatAModelIs, ")"));
    }
  }
  if (entries.empty()) {
    return absl::NotFoundError(
        absl::StrCat("model repository ", repository, " has no model (", kWhatAModelIs, ")"));
  }
  return entries;
}

absl::StatusOr<std::unique_ptr<ModelCatalogue>> ModelCatalogue::Create(
    const std::vector<ModelEntry>& entries, const std::string& default_model, int workers) {
  std::map<std::string, Model> models;
  for (const ModelEntry& entry : entries) models[entry.name].is_own = true;
  std::string chosen = default_model;
  if (chosen.empty() && !entries.empty()) {
    const auto first = std::find_if(entries.begin(), entries.end(),
                                    [](const ModelEntry& entry) { return !entry.is_encoder; });
    chosen = first == entries.end() ? entries.front().name : first->name;
  }
  if (!entries.empty() && models.count(chosen) == 0) {
    return absl::NotFoundError(absl::StrCat("the default model ", chosen, " is not loaded"));
  }
  return std::unique_ptr<ModelCatalogue>(new ModelCatalogue(std::move(models), chosen, workers));
}

ModelCatalogue::ModelCatalogue(std::map<std::string, Model> models, std::string default_model,
                               int workers)
    : default_model_(std::move(default_model)),
      workers_(static_cast<size_t>(workers)),
      models_(std::move(models)) {}

ModelState ModelCatalogue::Model::state(size_t workers) const {
  if (!elsewhere.empty()) return ModelState::kReady;
  return is_own ? state_here(workers) : ModelState::kLoading;  // its server may come back
}

ModelState ModelCatalogue::Model::state_here(size_t workers) const {
  if (!failure.empty()) return ModelState::kFailed;
  const size_t needed = complete ? 1 : workers;
  return devices.size() >= needed ? ModelState::kReady : ModelState::kLoading;
}

std::string ModelCatalogue::default_model() const {
  MutexLock lock(mutex_);
  return default_model_.empty() ? default_elsewhere_ : default_model_;
}

void ModelCatalogue::SetElsewhere(const std::vector<ModelStatus>& models,
                                  const std::string& default_model) {
  MutexLock lock(mutex_);
  for (auto& [name, model] : models_) model.elsewhere.clear();
  for (const ModelStatus& status : models) {
    Model& model = models_[status.name];
    model.elsewhere.insert(model.elsewhere.end(), status.devices.begin(), status.devices.end());
    if (model.devices.empty()) model.info = status.info;
  }
  if (!default_model.empty()) default_elsewhere_ = default_model;
}

void ModelCatalogue::Loaded(size_t worker, const ModelInfo& info) {
  MutexLock lock(mutex_);
  const auto found = models_.find(info.name);
  if (found == models_.end()) return;
  Model& model = found->second;
  model.info = info;
  model.devices[worker] = info.device;
  model.complete = model.complete || model.devices.size() == workers_;
}

void ModelCatalogue::Lost(size_t worker) {
  MutexLock lock(mutex_);
  for (auto& [name, model] : models_) model.devices.erase(worker);
}

void ModelCatalogue::Failed(const std::string& name, const std::string& device,
                            const absl::Status& status) {
  MutexLock lock(mutex_);
  const auto found = models_.find(name);
  if (found == models_.end()) return;
  found->second.failure = absl::StrCat(device, ": ", TextOf(status));
}

absl::Status ModelCatalogue::Check(const std::string& name) const {
  MutexLock lock(mutex_);
  const auto found = models_.find(name);
  // Before any server has told what it has, a name is not known to be wrong.
  if (found == models_.end() && models_.empty()) return ModelLoadingError(name);
  if (found == models_.end()) return ModelNotFoundError(name);
  switch (found->second.state(workers_)) {
    case ModelState::kLoading:
      return ModelLoadingError(name);
    case ModelState::kFailed:
      return ModelFailedError(name);
    case ModelState::kReady:
      break;
  }
  return absl::OkStatus();
}

ModelInfo ModelCatalogue::InfoOf(const std::string& name) const {
  MutexLock lock(mutex_);
  const auto found = models_.find(name);
  return found == models_.end() ? ModelInfo() : found->second.info;
}

std::vector<ModelStatus> ModelCatalogue::List() const {
  MutexLock lock(mutex_);
  std::vector<ModelStatus> list;
  for (const auto& [name, model] : models_) {
    ModelStatus status{name, model.state(workers_), model.failure, model.info, {}};
    for (const auto& [worker, device] : model.devices) status.devices.push_back(device);
    status.devices.insert(status.devices.end(), model.elsewhere.begin(), model.elsewhere.end());
    list.push_back(std::move(status));
  }
  return list;
}

std::vector<ModelStatus> ModelCatalogue::Own() const {
  MutexLock lock(mutex_);
  std::vector<ModelStatus> list;
  for (const auto& [name, model] : models_) {
    if (!model.is_own) continue;
    ModelStatus status{name, model.state_here(workers_), model.failure, model.info, {}};
    for (const auto& [worker, device] : model.devices) status.devices.push_back(device);
    list.push_back(std::move(status));
  }
  return list;
}

bool ModelCatalogue::AllReady() const {
  MutexLock lock(mutex_);
  return std::all_of(models_.begin(), models_.end(), [this](const auto& entry) {
    return !entry.second.is_own || entry.second.state_here(workers_) == ModelState::kReady;
  });
}

bool ModelCatalogue::AnyReady() const {
  MutexLock lock(mutex_);
  const auto is_own = [](const auto& entry) { return entry.second.is_own; };
  if (std::none_of(models_.begin(), models_.end(), is_own)) return true;
  return std::any_of(models_.begin(), models_.end(), [this](const auto& entry) {
    return entry.second.is_own && entry.second.state_here(workers_) == ModelState::kReady;
  });
}

}  // namespace antidiffusion
