#include "tests/server/store/store_faults.h"

#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "core/base/status_details.h"
#include "core/base/status_macros.h"

namespace antidiffusion {
namespace {

class FaultyJobStore : public JobStore {
 public:
  FaultyJobStore(const StoreFaults& faults, std::unique_ptr<JobStore> store)
      : faults_(faults), store_(std::move(store)) {}

  absl::Status Save(const StoredJob& job, const StoredBytes& bytes, bool durable) override {
    AD_RETURN_IF_ERROR(BeforeWrite());
    return store_->Save(job, bytes, durable);
  }
  absl::Status Delete(const std::string& name) override {
    AD_RETURN_IF_ERROR(BeforeWrite());
    return store_->Delete(name);
  }
  absl::StatusOr<std::string> ReadFile(const std::string& digest) override {
    return store_->ReadFile(digest);
  }
  absl::StatusOr<std::string> ReadPiece(const StoredPiece& piece) override {
    return store_->ReadPiece(piece);
  }
  absl::StatusOr<std::vector<StoredJob>> LoadAll() override { return store_->LoadAll(); }

 private:
  absl::Status BeforeWrite() {
    ++writes_;
    absl::SleepFor(faults_.slow_write);
    if (writes_ < faults_.first_full || writes_ > faults_.last_full) return absl::OkStatus();
    return absl::UnavailableError("no space left on device: a fault of the test");
  }

  const StoreFaults faults_;
  const std::unique_ptr<JobStore> store_;
  int writes_ = 0;
};

absl::Status NotAFault(absl::string_view text) {
  return InvalidField("fault", text, "see store_faults.h");
}

}  // namespace

absl::StatusOr<StoreFaults> StoreFaults::Parse(const std::string& text) {
  StoreFaults faults;
  for (absl::string_view entry : absl::StrSplit(text, ';', absl::SkipEmpty())) {
    const absl::string_view whole = entry;
    if (absl::ConsumePrefix(&entry, "slow_write=")) {
      if (!absl::ParseDuration(entry, &faults.slow_write)) return NotAFault(whole);
    } else if (absl::ConsumePrefix(&entry, "disk_full@write=")) {
      const std::vector<absl::string_view> ends = absl::StrSplit(entry, "..");
      if (!absl::SimpleAtoi(ends.front(), &faults.first_full) ||
          !absl::SimpleAtoi(ends.back(), &faults.last_full) || faults.first_full < 1) {
        return NotAFault(whole);
      }
    } else if (absl::StartsWith(entry, "disk_full") || absl::StartsWith(entry, "slow_write")) {
      return NotAFault(whole);
    }
  }
  return faults;
}

std::unique_ptr<JobStore> WithFaults(const StoreFaults& faults, std::unique_ptr<JobStore> store) {
  return std::make_unique<FaultyJobStore>(faults, std::move(store));
}

}  // namespace antidiffusion
