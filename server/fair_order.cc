#include "server/fair_order.h"

#include <algorithm>
#include <utility>

namespace antidiffusion {
namespace {

// Costs stay within what keeps credits comparable: a mistaken estimate is no life sentence.
constexpr double kMinCost = 0.01;
constexpr double kMaxCost = 3600;

}  // namespace

FairOrder::Entry FairOrder::EntryOf(std::shared_ptr<Job> job) {
  Entry entry;
  entry.tenant = job->request().tenant;
  entry.priority = ClassOf(*job);
  entry.cost = job->remaining_seconds().value_or(kUnknownCost);
  entry.job = std::move(job);
  return entry;
}

FairOrder::Lane& FairOrder::LaneFor(const Entry& entry, double weight) {
  const auto index = static_cast<size_t>(entry.priority);
  Class& of = classes_[index];
  if (sizes_[index] == 0) of.zero_at = std::max(of.zero_at, clock_);
  ++sizes_[index];
  Lane& lane = of.lanes[entry.tenant];
  if (lane.entries.empty()) {
    lane.zero_at = std::max(lane.zero_at, of.clock);
    lane.turn = ++turns_;
  }
  lane.weight = weight;
  return lane;
}

void FairOrder::PushBack(Entry entry, double weight) {
  entry.cost = std::clamp(entry.cost, kMinCost, kMaxCost);
  Lane& lane = LaneFor(entry, weight);
  lane.entries.push_back(std::move(entry));
}

void FairOrder::PushFront(Entry entry, double weight) {
  entry.cost = std::clamp(entry.cost, kMinCost, kMaxCost);
  const auto index = static_cast<size_t>(entry.priority);
  Lane& lane = LaneFor(entry, weight);
  lane.zero_at -= entry.cost / weight;
  lane.turn = 0;  // before its equals
  classes_[index].zero_at -= entry.cost / kClassWeights[index];
  lane.entries.push_front(std::move(entry));
}

FairOrder::ConstLaneIterator FairOrder::NextLane(const Class& of, const MayRun& may_run) {
  auto next = of.lanes.end();
  for (auto lane = of.lanes.begin(); lane != of.lanes.end(); ++lane) {
    if (lane->second.entries.empty() || (may_run && !may_run(lane->first))) continue;
    const auto rank = [](const Lane& which) { return std::pair(which.due(), which.turn); };
    if (next == of.lanes.end() || rank(lane->second) < rank(next->second)) next = lane;
  }
  return next;
}

bool FairOrder::CanPop(const MayRun& may_run) const {
  return std::any_of(classes_.begin(), classes_.end(),
                     [&](const Class& of) { return NextLane(of, may_run) != of.lanes.end(); });
}

FairOrder::Entry FairOrder::PopNext(const MayRun& may_run) {
  size_t chosen = classes_.size();
  ConstLaneIterator next;
  double class_due = 0;
  for (size_t i = 0; i < classes_.size(); ++i) {
    const auto candidate = NextLane(classes_[i], may_run);
    if (candidate == classes_[i].lanes.end()) continue;
    const double cost = candidate->second.entries.front().cost;
    const double due = classes_[i].zero_at + cost / kClassWeights[i];
    if (chosen < classes_.size() && class_due <= due) continue;
    chosen = i;
    next = candidate;
    class_due = due;
  }
  if (chosen == classes_.size()) return {};

  Class& of = classes_[chosen];
  Lane& lane = of.lanes.find(next->first)->second;
  clock_ = of.zero_at = std::max(clock_, class_due);
  of.clock = lane.zero_at = std::max(of.clock, lane.due());
  lane.turn = ++turns_;
  --sizes_[chosen];
  Entry entry = std::move(lane.entries.front());
  lane.entries.pop_front();
  Prune(of);
  return entry;
}

void FairOrder::Charge(const std::string& tenant, JobPriority priority, double seconds,
                       double weight) {
  const auto index = static_cast<size_t>(priority);
  Class& of = classes_[index];
  seconds = std::clamp(seconds, 0.0, kMaxCost);
  Lane& lane = of.lanes[tenant];
  lane.zero_at = std::max(lane.zero_at, of.clock) + seconds / weight;
  if (sizes_[index] == lane.entries.size()) of.clock = lane.zero_at;  // nobody else waits there
  of.zero_at = std::max(of.zero_at, clock_) + seconds / kClassWeights[index];
  if (size() == sizes_[index]) clock_ = of.zero_at;  // nor in the other class
  Prune(of);
}

void FairOrder::Prune(Class& of) {
  std::erase_if(of.lanes, [&](const auto& lane) {
    return lane.second.entries.empty() && lane.second.zero_at <= of.clock;
  });
}

std::vector<std::shared_ptr<Job>> FairOrder::TakeIf(const std::function<bool(const Job&)>& wanted) {
  std::vector<std::shared_ptr<Job>> taken;
  for (size_t i = 0; i < classes_.size(); ++i) {
    for (auto& [tenant, lane] : classes_[i].lanes) {
      sizes_[i] -= std::erase_if(lane.entries, [&](const Entry& entry) {
        if (!wanted(*entry.job)) return false;
        taken.push_back(entry.job);
        return true;
      });
    }
    Prune(classes_[i]);
  }
  return taken;
}

}  // namespace antidiffusion
