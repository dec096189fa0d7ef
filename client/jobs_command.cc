#include "client/jobs_command.h"

#include <algorithm>
#include <filesystem>
#include <sstream>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "client/call_error.h"
#include "client/exit_codes.h"
#include "client/file_io.h"
#include "client/job_text.h"
#include "client/message_text.h"
#include "client/output_naming.h"
#include "client/request_id.h"
#include "client/terminal_text.h"
#include "core/base/status_details.h"
#include "core/base/status_macros.h"

namespace antidiffusion {
namespace {

namespace fs = std::filesystem;

constexpr int kPageSize = 1000;  // the most that a server gives at once

std::string ExtensionOf(const std::string& mime_type) {
  if (mime_type == "image/jpeg") return "jpg";
  if (mime_type == "image/webp") return "webp";
  return "png";
}

absl::Status AlreadyExists(const std::string& path) {
  return absl::AlreadyExistsError(absl::StrCat(path, " exists; --overwrite replaces it"));
}

// One run of the command, on one thread.
class JobsRun {
 public:
  JobsRun(const JobsSettings& settings, const ProtectionClient& client, ProgressDisplay& display,
          std::ostream& out, const std::stop_token& stop)
      : settings_(settings), client_(client), display_(display), out_(out), stop_(stop) {}

  int Run() {
    switch (settings_.action) {
      case JobsSettings::Action::kCreate:
        return Create();
      case JobsSettings::Action::kList:
        return List();
      default:
        for (const std::string& name : settings_.names) ActOn(name);
        return ExitCode();
    }
  }

 private:
  int Create() {
    // The results' names do not matter here, but each file is to be sent once.
    const std::vector<FileTask> tasks =
        CollectFiles(settings_.paths, {.extension = "", .recursive = settings_.recursive});
    if (!settings_.request.request_id().empty() && tasks.size() != 1) {
      display_.Announce(
          absl::StrCat("--request-id names one job, but there are ", tasks.size(), " files"));
      return kExitUsage;
    }
    for (const FileTask& task : tasks) {
      JobOutcome outcome;
      outcome.input = task.input.string();
      outcome.status = CreateOne(task, outcome);
      Show(outcome, outcome.name.value_or(""));
    }
    return ExitCode();
  }

  absl::Status CreateOne(const FileTask& task, JobOutcome& outcome) {
    AD_RETURN_IF_ERROR(task.status);
    if (stop_.stop_requested()) return absl::CancelledError("interrupted before it was sent");
    v1::ProtectRequest request = settings_.request;
    AD_ASSIGN_OR_RETURN(*request.mutable_image(), ReadInputFile(task.input));
    if (request.request_id().empty()) request.set_request_id(MakeRequestId());
    CallOptions call = Call(*outcome.input);
    call.retry = !server_lost_;
    absl::StatusOr<v1::Job> job = client_.CreateJob(request, call);
    server_lost_ = IsUnreachable(job.status());
    AD_RETURN_IF_ERROR(job.status());
    outcome.name = job->name();
    outcome.job = *std::move(job);
    return absl::OkStatus();
  }

  int List() {
    std::vector<v1::Job> jobs;
    v1::ListJobsRequest request;
    request.set_state(settings_.state);
    do {
      request.set_page_size(std::min(settings_.limit - static_cast<int>(jobs.size()), kPageSize));
      absl::StatusOr<v1::ListJobsResponse> page = client_.ListJobs(request, Call("jobs"));
      if (!page.ok()) {
        Fail("", page.status());
        return ExitCode();
      }
      for (v1::Job& job : *page->mutable_jobs()) jobs.push_back(std::move(job));
      request.set_page_token(page->next_page_token());
    } while (!request.page_token().empty() && static_cast<int>(jobs.size()) < settings_.limit);
    std::ostringstream text;
    if (settings_.json) {
      for (const v1::Job& job : jobs) text << JobJson(job) << "\n";
    } else {
      WriteJobTable(jobs, absl::Now(), text);
    }
    out_ << text.str() << std::flush;
    return kExitOk;
  }

  void ActOn(const std::string& name) {
    JobOutcome outcome;
    outcome.name = name;
    std::string sentence;
    switch (settings_.action) {
      case JobsSettings::Action::kGet:
        outcome.status = Get(outcome, sentence);
        break;
      case JobsSettings::Action::kWatch:
        outcome.status = Watch(outcome, sentence);
        break;
      case JobsSettings::Action::kCancel:
        outcome.status = Cancel(outcome, sentence);
        break;
      default:
        outcome.status = client_.DeleteJob(name, Call(name));
        sentence = absl::StrCat(name, ": deleted");
    }
    if (settings_.json && settings_.action == JobsSettings::Action::kGet && outcome.status.ok() &&
        !outcome.output.has_value()) {
      display_.Print(out_, JobJson(*outcome.job));
    } else {
      Show(outcome, sentence);
    }
  }

  absl::Status Cancel(JobOutcome& outcome, std::string& sentence) {
    AD_ASSIGN_OR_RETURN(outcome.job, client_.CancelJob(*outcome.name, Call(*outcome.name)));
    const v1::Job::State state = outcome.job->state();
    sentence = absl::StrCat(*outcome.name, ": ",
                            state == v1::Job::QUEUED || state == v1::Job::RUNNING
                                ? "stops before its next step"
                                : StateName(state));
    return absl::OkStatus();
  }

  absl::Status Get(JobOutcome& outcome, std::string& sentence) {
    AD_RETURN_IF_ERROR(CheckResultFile());
    v1::GetJobRequest request;
    request.set_name(*outcome.name);
    AD_ASSIGN_OR_RETURN(outcome.job, client_.GetJob(request, Call(*outcome.name)));
    std::ostringstream text;
    WriteJob(*outcome.job, text);
    sentence = text.str();
    sentence.pop_back();  // the line break that Show brings along
    if (settings_.result_file.empty()) return absl::OkStatus();
    if (!outcome.job->has_result()) {
      return absl::FailedPreconditionError(
          absl::StrCat("there is no result: the job is ", StateName(outcome.job->state())));
    }
    AD_ASSIGN_OR_RETURN(const ReceivedResult result,
                        client_.DownloadResult(*outcome.name, Call(*outcome.name)));
    AD_RETURN_IF_ERROR(WriteResult(result, settings_.result_file, outcome));
    absl::StrAppend(&sentence, "\nwritten: ", *outcome.output);
    return absl::OkStatus();
  }

  absl::Status Watch(JobOutcome& outcome, std::string& sentence) {
    AD_RETURN_IF_ERROR(CheckResultFile());
    v1::WatchJobRequest request;
    request.set_name(*outcome.name);
    request.set_from_sequence(settings_.from_sequence);
    const int row = display_.Begin(*outcome.name);
    const auto result =
        client_.WatchJob(request, Call(*outcome.name, row), [&](const v1::JobEvent& event) {
          request.set_from_sequence(event.sequence());
          display_.Update(row, event);
        });
    display_.Remove(row);
    if (stop_.stop_requested()) {
      display_.Announce(absl::StrCat("the job goes on; antidiffusion jobs watch ", *outcome.name,
                                     " --from-sequence ", request.from_sequence()));
    }
    AD_RETURN_IF_ERROR(result.status());
    const v1::ProtectionResult& facts = result->facts;
    AD_RETURN_IF_ERROR(WriteResult(*result, ResultPath(*outcome.name, facts), outcome));
    sentence =
        absl::StrCat(*outcome.name, " -> ", *outcome.output, ": ", ReportText(facts.report()));
    if (settings_.json) AttachJob(facts, outcome);
    return absl::OkStatus();
  }

  // The job's facts beside a result that is safe on disk already: without them the object says
  // less, but nothing has failed.
  void AttachJob(const v1::ProtectionResult& result, JobOutcome& outcome) {
    v1::GetJobRequest request;
    request.set_name(*outcome.name);
    CallOptions call = Call(*outcome.name);
    call.retry = false;
    absl::StatusOr<v1::Job> job = client_.GetJob(request, call);
    if (!job.ok()) return;
    *job->mutable_result() = result;
    outcome.job = *std::move(job);
  }

  std::string ResultPath(const std::string& name, const v1::ProtectionResult& result) const {
    if (!settings_.result_file.empty()) return settings_.result_file;
    return absl::StrCat(absl::StrReplaceAll(PrintableText(name), {{"/", "_"}}), ".protected.",
                        ExtensionOf(result.mime_type()));
  }

  absl::Status CheckResultFile() const {
    if (settings_.result_file.empty()) return absl::OkStatus();
    std::error_code error;
    if (!settings_.overwrite && fs::exists(settings_.result_file, error)) {
      return AlreadyExists(settings_.result_file);
    }
    return PrepareOutputFolder(settings_.result_file);
  }

  absl::Status WriteResult(const ReceivedResult& result, const std::string& path,
                           JobOutcome& outcome) const {
    std::error_code error;
    if (!settings_.overwrite && fs::exists(path, error)) return AlreadyExists(path);
    AD_RETURN_IF_ERROR(WriteFileAtomically(path, result.image));
    outcome.output = path;
    return absl::OkStatus();
  }

  // Retries are told on the display's row, or on a line of their own.
  CallOptions Call(const std::string& subject, int row = -1) {
    CallOptions call;
    call.deadline = absl::Now() + settings_.timeout;
    call.stop = stop_;
    call.on_retry = [this, subject, row](const RetryNotice& notice) {
      const std::string text = RetryText(notice);
      if (row >= 0) {
        display_.Note(row, text);
      } else {
        display_.Announce(PrintableText(absl::StrCat(subject, ": ", text)));
      }
    };
    return call;
  }

  void Show(const JobOutcome& outcome, const std::string& sentence) {
    if (!outcome.status.ok()) {
      Fail(outcome.input.value_or(outcome.name.value_or("")), outcome.status);
    }
    if (settings_.json) {
      display_.Print(out_, JobOutcomeJson(outcome));
    } else if (outcome.status.ok()) {
      display_.Print(out_, sentence);
    }
  }

  void Fail(const std::string& subject, const absl::Status& status) {
    display_.Announce(PrintableText(absl::StrCat(subject, subject.empty() ? "" : ": ",
                                                 absl::StatusCodeToString(status.code()), ": ",
                                                 status.message())));
    unreachable_ |= IsUnreachable(status);
    failed_ = true;
  }

  int ExitCode() const {
    if (stop_.stop_requested()) return kExitInterrupted;
    if (unreachable_) return kExitUnreachable;
    return failed_ ? kExitFailed : kExitOk;
  }

  const JobsSettings& settings_;
  const ProtectionClient& client_;
  ProgressDisplay& display_;
  std::ostream& out_;
  const std::stop_token& stop_;
  bool server_lost_ = false;  // as the last creation ended
  bool unreachable_ = false;
  bool failed_ = false;
};

}  // namespace

int RunJobs(const JobsSettings& settings, const ProtectionClient& client, ProgressDisplay& display,
            std::ostream& out, const std::stop_token& stop) {
  return JobsRun(settings, client, display, out, stop).Run();
}

}  // namespace antidiffusion
