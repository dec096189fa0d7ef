// The endings of a run, counted, measured and held to the invariant.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "tests/load/ending.h"
#include "tests/load/server_counters.h"

namespace antidiffusion {

// Seconds of one kind, and how often.
class Latencies {
 public:
  void Add(const std::optional<absl::Duration>& latency);
  size_t count() const { return seconds_.size(); }
  // The smallest value that at least `percent` of 100 are not above, seconds; 0 when there are
  // none. 100: the largest.
  double Percentile(double percent) const;

 private:
  std::vector<double> seconds_;
};

struct LatencySet {
  Latencies admission, wait, total, cancel;
};

class Report {
 public:
  // `tenants`: their names, as Ending::tenant counts them.
  explicit Report(std::vector<std::string> tenants);

  void Add(const Ending& ending);
  void AddUnsent() { ++unsent_; }
  void SetElapsed(absl::Duration elapsed) { elapsed_ = elapsed; }
  // What the server counted meanwhile; the run must have had it for itself.
  void SetServer(const ServerCounters& server) { server_ = server; }

  int64_t count(Outcome outcome) const { return outcomes_[static_cast<size_t>(outcome)]; }
  int64_t accepted() const;
  int64_t arrivals() const;  // those that were sent

  // Empty when all holds, else what does not, a sentence each:
  //   accepted = succeeded + failed + cancelled + expired (none lost), sequences grew, something
  //   was accepted;
  //   with the server's counters: the same sum there (with what waits and runs), and what was seen
  //   here lies within what was counted there (an abandoned arrival may have been accepted; a
  //   closed call may have ended in any way).
  std::vector<std::string> Violations() const;

  void Write(std::ostream& out) const;
  void WriteJson(std::ostream& out) const;

 private:
  std::vector<std::string> tenants_;
  std::array<int64_t, 7> outcomes_ = {};
  std::array<int64_t, 2> kinds_ = {};
  std::map<std::string, int64_t> failures_;
  std::map<std::string, int64_t> refusals_;
  int64_t resumed_ = 0;
  int64_t disorder_ = 0;
  int64_t unsent_ = 0;
  LatencySet all_;
  std::vector<LatencySet> by_tenant_;
  absl::Duration elapsed_ = absl::ZeroDuration();
  std::optional<ServerCounters> server_;
};

}  // namespace antidiffusion
