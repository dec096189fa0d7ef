// Who is next among the waiting jobs: classes, tenants, first in first out.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "server/job.h"

namespace antidiffusion {

// Deficit round robin in two levels, by credit. While jobs wait, each class earns credit at its
// weight (interactive 8, batch 1), and so does each tenant among those of its class; the next job
// is of the class, and there of the tenant, whose credit covers its first job soonest, and costs
// them that credit. A job's cost is its expected seconds. So: two tenants that both wait are served
// in proportion to their weights, whatever the number and length of their jobs; a tenant that comes
// anew finds no debts and has no savings; a batch job waits for at most eight times its own cost of
// interactive work; among equals it is a plain round robin; one tenant's jobs keep their order.
//
// Copying one gives the order to come: the copy is emptied. Not thread-safe.
class FairOrder {
 public:
  using MayRun = std::function<bool(const std::string& tenant)>;

  static constexpr double kUnknownCost = 1;  // of a job whose length nobody knows
  static constexpr std::array<double, 2> kClassWeights = {8, 1};  // [JobPriority]

  static JobPriority ClassOf(const Job& job) {
    return job.request().priority.value_or(JobPriority::kInteractive);
  }

  // What a place in the order depends on. `job` is null in what is only imagined.
  struct Entry {
    std::shared_ptr<Job> job;  // shared with its streams and, later, its worker
    std::string tenant;
    JobPriority priority = JobPriority::kInteractive;
    double cost = kUnknownCost;
  };
  static Entry EntryOf(std::shared_ptr<Job> job);

  // Last of its tenant's jobs in its class; `weight` is the tenant's from now on.
  void PushBack(Entry entry, double weight);
  // First of them, and paid for: a job that was popped before.
  void PushFront(Entry entry, double weight);

  // The next entry of those whose tenant may run; one without a job, imagined or none, when there
  // is none: check empty() or CanPop() where that matters.
  Entry PopNext(const MayRun& may_run = nullptr);
  bool CanPop(const MayRun& may_run) const;

  // What was popped for `tenant` took so many seconds more than its entry's cost: they are owed.
  // Who was alone owes nobody.
  void Charge(const std::string& tenant, JobPriority priority, double seconds, double weight);

  // Takes out all that are `wanted`.
  std::vector<std::shared_ptr<Job>> TakeIf(const std::function<bool(const Job&)>& wanted);

  bool empty() const { return size() == 0; }
  size_t size() const { return sizes_[0] + sizes_[1]; }
  size_t size(JobPriority priority) const { return sizes_[static_cast<size_t>(priority)]; }

 private:
  // One tenant's jobs of one class.
  struct Lane {
    std::deque<Entry> entries;  // empty: kept for what the tenant owes
    double weight = 1;
    double zero_at = 0;  // when, on the clock of the class, its credit was zero
    uint64_t turn = 0;   // of its latest service or arrival: the older goes first among equals

    // When, on that clock, its credit will cover its first job.
    double due() const { return zero_at + entries.front().cost / weight; }
  };
  struct Class {
    std::map<std::string, Lane> lanes;
    double clock = 0;    // credit that a tenant of weight 1 has earned since the start
    double zero_at = 0;  // as in Lane, on clock_
  };
  using ConstLaneIterator = std::map<std::string, Lane>::const_iterator;

  Lane& LaneFor(const Entry& entry, double weight);
  static ConstLaneIterator NextLane(const Class& of, const MayRun& may_run);
  // Drops the lanes that hold nothing and owe nothing.
  static void Prune(Class& of);

  std::array<Class, 2> classes_;  // [JobPriority]
  std::array<size_t, 2> sizes_ = {};
  double clock_ = 0;  // credit that a class of weight 1 has earned since the start
  uint64_t turns_ = 0;
};

}  // namespace antidiffusion
