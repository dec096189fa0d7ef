// How long jobs will wait: what is before them, and how fast it goes.
#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/database/job_database.h"
#include "server/job.h"
#include "server/job_boards.h"

namespace antidiffusion {

// Estimates, from the order of the database, what its jobs are expected to cost in seconds, and
// what is known here of those that run here. Thread-safe; each question waits for the database.
class QueueOutlook {
 public:
  static constexpr double kUnknownCost = 1;  // seconds, of a job whose length nobody knows

  // Both outlive it. `workers`: devices of this process, at least so many share the work.
  QueueOutlook(JobDatabase& database, const JobBoards& boards, int workers)
      : database_(database), boards_(boards), workers_(workers) {}

  // The place of a waiting job; the last one is known where it waits no longer. ETA 0: unknown.
  QueuedEvent PlaceOf(const Job& job) const;

  // Seconds until a job of this tenant and class, accepted now, would start: nullopt while unknown,
  // 0 when nothing is before it.
  std::optional<double> WaitSeconds(const std::string& tenant, JobPriority priority) const;

  // When a place in a full queue should be free.
  absl::Duration RetryDelay() const;

 private:
  std::optional<double> SecondsBefore(const QueuePlace& place, const QueueFigures& figures) const;

  JobDatabase& database_;
  const JobBoards& boards_;
  const int workers_;
};

}  // namespace antidiffusion
