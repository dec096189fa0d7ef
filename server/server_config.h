// Everything that can be set from outside. The flags, their environment twins and the keys of the
// configuration file are listed in docs/api.md and by `antidiffusiond --help`.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>
#include <variant>
#include <vector>

#include "absl/time/time.h"
#include "server/log.h"

namespace antidiffusion {

// What a server does of the service: all of it; the calls, without a device; the computing, without
// calls.
enum class ServerRole { kAll, kFrontend, kWorker };

struct ServerConfig {
  ServerRole role = ServerRole::kAll;  // others need a job store that several servers share
  std::string grpc_address = "0.0.0.0";
  std::string metrics_address;  // of HTTP; "": HttpAddressFor(grpc_address)
  int grpc_port = 8001;         // 0: any free one, as the next
  int metrics_port = 8002;
  std::string port_file;  // where the chosen ports are written, "" nowhere

  bool grpc_use_ssl = false;
  bool grpc_use_ssl_mutual = false;  // clients show certificates, too; implies grpc_use_ssl
  std::string grpc_server_cert;      // PEM files, given where they are used
  std::string grpc_server_key;
  std::string grpc_root_cert;

  std::string api_key_file;  // of the tenants; "": everybody may call

  std::string model_repository;
  std::string tokenizers;                // folder of those for single files
  std::vector<std::string> load_models;  // empty: all
  std::string default_model;             // empty: the first
  bool strict_readiness = true;          // ready once all models are loaded, else once one is

  std::vector<std::string> devices = {"auto"};  // one worker each
  std::string precision = "auto";
  int threads = 0;             // of the CPU, for each worker; 0: one for each physical core
  std::string worker_program;  // run once for each device
  absl::Duration worker_hang_timeout = absl::Seconds(120);
  absl::Duration self_test_interval = absl::Minutes(1);  // zero: none

  int64_t max_queue_size = 64;
  int64_t max_queue_bytes = int64_t{512} << 20;
  int64_t max_image_bytes = int64_t{32} << 20;
  int64_t max_image_pixels = 50'000'000;
  int64_t max_job_passes = 20'000;  // planned_work.h; 0: no limit

  absl::Duration grpc_keepalive_time = absl::Seconds(30);
  absl::Duration grpc_keepalive_timeout = absl::Seconds(20);
  // After which a connection is asked to go, and a tenth more or less; its streams end by
  // themselves. Zero: never.
  absl::Duration grpc_max_connection_age = absl::Minutes(10);

  std::string job_store = ":memory:";  // or as ParseJobStore has it
  absl::Duration job_lease = absl::Seconds(30);
  absl::Duration job_timeout = absl::Hours(24);
  absl::Duration result_ttl = absl::Hours(24);
  int64_t max_kept_jobs = 10'000;                 // that have ended
  int64_t max_result_bytes = int64_t{1} << 30;    // of their results
  int64_t max_unread_bytes = int64_t{512} << 20;  // of results that are being read
  bool result_cache = true;

  LogFormat log_format = LogFormat::kText;
  std::string log_level = "info";
  absl::Duration drain_timeout = absl::Seconds(120);

  std::string otlp_endpoint;  // where spans are sent, http://HOST:4318/v1/traces; "": nowhere
  double trace_sample = 1;    // share of the traces that begin here, 0..1
};

// Flag > environment > file (--config) > default. The int is an exit code: the command line asked
// for --help, --version or --print-config (0, told on `out`) or is wrong (told on `err`).
std::variant<ServerConfig, int> ParseServerConfig(int argc, const char* const* argv,
                                                  std::ostream& out, std::ostream& err);

}  // namespace antidiffusion
