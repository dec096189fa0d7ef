#include "server/readiness.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace antidiffusion {
namespace {

bool CannotBeLoaded(const ModelStatus& model) { return model.state == ModelState::kFailed; }

}  // namespace

std::string Readiness::WhyNot() const {
  if (ready()) return "";
  std::vector<std::string> missing;
  for (const ModelStatus& model : catalogue_.Own()) {
    if (model.state == ModelState::kReady) continue;
    missing.push_back(CannotBeLoaded(model)
                          ? absl::StrCat(model.name, " cannot be loaded: ", model.message)
                          : absl::StrCat(model.name, " loads"));
  }
  return absl::StrJoin(missing, "; ");
}

void Readiness::LogHopeless() {
  const std::vector<ModelStatus> models = catalogue_.Own();
  if (models.empty()) return;
  const bool hopeless = strict_ ? std::any_of(models.begin(), models.end(), CannotBeLoaded)
                                : std::all_of(models.begin(), models.end(), CannotBeLoaded);
  if (!hopeless) return;
  MutexLock lock(mutex_);
  for (const ModelStatus& model : models) {
    if (!CannotBeLoaded(model) || !told_.insert(model.name).second) continue;
    log_.Error(strict_ ? "the server does not become ready: --strict-readiness wants every model"
                       : "the server does not become ready: no model can be loaded",
               {{"model", model.name}, {"error", model.message}});
  }
}

}  // namespace antidiffusion
