#include "tests/load/load_run.h"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "client/channel.h"
#include "core/base/status_macros.h"
#include "core/image/codec.h"
#include "tests/load/exchange.h"
#include "tests/testing/synthetic_image.h"

namespace antidiffusion {
namespace {

constexpr absl::Duration kProgressInterval = absl::Seconds(10);
constexpr absl::Duration kSettleInterval = absl::Milliseconds(200);

absl::StatusOr<std::vector<std::string>> MakePictures(const LoadSettings& settings) {
  std::vector<std::string> pictures;
  for (const PictureSize& size : settings.sizes) {
    Picture picture;
    picture.image = SyntheticImage(size.width, size.height, 3, settings.seed + pictures.size());
    AD_ASSIGN_OR_RETURN(std::string bytes,
                        EncodePicture(picture, {.format = ImageFormat::kJpeg, .quality = 90}));
    pictures.push_back(std::move(bytes));
  }
  return pictures;
}

std::vector<std::string> NamesOf(const std::vector<Tenant>& tenants) {
  std::vector<std::string> names;
  names.reserve(tenants.size());
  for (const Tenant& tenant : tenants) names.push_back(tenant.name);
  return names;
}

class LoadRun {
 public:
  LoadRun(const LoadSettings& settings, std::vector<std::string> pictures,
          const Credentials& credentials, std::ostream& progress)
      : settings_(settings),
        pictures_(std::move(pictures)),
        progress_(progress),
        plan_(settings),
        with_{schedule_, settings, [this](const Ending& ending) { OnEnd(ending); },
              [this](int change) { CountCall(change); }},
        report_(NamesOf(settings.tenants)) {
    for (int i = 0; i < settings.channels; ++i) {
      stubs_.push_back(
          v1::ProtectionService::NewStub(MakeChannel(settings.connection.server, credentials)));
    }
  }

  Report Run() {
    start_ = absl::Now();
    ScheduleNext();
    if (!settings_.quiet) ScheduleProgress();
    schedule_.Run();
    MutexLock lock(mutex_);
    while (calls_ > 0) no_calls_.Wait(lock);
    report_.SetElapsed(absl::Now() - start_);
    return std::move(report_);
  }

 private:
  void ScheduleNext() {
    const std::optional<Arrival> arrival = plan_.Next();
    if (arrival.has_value()) {
      schedule_.At(start_ + arrival->at, [this, arrival = *arrival] {
        Arrive(arrival);
        ScheduleNext();
      });
      return;
    }
    schedule_.At(absl::Now() + settings_.patience, [this] { GiveUp(); });
    MutexLock lock(mutex_);
    all_arrived_ = true;
    if (open_.empty()) schedule_.Stop();
  }

  void Arrive(const Arrival& arrival) {
    v1::ProtectionService::Stub& stub = *stubs_[arrival.number % stubs_.size()];
    const auto exchange =
        std::make_shared<Exchange>(with_, arrival, stub, pictures_[arrival.picture]);
    {
      MutexLock lock(mutex_);
      if (static_cast<int>(open_.size()) >= settings_.max_in_flight) {
        report_.AddUnsent();
        return;
      }
      open_[arrival.number] = exchange;
    }
    exchange->Start();
  }

  void OnEnd(const Ending& ending) {
    std::shared_ptr<Exchange> ended;  // perhaps destroyed, without the lock
    MutexLock lock(mutex_);
    report_.Add(ending);
    const auto found = open_.find(ending.number);
    ended = std::move(found->second);
    open_.erase(found);
    if (all_arrived_ && open_.empty()) schedule_.Stop();
  }

  void CountCall(int change) {
    MutexLock lock(mutex_);
    calls_ += change;
    if (calls_ == 0) no_calls_.NotifyAll();
  }

  void GiveUp() {
    std::map<int64_t, std::shared_ptr<Exchange>> open;
    {
      MutexLock lock(mutex_);
      open = open_;
    }
    for (const auto& [number, exchange] : open) exchange->GiveUp();
  }

  void ScheduleProgress() {
    schedule_.At(absl::Now() + kProgressInterval, [this] {
      {
        MutexLock lock(mutex_);
        progress_ << absl::StrFormat("%.0f s: %d ended, %d open\n",
                                     absl::ToDoubleSeconds(absl::Now() - start_),
                                     report_.arrivals(), open_.size())
                  << std::flush;
      }
      ScheduleProgress();
    });
  }

  const LoadSettings& settings_;
  const std::vector<std::string> pictures_;
  std::ostream& progress_;
  Schedule schedule_;
  ArrivalPlan plan_;  // used by the thread of Run alone
  const ExchangeSurroundings with_;
  absl::Time start_;

  Mutex mutex_;
  CondVar no_calls_;
  Report report_ ABSL_GUARDED_BY(mutex_);
  bool all_arrived_ ABSL_GUARDED_BY(mutex_) = false;
  int calls_ ABSL_GUARDED_BY(mutex_) = 0;
  // Shared: see Exchange.
  std::map<int64_t, std::shared_ptr<Exchange>> open_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<v1::ProtectionService::Stub>> stubs_;
};

// The server's counters once nothing waits or runs any more, or after `patience`.
absl::StatusOr<ServerCounters> Settled(const LoadSettings& settings) {
  const absl::Time end = absl::Now() + settings.patience;
  for (;;) {
    AD_ASSIGN_OR_RETURN(const ServerCounters counters, FetchServerCounters(settings.metrics_url));
    if ((counters.waiting == 0 && counters.running == 0) || absl::Now() > end) return counters;
    absl::SleepFor(kSettleInterval);
  }
}

}  // namespace

absl::StatusOr<Report> RunLoad(const LoadSettings& settings, std::ostream& progress) {
  AD_ASSIGN_OR_RETURN(const Credentials credentials,
                      LoadCredentials(settings.connection.credentials));
  LoadSettings complete = settings;
  for (Tenant& tenant : complete.tenants) {
    if (tenant.api_key.empty()) tenant.api_key = credentials.api_key;
  }
  AD_ASSIGN_OR_RETURN(std::vector<std::string> pictures, MakePictures(settings));
  ServerCounters before;
  if (!settings.metrics_url.empty()) {
    AD_ASSIGN_OR_RETURN(before, FetchServerCounters(settings.metrics_url));
  }
  LoadRun run(complete, std::move(pictures), credentials, progress);
  Report report = run.Run();
  if (!settings.metrics_url.empty()) {
    AD_ASSIGN_OR_RETURN(const ServerCounters after, Settled(settings));
    report.SetServer(Difference(after, before));
  }
  return report;
}

}  // namespace antidiffusion
