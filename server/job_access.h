// What callers do with jobs that are there: follow, read, list, cancel, delete.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "antidiffusion/v1/protection.pb.h"
#include "server/database/job_database.h"
#include "server/database_threads.h"
#include "server/eta_estimator.h"
#include "server/job.h"
#include "server/job_accounts.h"
#include "server/job_boards.h"
#include "server/job_follower.h"
#include "server/queue_outlook.h"

namespace antidiffusion {

// Thread-safe. All but Leave and ReadImage wait for the database. A tenant asks for its own jobs;
// NOT_FOUND: there is none of that name, or it is another's. UNAVAILABLE: the database failed.
class JobAccess {
 public:
  struct Surroundings {  // all of it outlives the access
    JobDatabase& database;
    DatabaseThreads& threads;
    JobBoards& boards;
    JobFollower& follower;
    JobAccounts& accounts;
    const QueueOutlook& outlook;
    const EtaEstimator& eta;
    Job::Clock now;
  };
  using ImageRead = std::function<void(absl::StatusOr<std::string> image)>;

  // `process`: its name in the database.
  JobAccess(std::string process, Surroundings surroundings)
      : process_(std::move(process)), with_(std::move(surroundings)) {}

  // The job, with one more caller.
  absl::StatusOr<std::shared_ptr<Job>> Attach(const std::string& tenant, const std::string& name);

  // The same for one that has a result. FAILED_PRECONDITION: it has none (yet); INVALID_ARGUMENT:
  // its image has fewer bytes than `offset`; DATA_LOSS: the result is not readable.
  struct AttachedResult {
    std::shared_ptr<Job> job;
    uint64_t before = 0;  // every event but the result has this sequence or an earlier one
  };
  absl::StatusOr<AttachedResult> AttachToResult(const std::string& tenant, const std::string& name,
                                                int64_t offset);
  // Reads it anew.
  void Refresh(Job& job);

  // A caller of `job` has left; a job that nobody needs then is cancelled for the reason of `why`,
  // or forgotten if it has ended. Waits for nothing.
  void Leave(const Job& job, const std::optional<absl::Status>& why);

  // As callers see it; `with_result`: with the result, where there is one, but for its image.
  absl::StatusOr<v1::Job> Get(const std::string& tenant, const std::string& name, bool with_result);
  // Newest first; `token`: "" or a page's next_page_token. INVALID_ARGUMENT: page_token.
  absl::StatusOr<v1::ListJobsResponse> List(const std::string& tenant,
                                            std::optional<JobState> state, int size,
                                            const std::string& token);
  absl::StatusOr<v1::Job> Cancel(const std::string& tenant, const std::string& name);
  // FAILED_PRECONDITION: it has not ended.
  absl::Status Delete(const std::string& tenant, const std::string& name);

  // A piece of the stored image of a result, at least a byte; `then` is called once, on any thread.
  // NOT_FOUND: forgotten by now; DATA_LOSS: there is none at the offset, or, where it is checked,
  // the image is not what was stored.
  void ReadImage(const std::string& job, const StoredPiece& piece, const ImageRead& then);

 private:
  absl::StatusOr<StoredJobRow> Read(const std::string& tenant, const std::string& name);
  absl::Status ErrorOf(const std::string& name, const absl::Status& why);
  std::shared_ptr<Job> AttachTo(const StoredJobRow& row);
  v1::Job Describe(const StoredJobRow& row, bool with_result = false) const;
  void Abandon(const Job& job, int64_t joined, const absl::Status& why);

  const std::string process_;
  const Surroundings with_;
};

}  // namespace antidiffusion
