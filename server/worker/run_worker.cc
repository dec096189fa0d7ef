#include "server/worker/run_worker.h"

#include <errno.h>
#include <fcntl.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/server_posix.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <fstream>
#include <iostream>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"

namespace antidiffusion {
namespace {

// Of all that could give memory back to the machine, first what can be replaced (0..1000).
constexpr int kOomScore = 500;

std::optional<int> NumberAfter(absl::string_view prefix, absl::string_view argument) {
  int number = 0;
  if (!absl::ConsumePrefix(&argument, prefix)) return std::nullopt;
  if (!absl::SimpleAtoi(argument, &number) || number < 0) return std::nullopt;
  return number;
}

// Ends this process with the thread that started it.
void EndWithParent(int parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(0);  // gone before the line above
}

// A terminal's Ctrl-C and a service manager's SIGTERM are the daemon's to handle: it drains, and
// its worker works on till the end.
void LeaveSignalsToParent() {
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) signal(number, SIG_IGN);
}

void OfferAsOomVictim() { std::ofstream("/proc/self/oom_score_adj") << kOomScore; }

}  // namespace

int RunWorker(int argc, char** argv, LoadFunction load) {
  std::optional<int> socket;
  std::optional<int> parent;
  if (argc == 3) {
    socket = NumberAfter("--socket=", argv[1]);
    parent = NumberAfter("--parent=", argv[2]);
  }
  if (!socket.has_value() || !parent.has_value() || fcntl(*socket, F_GETFD) < 0) {
    std::cerr << "antidiffusion-worker is started by antidiffusiond (--worker-program)\n";
    return 2;
  }
  EndWithParent(*parent);
  LeaveSignalsToParent();
  OfferAsOomVictim();
  EngineThread engine;
  WorkerService service(engine, std::move(load));
  grpc::ServerBuilder builder;
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) {
    std::cerr << "antidiffusion-worker: cannot serve\n";
    return 1;
  }
  grpc::AddInsecureChannelFromFd(server.get(), *socket);
  engine.Run();
  return 0;
}

}  // namespace antidiffusion
