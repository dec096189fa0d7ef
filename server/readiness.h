// Whether a server has the models that it needs to be ready, and what is in the way.
#pragma once

#include <set>
#include <string>

#include "base/mutex.h"
#include "server/log.h"
#include "server/model_catalogue.h"

namespace antidiffusion {

// Thread-safe.
class Readiness {
 public:
  // `strict`: every model is needed, else one. Both others outlive it.
  Readiness(const ModelCatalogue& catalogue, bool strict, const Log& log)
      : catalogue_(catalogue), strict_(strict), log_(log) {}

  bool ready() const { return strict_ ? catalogue_.AllReady() : catalogue_.AnyReady(); }

  // For people: the models that are not there, and why; "": it is ready.
  std::string WhyNot() const;

  // Where models that cannot be loaded keep the server from ever being ready, says so in the log,
  // once of each of them.
  void LogHopeless() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  const ModelCatalogue& catalogue_;
  const bool strict_;
  const Log& log_;
  Mutex mutex_;
  std::set<std::string> told_ ABSL_GUARDED_BY(mutex_);  // models
};

}  // namespace antidiffusion
