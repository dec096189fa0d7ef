// `antidiffusion protect`: files in, protected files out.
#pragma once

#include <ostream>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "antidiffusion/v1/protection.pb.h"
#include "client/output_naming.h"
#include "client/progress_display.h"
#include "client/protection_client.h"

namespace antidiffusion {

struct ProtectSettings {
  std::vector<std::string> paths;
  NamingOptions naming;
  bool overwrite = false;  // else a file whose output exists is skipped, and counts as OK
  bool json = false;
  int parallel = 1;                                   // files at a time, at least 1
  absl::Duration timeout = absl::InfiniteDuration();  // of a file, its retries included
  v1::ProtectRequest request;  // all but the image; without request_id: random ones
};

// Protects each file by itself: a bad one does not stop the others. `out` gets one line a file:
// with `json` an object (json_lines.h) and nothing else, also for files that an interruption kept
// from being sent; without it a sentence, and a summary of several files at the end (which with
// `json` go to the display). Gives the exit code (exit_codes.h): interrupted before unreachable
// before failed. After a file has found no server in all its attempts, the next ones get one
// attempt each until one succeeds.
int RunProtect(const ProtectSettings& settings, const ProtectionClient& client,
               ProgressDisplay& display, std::ostream& out, const std::stop_token& stop);

}  // namespace antidiffusion
