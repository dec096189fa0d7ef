// The whole server but its signals: everything is made, connected, started and ended here.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/mutex.h"
#include "server/database/open_pool.h"
#include "server/log.h"
#include "server/server_config.h"
#include "server/worker_pool.h"

namespace grpc {
class Channel;
class ServerCredentials;
}  // namespace grpc

namespace antidiffusion {

// Life: loading (calls get UNAVAILABLE, ListModels and health answer) -> ready -> draining (no new
// jobs; those admitted are finished) -> stopped. Thread-safe.
class Server {
 public:
  // Listens, and starts to load the models of `config.model_repository` in the background with
  // `engines`. `log` outlives the server. NOT_FOUND: no model, or not the one asked for;
  // UNAVAILABLE: a port is taken, or the job store cannot be opened (by `open_pool`).
  static absl::StatusOr<std::unique_ptr<Server>> Start(const ServerConfig& config,
                                                       EngineFactory engines, const Log& log,
                                                       const PoolFactory& open_pool = OpenPool);
  // Drains without waiting for jobs (CancelJobs), stops.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  int grpc_port() const;
  int metrics_port() const;

  bool ready() const;

  // Health becomes NOT_SERVING, new jobs are refused, admitted ones go on.
  void StartDrain();

  // True once every job is done and told to its caller; waits at most `timeout` for it. After
  // StartDrain.
  bool WaitDrained(absl::Duration timeout);

  // Ends waiting jobs and stops running ones before their next step, with UNAVAILABLE. Those in a
  // durable store are left to its next server; jobs_left counts them once they have ended here.
  void CancelJobs();
  int64_t jobs_left() const;

  // What calls and files need each second, as of `now`; called by the server's own thread, and by
  // tests with a time of their own.
  void Tick(absl::Time now);
  // What the database needs each second, by its own clock; the same.
  void KeepHouse();

  // A channel to this server that needs no socket.
  std::shared_ptr<grpc::Channel> InProcessChannel() const;

 private:
  struct Parts;

  explicit Server(std::unique_ptr<Parts> parts);
  absl::Status OpenJobs(const ServerConfig& config, const PoolFactory& open_pool);
  absl::Status ListenForHttp(const ServerConfig& config);
  absl::Status Listen(const ServerConfig& config);
  absl::Status WritePortFile(const std::string& path) const;
  void StartWork(const ServerConfig& config, const std::vector<ModelEntry>& models,
                 EngineFactory engines);
  void UpdateHealth();
  void StopLoading();
  std::shared_ptr<grpc::ServerCredentials> Credentials() const;
  std::string MetricsText() const;

  const std::unique_ptr<Parts> parts_;
};

}  // namespace antidiffusion
