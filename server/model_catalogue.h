// The models of the repository and what became of loading them; and those that other servers of the
// same job database have.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/mutex.h"
#include "core/api/protector.h"

namespace antidiffusion {

struct ModelEntry {
  std::string name;
  std::string directory;    // a folder, or a file
  bool is_encoder = false;  // without a pipeline around it: no model for jobs that name none
};

// The models of `repository`, by name; only those in `wanted` unless that is empty: folders NAME
// with a model_index.json (a pipeline) or a config.json (an encoder), and files NAME.safetensors.
// Passed over are names that begin with a dot, names that are not UTF-8 (no message can hold them)
// and files NAME-00001-of-00002.safetensors, parts of a model.
// NOT_FOUND: no such folder, no model in it, or a wanted one is missing. FAILED_PRECONDITION: it is
// itself a model, or one name stands for a folder and a file.
absl::StatusOr<std::vector<ModelEntry>> ScanModelRepository(const std::string& repository,
                                                            const std::vector<std::string>& wanted);

enum class ModelState { kLoading, kReady, kFailed };

struct ModelStatus {
  std::string name;
  ModelState state = ModelState::kLoading;
  std::string message;               // why it failed
  ModelInfo info;                    // once loaded somewhere
  std::vector<std::string> devices;  // of the workers that have it now
};

// A model is ready once it was loaded by every worker here, and from then on while at least one has
// it; or while another server has it. Thread-safe. Names from requests are looked up here and are
// never part of a path.
class ModelCatalogue {
 public:
  // `default_model` empty: the first of `entries` that is more than an encoder, else the first. No
  // `entries`: all models are other servers', which choose the default where it is empty.
  // NOT_FOUND: `default_model` is none of them.
  static absl::StatusOr<std::unique_ptr<ModelCatalogue>> Create(
      const std::vector<ModelEntry>& entries, const std::string& default_model, int workers);

  std::string default_model() const ABSL_LOCKS_EXCLUDED(mutex_);

  // What other servers have now, and the default of one of them.
  void SetElsewhere(const std::vector<ModelStatus>& models, const std::string& default_model)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // By the worker of that number.
  void Loaded(size_t worker, const ModelInfo& info) ABSL_LOCKS_EXCLUDED(mutex_);
  // A worker has no model any more, and will load them again.
  void Lost(size_t worker) ABSL_LOCKS_EXCLUDED(mutex_);
  void Failed(const std::string& name, const std::string& device, const absl::Status& status)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // OK when ready. NOT_FOUND: no such model; UNAVAILABLE: loading, or failed.
  absl::Status Check(const std::string& name) const ABSL_LOCKS_EXCLUDED(mutex_);

  // As it was loaded last; without a name when there is no such model, or it was loaded nowhere
  // yet.
  ModelInfo InfoOf(const std::string& name) const ABSL_LOCKS_EXCLUDED(mutex_);

  // All that calls may name.
  std::vector<ModelStatus> List() const ABSL_LOCKS_EXCLUDED(mutex_);
  // Those of the repository, as the workers here have them, whatever other servers have.
  std::vector<ModelStatus> Own() const ABSL_LOCKS_EXCLUDED(mutex_);
  // Whether the workers here have those of the repository; true where it has none.
  bool AllReady() const ABSL_LOCKS_EXCLUDED(mutex_);
  bool AnyReady() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Model {
    ModelInfo info;
    std::map<size_t, std::string> devices;  // by worker
    bool complete = false;                  // has been ready
    std::string failure;                    // "": none
    bool is_own = false;                    // of the repository
    std::vector<std::string> elsewhere;     // devices of other servers

    ModelState state(size_t workers) const;
    ModelState state_here(size_t workers) const;  // as of Own
  };

  ModelCatalogue(std::map<std::string, Model> models, std::string default_model, int workers);

  const std::string default_model_;
  const size_t workers_;
  mutable Mutex mutex_;
  std::string default_elsewhere_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, Model> models_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace antidiffusion
