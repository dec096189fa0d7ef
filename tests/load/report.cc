#include "tests/load/report.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace antidiffusion {
namespace {

using Json = nlohmann::ordered_json;
constexpr std::array<const char*, 7> kOutcomes = {"succeeded", "failed",    "cancelled", "expired",
                                                  "refused",   "abandoned", "lost"};

std::string Row(const std::string& name, const Latencies& latencies) {
  return absl::StrFormat("%-28s %8d %9.3f %9.3f %9.3f %9.3f\n", name, latencies.count(),
                         latencies.Percentile(50), latencies.Percentile(90),
                         latencies.Percentile(99), latencies.Percentile(100));
}

std::string Rows(const std::string& prefix, const LatencySet& set) {
  return absl::StrCat(Row(prefix + "admission", set.admission), Row(prefix + "wait", set.wait),
                      Row(prefix + "total", set.total), Row(prefix + "cancel", set.cancel));
}

Json Object(const Latencies& latencies) {
  Json object;
  object["count"] = latencies.count();
  object["p50"] = latencies.Percentile(50);
  object["p90"] = latencies.Percentile(90);
  object["p99"] = latencies.Percentile(99);
  object["max"] = latencies.Percentile(100);
  return object;
}

Json Object(const LatencySet& set) {
  return {{"admission", Object(set.admission)},
          {"wait", Object(set.wait)},
          {"total", Object(set.total)},
          {"cancel", Object(set.cancel)}};
}

Json Object(const ServerCounters& server) {
  return {{"accepted", server.accepted},       {"restored", server.restored},
          {"handed_back", server.handed_back}, {"succeeded", server.succeeded},
          {"failed", server.failed},           {"cancelled", server.cancelled},
          {"expired", server.expired},         {"waiting", server.waiting},
          {"running", server.running}};
}

std::string Sum(int64_t accepted, int64_t succeeded, int64_t failed, int64_t cancelled,
                int64_t expired) {
  return absl::StrCat("accepted ", accepted, " = succeeded ", succeeded, " + failed ", failed,
                      " + cancelled ", cancelled, " + expired ", expired);
}

}  // namespace

void Latencies::Add(const std::optional<absl::Duration>& latency) {
  if (latency.has_value()) seconds_.push_back(absl::ToDoubleSeconds(*latency));
}

double Latencies::Percentile(double percent) const {
  if (seconds_.empty()) return 0;
  std::vector<double> sorted = seconds_;
  const auto rank = static_cast<size_t>(std::ceil(percent / 100 * static_cast<double>(count())));
  const auto place =
      sorted.begin() + static_cast<int64_t>(std::clamp<size_t>(rank, 1, count())) - 1;
  std::nth_element(sorted.begin(), place, sorted.end());
  return *place;
}

Report::Report(std::vector<std::string> tenants)
    : tenants_(std::move(tenants)), by_tenant_(tenants_.size()) {}

void Report::Add(const Ending& ending) {
  ++outcomes_[static_cast<size_t>(ending.outcome)];
  ++kinds_[static_cast<size_t>(ending.kind)];
  if (ending.outcome == Outcome::kFailed) ++failures_[ending.code];
  if (ending.outcome == Outcome::kRefused) ++refusals_[ending.code];
  resumed_ += ending.resumed;
  disorder_ += ending.disorder ? 1 : 0;
  for (LatencySet* set : {&all_, &by_tenant_[ending.tenant]}) {
    set->admission.Add(ending.admission);
    set->wait.Add(ending.wait);
    set->total.Add(ending.total);
    set->cancel.Add(ending.cancel);
  }
}

int64_t Report::arrivals() const { return kinds_[0] + kinds_[1]; }

int64_t Report::accepted() const {
  return arrivals() - count(Outcome::kRefused) - count(Outcome::kAbandoned);
}

std::vector<std::string> Report::Violations() const {
  std::vector<std::string> violations;
  const int64_t lost = count(Outcome::kLost);
  if (accepted() == 0) violations.push_back("nothing was accepted");
  if (lost > 0) violations.push_back(absl::StrCat(lost, " were accepted and never ended"));
  if (disorder_ > 0) violations.push_back(absl::StrCat(disorder_, " had events out of order"));
  if (!server_.has_value()) return violations;
  const ServerCounters& server = *server_;
  if (!server.AddUp()) {
    violations.push_back(absl::StrCat("the server's counters do not add up: accepted ",
                                      server.accepted, ", restored ", server.restored, ", ended ",
                                      server.ended(), ", handed back ", server.handed_back,
                                      ", waiting ", server.waiting, ", running ", server.running));
  }
  if (server.waiting != 0 || server.running != 0) {
    violations.push_back(absl::StrCat("the server still has ", server.waiting, " waiting and ",
                                      server.running, " running jobs"));
  }
  if (server.accepted < accepted() || server.accepted > accepted() + count(Outcome::kAbandoned)) {
    violations.push_back(absl::StrCat("the server accepted ", server.accepted,
                                      ", seen here: ", accepted(), ", and ",
                                      count(Outcome::kAbandoned), " abandoned"));
  }
  if (server.succeeded < count(Outcome::kSucceeded)) {
    violations.push_back(absl::StrCat("the server counts ", server.succeeded,
                                      " successes, seen here: ", count(Outcome::kSucceeded)));
  }
  return violations;
}

void Report::Write(std::ostream& out) const {
  const double seconds = absl::ToDoubleSeconds(elapsed_);
  out << absl::StrFormat("%d arrivals in %.1f s (%.1f/s): %d Protect, %d jobs; %d not sent\n",
                         arrivals(), seconds, seconds > 0 ? arrivals() / seconds : 0.0, kinds_[0],
                         kinds_[1], unsent_);
  for (const auto& [code, number] : failures_) out << "failed " << number << ": " << code << "\n";
  out << "refused " << count(Outcome::kRefused) << ", abandoned " << count(Outcome::kAbandoned)
      << ", watches picked up " << resumed_ << "\n";
  for (const auto& [code, number] : refusals_) out << "refused " << number << ": " << code << "\n";
  out << absl::StrFormat("%-28s %8s %9s %9s %9s %9s\n", "seconds", "count", "p50", "p90", "p99",
                         "max");
  out << Rows("", all_);
  for (size_t i = 0; tenants_.size() > 1 && i < tenants_.size(); ++i) {
    out << Rows(tenants_[i] + " ", by_tenant_[i]);
  }
  out << Sum(accepted(), count(Outcome::kSucceeded), count(Outcome::kFailed),
             count(Outcome::kCancelled), count(Outcome::kExpired))
      << "\n";
  if (server_.has_value()) {
    out << "server: "
        << Sum(server_->accepted, server_->succeeded, server_->failed, server_->cancelled,
               server_->expired)
        << "\n";
  }
  const std::vector<std::string> violations = Violations();
  for (const std::string& violation : violations) out << "VIOLATED: " << violation << "\n";
  if (violations.empty()) out << "the invariant holds\n";
}

void Report::WriteJson(std::ostream& out) const {
  Json object;
  object["seconds"] = absl::ToDoubleSeconds(elapsed_);
  object["arrivals"] = arrivals();
  object["protect"] = kinds_[0];
  object["jobs"] = kinds_[1];
  object["unsent"] = unsent_;
  object["accepted"] = accepted();
  for (size_t i = 0; i < outcomes_.size(); ++i) object[kOutcomes[i]] = outcomes_[i];
  object["failures"] = failures_;
  object["refusals"] = refusals_;
  object["resumed"] = resumed_;
  object["latency"] = Object(all_);
  Json tenants = Json::object();
  for (size_t i = 0; i < tenants_.size(); ++i) tenants[tenants_[i]] = Object(by_tenant_[i]);
  object["tenants"] = tenants;
  object["server"] = server_.has_value() ? Object(*server_) : Json();
  object["violations"] = Violations();
  out << object.dump(-1, ' ', false, Json::error_handler_t::replace) << "\n";
}

}  // namespace antidiffusion
