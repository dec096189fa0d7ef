// What the server says of itself: its counters of jobs, read from /metrics.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace antidiffusion {

// Sums over models, reasons, classes and devices.
struct ServerCounters {
  int64_t accepted = 0;
  int64_t restored = 0;  // accepted by an earlier run of the server
  int64_t succeeded = 0;
  int64_t failed = 0;
  int64_t cancelled = 0;
  int64_t expired = 0;
  int64_t handed_back = 0;  // left to the next run
  int64_t waiting = 0;      // at this moment, as the next
  int64_t running = 0;

  int64_t ended() const { return succeeded + failed + cancelled + expired; }
  bool AddUp() const { return accepted + restored == ended() + handed_back + waiting + running; }
};

// From the text of /metrics. INVALID_ARGUMENT: no antidiffusion_jobs_total in it.
absl::StatusOr<ServerCounters> ParseServerCounters(absl::string_view metrics);

// GET `url`, 10 s at most. UNAVAILABLE: no answer, or not 200; else as ParseServerCounters.
absl::StatusOr<ServerCounters> FetchServerCounters(const std::string& url);

// What happened between two moments; `waiting` and `running` are those of `after`, less those of
// `before`.
ServerCounters Difference(const ServerCounters& after, const ServerCounters& before);

}  // namespace antidiffusion
