#include "server/server_config.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <map>
#include <ostream>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "server/database/open_pool.h"
#include "server/tenants/api_key.h"

namespace antidiffusion {
namespace {

constexpr int64_t kMaxImageBytes = int64_t{1} << 30;  // gRPC counts a message's bytes in 31 bits
constexpr int64_t kMaxPixels = 1'000'000'000;
constexpr int64_t kMaxJobPasses = 1'000'000'000'000;
constexpr int64_t kMaxQueueBytes = int64_t{1} << 44;  // sums with it stay far from overflow

// models/ of the installation that this program belongs to, else of the source tree.
std::string DefaultModelRepository() {
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (!error) {
    const auto installed = program.parent_path().parent_path() / "share/antidiffusion/models";
    if (std::filesystem::is_directory(installed, error)) return installed.string();
  }
  return ANTIDIFFUSION_MODEL_REPOSITORY;
}

// Beside this program.
std::string DefaultWorkerProgram() {
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? "antidiffusion-worker" : (program.parent_path() / "antidiffusion-worker").string();
}

std::string EnvironmentName(const std::string& flag) {
  return absl::StrCat("ANTIDIFFUSION_",
                      absl::AsciiStrToUpper(absl::StrReplaceAll(flag, {{"-", "_"}})));
}

// As CLI11 parses them; units of the flags.
struct RawConfig {
  ServerConfig config;
  int64_t keepalive_time_ms = 0;
  int64_t keepalive_timeout_ms = 0;
  double max_connection_age_s = 0;
  double drain_timeout_s = 0;
  double worker_hang_timeout_s = 0;
  double self_test_interval_s = 0;
  double job_timeout_s = 0;
  double job_lease_s = 0;
  double result_ttl_s = 0;
  bool print_config = false;
  bool new_api_key = false;
};

void AddListenFlags(CLI::App& app, ServerConfig& config) {
  app.add_option("--grpc-address", config.grpc_address, "Address that the ports listen on");
  app.add_option("--metrics-address", config.metrics_address,
                 "Address that the port of HTTP listens on; empty: that of gRPC, or 127.0.0.1 for "
                 "::1 and 0.0.0.0 for :: where HTTP has no IPv6");
  app.add_option("--grpc-port", config.grpc_port, "Port of gRPC; 0: any free one")
      ->check(CLI::Range(0, 65535));
  app.add_option("--metrics-port", config.metrics_port,
                 "Port of HTTP (/metrics /livez /readyz /startupz); 0: any free one")
      ->check(CLI::Range(0, 65535));
  app.add_option("--port-file", config.port_file,
                 "File to write the chosen ports to, once both listen");
}

void AddTlsFlags(CLI::App& app, ServerConfig& config) {
  app.add_option("--grpc-use-ssl", config.grpc_use_ssl, "true: TLS on the gRPC port");
  app.add_option("--grpc-use-ssl-mutual", config.grpc_use_ssl_mutual,
                 "true: TLS, and clients must show a certificate of --grpc-root-cert");
  app.add_option("--grpc-server-cert", config.grpc_server_cert,
                 "PEM file of the server's certificate and its chain, taken up again when it "
                 "changes, as the next two");
  app.add_option("--grpc-server-key", config.grpc_server_key,
                 "PEM file of the certificate's private key, without a passphrase");
  app.add_option("--grpc-root-cert", config.grpc_root_cert,
                 "PEM file of the certificates that sign those of clients");
}

// Throws CLI::ValidationError, as CLI11's own checks do.
void CheckTlsFlags(const ServerConfig& config) {
  const auto need = [](const std::string& value, const char* flag, const char* by) {
    if (value.empty()) throw CLI::ValidationError(absl::StrCat(by, " needs ", flag));
  };
  if (config.grpc_use_ssl || config.grpc_use_ssl_mutual) {
    const char* const by = config.grpc_use_ssl ? "--grpc-use-ssl" : "--grpc-use-ssl-mutual";
    need(config.grpc_server_cert, "--grpc-server-cert", by);
    need(config.grpc_server_key, "--grpc-server-key", by);
  }
  if (config.grpc_use_ssl_mutual) {
    need(config.grpc_root_cert, "--grpc-root-cert", "--grpc-use-ssl-mutual");
  }
}

void AddTenantFlags(CLI::App& app, ServerConfig& config) {
  app.add_option("--api-key-file", config.api_key_file,
                 "JSON file of tenants and the SHA-256 of their API keys, taken up again when it "
                 "changes; without it everybody may call");
}

// For the key's holder, and for the key file.
int PrintNewApiKey(std::ostream& out, std::ostream& err) {
  const absl::StatusOr<std::string> key = NewApiKey();
  if (!key.ok()) {
    err << key.status().message() << "\n";
    return 1;
  }
  out << "key " << *key << "\nsha256 " << ToHex(DigestOfKey(*key)) << "\n";
  return 0;
}

void AddModelFlags(CLI::App& app, ServerConfig& config) {
  app.add_option(
      "--model-repository", config.model_repository,
      "Folder of models: NAME/model_index.json (diffusers layout), NAME/config.json (an encoder), "
      "NAME.safetensors");
  app.add_option("--tokenizers", config.tokenizers,
                 "Folder of tokenizers for models NAME.safetensors; empty: the folder tokenizers "
                 "beside the file");
  app.add_option("--load-model", config.load_models,
                 "Model to load; may be repeated. Without it every model is loaded")
      ->delimiter(',');
  app.add_option("--default-model", config.default_model,
                 "Model of requests that name none; without it the alphabetically first that is no "
                 "encoder folder");
  app.add_option("--strict-readiness", config.strict_readiness,
                 "true: ready once all models are loaded; false: once one is");
  app.add_option("--device", config.devices,
                 "auto, cpu, cuda:0, ...; one worker each, may be repeated")
      ->delimiter(',');
  app.add_option("--precision", config.precision, "auto (bf16 on CUDA 8.0+, else fp32), fp32, bf16")
      ->check(CLI::IsMember({"auto", "fp32", "bf16"}));
  app.add_option("--threads", config.threads,
                 "CPU threads of each worker; 0: one for each physical core")
      ->check(CLI::Range(0, 4096));
}

void AddLimitFlags(CLI::App& app, ServerConfig& config) {
  app.add_option("--max-queue-size", config.max_queue_size, "Jobs that may wait")
      ->check(CLI::Range(int64_t{1}, int64_t{1'000'000}));
  app.add_option("--max-queue-bytes", config.max_queue_bytes,
                 "Bytes that the encoded images of the waiting jobs may take together")
      ->check(CLI::Range(int64_t{1}, kMaxQueueBytes));
  app.add_option("--max-image-bytes", config.max_image_bytes, "Bytes of one encoded image")
      ->check(CLI::Range(int64_t{1}, kMaxImageBytes));
  app.add_option("--max-image-pixels", config.max_image_pixels, "Width times height of an image")
      ->check(CLI::Range(int64_t{1}, kMaxPixels));
  app.add_option("--max-job-passes", config.max_job_passes,
                 "Passes through networks that a job may plan, of squares of the model's native "
                 "side; 0: no limit")
      ->check(CLI::Range(int64_t{0}, kMaxJobPasses));
}

void AddWorkerFlags(CLI::App& app, RawConfig& raw) {
  ServerConfig& config = raw.config;
  config.worker_program = DefaultWorkerProgram();
  raw.worker_hang_timeout_s = absl::ToDoubleSeconds(config.worker_hang_timeout);
  raw.self_test_interval_s = absl::ToDoubleSeconds(config.self_test_interval);
  app.add_option("--worker-program", config.worker_program,
                 "Program that runs once for each device and computes there");
  app.add_option("--worker-hang-timeout", raw.worker_hang_timeout_s,
                 "Seconds without a step after which a worker is replaced")
      ->check(CLI::Range(0.1, 1e6));
  app.add_option("--self-test-interval", raw.self_test_interval_s,
                 "Seconds between tests of an idle device; 0: none")
      ->check(CLI::Range(0.0, 1e6));
}

void AddLifeFlags(CLI::App& app, RawConfig& raw) {
  ServerConfig& config = raw.config;
  raw.keepalive_time_ms = absl::ToInt64Milliseconds(config.grpc_keepalive_time);
  raw.keepalive_timeout_ms = absl::ToInt64Milliseconds(config.grpc_keepalive_timeout);
  raw.max_connection_age_s = absl::ToDoubleSeconds(config.grpc_max_connection_age);
  raw.drain_timeout_s = absl::ToDoubleSeconds(config.drain_timeout);
  app.add_option("--grpc-keepalive-time", raw.keepalive_time_ms,
                 "Milliseconds of silence after which a client is pinged")
      ->check(CLI::Range(int64_t{1000}, int64_t{std::numeric_limits<int>::max()}));
  app.add_option("--grpc-keepalive-timeout", raw.keepalive_timeout_ms,
                 "Milliseconds that a client may take to answer a ping")
      ->check(CLI::Range(int64_t{100}, int64_t{std::numeric_limits<int>::max()}));
  app.add_option(
         "--grpc-max-connection-age", raw.max_connection_age_s,
         "Seconds after which a client is asked to connect anew, so that clients spread over "
         "servers; calls under way go on. 0: never")
      ->check(CLI::Range(0.0, 1e6));
  const std::map<std::string, LogFormat> formats = {{"text", LogFormat::kText},
                                                    {"json", LogFormat::kJson}};
  app.add_option("--log-format", config.log_format, "text, json")
      ->transform(CLI::CheckedTransformer(formats))
      ->default_str("text");
  app.add_option("--log-level", config.log_level, "debug, info, warning, error, off")
      ->check(CLI::IsMember({"debug", "info", "warning", "error", "off"}));
  app.add_option("--drain-timeout", raw.drain_timeout_s,
                 "Seconds that SIGTERM leaves to what was admitted")
      ->check(CLI::Range(0.0, 1e6));
}

void AddJobFlags(CLI::App& app, RawConfig& raw) {
  ServerConfig& config = raw.config;
  raw.job_timeout_s = absl::ToDoubleSeconds(config.job_timeout);
  raw.result_ttl_s = absl::ToDoubleSeconds(config.result_ttl);
  const auto is_store = [](const std::string& value) -> std::string {
    const absl::Status known = ParseJobStore(value).status();
    return known.ok() ? "" : std::string(known.message());
  };
  app.add_option("--job-store", config.job_store,
                 ":memory:, or sqlite:PATH: jobs and results outlive the server, or a libpq URI "
                 "postgresql://...: several servers share them")
      ->check(CLI::Validator(is_store, ""));
  const std::map<std::string, ServerRole> roles = {{"all", ServerRole::kAll},
                                                   {"frontend", ServerRole::kFrontend},
                                                   {"worker", ServerRole::kWorker}};
  app.add_option("--role", config.role,
                 "all, or with --job-store postgresql://... frontend (calls, no device) or worker "
                 "(devices, no calls)")
      ->transform(CLI::CheckedTransformer(roles))
      ->default_str("all");
  raw.job_lease_s = absl::ToDoubleSeconds(config.job_lease);
  app.add_option("--job-lease", raw.job_lease_s,
                 "Seconds without a word of its server after which a job is another's")
      ->check(CLI::Range(0.5, 86400.0));
  app.add_option("--job-timeout", raw.job_timeout_s,
                 "Seconds after which a job of CreateJob expires that names no timeout")
      ->check(CLI::Range(1.0, 604800.0));
  app.add_option("--result-ttl", raw.result_ttl_s,
                 "Seconds for which a job and its result are kept once it has ended")
      ->check(CLI::Range(1.0, 31536000.0));
  app.add_option(
         "--max-kept-jobs", config.max_kept_jobs,
         "Ended jobs that are kept of each tenant; those that were read go first, with none new "
         "jobs are refused")
      ->check(CLI::Range(int64_t{1}, int64_t{10'000'000}));
  app.add_option("--max-result-bytes", config.max_result_bytes,
                 "Bytes that the results of a tenant's kept jobs may take; as above")
      ->check(CLI::Range(int64_t{1}, kMaxQueueBytes));
  app.add_option("--max-unread-bytes", config.max_unread_bytes,
                 "Bytes of results in memory that are being read; above it no new work is taken in")
      ->check(CLI::Range(int64_t{1}, kMaxQueueBytes));
  app.add_option("--result-cache", config.result_cache,
                 "true: a request equal to one whose result is kept is answered with it");
}

void AddTraceFlags(CLI::App& app, ServerConfig& config) {
  app.add_option(
      "--otlp-endpoint", config.otlp_endpoint,
      "Where spans are sent as OTLP/HTTP (http://HOST:4318/v1/traces); without it nowhere");
  app.add_option("--trace-sample", config.trace_sample,
                 "Share of the jobs without a caller's traceparent that is traced, 0 to 1")
      ->check(CLI::Range(0.0, 1.0));
}

// Puts the environment's values before the flags. CLI11's own twins rank below the configuration
// file, ours above it. The file itself may be named there too, and must then exist as well.
std::vector<std::string> WithEnvironment(CLI::App& app, int argc, const char* const* argv) {
  const std::vector<std::string> given(argv + std::min(argc, 1), argv + argc);
  std::vector<std::string> arguments;
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_lnames().empty()) continue;
    const std::string& name = option->get_lnames().front();
    const std::string flag = absl::StrCat("--", name);
    const char* value = std::getenv(EnvironmentName(name).c_str());
    const bool is_given = std::any_of(given.begin(), given.end(), [&](const std::string& word) {
      return word == flag || absl::StartsWith(word, absl::StrCat(flag, "="));
    });
    const bool has_twin = option->get_configurable() || option == app.get_config_ptr();
    if (value == nullptr || is_given || !has_twin) continue;
    arguments.push_back(absl::StrCat(flag, "=", value));
  }
  arguments.insert(arguments.end(), given.begin(), given.end());
  std::reverse(arguments.begin(), arguments.end());  // CLI11 takes them from the back
  return arguments;
}

}  // namespace

std::variant<ServerConfig, int> ParseServerConfig(int argc, const char* const* argv,
                                                  std::ostream& out, std::ostream& err) {
  RawConfig raw;
  raw.config.model_repository = DefaultModelRepository();
  raw.config.tokenizers = raw.config.model_repository + "/tokenizers";
  CLI::App app("antidiffusiond: protects photographs against diffusion models, over gRPC",
               "antidiffusiond");
  app.footer(
      "Each flag has a twin in the environment (--grpc-port: ANTIDIFFUSION_GRPC_PORT) and "
      "a key in the configuration file (grpc-port=8001). Flag > environment > file.");
  app.option_defaults()->always_capture_default();
  app.set_version_flag("--version", ANTIDIFFUSION_VERSION);
  app.set_config("--config", "", "Configuration file: lines of the form flag=value");
  app.allow_config_extras(CLI::config_extras_mode::error);
  AddListenFlags(app, raw.config);
  AddTlsFlags(app, raw.config);
  AddTenantFlags(app, raw.config);
  AddModelFlags(app, raw.config);
  AddWorkerFlags(app, raw);
  AddLimitFlags(app, raw.config);
  AddJobFlags(app, raw);
  AddLifeFlags(app, raw);
  AddTraceFlags(app, raw.config);
  app.add_flag("--print-config", raw.print_config, "Write what would be used, and exit")
      ->configurable(false);
  app.add_flag("--new-api-key", raw.new_api_key,
               "Write a new random API key and its SHA-256 for the key file, and exit")
      ->configurable(false);
  try {
    app.parse(WithEnvironment(app, argc, argv));
    CheckTlsFlags(raw.config);
  } catch (const CLI::ParseError& error) {
    return app.exit(error, out, err);
  }
  if (raw.new_api_key) return PrintNewApiKey(out, err);
  if (raw.print_config) {
    out << app.config_to_str(true, false);
    return 0;
  }
  raw.config.grpc_keepalive_time = absl::Milliseconds(raw.keepalive_time_ms);
  raw.config.grpc_keepalive_timeout = absl::Milliseconds(raw.keepalive_timeout_ms);
  raw.config.grpc_max_connection_age = absl::Seconds(raw.max_connection_age_s);
  raw.config.drain_timeout = absl::Seconds(raw.drain_timeout_s);
  raw.config.worker_hang_timeout = absl::Seconds(raw.worker_hang_timeout_s);
  raw.config.self_test_interval = absl::Seconds(raw.self_test_interval_s);
  raw.config.job_timeout = absl::Seconds(raw.job_timeout_s);
  raw.config.job_lease = absl::Seconds(raw.job_lease_s);
  raw.config.result_ttl = absl::Seconds(raw.result_ttl_s);
  return raw.config;
}

}  // namespace antidiffusion
