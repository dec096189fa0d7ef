// Keeps the jobs that are watched here, and run elsewhere or wait, as the database has them.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <thread>

#include "absl/time/time.h"
#include "base/mutex.h"
#include "server/database/job_database.h"
#include "server/job_boards.h"
#include "server/queue_outlook.h"

namespace antidiffusion {

// A thread that reads a job when it has changed, as far as is told, and all of them each second.
class JobFollower {
 public:
  // All of it outlives the follower.
  JobFollower(JobDatabase& database, JobBoards& boards, const QueueOutlook& outlook);
  ~JobFollower();
  JobFollower(const JobFollower&) = delete;
  JobFollower& operator=(const JobFollower&) = delete;

  // From now on whoever follows a job that is kept is told that another process goes on with it.
  void HandBackKept() ABSL_LOCKS_EXCLUDED(mutex_);

  // Soon reads this one.
  void Look(const std::string& job) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void Main() ABSL_LOCKS_EXCLUDED(mutex_);
  void Read(Job& job, bool hands_back);

  JobDatabase& database_;
  JobBoards& boards_;
  const QueueOutlook& outlook_;
  Mutex mutex_;
  CondVar news_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  bool hands_back_ ABSL_GUARDED_BY(mutex_) = false;     // those that are kept
  bool all_ ABSL_GUARDED_BY(mutex_) = false;            // any may have changed
  bool places_ ABSL_GUARDED_BY(mutex_) = false;         // those of waiting jobs may have changed
  std::set<std::string> jobs_ ABSL_GUARDED_BY(mutex_);  // that have changed
  int subscription_ = 0;
  std::jthread thread_;
};

}  // namespace antidiffusion
