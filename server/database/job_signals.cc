#include "server/database/job_signals.h"

#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace antidiffusion {

std::string JobSignal::ToText() const {
  return absl::StrCat(static_cast<int>(phase), " ", sequence, " ", job);
}

std::optional<JobSignal> JobSignal::FromText(absl::string_view text) {
  const std::vector<absl::string_view> words = absl::StrSplit(text, absl::MaxSplits(' ', 2));
  JobSignal signal;
  int phase = 0;
  if (words.size() != 3 || !absl::SimpleAtoi(words[0], &phase) ||
      !absl::SimpleAtoi(words[1], &signal.sequence) || phase < 0 ||
      phase > static_cast<int>(JobPhase::kExpired)) {
    return std::nullopt;
  }
  signal.phase = static_cast<JobPhase>(phase);
  signal.job = std::string(words[2]);
  return signal;
}

int JobSignals::Subscribe(Listener listener) {
  const MutexLock lock(mutex_);
  listeners_[next_] = std::move(listener);
  return next_++;
}

void JobSignals::Unsubscribe(int id) {
  const MutexLock lock(mutex_);
  listeners_.erase(id);
}

void JobSignals::Publish(const JobSignal& signal) {
  const MutexLock lock(mutex_);
  for (const auto& [id, listener] : listeners_) listener(signal);
}

}  // namespace antidiffusion
