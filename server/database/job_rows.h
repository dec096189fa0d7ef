// What the verbs have in common: reading rows, moving a job from one phase to the next, and the
// counts of its tenant, which change with it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/database/job_database.h"
#include "server/database/sql.h"

namespace antidiffusion {

inline constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

// kNever for what is infinite.
int64_t Nanoseconds(absl::Duration duration);
absl::Time TimeOf(int64_t nanoseconds);  // 0: InfinitePast, kNever: InfiniteFuture

// The database's clock.
absl::StatusOr<int64_t> NowOf(SqlConnection& connection);
// A time from now on; kNever where it is too far.
int64_t After(int64_t now, int64_t nanoseconds);
int64_t After(int64_t now, absl::Duration duration);

// Tells that the job is now in `phase`, once this is committed, or is to be: cancelled while it
// runs.
void TellChange(SqlConnection& connection, const std::string& job, JobPhase phase,
                int64_t sequence);

// What a change of phase must know of a job, read with its row locked.
struct JobState {
  std::string name;
  std::string tenant;
  JobPhase phase = JobPhase::kQueued;
  int64_t attempt = 0;
  int64_t losses = 0;
  double cost = 0;
  int64_t image_bytes = 0;
  std::string image_digest;
  std::string result_digest;
  int64_t result_bytes = 0;
  int64_t kept_for = 0;
  std::string cancel;
  std::string error;
  int64_t job_class = 0;
  std::string request_id;
  std::string model;
  std::string trace;
  int64_t created = 0;
  int64_t sequence = 0;
  std::string holder;
  int64_t joined = 0;
};

inline constexpr char kSeveralHolders[] = "*";  // in place of one

// Further models of a job, as the column `also` has them: "" for none.
std::string AlsoText(const std::vector<std::string>& models);

// As it has ended in `phase` with `error`, for accounts.
EndedJob EndedOf(const JobState& job, JobPhase phase, const std::string& error);

extern const char kStateColumns[];
JobState StateOf(const SqlResult& result, size_t row);

// The row of a job, locked until the transaction ends. NOT_FOUND.
absl::StatusOr<JobState> LockJob(SqlConnection& connection, const std::string& name);

// A job that waits or runs -> its end, at `now`. Its tenant is charged `end.cost` in place of what
// was planned, if it ran; the input's blob goes. FAILED_PRECONDITION: the result's is missing.
absl::Status EndJob(SqlConnection& connection, const JobState& job, const JobEnd& end, int64_t now);

// A running job -> the queue, in its old place; what its tenant was charged is given back.
// Without `losses` being more than before the attempt does not count.
absl::Status RequeueJob(SqlConnection& connection, const JobState& job, int64_t losses);

// The row of a job that has ended goes, and the result's blob.
absl::Status ForgetJob(SqlConnection& connection, const JobState& job);

// A row is about to name this blob, if not "": it stays until DropBlob finds that none does.
// FAILED_PRECONDITION: it is not there, or no longer, and must be put again.
absl::Status NameBlob(SqlConnection& connection, const std::string& digest);

// Deletes a blob that no job names, but for one that was put at most `kUnnamedFor` ago, for a job
// that may be on its way. False: it stays, or was not there.
inline constexpr absl::Duration kUnnamedFor = absl::Minutes(10);
absl::StatusOr<bool> DropBlob(SqlConnection& connection, const std::string& digest);

}  // namespace antidiffusion
