// What a load run does, and its command line.
#pragma once

#include <cstdint>
#include <ostream>
#include <string>
#include <variant>
#include <vector>

#include "absl/time/time.h"
#include "antidiffusion/v1/protection.pb.h"
#include "client/connection_flags.h"

namespace antidiffusion {

struct Tenant {
  std::string name = {};     // in the report
  std::string api_key = {};  // empty: none
  double share = 1;          // of the arrivals, relative to the other tenants'
};

struct PictureSize {
  int width = 256;  // pixels, as the next
  int height = 256;
};

struct LoadSettings {
  ConnectionSettings connection;
  std::vector<Tenant> tenants;                         // at least one
  std::vector<PictureSize> sizes;                      // at least one; each as likely as the others
  v1::ProtectRequest request = {};                     // all but image and seed
  double rate = 10;                                    // arrivals a second, on average
  int64_t count = 0;                                   // arrivals; 0: as many as `duration` gives
  absl::Duration duration = absl::InfiniteDuration();  // of the arrivals; finite where count is 0
  double jobs_ratio = 0.5;                         // CreateJob and WatchJob; the others are Protect
  double cancel_ratio = 0;                         // of all arrivals
  absl::Duration cancel_after = absl::Seconds(1);  // after the arrival, on average (exponential)
  double slow_ratio = 0;                           // readers that wait before each message
  absl::Duration slow_delay = absl::Milliseconds(500);
  absl::Duration deadline = absl::InfiniteDuration();  // of a call; of a job since its creation
  int max_in_flight = 10'000;                          // arrivals beyond are counted, not sent
  absl::Duration patience = absl::Minutes(5);  // after the last arrival, for what is still open
  int channels = 4;                            // connections
  uint64_t seed = 1;                           // of arrivals, cancels and pictures
  std::string metrics_url = {};                // of the server's /metrics; empty: not compared
  bool json = false;
  bool quiet = false;  // no progress on stderr
};

// The settings, or an exit code where nothing is left to do: 0 after --help, kExitUsage after a
// mistake.
std::variant<LoadSettings, int> ParseLoadCommandLine(int argc, const char* const* argv,
                                                     std::ostream& out, std::ostream& err);

}  // namespace antidiffusion
