#include "server/engine/worker_process.h"

#include <errno.h>
#include <fcntl.h>
#include <grpcpp/create_channel_posix.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"

namespace antidiffusion {
namespace {

constexpr int kWorkerSocket = 3;  // the worker's end, in the worker
constexpr absl::Duration kMaxKill = absl::Seconds(10);

// A descriptor that is closed with its owner.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

// What posix_spawn shall do in the child before the program starts: descriptors 0 to 3 and no more,
// signals as a fresh process has them.
class SpawnPlan {
 public:
  explicit SpawnPlan(int socket) {
    posix_spawn_file_actions_init(&actions_);
    posix_spawn_file_actions_addopen(&actions_, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions_, STDERR_FILENO, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions_, socket, kWorkerSocket);
    posix_spawn_file_actions_addclosefrom_np(&actions_, kWorkerSocket + 1);
    posix_spawnattr_init(&attributes_);
    sigset_t none;
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&attributes_, &none);
    sigset_t all;
    sigfillset(&all);
    posix_spawnattr_setsigdefault(&attributes_, &all);
    posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  }
  ~SpawnPlan() {
    posix_spawn_file_actions_destroy(&actions_);
    posix_spawnattr_destroy(&attributes_);
  }
  SpawnPlan(const SpawnPlan&) = delete;
  SpawnPlan& operator=(const SpawnPlan&) = delete;

  const posix_spawn_file_actions_t* actions() const { return &actions_; }
  const posix_spawnattr_t* attributes() const { return &attributes_; }

 private:
  posix_spawn_file_actions_t actions_;
  posix_spawnattr_t attributes_;
};

// The daemon's environment, with idle threads of OpenMP asleep instead of spinning unless somebody
// said otherwise (docs/adr: passive OpenMP). The library reads it when it is loaded.
std::vector<std::string> WorkerEnvironment() {
  std::vector<std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) environment.emplace_back(*entry);
  if (std::getenv("OMP_WAIT_POLICY") == nullptr && std::getenv("GOMP_SPINCOUNT") == nullptr) {
    environment.emplace_back("OMP_WAIT_POLICY=passive");
  }
  return environment;
}

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

absl::StatusOr<pid_t> SpawnProgram(const std::string& program, int socket) {
  const SpawnPlan plan(socket);
  std::vector<std::string> arguments = {program, absl::StrCat("--socket=", kWorkerSocket),
                                        absl::StrCat("--parent=", getpid())};
  std::vector<std::string> environment = WorkerEnvironment();
  pid_t pid = 0;
  const int error = posix_spawn(&pid, program.c_str(), plan.actions(), plan.attributes(),
                                Pointers(arguments).data(), Pointers(environment).data());
  if (error != 0) {
    return absl::ErrnoToStatus(error, absl::StrCat("cannot start worker program ", program));
  }
  return pid;
}

std::string Ending(const siginfo_t& info) {
  if (info.si_code == CLD_EXITED) return absl::StrCat("exit code ", info.si_status);
  return absl::StrCat("signal ", info.si_status);
}

}  // namespace

struct WorkerProcess::State {
  mutable Mutex mutex;
  mutable CondVar ended;
  std::optional<std::string> ending ABSL_GUARDED_BY(mutex);

  Mutex callback_mutex;  // held while it is called; taken before any other lock
  std::function<void()> on_exit ABSL_GUARDED_BY(callback_mutex);

  // Blocks until the child ends. The process id stays the child's until `ending` is set.
  void WaitFor(pid_t pid) {
    siginfo_t info = {};
    int done = 0;
    do {
      done = waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT);
    } while (done != 0 && errno == EINTR);
    {
      MutexLock lock(mutex);
      ending = done == 0 ? Ending(info) : "unknown";
      waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG);
      ended.NotifyAll();
    }
    MutexLock lock(callback_mutex);
    if (on_exit) on_exit();
  }
};

absl::StatusOr<std::unique_ptr<WorkerProcess>> WorkerProcess::Spawn(const std::string& program,
                                                                    std::function<void()> on_exit) {
  std::array<int, 2> ends = {-1, -1};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) != 0) {
    return absl::ErrnoToStatus(errno, "cannot make a socket pair for a worker");
  }
  Descriptor ours(ends[0]);
  const Descriptor theirs(ends[1]);
  AD_ASSIGN_OR_RETURN(const pid_t pid, SpawnProgram(program, theirs.get()));
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  auto channel =
      grpc::CreateCustomInsecureChannelFromFd("antidiffusion-worker", ours.Release(), arguments);
  return std::unique_ptr<WorkerProcess>(
      new WorkerProcess(pid, std::move(channel), std::move(on_exit)));
}

WorkerProcess::WorkerProcess(pid_t pid, std::shared_ptr<grpc::Channel> channel,
                             std::function<void()> on_exit)
    : pid_(pid), channel_(std::move(channel)), state_(std::make_shared<State>()) {
  {
    MutexLock lock(state_->callback_mutex);
    state_->on_exit = std::move(on_exit);
  }
  waiter_ = std::thread([state = state_, pid] { state->WaitFor(pid); });
}

WorkerProcess::~WorkerProcess() {
  {
    MutexLock lock(state_->callback_mutex);
    state_->on_exit = nullptr;
  }
  Kill();
  if (WaitEnding(kMaxKill).has_value()) {
    waiter_.join();
  } else {
    waiter_.detach();
  }
}

std::optional<std::string> WorkerProcess::ending() const {
  return WaitEnding(absl::ZeroDuration());
}

std::optional<std::string> WorkerProcess::WaitEnding(absl::Duration timeout) const {
  MutexLock lock(state_->mutex);
  const absl::Time end = absl::Now() + timeout;
  while (!state_->ending.has_value()) {
    const absl::Duration left = end - absl::Now();
    if (left <= absl::ZeroDuration()) break;
    state_->ended.WaitFor(lock, left);
  }
  return state_->ending;
}

void WorkerProcess::Kill() {
  MutexLock lock(state_->mutex);
  if (!state_->ending.has_value()) kill(pid_, SIGKILL);
}

}  // namespace antidiffusion
