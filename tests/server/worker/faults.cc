#include "tests/server/worker/faults.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "core/base/status_details.h"
#include "core/base/status_macros.h"
#include "server/worker/run_worker.h"

namespace antidiffusion {
namespace {

const std::map<std::string, FaultKind>& Kinds() {
  static const auto* const kinds = new std::map<std::string, FaultKind>{
      {"crash", FaultKind::kCrash},
      {"hang", FaultKind::kHang},
      {"oom", FaultKind::kOom},
      {"sticky", FaultKind::kSticky},
      {"unrestored", FaultKind::kUnrestored},
      {"shape", FaultKind::kShape},
      {"fail_test", FaultKind::kFailTest},
  };
  return *kinds;
}

absl::Status NotAFault(const std::string& text) {
  return InvalidField("fault", text, "see faults.h");
}

absl::StatusOr<Fault> ParseFault(const std::string& text) {
  const std::vector<std::string> halves = absl::StrSplit(text, absl::MaxSplits('@', 1));
  const auto kind = Kinds().find(halves[0]);
  if (kind == Kinds().end()) return NotAFault(text);
  Fault fault;
  fault.kind = kind->second;
  fault.name = halves[0];
  if (halves.size() == 1) return fault;
  for (const absl::string_view condition : absl::StrSplit(halves[1], ',')) {
    const std::pair<std::string, std::string> pair =
        absl::StrSplit(condition, absl::MaxSplits('=', 1));
    int number = 0;
    if (!absl::SimpleAtoi(pair.second, &number) || number < 1) return NotAFault(text);
    if (pair.first == "job") {
      fault.job = number;
    } else if (pair.first == "step") {
      fault.step = number;
    } else if (pair.first == "width") {
      fault.width = number;
    } else {
      return NotAFault(text);
    }
  }
  return fault;
}

absl::Status DeviceAssert() {
  return absl::InternalError("device-side assert triggered (a fault of the test)");
}

// What the process has been through. For the engine's thread.
class FaultyDevice {
 public:
  explicit FaultyDevice(FaultTable table) : table_(std::move(table)) {}

  const FaultTable& table() const { return table_; }
  bool broken() const { return broken_; }
  bool narrow() const { return narrow_; }
  void NextJob(int width) {
    ++job_;
    width_ = width;
  }

  // Before step `step` of the job: OK, or how it ends.
  absl::Status BeforeStep(int step) {
    for (const Fault& fault : table_.faults) {
      const bool fits = fault.kind != FaultKind::kFailTest && fault.step == step &&
                        fault.job.value_or(job_) == job_ && fault.width.value_or(width_) == width_;
      if (fits && MayHappen(fault)) AD_RETURN_IF_ERROR(Happen(fault.kind));
    }
    return absl::OkStatus();
  }

  absl::Status SelfTest() {
    ++test_;
    for (const Fault& fault : table_.faults) {
      const bool fits = fault.kind == FaultKind::kFailTest && fault.step == test_;
      if (fits && MayHappen(fault)) broken_ = true;
    }
    return broken_ ? DeviceAssert() : absl::OkStatus();
  }

 private:
  bool MayHappen(const Fault& fault) const {
    if (table_.once.empty()) return true;
    const std::string mark = absl::StrCat(table_.once, ".", fault.name);
    const int fd = open(mark.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0) return false;
    close(fd);
    return true;
  }

  absl::Status Happen(FaultKind kind) {
    switch (kind) {
      case FaultKind::kCrash:
        kill(getpid(), SIGKILL);
        break;
      case FaultKind::kHang:
        while (true) pause();
      case FaultKind::kOom:
        return WithReason(absl::ResourceExhaustedError("out of device memory: a fault of the test"),
                          {"DEVICE_MEMORY", {}});
      case FaultKind::kUnrestored:
        return WithReason(absl::InternalError("weights not restored: a fault of the test"),
                          {"WEIGHTS_NOT_RESTORED", {}});
      case FaultKind::kShape:
        narrow_ = true;
        break;
      case FaultKind::kSticky:
      case FaultKind::kFailTest:
        broken_ = true;
        return DeviceAssert();
    }
    return absl::OkStatus();
  }

  const FaultTable table_;
  int job_ = 0;
  int width_ = 0;
  int test_ = 0;
  bool broken_ = false;
  bool narrow_ = false;
};

class FaultyProtector : public Protector {
 public:
  FaultyProtector(FaultyDevice& device, std::unique_ptr<Protector> inner)
      : device_(device), inner_(std::move(inner)) {}

  absl::StatusOr<ProtectionResult> Protect(const Image& image, const ProtectionOptions& options,
                                           const RunContext& run) override {
    device_.NextJob(image.width);
    if (device_.broken()) return DeviceAssert();
    AD_RETURN_IF_ERROR(device_.BeforeStep(1));
    std::stop_source stop;  // the caller's, or a fault's
    const std::stop_callback forward(run.stop, [&stop] { stop.request_stop(); });
    absl::Status fault;
    RunContext watched = run;
    watched.stop = stop.get_token();
    watched.on_progress = [&](const Progress& progress) {
      if (run.on_progress) run.on_progress(progress);
      if (!fault.ok()) return;
      fault = device_.BeforeStep(progress.step + 1);
      if (!fault.ok()) stop.request_stop();
    };
    auto result = inner_->Protect(image, options, watched);
    if (!fault.ok()) return fault;
    if (device_.narrow() && result.ok()) {
      Image& narrow = result->image;
      --narrow.width;
      narrow.pixels.resize(narrow.size());
    }
    return result;
  }
  absl::Status SelfTest() override {
    AD_RETURN_IF_ERROR(device_.SelfTest());
    return inner_->SelfTest();
  }
  const ModelInfo& model() const override { return inner_->model(); }
  DeviceMemory memory() const override { return inner_->memory(); }

 private:
  FaultyDevice& device_;
  const std::unique_ptr<Protector> inner_;
};

}  // namespace

absl::StatusOr<FaultTable> FaultTable::Parse(const std::string& text) {
  FaultTable table;
  const std::vector<std::string> entries = absl::StrSplit(text, ';', absl::SkipWhitespace());
  for (const std::string& entry : entries) {
    const std::pair<std::string, std::string> pair = absl::StrSplit(entry, absl::MaxSplits('=', 1));
    if (absl::StartsWith(entry, "disk_full@") || pair.first == "slow_write") {
      continue;  // of the daemon's store (tests/server/store/store_faults.h)
    }
    if (pair.first == "once") {
      table.once = pair.second;
    } else if (pair.first == "slow_load") {
      if (!absl::ParseDuration(pair.second, &table.slow_load)) return NotAFault(entry);
    } else {
      AD_ASSIGN_OR_RETURN(Fault fault, ParseFault(entry));
      table.faults.push_back(std::move(fault));
    }
  }
  return table;
}

LoadFunction WithFaults(FaultTable table, LoadFunction load) {
  // Shared by what is loaded: the device is one.
  const auto device = std::make_shared<FaultyDevice>(std::move(table));
  return [device, load = std::move(load)](
             const LoadOptions& options,
             LoadedModels& loaded) -> absl::StatusOr<std::unique_ptr<Protector>> {
    absl::SleepFor(device->table().slow_load);
    AD_ASSIGN_OR_RETURN(std::unique_ptr<Protector> inner, load(options, loaded));
    return std::make_unique<FaultyProtector>(*device, std::move(inner));
  };
}

int RunFaultyWorker(int argc, char** argv, LoadFunction load) {
  const char* text = std::getenv("ANTIDIFFUSION_FAULTS");
  auto table = FaultTable::Parse(text != nullptr ? text : "");
  if (!table.ok()) {
    std::cerr << "ANTIDIFFUSION_FAULTS: " << table.status() << "\n";
    return 2;
  }
  return RunWorker(argc, argv, WithFaults(*std::move(table), std::move(load)));
}

}  // namespace antidiffusion
