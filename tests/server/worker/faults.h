// Faults of a worker process, chosen from outside. Only for programs of the tests.
//
//   ANTIDIFFUSION_FAULTS="crash@job=2,step=3;hang@step=2;oom@job=1;sticky@job=2;slow_load=2s;
//                         once=/tmp/mark"
//
// A table of faults, separated by semicolons. Jobs and the steps of a job are counted from 1; a
// fault without a job happens in each job, one without a step before the first step, one with
// width=N only to images of that width.
//   crash   the process is killed
//   hang    the engine's thread stops for ever
//   oom     the job ends with RESOURCE_EXHAUSTED, reason DEVICE_MEMORY
//   sticky  from there on all that touches the device fails
//   unrestored  the job ends with INTERNAL, reason WEIGHTS_NOT_RESTORED; the device is well
//   shape   the job's result is a column narrower than the image
//   fail_test@step=N  the N-th self-test fails, and all that touches the device after it
//   slow_load=DURATION  loading takes so much longer
//   once=FILE  each fault happens once in all processes that name this file: FILE.NAME marks it
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/worker/worker_service.h"

namespace antidiffusion {

enum class FaultKind { kCrash, kHang, kOom, kSticky, kUnrestored, kShape, kFailTest };

struct Fault {
  FaultKind kind = FaultKind::kCrash;
  std::string name;
  std::optional<int> job;
  int step = 1;
  std::optional<int> width;
};

struct FaultTable {
  std::vector<Fault> faults;
  absl::Duration slow_load = absl::ZeroDuration();
  std::string once;  // "": as often as it fits

  // INVALID_ARGUMENT: not of the form above.
  static absl::StatusOr<FaultTable> Parse(const std::string& text);
};

// `load`, and what it loads, with the faults of `table`.
LoadFunction WithFaults(FaultTable table, LoadFunction load);

// The main of a worker program that obeys ANTIDIFFUSION_FAULTS.
int RunFaultyWorker(int argc, char** argv, LoadFunction load);

}  // namespace antidiffusion
