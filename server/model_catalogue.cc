#include "server/model_catalogue.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/errors.h"

namespace antidiffusion {

absl::StatusOr<std::vector<ModelEntry>> ScanModelRepository(
    const std::string& repository, const std::vector<std::string>& wanted) {
  std::error_code error;
  std::filesystem::directory_iterator folder(repository, error);
  if (error) {
    return absl::NotFoundError(
        absl::StrCat("model repository ", repository, ": ", error.message()));
  }
  std::vector<ModelEntry> entries;
  for (; folder != std::filesystem::directory_iterator(); folder.increment(error)) {
    const std::string name = folder->path().filename().string();
    const bool is_wanted =
        wanted.empty() || std::find(wanted.begin(), wanted.end(), name) != wanted.end();
    std::error_code ignored;
    if (is_wanted && std::filesystem::exists(folder->path() / "model_index.json", ignored)) {
      entries.push_back({name, folder->path().string()});
    }
    if (error) break;
  }
  std::sort(entries.begin(), entries.end(),
            [](const ModelEntry& a, const ModelEntry& b) { return a.name < b.name; });
  for (const std::string& name : wanted) {
    if (std::none_of(entries.begin(), entries.end(),
                     [&](const ModelEntry& entry) { return entry.name == name; })) {
      return absl::NotFoundError(absl::StrCat("model repository ", repository, " has no model ",
                                              name, " (a folder with a model_index.json)"));
    }
  }
  if (entries.empty()) {
    return absl::NotFoundError(absl::StrCat("model repository ", repository,
                                            " has no model (a folder with a model_index.json)"));
  }
  return entries;
}

absl::StatusOr<std::unique_ptr<ModelCatalogue>> ModelCatalogue::Create(
    const std::vector<ModelEntry>& entries, const std::string& default_model, int workers) {
  std::map<std::string, Model> models;
  for (const ModelEntry& entry : entries) models[entry.name];
  const std::string chosen = default_model.empty() ? models.begin()->first : default_model;
  if (models.count(chosen) == 0) {
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
  if (!failure.empty()) return ModelState::kFailed;
  const size_t needed = complete ? 1 : workers;
  return devices.size() >= needed ? ModelState::kReady : ModelState::kLoading;
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

std::string ModelCatalogue::DigestOf(const std::string& name) const {
  MutexLock lock(mutex_);
  const auto found = models_.find(name);
  return found == models_.end() ? "" : found->second.info.digest;
}

std::vector<ModelStatus> ModelCatalogue::List() const {
  MutexLock lock(mutex_);
  std::vector<ModelStatus> list;
  for (const auto& [name, model] : models_) {
    ModelStatus status{name, model.state(workers_), model.failure, model.info, {}};
    for (const auto& [worker, device] : model.devices) status.devices.push_back(device);
    list.push_back(std::move(status));
  }
  return list;
}

bool ModelCatalogue::AllReady() const {
  MutexLock lock(mutex_);
  return std::all_of(models_.begin(), models_.end(), [this](const auto& entry) {
    return entry.second.state(workers_) == ModelState::kReady;
  });
}

bool ModelCatalogue::AnyReady() const {
  MutexLock lock(mutex_);
  return std::any_of(models_.begin(), models_.end(), [this](const auto& entry) {
    return entry.second.state(workers_) == ModelState::kReady;
  });
}

}  // namespace antidiffusion
