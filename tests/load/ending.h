// What became of one arrival, as its caller saw it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "tests/load/arrival_plan.h"

namespace antidiffusion {

enum class Outcome {
  kSucceeded,
  kFailed,
  kCancelled,
  kExpired,
  kRefused,    // the server said no: never accepted
  kAbandoned,  // closed, expired or cut off before the answer: perhaps accepted
  kLost,       // accepted, and then no word any more
};

struct Ending {
  int64_t number = 0;  // of the arrival
  RequestKind kind = RequestKind::kProtect;
  size_t tenant = 0;
  Outcome outcome = Outcome::kLost;
  std::string code = {};  // of kFailed and kRefused: "RESOURCE_EXHAUSTED QUEUE_FULL"
  int resumed = 0;        // watches that were picked up after a break
  bool disorder = false;  // a sequence that did not grow, a chunk that does not follow the others
  std::optional<absl::Duration> admission = {};  // arrival to acceptance
  std::optional<absl::Duration> wait = {};       // acceptance to running
  std::optional<absl::Duration> total = {};      // arrival to result
  std::optional<absl::Duration> cancel = {};     // a job's: CancelJob sent to the end of its watch
};

// Accepted by the server without doubt.
inline bool WasAccepted(Outcome outcome) {
  return outcome != Outcome::kRefused && outcome != Outcome::kAbandoned;
}

}  // namespace antidiffusion
