// Faults of a job database, chosen from outside. Only for programs of the tests.
//
//   ANTIDIFFUSION_FAULTS="disk_full@write=2..4;slow_write=200ms"
//
// Entries are separated by semicolons; those of other programs (tests/server/worker/faults.h) are
// left to them. A write is a transaction that has changed a job.
//   disk_full@write=N or N..M  these writes, counted from 1, fail and change nothing
//   slow_write=DURATION        each write takes so much longer
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/database/open_pool.h"

namespace antidiffusion {

struct StoreFaults {
  int first_full = 0;  // 0: none
  int last_full = 0;
  absl::Duration slow_write = absl::ZeroDuration();
  std::shared_ptr<std::atomic<bool>> is_full =
      nullptr;  // shared with the test: all fail while true

  // INVALID_ARGUMENT: not of the form above.
  static absl::StatusOr<StoreFaults> Parse(const std::string& text);
};

// Opens pools with faults.
PoolFactory WithFaults(const StoreFaults& faults);

}  // namespace antidiffusion
