#include "client/protect_command.h"

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/call_error.h"
#include "client/exit_codes.h"
#include "client/file_io.h"
#include "client/json_lines.h"
#include "client/message_text.h"
#include "client/request_id.h"
#include "client/terminal_text.h"
#include "core/base/status_macros.h"

namespace antidiffusion {
namespace {

std::string DescribeOutcome(const FileOutcome& outcome) {
  if (!outcome.status.ok()) {
    return absl::StrCat(outcome.input, ": ", absl::StatusCodeToString(outcome.status.code()), ": ",
                        outcome.status.message());
  }
  if (!outcome.result.has_value()) return absl::StrCat(outcome.input, ": ", outcome.note);
  return absl::StrCat(outcome.input, " -> ", outcome.output.value_or(""), ": ",
                      ReportText(outcome.result->report()), ", ",
                      FormatSeconds(absl::Seconds(outcome.seconds)));
}

// One run of the command. Its workers share it.
class Batch {
 public:
  Batch(const ProtectSettings& settings, const ProtectionClient& client, ProgressDisplay& display,
        std::ostream& out, const std::stop_token& stop)
      : settings_(settings),
        client_(client),
        display_(display),
        out_(out),
        stop_(stop),
        tasks_(CollectFiles(settings.paths, settings.naming)) {}

  int Run() {
    if (!settings_.request.request_id().empty() && tasks_.size() != 1) {
      display_.Announce(
          absl::StrCat("--request-id names one job, but there are ", tasks_.size(), " files"));
      return kExitUsage;
    }
    const size_t workers = std::min(static_cast<size_t>(settings_.parallel), tasks_.size());
    std::vector<std::jthread> threads;
    threads.reserve(workers);
    for (size_t i = 0; i < workers; ++i) threads.emplace_back([this] { Work(); });
    threads.clear();  // joins
    if (tasks_.size() > 1) ShowSummary();
    if (stop_.stop_requested()) return kExitInterrupted;
    if (unreachable_ > 0) return kExitUnreachable;
    return failed_ > 0 ? kExitFailed : kExitOk;
  }

 private:
  void Work() {
    for (size_t i = next_++; i < tasks_.size(); i = next_++) {
      const FileTask& task = tasks_[i];
      const int row = display_.Begin(task.input.string());
      const absl::Time start = absl::Now();
      FileOutcome outcome;
      outcome.input = task.input.string();
      outcome.status = Process(task, row, outcome);
      outcome.seconds = absl::ToDoubleSeconds(absl::Now() - start);
      Count(outcome);
      Show(outcome, row);
    }
  }

  // Fills all of `outcome` but its status and time.
  absl::Status Process(const FileTask& task, int row, FileOutcome& outcome) {
    AD_RETURN_IF_ERROR(task.status);
    if (stop_.stop_requested()) return absl::CancelledError("interrupted before it was sent");
    std::error_code error;
    if (!settings_.overwrite && std::filesystem::exists(task.output, error)) {
      outcome.note = "skipped: exists";
      outcome.output = task.output.string();
      return absl::OkStatus();
    }
    v1::ProtectRequest request = settings_.request;
    AD_ASSIGN_OR_RETURN(*request.mutable_image(), ReadInputFile(task.input));
    AD_RETURN_IF_ERROR(PrepareOutputFolder(task.output));
    if (request.request_id().empty()) request.set_request_id(MakeRequestId());
    AD_ASSIGN_OR_RETURN(ReceivedResult result, Send(request, row));
    AD_RETURN_IF_ERROR(WriteFileAtomically(task.output, result.image));
    outcome.output = task.output.string();
    outcome.result = std::move(result.facts);
    return absl::OkStatus();
  }

  absl::StatusOr<ReceivedResult> Send(const v1::ProtectRequest& request, int row) {
    CallOptions call;
    call.deadline = absl::Now() + settings_.timeout;
    call.retry = !server_lost_;
    call.stop = stop_;
    call.on_retry = [this, row](const RetryNotice& notice) {
      display_.Note(row, RetryText(notice));
    };
    absl::StatusOr<ReceivedResult> result = client_.Protect(
        request, call, [this, row](const v1::JobEvent& event) { display_.Update(row, event); });
    server_lost_ = IsUnreachable(result.status());
    return result;
  }

  void Count(const FileOutcome& outcome) {
    if (outcome.status.ok()) {
      ++(outcome.result.has_value() ? protected_ : skipped_);
    } else {
      ++failed_;
      if (IsUnreachable(outcome.status)) ++unreachable_;
    }
  }

  void Show(const FileOutcome& outcome, int row) {
    const std::string sentence = PrintableText(DescribeOutcome(outcome));
    if (settings_.json) {
      display_.Announce(sentence);
      display_.End(row, out_, JsonLine(outcome));
    } else {
      display_.End(row, out_, sentence);
    }
  }

  void ShowSummary() {
    const std::string summary = absl::StrCat(protected_.load(), " protected, ", skipped_.load(),
                                             " skipped, ", failed_.load(), " failed");
    if (settings_.json) {
      display_.Announce(summary);
    } else {
      display_.Print(out_, summary);
    }
  }

  const ProtectSettings& settings_;
  const ProtectionClient& client_;
  ProgressDisplay& display_;
  std::ostream& out_;
  const std::stop_token& stop_;
  const std::vector<FileTask> tasks_;
  std::atomic<size_t> next_ = 0;
  std::atomic<bool> server_lost_ = false;  // as the last call ended
  std::atomic<int> protected_ = 0;
  std::atomic<int> skipped_ = 0;
  std::atomic<int> failed_ = 0;
  std::atomic<int> unreachable_ = 0;
};

}  // namespace

int RunProtect(const ProtectSettings& settings, const ProtectionClient& client,
               ProgressDisplay& display, std::ostream& out, const std::stop_token& stop) {
  return Batch(settings, client, display, out, stop).Run();
}

}  // namespace antidiffusion
