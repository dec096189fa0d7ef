#include "server/worker_pool.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace antidiffusion {

namespace {

WorkerSurroundings With(WorkerSurroundings surroundings, std::stop_token stop_loading) {
  surroundings.stop_loading = std::move(stop_loading);
  return surroundings;
}

}  // namespace

WorkerPool::WorkerPool(std::vector<std::string> devices, WorkerSettings settings,
                       WorkerSurroundings surroundings)
    : devices_(std::move(devices)),
      settings_(std::move(settings)),
      surroundings_(With(std::move(surroundings), stop_loading_.get_token())) {}

WorkerPool::~WorkerPool() = default;  // joins

void WorkerPool::Start() {
  {
    MutexLock lock(mutex_);
    alive_ = devices_.size();
  }
  for (size_t i = 0; i < devices_.size(); ++i) {
    threads_.emplace_back([this, place = PlaceOf(i)] {
      DeviceWorker(settings_, surroundings_, place).Main();
      MutexLock lock(mutex_);
      --alive_;
      finished_.NotifyAll();
    });
  }
}

WorkerPlace WorkerPool::PlaceOf(size_t index) const {
  const std::string& device = devices_[index];
  const auto first = devices_.begin();
  const auto own = first + static_cast<std::ptrdiff_t>(index);
  const bool shared = std::count(first, devices_.end(), device) > 1;
  const std::string suffix = shared ? absl::StrCat("#", std::count(first, own, device)) : "";
  return {index, device, suffix};
}

bool WorkerPool::WaitFinished(absl::Duration timeout) {
  const absl::Time end = absl::Now() + timeout;
  MutexLock lock(mutex_);
  while (alive_ > 0 && absl::Now() < end) finished_.WaitFor(lock, end - absl::Now());
  return alive_ == 0;
}

}  // namespace antidiffusion
