#include "server/dispatcher.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "server/errors.h"

namespace antidiffusion {
namespace {

constexpr absl::Duration kClaimPoll = absl::Seconds(1);  // where no signal comes

}  // namespace

Dispatcher::Dispatcher(Options options, Surroundings surroundings)
    : options_(std::move(options)), with_(surroundings) {
  subscription_ = with_.database.signals().Subscribe([this](const JobSignal& signal) {
    if (signal.phase != JobPhase::kRunning) Wake();  // it waits, or makes room for one that does
  });
}

Dispatcher::~Dispatcher() { with_.database.signals().Unsubscribe(subscription_); }

std::optional<ClaimedJob> Dispatcher::Next(const std::vector<std::string>& models,
                                           const std::function<bool()>& interrupted,
                                           absl::Duration timeout) {
  const absl::Time end = absl::Now() + timeout;
  while (true) {
    const uint64_t seen = changes();
    if (interrupted() || given_up()) return std::nullopt;
    if (std::optional<ClaimedJob> claimed = Claim(models)) return claimed;
    if (finished()) {
      Wake();  // the other devices, which may wait for the same
      return std::nullopt;
    }
    if (absl::Now() >= end) return std::nullopt;
    WaitForChange(seen, end);
  }
}

std::optional<ClaimedJob> Dispatcher::Claim(const std::vector<std::string>& models) {
  const bool is_rest = closed() && options_.durable;
  absl::StatusOr<std::optional<ClaimedJob>> claimed = with_.database.Claim(
      options_.process, models, options_.lease, is_rest ? options_.process : "");
  bool was_away = false;
  {
    MutexLock lock(mutex_);
    was_away = std::exchange(is_away_, !claimed.ok());
  }
  if (claimed.ok()) return *std::move(claimed);
  with_.metrics.StoreFailed();
  if (!was_away) with_.log.Error("no job claimed", {{"error", TextOf(claimed.status())}});
  return std::nullopt;
}

uint64_t Dispatcher::changes() const {
  MutexLock lock(mutex_);
  return changes_;
}

void Dispatcher::WaitForChange(uint64_t seen, absl::Time end) {
  const absl::Time until = std::min(end, absl::Now() + kClaimPoll);
  MutexLock lock(mutex_);
  while (changes_ == seen && absl::Now() < until) {
    changed_.WaitFor(lock, until - absl::Now());
  }
}

void Dispatcher::Wake() {
  MutexLock lock(mutex_);
  ++changes_;
  changed_.NotifyAll();
}

void Dispatcher::Close() {
  MutexLock lock(mutex_);
  closed_ = true;
  ++changes_;
  changed_.NotifyAll();
}

bool Dispatcher::closed() const {
  MutexLock lock(mutex_);
  return closed_;
}

void Dispatcher::GiveUp() {
  MutexLock lock(mutex_);
  given_up_ = true;
  ++changes_;
  changed_.NotifyAll();
}

bool Dispatcher::given_up() const {
  MutexLock lock(mutex_);
  return given_up_;
}

bool Dispatcher::finished() const {
  if (!closed()) return false;
  if (given_up()) return true;
  const absl::StatusOr<int64_t> waiting =
      with_.database.CountWaiting(options_.durable ? options_.process : "");
  return waiting.ok() && *waiting == 0;
}

bool Dispatcher::WaitFinished(absl::Duration timeout) {
  const absl::Time end = absl::Now() + timeout;
  while (true) {
    const uint64_t seen = changes();
    if (finished()) return true;
    if (absl::Now() >= end) return false;
    WaitForChange(seen, end);
  }
}

}  // namespace antidiffusion
