// Faults of a job store, chosen from outside. Only for programs of the tests.
//
//   ANTIDIFFUSION_FAULTS="disk_full@write=2..4;slow_write=200ms"
//
// Entries are separated by semicolons; those of other programs (tests/server/worker/faults.h) are
// left to them.
//   disk_full@write=N or N..M  these writes, counted from 1, fail and change nothing
//   slow_write=DURATION        each write takes so much longer
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/store/job_store.h"

namespace antidiffusion {

struct StoreFaults {
  int first_full = 0;  // 0: none
  int last_full = 0;
  absl::Duration slow_write = absl::ZeroDuration();

  // INVALID_ARGUMENT: not of the form above.
  static absl::StatusOr<StoreFaults> Parse(const std::string& text);
};

// `store` with faults.
std::unique_ptr<JobStore> WithFaults(const StoreFaults& faults, std::unique_ptr<JobStore> store);

}  // namespace antidiffusion
