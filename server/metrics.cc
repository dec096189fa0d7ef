#include "server/metrics.h"

#include <prometheus/text_serializer.h>

#include "absl/strings/str_cat.h"
#include "server/errors.h"
#include "server/tenants/tenant_directory.h"
#include "server/tracing/span_exporter.h"

namespace antidiffusion {
namespace {

using prometheus::Labels;

prometheus::Histogram::BucketBoundaries Buckets() {
  return {0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600};
}

prometheus::Histogram::BucketBoundaries StoreBuckets() {
  return {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};
}

std::string Name(const std::string& name) { return absl::StrCat("antidiffusion_", name); }

prometheus::Family<prometheus::Counter>& CounterFamily(prometheus::Registry& registry,
                                                       const std::string& name,
                                                       const std::string& help) {
  return prometheus::BuildCounter().Name(Name(name)).Help(help).Register(registry);
}

prometheus::Family<prometheus::Gauge>& GaugeFamily(prometheus::Registry& registry,
                                                   const std::string& name,
                                                   const std::string& help) {
  return prometheus::BuildGauge().Name(Name(name)).Help(help).Register(registry);
}

prometheus::Family<prometheus::Histogram>& HistogramFamily(prometheus::Registry& registry,
                                                           const std::string& name,
                                                           const std::string& help) {
  return prometheus::BuildHistogram().Name(Name(name)).Help(help).Register(registry);
}

// Indexed by code.
constexpr std::array<const char*, 17> kCodeNames = {
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
};

constexpr const char* kRejections[] = {
    reason::kInvalidField,    reason::kModelNotFound,   reason::kModelLoading,
    reason::kModelFailed,     reason::kDraining,        reason::kQueueFull,
    reason::kQueueBytesFull,  reason::kTenantQueueFull, reason::kTenantRate,
    reason::kTenantBytes,     reason::kKeyMissing,      reason::kKeyUnknown,
    reason::kRightMissing,    reason::kDeadlinePassed,  reason::kDeadlineUnreachable,
    reason::kRequestIdReused, reason::kResultsFull,     reason::kResultsUnread,
    reason::kStoreFailed,
};

constexpr const char* kRestarts[] = {reason::kWorkerDied,  reason::kWorkerHung,
                                     reason::kDeviceFault, reason::kWorkerNotStarted,
                                     reason::kModelFailed, kWeightsNotRestored};

}  // namespace

BuildInfo ThisBuild() {
  return {ANTIDIFFUSION_VERSION, ANTIDIFFUSION_REVISION, ANTIDIFFUSION_TORCH_VERSION,
          ANTIDIFFUSION_CUDA_VERSION};
}

const char* OutcomeName(JobOutcome outcome) {
  switch (outcome) {
    case JobOutcome::kAccepted:
      return "accepted";
    case JobOutcome::kRestored:
      return "restored";
    case JobOutcome::kHandedBack:
      return "handed_back";
    case JobOutcome::kSucceeded:
      return "succeeded";
    case JobOutcome::kFailed:
      return "failed";
    case JobOutcome::kCancelled:
      return "cancelled";
    case JobOutcome::kExpired:
      return "expired";
  }
  return "";
}

Metrics::Metrics(const BuildInfo& build, size_t queue_capacity)
    : requests_(CounterFamily(registry_, "requests_total", "Finished calls.")),
      request_duration_(HistogramFamily(registry_, "request_duration_seconds",
                                        "From the arrival of a call to its status.")),
      rejected_(CounterFamily(registry_, "rejected_total", "Jobs refused at admission.")),
      jobs_(CounterFamily(registry_, "jobs_total",
                          "Jobs by what became of them; outcome accepted counts each job at "
                          "admission, the others at its end.")),
      queue_capacity_(
          GaugeFamily(registry_, "queue_capacity", "Jobs that may wait at once.").Add({})),
      queue_bytes_(
          GaugeFamily(registry_, "queue_bytes", "Encoded images of the waiting jobs.").Add({})),
      jobs_running_(GaugeFamily(registry_, "jobs_running", "Jobs on the device now.")),
      draining_(GaugeFamily(registry_, "draining", "1 once the server refuses new jobs.").Add({})),
      job_stage_(HistogramFamily(registry_, "job_stage_seconds", "Time of one stage of a job.")),
      step_(HistogramFamily(registry_, "step_seconds", "Time of one optimiser step.")),
      cancel_latency_(HistogramFamily(registry_, "cancel_latency_seconds",
                                      "From a cancel to the worker being free.")
                          .Add({}, Buckets())),
      device_busy_(CounterFamily(registry_, "device_busy_seconds_total",
                                 "Time that the device's worker spent on jobs.")),
      worker_up_(GaugeFamily(registry_, "worker_up", "1 while the device's worker takes jobs.")),
      worker_restarts_(CounterFamily(registry_, "worker_restarts_total",
                                     "Workers that were lost and replaced.")),
      memory_used_(GaugeFamily(registry_, "device_memory_used_bytes",
                               "Device memory in use after the last job; 0 where it is not told.")),
      memory_reserved_(GaugeFamily(registry_, "device_memory_reserved_bytes",
                                   "Device memory held by the allocator.")),
      memory_total_(GaugeFamily(registry_, "device_memory_total_bytes", "Memory of the device.")),
      model_loaded_(GaugeFamily(registry_, "model_loaded", "1 once the model takes jobs.")),
      model_load_seconds_(
          GaugeFamily(registry_, "model_load_seconds", "What loading the model took.")),
      tenant_jobs_(CounterFamily(registry_, "tenant_jobs_total",
                                 "Jobs of each tenant by what became of them, as in jobs_total.")),
      tenant_queue_wait_(CounterFamily(registry_, "tenant_queue_wait_seconds_total",
                                       "Time that each tenant's jobs waited for a worker.")),
      certificate_expiry_(GaugeFamily(registry_, "tls_certificate_expiry_timestamp_seconds",
                                      "When the server's certificate ends; 0 without TLS.")
                              .Add({})),
      store_failures_(CounterFamily(registry_, "job_store_failures_total",
                                    "Operations of the job store that failed.")
                          .Add({})),
      spans_sent_(
          CounterFamily(registry_, "trace_spans_sent_total", "Spans that the trace collector took.")
              .Add({})),
      spans_dropped_(CounterFamily(registry_, "trace_spans_dropped_total",
                                   "Spans that the trace collector did not get.")),
      jobs_joined_(CounterFamily(registry_, "jobs_joined_total",
                                 "Requests that joined the job of an equal request_id.")
                       .Add({})),
      result_cache_hits_(CounterFamily(registry_, "result_cache_hits_total",
                                       "Jobs answered with the kept result of an equal one.")
                             .Add({})),
      jobs_kept_(GaugeFamily(registry_, "jobs_kept", "Jobs that wait, run or are kept.").Add({})),
      result_bytes_(GaugeFamily(registry_, "result_bytes", "Images of the kept results.").Add({})),
      unread_bytes_(GaugeFamily(registry_, "unread_bytes",
                                "Results on their way to readers, or waiting for room to be.")
                        .Add({})),
      store_write_(HistogramFamily(registry_, "store_write_seconds",
                                   "Time in which the job store took a job, or its end.")
                       .Add({}, StoreBuckets())),
      leases_lost_(CounterFamily(registry_, "job_leases_lost_total",
                                 "Attempts whose job another server took meanwhile.")
                       .Add({})),
      ends_refused_(CounterFamily(registry_, "job_ends_refused_total",
                                  "Ends of attempts that came too late and were thrown away.")
                        .Add({})),
      jobs_requeued_(CounterFamily(registry_, "jobs_requeued_total",
                                   "Jobs that wait again since their server was lost.")
                         .Add({})),
      results_evicted_(CounterFamily(registry_, "results_evicted_total",
                                     "Kept results that were read and made room.")
                           .Add({})) {
  GaugeFamily(registry_, "build_info", "Always 1; the labels say what runs.")
      .Add({{"version", build.version},
            {"revision", build.revision},
            {"torch", build.torch},
            {"cuda", build.cuda}})
      .Set(1);
  queue_capacity_.Set(static_cast<double>(queue_capacity));
  AddQueueSeries();
  rpc_series_ = {
      MakeRpcSeries("Protect"),   MakeRpcSeries("CreateJob"), MakeRpcSeries("GetJob"),
      MakeRpcSeries("ListJobs"),  MakeRpcSeries("WatchJob"),  MakeRpcSeries("DownloadResult"),
      MakeRpcSeries("CancelJob"), MakeRpcSeries("DeleteJob"), MakeRpcSeries("ListModels")};
  for (const char* rejection : kRejections) rejected_.Add({{"reason", rejection}});
  for (const char* why : {span_loss::kQueueFull, span_loss::kNotSent, span_loss::kRejected}) {
    spans_dropped_.Add({{"reason", why}});
  }
}

void Metrics::AddQueueSeries() {
  auto& depth = GaugeFamily(registry_, "queue_depth", "Waiting jobs.");
  auto& wait = HistogramFamily(registry_, "queue_wait_seconds", "From admission to a worker.");
  for (const JobPriority priority : {JobPriority::kInteractive, JobPriority::kBatch}) {
    const bool batch = priority == JobPriority::kBatch;
    const Labels labels = {{"class", batch ? "batch" : "interactive"}};
    queue_depth_[static_cast<size_t>(priority)] = &depth.Add(labels);
    queue_wait_[static_cast<size_t>(priority)] = &wait.Add(labels, Buckets());
  }
}

Metrics::RpcSeries Metrics::MakeRpcSeries(const std::string& method) {
  RpcSeries series;
  for (int code = 0; code < kCodes; ++code) {
    series.by_code[code] = &requests_.Add({{"method", method}, {"code", kCodeNames[code]}});
  }
  series.duration = &request_duration_.Add({{"method", method}}, Buckets());
  return series;
}

void Metrics::AddModel(const std::string& model) {
  const auto add = [&](JobOutcome outcome, const char* why) {
    jobs_.Add({{"model", model}, {"outcome", OutcomeName(outcome)}, {"reason", why}});
  };
  add(JobOutcome::kAccepted, "");
  add(JobOutcome::kRestored, "");
  add(JobOutcome::kHandedBack, "");
  add(JobOutcome::kSucceeded, "");
  for (const char* why : {reason::kInvalidField, reason::kDeviceMemory, reason::kBudgetNotKept,
                          reason::kVisibilityNotKept, reason::kWorkerLostTwice, reason::kInternal,
                          reason::kStoreFailed, reason::kServerLostTwice}) {
    add(JobOutcome::kFailed, why);
  }
  for (const char* why : {reason::kCancelled, reason::kJobCancelled, reason::kShutdown})
    add(JobOutcome::kCancelled, why);
  add(JobOutcome::kExpired, reason::kDeadlinePassed);
  for (const char* stage :
       {"decode", "prompt_tuning", "pgd", "surrogate_tuning", "report", "encode"}) {
    job_stage_.Add({{"stage", stage}, {"model", model}}, Buckets());
  }
  for (const char* phase : {"prompt_tuning", "pgd", "surrogate_tuning"}) {
    steps_[model][phase] = &step_.Add({{"model", model}, {"phase", phase}}, Buckets());
  }
  model_loaded_.Add({{"model", model}});
  model_load_seconds_.Add({{"model", model}});
}

void Metrics::AddTenant(const std::string& tenant) {
  const std::string label = tenant_labels_.LabelOf(tenant);
  for (const JobOutcome outcome :
       {JobOutcome::kAccepted, JobOutcome::kRestored, JobOutcome::kSucceeded, JobOutcome::kFailed,
        JobOutcome::kCancelled, JobOutcome::kExpired, JobOutcome::kHandedBack}) {
    tenant_jobs_.Add({{"tenant", label}, {"outcome", OutcomeName(outcome)}});
  }
  tenant_queue_wait_.Add({{"tenant", label}});
}

Metrics::Device::Device(Metrics& metrics, const std::string& name)
    : up_(metrics.worker_up_.Add({{"device", name}})),
      running_(metrics.jobs_running_.Add({{"device", name}})),
      busy_(metrics.device_busy_.Add({{"device", name}})),
      memory_used_(metrics.memory_used_.Add({{"device", name}})),
      memory_reserved_(metrics.memory_reserved_.Add({{"device", name}})),
      memory_total_(metrics.memory_total_.Add({{"device", name}})) {
  for (const char* why : kRestarts) {
    metrics.worker_restarts_.Add({{"device", name}, {"reason", why}});
  }
}

void Metrics::Device::SetMemory(const DeviceMemory& memory) {
  memory_used_.Set(static_cast<double>(memory.used));
  memory_reserved_.Set(static_cast<double>(memory.reserved));
  memory_total_.Set(static_cast<double>(memory.total));
}

void Metrics::WorkerRestarted(const std::string& device, const std::string& reason) {
  worker_restarts_.Add({{"device", device}, {"reason", reason}}).Increment();
}

void Metrics::RequestFinished(Rpc rpc, grpc::StatusCode code, double seconds) {
  const RpcSeries& series = rpc_series_[static_cast<size_t>(rpc)];
  if (code >= 0 && code < kCodes) series.by_code[code]->Increment();
  series.duration->Observe(seconds);
}

void Metrics::Rejected(const std::string& reason) {
  rejected_.Add({{"reason", reason}}).Increment();
}

void Metrics::JobCounted(const JobRequest& job, JobOutcome outcome, const std::string& reason) {
  const char* name = OutcomeName(outcome);
  jobs_.Add({{"model", job.model}, {"outcome", name}, {"reason", reason}}).Increment();
  tenant_jobs_.Add({{"tenant", tenant_labels_.LabelOf(job.tenant)}, {"outcome", name}}).Increment();
}

void Metrics::QueueWaited(const JobRequest& job, double seconds) {
  const JobPriority priority = job.priority.value_or(JobPriority::kInteractive);
  queue_wait_[static_cast<size_t>(priority)]->Observe(seconds);
  tenant_queue_wait_.Add({{"tenant", tenant_labels_.LabelOf(job.tenant)}}).Increment(seconds);
}

void Metrics::StageTook(const std::string& stage, const std::string& model, double seconds) {
  job_stage_.Add({{"stage", stage}, {"model", model}}, Buckets()).Observe(seconds);
}

void Metrics::StepTook(const std::string& model, const std::string& phase, double seconds) {
  const auto of_model = steps_.find(model);
  if (of_model == steps_.end()) return;
  const auto series = of_model->second.find(phase);
  if (series != of_model->second.end()) series->second->Observe(seconds);
}

void Metrics::SetQueue(const std::array<size_t, 2>& depth, int64_t bytes) {
  for (size_t i = 0; i < depth.size(); ++i) queue_depth_[i]->Set(static_cast<double>(depth[i]));
  queue_bytes_.Set(static_cast<double>(bytes));
}

void Metrics::SetKept(size_t jobs, int64_t result_bytes) {
  jobs_kept_.Set(static_cast<double>(jobs));
  result_bytes_.Set(static_cast<double>(result_bytes));
}

void Metrics::ModelLoaded(const std::string& model, bool loaded) {
  model_loaded_.Add({{"model", model}}).Set(loaded ? 1 : 0);
}

void Metrics::SpansDropped(const std::string& why, int64_t spans) {
  spans_dropped_.Add({{"reason", why}}).Increment(static_cast<double>(spans));
}

void Metrics::ModelLoadTook(const std::string& model, double seconds) {
  model_load_seconds_.Add({{"model", model}}).Set(seconds);
}

std::string Metrics::Text() const {
  return prometheus::TextSerializer().Serialize(registry_.Collect());
}

}  // namespace antidiffusion
