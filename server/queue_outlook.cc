#include "server/queue_outlook.h"

#include <algorithm>
#include <memory>
#include <vector>

namespace antidiffusion {
namespace {

// What a refused caller is told when nothing is known, and the bounds of what it is told else.
constexpr absl::Duration kUnknownRetry = absl::Seconds(5);
constexpr absl::Duration kMinRetry = absl::Seconds(1);
constexpr absl::Duration kMaxRetry = absl::Seconds(60);

}  // namespace

QueuedEvent QueueOutlook::PlaceOf(const Job& job) const {
  // In this order the job itself is none of those that run.
  const absl::StatusOr<QueueFigures> figures = database_.Figures();
  const absl::StatusOr<QueuePlace> place = database_.Position(job.name());
  if (!place.ok() || !figures.ok()) return job.Snapshot().queued;
  const std::optional<double> wait = SecondsBefore(*place, *figures);
  const std::optional<double> own = job.expected_seconds();
  return {static_cast<int>(place->jobs + figures->running),
          wait.has_value() && own.has_value() ? *wait + *own : 0};
}

std::optional<double> QueueOutlook::WaitSeconds(const std::string& tenant,
                                                JobPriority priority) const {
  const auto place = database_.PositionOfNext(tenant, static_cast<int>(priority));
  const absl::StatusOr<QueueFigures> figures = database_.Figures();
  if (!place.ok() || !figures.ok()) return std::nullopt;
  return SecondsBefore(*place, *figures);
}

// Of those that run elsewhere no more is known than that they are as jobs are.
std::optional<double> QueueOutlook::SecondsBefore(const QueuePlace& place,
                                                  const QueueFigures& figures) const {
  const auto workers =
      static_cast<double>(std::max({int64_t{1}, int64_t{workers_}, figures.capacity}));
  if (static_cast<double>(place.jobs + figures.running) < workers) return 0;
  double seconds = place.cost;
  const std::vector<std::shared_ptr<Job>> running = boards_.running();
  for (const std::shared_ptr<Job>& job : running) {
    const std::optional<double> own = job->remaining_seconds();
    if (!own.has_value()) return std::nullopt;
    seconds += *own;
  }
  const auto here = static_cast<int64_t>(running.size());
  if (figures.running > here && place.jobs > 0) {
    const double each = place.cost / static_cast<double>(place.jobs);
    seconds += each / 2 * static_cast<double>(figures.running - here);
  }
  return seconds / workers;
}

absl::Duration QueueOutlook::RetryDelay() const {
  std::optional<double> soonest;
  for (const std::shared_ptr<Job>& job : boards_.running()) {
    const std::optional<double> own = job->remaining_seconds();
    if (own.has_value() && (!soonest.has_value() || *own < *soonest)) soonest = own;
  }
  if (!soonest.has_value()) return kUnknownRetry;
  return std::clamp(absl::Seconds(*soonest), kMinRetry, kMaxRetry);
}

}  // namespace antidiffusion
