// How a job reads: for people a table or lines, for programs an object.
#pragma once

#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "antidiffusion/v1/protection.pb.h"

namespace antidiffusion {

// What became of one photograph or job of a `jobs` command.
struct JobOutcome {
  std::optional<std::string> input = {};   // the file that was sent
  std::optional<std::string> name = {};    // of the job
  std::optional<std::string> output = {};  // the file that was written
  absl::Status status = {};
  std::optional<v1::Job> job = {};  // as the server told it last
};

// The message antidiffusion.v1.Job in protobuf's JSON, names as in the .proto (64-bit numbers are
// strings), without the result's image. `error` is null or an object `code` (its gRPC name),
// `message`, `reason` (null where the server gave none); `result` is null where there is none. One
// line without a break.
std::string JobJson(const v1::Job& job);

// Keys, always all of them and in this order: `input name output status message job`; null where
// there is nothing to say. One line without a break.
std::string JobOutcomeJson(const JobOutcome& outcome);

// "NAME  STATE  ..." and a row a job; ages as of `now`.
void WriteJobTable(const std::vector<v1::Job>& jobs, absl::Time now, std::ostream& out);

// "name: ..." and so on, a fact a line, those that are known.
void WriteJob(const v1::Job& job, std::ostream& out);

// SUCCEEDED, ... or "state 9" for one that this program does not know.
std::string StateName(v1::Job::State state);

}  // namespace antidiffusion
