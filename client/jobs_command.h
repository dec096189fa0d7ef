// `antidiffusion jobs`: work that goes on without the caller.
#pragma once

#include <cstdint>
#include <ostream>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "antidiffusion/v1/protection.pb.h"
#include "client/progress_display.h"
#include "client/protection_client.h"

namespace antidiffusion {

struct JobsSettings {
  enum class Action { kCreate, kList, kGet, kWatch, kCancel, kDelete };
  Action action = Action::kList;
  bool json = false;
  absl::Duration timeout = absl::InfiniteDuration();  // of each call, its retries included
  // create
  std::vector<std::string> paths = {};
  bool recursive = false;
  v1::ProtectRequest request = {};  // all but the image
  // the others but list
  std::vector<std::string> names = {};
  // get, watch
  std::string result_file = {};  // watch, empty: NAME.protected.EXTENSION in the current folder
  bool overwrite = false;        // else an existing file is an error, found before any call
  uint64_t from_sequence = 0;    // watch
  // list
  v1::Job::State state = v1::Job::STATE_UNSPECIFIED;
  int limit = 100;  // the newest so many
};

// `out` gets, with `json`, an object a job or file (job_text.h: JobJson for list and get without a
// file, else JobOutcomeJson) and nothing else. Without it: create writes the job's name alone on a
// line, so that a script may read it; list a table; get facts; watch, cancel and delete a sentence.
// Errors are lines of the display. One that fails does not stop the others. Gives the exit code
// (exit_codes.h): interrupted before unreachable before failed. Interrupting a watch leaves the
// job alone and says how to go on.
int RunJobs(const JobsSettings& settings, const ProtectionClient& client, ProgressDisplay& display,
            std::ostream& out, const std::stop_token& stop);

}  // namespace antidiffusion
