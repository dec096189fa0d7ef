// Between a job and its row in the job store.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/job.h"
#include "server/store/job_store.h"

namespace antidiffusion {

// The row of a job as it is; `result_digest` is that of its result's image, if any.
StoredJob ToStored(const Job& job, const JobSnapshot& now, absl::Time expires,
                   const std::string& result_digest);

// The row of a job that waits again: what a server on its way out leaves to the next.
StoredJob ToStoredWaiting(const Job& job, const JobSnapshot& now);

// The request of a row, without the image. DATA_LOSS: it cannot be read (any more).
absl::StatusOr<JobRequest> RequestOf(const StoredJob& row);

// What lies behind the job of a row. Sequences go on far above all that were given out before,
// saved or not.
JobPast PastOf(const StoredJob& row);

bool HasEnded(const StoredJob& row);
// Whether a worker had begun the job and not ended it.
bool WasRunning(const StoredJob& row);

}  // namespace antidiffusion
