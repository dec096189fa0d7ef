// A whole run: the arrivals at their times, and the wait for the last of them.
#pragma once

#include <ostream>

#include "absl/status/statusor.h"
#include "tests/load/report.h"
#include "tests/load/settings.h"

namespace antidiffusion {

// Blocks until every arrival has ended, `patience` after the last one at most. A line on `progress`
// every 10 s, unless settings.quiet. Errors: credentials that cannot be used, a picture that cannot
// be made, metrics that cannot be read before or after.
absl::StatusOr<Report> RunLoad(const LoadSettings& settings, std::ostream& progress);

}  // namespace antidiffusion
