#include "server/job_service.h"

#include <unistd.h>

#include <array>
#include <random>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "core/base/status_macros.h"
#include "server/errors.h"
#include "server/job_identity.h"
#include "server/job_record.h"
#include "server/proto_conversion.h"
#include "server/wire/message_conversion.h"

namespace antidiffusion {
namespace {

constexpr int kThreads = 4;        // that wait for the database
constexpr int kOtherSessions = 4;  // follower, leases, housekeeping, metrics

// Of this process, told apart from all that were before.
std::string ProcessName() {
  std::array<char, 64> host{};
  gethostname(host.data(), host.size() - 1);
  std::random_device device;
  return absl::StrFormat("%s-%d-%08x%08x", host.data(), getpid(), device(), device());
}

JobAcceptance::Options WithProcess(JobAcceptance::Options options, const std::string& process) {
  options.process = process;
  return options;
}

}  // namespace

absl::StatusOr<std::unique_ptr<JobService>> JobService::Create(const Options& options,
                                                               Surroundings surroundings,
                                                               const PoolFactory& open_pool) {
  AD_ASSIGN_OR_RETURN(std::unique_ptr<SqlPool> pool,
                      open_pool(options.store, kThreads + kOtherSessions + options.workers));
  AD_ASSIGN_OR_RETURN(std::unique_ptr<JobDatabase> database, JobDatabase::Open(std::move(pool)));
  std::unique_ptr<JobService> service(
      new JobService(options, std::move(surroundings), std::move(database)));
  AD_RETURN_IF_ERROR(service->TakeUp());
  return service;
}

JobService::JobService(Options options, Surroundings surroundings,
                       std::unique_ptr<JobDatabase> opened)
    : options_(std::move(options)),
      with_(std::move(surroundings)),
      process_(ProcessName()),
      database_(std::move(opened)),
      accounts({with_.metrics, with_.log, with_.tracer, with_.now}),
      outlook(*database_, boards, options_.workers),
      threads(kThreads, {.bytes = options_.pending_bytes}),
      follower(*database_, boards, outlook),
      access(process_, {*database_, threads, boards, follower, accounts, outlook, eta, with_.now}),
      acceptance(
          WithProcess(options_.acceptance, process_),
          {*database_, boards, follower, access, accounts, outlook, with_.metrics, with_.now}),
      leases({*database_, with_.metrics, with_.log}, options_.lease),
      dispatcher({process_, options_.lease, options_.store.durable()},
                 {*database_, with_.metrics, with_.log}),
      runs(options_.store.durable(),
           {*database_, boards, leases, accounts, eta, with_.metrics, with_.log, with_.now,
            [this](const JobRequest& request) {
              return options_.result_cache ? CacheKeyOf(request, with_.catalogue) : "";
            }}),
      housekeeping(process_,
                   {*database_, boards, accounts, with_.metrics, with_.log,
                    [this] { return Note(); }, [this] { ShowFigures(); },
                    options_.store.shared()
                        ? [this](const std::vector<WorkerNote>& workers) { Follow(workers); }
                        : std::function<void(const std::vector<WorkerNote>&)>()}) {}

JobService::~JobService() {
  housekeeping.Stop();
  threads.Stop();
}

// Where the database is this process's alone, what was there before has ended.
absl::Status JobService::TakeUp() {
  if (options_.store.shared()) {
    listener_ = std::make_unique<PostgresListener>(options_.store.where, database_->signals());
    return absl::OkStatus();
  }
  if (!durable()) return absl::OkStatus();
  AD_RETURN_IF_ERROR(database_->TakeOver());
  AD_ASSIGN_OR_RETURN(const std::vector<OpenJobs> open, database_->CountOpen());
  accounts.Restored(open);
  int64_t jobs = 0;
  for (const OpenJobs& some : open) jobs += some.count;
  if (jobs > 0) with_.log.Info("job store taken up", {{"waiting", jobs}});
  return absl::OkStatus();
}

WorkerNote JobService::Note() const {
  WorkerNote note = {.worker = process_, .about = "", .capacity = 0, .models = {}};
  if (dispatcher.closed()) return note;
  note.capacity = options_.workers;
  v1::ListModelsResponse about;
  about.set_default_model(with_.catalogue.default_model());
  for (const ModelStatus& model : with_.catalogue.Own()) {
    if (model.devices.empty()) continue;
    note.models.push_back(model.name);
    *about.add_models() = ToProto(model);
  }
  note.about = about.SerializeAsString();
  return note;
}

void JobService::Follow(const std::vector<WorkerNote>& workers) {
  std::vector<ModelStatus> models;
  std::string default_model;
  for (const WorkerNote& worker : workers) {
    v1::ListModelsResponse about;
    if (worker.worker == process_ || !about.ParseFromString(worker.about)) continue;
    if (default_model.empty()) default_model = about.default_model();
    for (const v1::Model& model : about.models()) {
      models.push_back({model.name(),
                        ModelState::kReady,
                        "",
                        FromProto(model),
                        {model.devices().begin(), model.devices().end()}});
    }
  }
  with_.catalogue.SetElsewhere(models, default_model);
  with_.on_models_changed();
}

void JobService::StartDrain() {
  dispatcher.Close();
  housekeeping.TellSoon();  // that nothing more is taken
  if (durable()) follower.HandBackKept();
}

void JobService::CancelWaiting() {
  while (true) {
    const absl::StatusOr<std::vector<EndedJob>> ended =
        database_->CancelWaiting(durable() ? process_ : "", ToStoredError(ShutdownError()));
    if (!ended.ok() || ended->empty()) return;
    accounts.Ended(*ended);
  }
}

void JobService::CancelJobs() {
  CancelWaiting();
  for (const std::shared_ptr<Job>& job : boards.running()) {
    const bool kept = durable() && job->request().kept();
    job->Cancel(kept ? HandedBackError() : ShutdownError());
  }
  CancelWaiting();  // one whose worker was lost just now waits again
  runs.GiveUp();
  if (dispatcher.closed()) dispatcher.GiveUp();
  for (const std::shared_ptr<Job>& job : boards.followed()) {
    if (!durable() || !job->request().kept()) CancelElsewhere(*job);
  }
}

// One that only callers here want, and perhaps another process runs.
void JobService::CancelElsewhere(Job& job) {
  const absl::Status why = ShutdownError();
  const absl::StatusOr<bool> ended =
      database_->Cancel(job.request().tenant, job.name(), ReasonOf(why), ToStoredError(why),
                        /*frees_request_id=*/true);
  if (ended.ok() && *ended) accounts.Ended(job, why);
  job.Fail(why);
}

bool JobService::WaitSettled(absl::Duration timeout) { return threads.WaitIdle(timeout); }

void JobService::CountLeft() {
  if (!durable() || options_.store.shared() || counted_left_) return;
  const absl::StatusOr<std::vector<OpenJobs>> open = database_->CountOpen();
  if (!open.ok()) {
    accounts.Failed("jobs left not counted", "", open.status()).IgnoreError();
    return;
  }
  if (counted_left_.exchange(true)) return;
  accounts.HandedBack(*open);
  for (const OpenJobs& some : *open) jobs_left_ += some.count;
}

void JobService::ShowFigures() {
  const absl::StatusOr<QueueFigures> figures = database_->Figures();
  if (!figures.ok()) return;
  const auto first = static_cast<size_t>(figures->queued_first);
  with_.metrics.SetQueue({first, static_cast<size_t>(figures->queued) - first},
                         figures->queued_bytes);
  with_.metrics.SetKept(static_cast<size_t>(figures->queued + figures->running + figures->ended),
                        figures->result_bytes);
}

}  // namespace antidiffusion
