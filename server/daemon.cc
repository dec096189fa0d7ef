#include "server/daemon.h"

#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <variant>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "server/engine/worker_engine.h"
#include "server/errors.h"
#include "server/log.h"
#include "server/server.h"
#include "server/server_config.h"

namespace antidiffusion {
namespace {

constexpr int kJobsLeft = 75;  // exit code (EX_TEMPFAIL): the next start goes on with them
constexpr absl::Duration kPoll = absl::Milliseconds(100);
constexpr absl::Duration kMaxCancel =
    absl::Seconds(20);  // for the steps that run and the last words

// Blocks SIGTERM and SIGINT in this thread and all that it will start: they wait for sigwait, so
// nothing ever runs inside of a handler, and none is lost while models load.
sigset_t BlockSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  return signals;
}

bool SignalPending(const sigset_t& signals) {
  const timespec at_once = {0, 0};
  return sigtimedwait(&signals, nullptr, &at_once) > 0;
}

// Ends the process as it stands: a step that does not return, or a reader that does not read.
[[noreturn]] void GiveUp(const char* why, const Log& log) {
  log.Error("the drain did not end, exiting with jobs left", {{"why", why}});
  _exit(1);
}

// Until everything admitted is done, the time is up, or a second signal asks to hurry: then the
// jobs are cancelled. What is left kMaxCancel later, or at a third signal, is given up.
void Drain(Server& server, const ServerConfig& config, const sigset_t& signals, const Log& log) {
  server.StartDrain();
  absl::Time end = absl::Now() + config.drain_timeout;
  bool cancelled = false;
  while (!server.WaitDrained(kPoll)) {
    const bool hurry = SignalPending(signals);
    if (!hurry && absl::Now() < end) continue;
    if (cancelled) GiveUp(hurry ? "third signal" : "time limit", log);
    log.Warning("cancelling jobs", {{"why", hurry ? "second signal" : "drain timeout"}});
    server.CancelJobs();
    cancelled = true;
    end = absl::Now() + kMaxCancel;
  }
}

// gRPC tells of each failed handshake on standard error, in a form of its own: between JSON lines
// that is noise, and anybody who can reach the port could make it. GRPC_VERBOSITY asks for it.
void SilenceGrpc() { setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0); }

bool CanRun(const std::string& program) {
  std::error_code error;
  return std::filesystem::is_regular_file(program, error) && access(program.c_str(), X_OK) == 0;
}

}  // namespace

int RunDaemon(int argc, char** argv, const PoolFactory& open_pool) {
  const std::variant<ServerConfig, int> parsed =
      ParseServerConfig(argc, argv, std::cout, std::cerr);
  if (const int* exit_code = std::get_if<int>(&parsed)) return *exit_code;
  const ServerConfig& config = std::get<ServerConfig>(parsed);
  const auto log = Log::Create(config.log_format, config.log_level);
  if (!log.ok()) {
    std::cerr << log.status() << "\n";
    return 1;
  }
  SilenceGrpc();
  const sigset_t signals = BlockSignals();
  if (!CanRun(config.worker_program)) {
    (*log)->Error("cannot start", {{"error", "no program to run as a worker"},
                                   {"worker_program", config.worker_program}});
    return 1;
  }
  auto server = Server::Start(
      config, SpawnWorkers({config.worker_program, config.worker_hang_timeout}), **log, open_pool);
  if (!server.ok()) {
    (*log)->Error("cannot start", {{"error", TextOf(server.status())}});
    return 1;
  }
  int received = 0;
  sigwait(&signals, &received);
  (*log)->Info("signal received", {{"signal", received}});
  Drain(**server, config, signals, **log);
  const int64_t left = (*server)->jobs_left();
  server->reset();
  (*log)->Info("stopped", {{"jobs_left", left}});
  return left > 0 ? kJobsLeft : 0;
}

}  // namespace antidiffusion
