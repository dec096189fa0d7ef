// The fake worker program and what it is told through the environment.
#pragma once

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

#include "server/engine/worker_engine.h"
#include "tests/testing/temp_dir.h"

namespace antidiffusion {

// What the workers of a test are told. A setting that is empty is not told.
struct WorkerOrders {
  std::string faults = {};     // see faults.h; ONCE stands for `once=FILE` with a file of its own
  std::string steps = {};      // of a job
  std::string step_time = {};  // "5ms"
};

// Sets the environment of the workers that are spawned while it lives. Make it before the server
// and its threads.
class WorkerProgram {
 public:
  explicit WorkerProgram(const WorkerOrders& orders);
  ~WorkerProgram();
  WorkerProgram(const WorkerProgram&) = delete;
  WorkerProgram& operator=(const WorkerProgram&) = delete;

  WorkerSpawnOptions Options(absl::Duration hang_timeout = absl::Seconds(120)) const;
  // The processes that have loaded a model so far, in that order.
  std::vector<pid_t> Pids() const;

 private:
  void Set(const std::string& name, const std::string& value);

  TempDir dir_;
  std::vector<std::string> names_;
};

// Whether the process is there and not a zombie.
bool IsAlive(pid_t pid);

}  // namespace antidiffusion
