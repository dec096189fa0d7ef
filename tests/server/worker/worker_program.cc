#include "tests/server/worker/worker_program.h"

#include <cstdlib>
#include <fstream>

#include "absl/strings/str_replace.h"

namespace antidiffusion {

WorkerProgram::WorkerProgram(const WorkerOrders& orders) {
  Set("FAULTS", absl::StrReplaceAll(orders.faults, {{"ONCE", "once=" + dir_.File("mark")}}));
  Set("FAKE_STEPS", orders.steps);
  Set("FAKE_STEP_TIME", orders.step_time);
  Set("FAKE_LOG", dir_.File("log"));
}

void WorkerProgram::Set(const std::string& name, const std::string& value) {
  if (value.empty()) return;
  names_.push_back("ANTIDIFFUSION_" + name);
  setenv(names_.back().c_str(), value.c_str(), /*overwrite=*/1);
}

WorkerProgram::~WorkerProgram() {
  for (const std::string& name : names_) unsetenv(name.c_str());
}

WorkerSpawnOptions WorkerProgram::Options(absl::Duration hang_timeout) const {
  return {ANTIDIFFUSION_WORKER_FAKE, hang_timeout};
}

std::vector<pid_t> WorkerProgram::Pids() const {
  std::vector<pid_t> pids;
  std::ifstream log(dir_.File("log"));
  std::string word, model;
  pid_t pid = 0;
  while (log >> word >> pid >> model) pids.push_back(pid);
  return pids;
}

bool IsAlive(pid_t pid) {
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string number, name, state;
  return (stat >> number >> name >> state) && state != "Z" && state != "X";
}

}  // namespace antidiffusion
