#include "tests/load/arrival_plan.h"

#include <cmath>

namespace antidiffusion {

ArrivalPlan::ArrivalPlan(const LoadSettings& settings)
    : settings_(settings), generator_(settings.seed) {}

std::optional<Arrival> ArrivalPlan::Next() {
  if (next_ >= settings_.count) return std::nullopt;
  at_ += DrawExponential(absl::Seconds(1 / settings_.rate));
  if (at_ > settings_.duration) return std::nullopt;
  Arrival arrival;
  arrival.number = next_++;
  arrival.at = at_;
  arrival.kind = Draw() < settings_.jobs_ratio ? RequestKind::kJob : RequestKind::kProtect;
  arrival.tenant = DrawTenant();
  arrival.picture = generator_() % settings_.sizes.size();
  arrival.seed = (settings_.seed << 32) + static_cast<uint64_t>(arrival.number);
  arrival.slow = Draw() < settings_.slow_ratio;
  if (Draw() < settings_.cancel_ratio) {
    arrival.cancel_after = DrawExponential(settings_.cancel_after);
  }
  return arrival;
}

absl::Duration ArrivalPlan::DrawExponential(absl::Duration mean) {
  return mean * -std::log1p(-Draw());
}

size_t ArrivalPlan::DrawTenant() {
  double total = 0;
  for (const Tenant& tenant : settings_.tenants) total += tenant.share;
  double left = Draw() * total;
  for (size_t i = 0; i + 1 < settings_.tenants.size(); ++i) {
    left -= settings_.tenants[i].share;
    if (left < 0) return i;
  }
  return settings_.tenants.size() - 1;
}

}  // namespace antidiffusion
