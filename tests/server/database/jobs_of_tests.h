// Jobs as the tests of the job database give them.
#pragma once

#include <string>

#include "server/database/job_database.h"

namespace antidiffusion {

inline constexpr absl::Duration kLease = absl::Seconds(30);

inline NewJob JobOf(const std::string& tenant, const std::string& name) {
  NewJob job;
  job.name = name;
  job.tenant = tenant;
  job.request = "request of " + name;
  job.model = "alpha";
  job.cost = 1;
  return job;
}

inline JobEnd Success(const std::string& result, int64_t bytes = 0) {
  JobEnd end;
  end.result = result;
  end.result_bytes = bytes;
  end.cost = 1;
  return end;
}

}  // namespace antidiffusion
