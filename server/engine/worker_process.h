// A worker program as a child process, and the channel to it.
#pragma once

#include <grpcpp/channel.h>
#include <sys/types.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/mutex.h"

namespace antidiffusion {

// The child ends with this object, and with the thread that spawned it: the kernel kills it when
// that thread ends, so it never outlives the daemon. It has no open file of the daemon's but
// standard error. Thread-safe.
class WorkerProcess {
 public:
  // Starts `program` with one end of a socket pair as descriptor 3; gRPC is spoken over it. No
  // other process can reach the socket, and nothing is left of it on a disk. The call does not wait
  // for the program to serve. `on_exit` is called once, on a thread of this object, when the child
  // has ended, and never after this object is gone.
  // NOT_FOUND, PERMISSION_DENIED: the program cannot be run; RESOURCE_EXHAUSTED: no process or
  // descriptor is left.
  static absl::StatusOr<std::unique_ptr<WorkerProcess>> Spawn(const std::string& program,
                                                              std::function<void()> on_exit);
  // Kills it.
  ~WorkerProcess();
  WorkerProcess(const WorkerProcess&) = delete;
  WorkerProcess& operator=(const WorkerProcess&) = delete;

  pid_t pid() const { return pid_; }
  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }

  // How it ended ("signal 9", "exit code 1"); nullopt while it lives.
  std::optional<std::string> ending() const;
  // Waits at most `timeout` for the end.
  std::optional<std::string> WaitEnding(absl::Duration timeout) const;

  // Ends it as it stands.
  void Kill();

 private:
  struct State;

  WorkerProcess(pid_t pid, std::shared_ptr<grpc::Channel> channel, std::function<void()> on_exit);

  const pid_t pid_;
  const std::shared_ptr<grpc::Channel> channel_;  // gRPC's stubs share it
  // Shared with the thread that waits for the child, which is left behind when the kernel cannot
  // end the child (a driver that hangs).
  const std::shared_ptr<State> state_;
  std::thread waiter_;
};

}  // namespace antidiffusion
