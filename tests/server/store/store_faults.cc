#include "tests/server/store/store_faults.h"

#include <functional>
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

// Counts the writes of a pool, and lets some fail.
class FaultyWrites {
 public:
  explicit FaultyWrites(StoreFaults faults) : faults_(std::move(faults)) {}

  absl::Status BeforeWrite() {
    const int write = ++writes_;
    absl::SleepFor(faults_.slow_write);
    const bool is_full = faults_.is_full != nullptr && *faults_.is_full;
    if (!is_full && (write < faults_.first_full || write > faults_.last_full)) {
      return absl::OkStatus();
    }
    return absl::UnavailableError("no space left on device: a fault of the test");
  }

 private:
  const StoreFaults faults_;
  std::atomic<int> writes_ = 0;
};

class FaultyConnection : public SqlConnection {
 public:
  FaultyConnection(SqlConnection& connection, FaultyWrites& writes)
      : connection_(connection), writes_(writes) {}

  using SqlConnection::Run;
  absl::StatusOr<SqlResult> Run(const std::string& statement,
                                const std::vector<SqlValue>& parameters) override {
    if (statement == "COMMIT" && std::exchange(has_written_, false)) {
      AD_RETURN_IF_ERROR(writes_.BeforeWrite());
    }
    absl::StatusOr<SqlResult> result = connection_.Run(statement, parameters);
    const bool writes = absl::StartsWith(statement, "INSERT INTO jobs") ||
                        absl::StartsWith(statement, "UPDATE jobs");
    if (writes && result.ok() && result->affected > 0) has_written_ = true;
    return result;
  }

  const SqlDialect& dialect() const override { return connection_.dialect(); }

 private:
  SqlConnection& connection_;
  FaultyWrites& writes_;
  bool has_written_ = false;
};

class FaultyPool : public SqlPool {
 public:
  FaultyPool(const StoreFaults& faults, std::unique_ptr<SqlPool> pool)
      : writes_(faults), pool_(std::move(pool)) {}

  absl::Status With(const std::function<absl::Status(SqlConnection&)>& use) override {
    return pool_->With([&](SqlConnection& connection) {
      FaultyConnection faulty(connection, writes_);
      return use(faulty);
    });
  }

  const SqlDialect& dialect() const override { return pool_->dialect(); }

 private:
  FaultyWrites writes_;
  const std::unique_ptr<SqlPool> pool_;
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

PoolFactory WithFaults(const StoreFaults& faults) {
  return [faults](const JobStoreName& store,
                  int sessions) -> absl::StatusOr<std::unique_ptr<SqlPool>> {
    AD_ASSIGN_OR_RETURN(std::unique_ptr<SqlPool> pool, OpenPool(store, sessions));
    return std::make_unique<FaultyPool>(faults, std::move(pool));
  };
}

}  // namespace antidiffusion
