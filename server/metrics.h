// What Prometheus sees of the server. Names and labels: docs/api.md.
#pragma once

#include <grpcpp/support/status.h>
#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <array>
#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "core/api/protector.h"
#include "server/job.h"
#include "server/tenants/tenant_labels.h"

namespace antidiffusion {

struct BuildInfo {
  std::string version;
  std::string revision;  // of the source
  std::string torch;
  std::string cuda;  // "" for a build without it
};
BuildInfo ThisBuild();

enum class Rpc {
  kProtect,
  kCreateJob,
  kGetJob,
  kListJobs,
  kWatchJob,
  kDownloadResult,
  kCancelJob,
  kDeleteJob,
  kListModels
};
// Ways in: accepted here, restored from the job store. Ways out: the others; handed back is a job
// that the store keeps for the next start.
enum class JobOutcome {
  kAccepted,
  kRestored,
  kSucceeded,
  kFailed,
  kCancelled,
  kExpired,
  kHandedBack
};
const char* OutcomeName(JobOutcome outcome);  // accepted, ...

// Thread-safe once every model and device has been added. Each series that has a known name is
// made (with 0) when its model or device is added, and its reference is kept: looking a series up
// in its family takes a lock.
class Metrics {
 public:
  Metrics(const BuildInfo& build, size_t queue_capacity);
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  // Before the server starts to serve.
  void AddModel(const std::string& model);
  // May be called at any time.
  void AddTenant(const std::string& tenant);

  // The series of one worker's device; its name is known once a model is loaded there. The
  // reference stays valid. For one thread.
  class Device {
   public:
    void SetUp(bool up) { up_.Set(up ? 1 : 0); }
    void SetRunning(int jobs) { running_.Set(jobs); }
    void AddBusy(double seconds) { busy_.Increment(seconds); }
    void SetMemory(const DeviceMemory& memory);

   private:
    friend class Metrics;
    Device(Metrics& metrics, const std::string& name);

    prometheus::Gauge& up_;
    prometheus::Gauge& running_;
    prometheus::Counter& busy_;
    prometheus::Gauge& memory_used_;
    prometheus::Gauge& memory_reserved_;
    prometheus::Gauge& memory_total_;
  };
  Device AddDevice(const std::string& device) { return {*this, device}; }
  // Its worker was lost for `reason` (errors.h) and is replaced.
  void WorkerRestarted(const std::string& device, const std::string& reason);

  void RequestFinished(Rpc rpc, grpc::StatusCode code, double seconds);
  void Rejected(const std::string& reason);
  // `reason`: see errors.h; "" for those accepted and those succeeded.
  void JobCounted(const JobRequest& job, JobOutcome outcome, const std::string& reason);
  void QueueWaited(const JobRequest& job, double seconds);
  void StageTook(const std::string& stage, const std::string& model, double seconds);
  void StepTook(const std::string& model, const std::string& phase, double seconds);
  void CancelTook(double seconds) { cancel_latency_.Observe(seconds); }
  void SetQueue(const std::array<size_t, 2>& depth, int64_t bytes);  // depth[JobPriority]
  // Until when the certificate that the server shows is valid.
  void SetCertificateExpiry(absl::Time end) {
    certificate_expiry_.Set(absl::ToDoubleSeconds(end - absl::UnixEpoch()));
  }
  // The database of the jobs could not be written or read.
  void StoreFailed() { store_failures_.Increment(); }
  void SetDraining(bool draining) { draining_.Set(draining ? 1 : 0); }
  void ModelLoaded(const std::string& model, bool loaded);
  void ModelLoadTook(const std::string& model, double seconds);
  void SpansSent(int64_t spans) { spans_sent_.Increment(static_cast<double>(spans)); }
  void SpansDropped(const std::string& why, int64_t spans);  // see span_loss

  void JobJoined() { jobs_joined_.Increment(); }
  void ResultFromCache() { result_cache_hits_.Increment(); }
  void SetKept(size_t jobs, int64_t result_bytes);
  // Bytes of results that their readers have not taken yet.
  void SetUnread(int64_t bytes) { unread_bytes_.Set(static_cast<double>(bytes)); }
  void StoreWriteTook(double seconds) { store_write_.Observe(seconds); }
  // Of attempts of this process, and their ends that came too late.
  void LeaseLost() { leases_lost_.Increment(); }
  void EndRefused() { ends_refused_.Increment(); }
  // Jobs of servers that are gone, found by this one.
  void JobsRequeued(int64_t jobs) { jobs_requeued_.Increment(static_cast<double>(jobs)); }
  void ResultsEvicted(int64_t results) { results_evicted_.Increment(static_cast<double>(results)); }

  // All series in the text format.
  std::string Text() const;

 private:
  template <typename T>
  using Family = prometheus::Family<T>;
  using Counter = prometheus::Counter;
  using Gauge = prometheus::Gauge;
  using Histogram = prometheus::Histogram;

  static constexpr int kCodes = 17;  // of gRPC
  struct RpcSeries {
    std::array<Counter*, kCodes> by_code{};
    Histogram* duration = nullptr;
  };

  void AddQueueSeries();
  RpcSeries MakeRpcSeries(const std::string& method);

  prometheus::Registry registry_;
  Family<Counter>& requests_;
  Family<Histogram>& request_duration_;
  Family<Counter>& rejected_;
  Family<Counter>& jobs_;
  std::array<Gauge*, 2> queue_depth_{};  // [JobPriority], as queue_wait_
  Gauge& queue_capacity_;
  Gauge& queue_bytes_;
  std::array<Histogram*, 2> queue_wait_{};
  Family<Gauge>& jobs_running_;
  Gauge& draining_;
  Family<Histogram>& job_stage_;
  Family<Histogram>& step_;
  Histogram& cancel_latency_;
  Family<Counter>& device_busy_;
  Family<Gauge>& worker_up_;
  Family<Counter>& worker_restarts_;
  Family<Gauge>& memory_used_;
  Family<Gauge>& memory_reserved_;
  Family<Gauge>& memory_total_;
  Family<Gauge>& model_loaded_;
  Family<Gauge>& model_load_seconds_;
  TenantLabels tenant_labels_;
  Family<Counter>& tenant_jobs_;
  Family<Counter>& tenant_queue_wait_;
  Gauge& certificate_expiry_;
  Counter& store_failures_;
  Counter& spans_sent_;
  Family<Counter>& spans_dropped_;

  Counter& jobs_joined_;
  Counter& result_cache_hits_;
  Gauge& jobs_kept_;
  Gauge& result_bytes_;
  Gauge& unread_bytes_;
  Histogram& store_write_;
  Counter& leases_lost_;
  Counter& ends_refused_;
  Counter& jobs_requeued_;
  Counter& results_evicted_;

  std::array<RpcSeries, 9> rpc_series_;                             // [Rpc]
  std::map<std::string, std::map<std::string, Histogram*>> steps_;  // [model][phase]
};

}  // namespace antidiffusion
