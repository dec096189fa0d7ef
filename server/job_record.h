// Between a job as the server knows it and its row in the database.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/database/job_database.h"
#include "server/eta_estimator.h"
#include "server/job.h"

namespace antidiffusion {

// What a new job asks for. Its place in the service (cost, holder, times) is left to the caller.
NewJob ToNewJob(const Job& job);

// The request of a row, without the image. DATA_LOSS: it cannot be read (any more).
absl::StatusOr<JobRequest> RequestOf(const ClaimedJob& claimed);
absl::StatusOr<JobRequest> RequestOf(const StoredJobRow& row);

// A job of the database, as it is. Where the request is not readable it is one without options.
std::shared_ptr<Job> JobOf(const StoredJobRow& row, const EtaEstimator& eta, const Job::Clock& now);
JobNews NewsOf(const StoredJobRow& row);

// What a worker tells of a job that runs. "": nothing yet.
std::string ToStoredProgress(const Job& job);

// How an attempt ended; of a result all but the image, which is in a blob of that digest.
JobEnd ToJobEnd(const absl::Status& status);
JobEnd ToJobEnd(const JobResult& result, const std::string& digest);

std::string ToStoredError(const absl::Status& status);
absl::Status ErrorOf(const std::string& stored);

// Whether a retry shall begin anew rather than hear of this end: nobody decided on it, and no work
// would be done twice.
bool FreesRequestId(const absl::Status& status);

// `time` of a clock that shows `now`, on one that shows `here`.
absl::Time OnClock(absl::Time time, absl::Time now, absl::Time here);

}  // namespace antidiffusion
