#include "server/server.h"

#include <grpcpp/channel.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/status_details.h"
#include "core/base/status_macros.h"
#include "server/admission.h"
#include "server/errors.h"
#include "server/file_reloads.h"
#include "server/grpc_listener.h"
#include "server/http_endpoint.h"
#include "server/job_runner.h"
#include "server/job_service.h"
#include "server/metrics.h"
#include "server/model_catalogue.h"
#include "server/protection_service.h"
#include "server/readiness.h"
#include "server/tenants/tenant_directory.h"
#include "server/tls/tls_credentials.h"
#include "server/trace_export.h"
#include "server/tracing/tracer.h"
#include "server/unread_results.h"

namespace antidiffusion {
namespace {

constexpr absl::Duration kTick = absl::Seconds(1);
constexpr absl::Duration kShutdownGrace = absl::Seconds(1);  // for calls that never end (Watch)

// Where there are several tenants, none of them fills the queue alone unless its entry says so.
TenantDirectory::Options TenantOptions(const ServerConfig& config) {
  return {config.api_key_file, static_cast<size_t>((config.max_queue_size + 1) / 2),
          config.max_queue_bytes / 2};
}

// Null without TLS.
absl::StatusOr<std::unique_ptr<TlsCredentials>> MakeTlsCredentials(const ServerConfig& config) {
  if (!config.grpc_use_ssl && !config.grpc_use_ssl_mutual) return nullptr;
  return TlsCredentials::Create({config.grpc_server_cert, config.grpc_server_key,
                                 config.grpc_use_ssl_mutual ? config.grpc_root_cert : ""},
                                absl::Now());
}

// A process alone does everything itself.
absl::Status CheckRole(const ServerConfig& config) {
  AD_ASSIGN_OR_RETURN(const JobStoreName store, ParseJobStore(config.job_store));
  if (config.role == ServerRole::kAll || store.shared()) return absl::OkStatus();
  return InvalidField("role", config.role == ServerRole::kWorker ? "worker" : "frontend",
                      "all, unless --job-store is postgresql://...");
}

std::vector<std::string> DevicesOf(const ServerConfig& config) {
  return config.role == ServerRole::kFrontend ? std::vector<std::string>() : config.devices;
}

JobService::Options JobOptions(const ServerConfig& config, const JobStoreName& store) {
  JobService::Options options;
  options.store = store;
  options.acceptance.room = {config.max_queue_size, config.max_queue_bytes};
  options.acceptance.result_ttl = config.result_ttl;
  options.acceptance.max_kept_jobs = config.max_kept_jobs;
  options.acceptance.max_result_bytes = config.max_result_bytes;
  options.lease = config.job_lease;
  options.workers = static_cast<int>(DevicesOf(config).size());
  options.pending_bytes = config.max_queue_bytes;
  options.result_cache = config.result_cache;
  return options;
}

DecodeLimits ImageLimits(const ServerConfig& config) {
  DecodeLimits limits;
  limits.max_bytes = config.max_image_bytes;
  limits.max_pixels = config.max_image_pixels;
  return limits;
}

}  // namespace

// In the order of construction: what stands later uses what stands before.
struct Server::Parts {
  Parts(const ServerConfig& config, std::unique_ptr<ModelCatalogue> models,
        std::unique_ptr<TenantDirectory> directory, const Log& server_log)
      : log(server_log),
        catalogue(std::move(models)),
        readiness(*catalogue, config.strict_readiness, log),
        tenants(std::move(directory)),
        metrics(ThisBuild(), static_cast<size_t>(config.max_queue_size)),
        tracer(config.trace_sample, SinkOf(config)),
        runner(ImageLimits(config), absl::Now, tracer),
        unread(config.max_unread_bytes) {}

  Tracer::Sink SinkOf(const ServerConfig& config) {
    if (config.otlp_endpoint.empty()) return nullptr;
    return [this](Span span) { exporter->Add(std::move(span)); };
  }

  const Log& log;
  const std::unique_ptr<ModelCatalogue> catalogue;
  Readiness readiness;
  const std::unique_ptr<TenantDirectory> tenants;
  std::unique_ptr<TlsCredentials> tls;  // null: plain text
  Metrics metrics;
  std::unique_ptr<SpanExporter> exporter;  // null: spans go nowhere
  const Tracer tracer;
  const JobRunner runner;
  UnreadResults unread;
  bool shared_store = false;
  std::unique_ptr<JobService> jobs;
  std::unique_ptr<Admission> admission;
  std::unique_ptr<ProtectionService> service;
  std::optional<FileReloads> reloads;
  std::unique_ptr<grpc::Server> grpc;
  int grpc_port = 0;
  std::atomic<bool> started = false;  // has been ready once
  Mutex health_mutex;                 // orders changes of health
  std::unique_ptr<HttpEndpoint> http;
  std::unique_ptr<WorkerPool> workers;

  Mutex tick_mutex;  // one tick at a time
  Mutex ticker_mutex;
  CondVar ticker_wakeup;
  bool ticker_stopped ABSL_GUARDED_BY(ticker_mutex) = false;
  std::jthread ticker;
};

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ServerConfig& config,
                                                      EngineFactory engines, const Log& log,
                                                      const PoolFactory& open_pool) {
  AD_RETURN_IF_ERROR(CheckRole(config));
  std::vector<ModelEntry> models;
  if (config.role != ServerRole::kFrontend) {
    AD_ASSIGN_OR_RETURN(models, ScanModelRepository(config.model_repository, config.load_models));
  }
  AD_ASSIGN_OR_RETURN(std::unique_ptr<ModelCatalogue> catalogue,
                      ModelCatalogue::Create(models, config.default_model,
                                             static_cast<int>(DevicesOf(config).size())));
  AD_ASSIGN_OR_RETURN(std::unique_ptr<TenantDirectory> tenants,
                      TenantDirectory::Create(TenantOptions(config)));
  std::unique_ptr<Server> server(
      new Server(std::make_unique<Parts>(config, std::move(catalogue), std::move(tenants), log)));
  AD_ASSIGN_OR_RETURN(server->parts_->exporter,
                      StartTraceExport(config, server->parts_->metrics, log));
  for (const ModelEntry& model : models) server->parts_->metrics.AddModel(model.name);
  AD_ASSIGN_OR_RETURN(server->parts_->tls, MakeTlsCredentials(config));
  AD_RETURN_IF_ERROR(server->OpenJobs(config, open_pool));
  Parts* const parts = server->parts_.get();
  parts->reloads.emplace(FileReloads::Surroundings{
      .tenants = *parts->tenants,
      .tls = parts->tls.get(),
      .metrics = parts->metrics,
      .log = log,
      .on_tenants_changed = [parts] { parts->jobs->dispatcher.Wake(); }});  // it may run more now
  AD_RETURN_IF_ERROR(server->Listen(config));
  log.Info("listening", {{"address", config.grpc_address},
                         {"grpc_port", server->grpc_port()},
                         {"metrics_port", server->metrics_port()}});
  if (!config.port_file.empty()) AD_RETURN_IF_ERROR(server->WritePortFile(config.port_file));
  server->StartWork(config, models, std::move(engines));
  return server;
}

Server::Server(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Server::~Server() {
  if (parts_->jobs != nullptr) {
    StartDrain();
    CancelJobs();
  }
  parts_->workers.reset();  // joins: no job runs any more
  {
    MutexLock lock(parts_->ticker_mutex);
    parts_->ticker_stopped = true;
    parts_->ticker_wakeup.NotifyAll();
  }
  if (parts_->ticker.joinable()) parts_->ticker.join();
  if (parts_->jobs != nullptr) parts_->jobs->housekeeping.Stop();  // it tells health of models
  if (parts_->grpc != nullptr) {
    parts_->grpc->Shutdown(absl::ToChronoTime(absl::Now() + kShutdownGrace));
    parts_->grpc->Wait();
  }
  parts_->http.reset();
  // Calls have ended, but not all that they have left to do.
  if (parts_->jobs != nullptr) parts_->jobs->threads.Stop();
}

absl::Status Server::OpenJobs(const ServerConfig& config, const PoolFactory& open_pool) {
  Parts& parts = *parts_;
  AD_ASSIGN_OR_RETURN(const JobStoreName store, ParseJobStore(config.job_store));
  AD_ASSIGN_OR_RETURN(parts.jobs,
                      JobService::Create(JobOptions(config, store),
                                         {*parts.catalogue, parts.metrics, parts.log, parts.tracer,
                                          absl::Now, [this] { UpdateHealth(); }},
                                         open_pool));
  parts.shared_store = store.shared();
  JobService& jobs = *parts.jobs;
  parts.admission = std::make_unique<Admission>(
      Admission::Options{.limits = ImageLimits(config),
                         .job_timeout = config.job_timeout,
                         .result_cache = config.result_cache,
                         .durable = store.durable(),
                         .max_job_passes = config.max_job_passes},
      Admission::Surroundings{*parts.catalogue, jobs.dispatcher, jobs.threads, jobs.acceptance,
                              jobs.outlook, *parts.tenants, jobs.eta, parts.unread, parts.metrics,
                              parts.log, parts.tracer, absl::Now});
  parts.service = std::make_unique<ProtectionService>(
      ServiceSurroundings{*parts.admission, jobs.access, jobs.threads, *parts.catalogue,
                          *parts.tenants, parts.unread, parts.metrics, absl::Now});
  return absl::OkStatus();
}

absl::Status Server::ListenForHttp(const ServerConfig& config) {
  std::string address = config.metrics_address;
  if (address.empty()) {
    AD_ASSIGN_OR_RETURN(address, HttpAddressFor(config.grpc_address));
    if (address != config.grpc_address) {
      parts_->log.Warning("HTTP listens on IPv4 alone: its library is built without IPv6",
                          {{"grpc_address", config.grpc_address}, {"metrics_address", address}});
    }
  }
  const auto not_ready = [this]() -> std::string {
    return parts_->jobs->dispatcher.closed() ? "draining" : parts_->readiness.WhyNot();
  };
  const auto not_started = [this]() -> std::string {
    return parts_->started ? "" : "it has not been ready yet";
  };
  AD_ASSIGN_OR_RETURN(parts_->http,
                      HttpEndpoint::Start(address, config.metrics_port,
                                          {.metrics = [this] { return MetricsText(); },
                                           .not_live = [] { return ""; },
                                           .not_ready = not_ready,
                                           .not_started = not_started}));
  return absl::OkStatus();
}

absl::Status Server::Listen(const ServerConfig& config) {
  AD_RETURN_IF_ERROR(ListenForHttp(config));
  grpc::Service* const service =
      config.role == ServerRole::kWorker ? nullptr : parts_->service.get();
  AD_ASSIGN_OR_RETURN(GrpcListener listener, ListenForGrpc(config, service, Credentials()));
  parts_->grpc = std::move(listener.server);
  parts_->grpc_port = listener.port;
  UpdateHealth();
  return absl::OkStatus();
}

// Lines that a shell can source. Written beside and renamed: a reader sees all of it or nothing.
absl::Status Server::WritePortFile(const std::string& path) const {
  const std::string beside = absl::StrCat(path, ".new");
  {
    std::ofstream file(beside);
    file << "GRPC_PORT=" << grpc_port() << "\nMETRICS_PORT=" << metrics_port() << "\n";
    if (!file.flush()) return absl::UnavailableError(absl::StrCat("cannot write ", beside));
  }
  if (std::rename(beside.c_str(), path.c_str()) != 0) {
    return absl::UnavailableError(absl::StrCat("cannot write ", path));
  }
  return absl::OkStatus();
}

void Server::StartWork(const ServerConfig& config, const std::vector<ModelEntry>& models,
                       EngineFactory engines) {
  parts_->workers =
      std::make_unique<WorkerPool>(DevicesOf(config),
                                   WorkerSettings{.models = models,
                                                  .precision = config.precision,
                                                  .threads = config.threads,
                                                  .tokenizers = config.tokenizers,
                                                  .self_test_interval = config.self_test_interval,
                                                  .is_alone = !parts_->shared_store},
                                   WorkerSurroundings{.start_engine = std::move(engines),
                                                      .catalogue = *parts_->catalogue,
                                                      .dispatcher = parts_->jobs->dispatcher,
                                                      .runs = parts_->jobs->runs,
                                                      .eta = parts_->jobs->eta,
                                                      .runner = parts_->runner,
                                                      .metrics = parts_->metrics,
                                                      .log = parts_->log,
                                                      .now = absl::Now,
                                                      .on_models_changed = [this] {
                                                        UpdateHealth();
                                                        parts_->jobs->housekeeping.TellSoon();
                                                      }});
  parts_->workers->Start();
  parts_->jobs->housekeeping.Start();
  parts_->ticker = std::jthread([this] {
    MutexLock lock(parts_->ticker_mutex);
    while (!parts_->ticker_stopped) {
      parts_->ticker_wakeup.WaitFor(lock, kTick);
      if (!parts_->ticker_stopped) Tick(absl::Now());
    }
  });
}

int Server::grpc_port() const { return parts_->grpc_port; }
int Server::metrics_port() const { return parts_->http->port(); }

bool Server::ready() const {
  return !parts_->jobs->dispatcher.closed() && parts_->readiness.ready();
}

void Server::UpdateHealth() {
  MutexLock lock(parts_->health_mutex);
  for (const ModelStatus& model : parts_->catalogue->Own()) {
    parts_->metrics.ModelLoaded(model.name, model.state == ModelState::kReady);
  }
  parts_->readiness.LogHopeless();
  const bool now_ready = ready();
  const bool first = now_ready && !parts_->started.exchange(true);
  grpc::HealthCheckServiceInterface* health = parts_->grpc->GetHealthCheckService();
  health->SetServingStatus(v1::ProtectionService::service_full_name(), now_ready);
  health->SetServingStatus("", now_ready);  // the whole last: who sees it serve finds every part so
  if (first) parts_->log.Info("ready");
}

void Server::StartDrain() {
  JobService& jobs = *parts_->jobs;
  if (jobs.dispatcher.closed()) return;
  parts_->log.Info("draining", {{"running", static_cast<int64_t>(jobs.boards.running().size())}});
  parts_->metrics.SetDraining(true);
  jobs.StartDrain();
  if (parts_->grpc != nullptr) UpdateHealth();
}

bool Server::WaitDrained(absl::Duration timeout) {
  const absl::Time end = absl::Now() + timeout;
  const auto left = [end] { return std::max(end - absl::Now(), absl::ZeroDuration()); };
  JobService& jobs = *parts_->jobs;
  if (jobs.IsIdle()) StopLoading();
  if (parts_->workers != nullptr && !parts_->workers->WaitFinished(timeout)) return false;
  if (!parts_->service->calls().WaitIdle(left()) || !jobs.WaitSettled(left())) return false;
  jobs.CountLeft();
  return true;
}

void Server::CancelJobs() {
  parts_->jobs->CancelJobs();
  if (parts_->jobs->dispatcher.closed()) StopLoading();  // no job will need it
}

void Server::StopLoading() {
  if (parts_->workers != nullptr) parts_->workers->StopLoading();
}

int64_t Server::jobs_left() const { return parts_->jobs->jobs_left(); }

void Server::Tick(absl::Time now) {
  MutexLock lock(parts_->tick_mutex);
  parts_->service->calls().Tick(now);
  parts_->reloads->Run(now);
}

void Server::KeepHouse() { parts_->jobs->housekeeping.Run(); }

std::shared_ptr<grpc::ServerCredentials> Server::Credentials() const {
  return parts_->tls == nullptr ? grpc::InsecureServerCredentials() : parts_->tls->ForServer();
}

std::string Server::MetricsText() const {
  // Of a database over the network they are a second old, and of one that is away older.
  if (parts_->jobs != nullptr && !parts_->shared_store) parts_->jobs->ShowFigures();
  parts_->metrics.SetUnread(parts_->unread.bytes());
  return parts_->metrics.Text();
}

std::shared_ptr<grpc::Channel> Server::InProcessChannel() const {
  return parts_->grpc->InProcessChannel(grpc::ChannelArguments());
}

}  // namespace antidiffusion
