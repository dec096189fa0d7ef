// Ctrl-C: once asks, twice ends.
#pragma once

#include <atomic>
#include <stop_token>
#include <thread>

namespace antidiffusion {

// Takes SIGINT and SIGTERM for the whole process: the first one requests a stop, the second one
// exits at once with kExitInterrupted. Make it in main before any other thread (threads inherit the
// signal mask) and only once.
class InterruptWatcher {
 public:
  InterruptWatcher();
  ~InterruptWatcher();
  InterruptWatcher(const InterruptWatcher&) = delete;
  InterruptWatcher& operator=(const InterruptWatcher&) = delete;

  std::stop_token token() const { return stop_.get_token(); }

 private:
  void Watch();

  std::stop_source stop_;
  std::atomic<bool> ending_ = false;
  std::thread thread_;  // last: it uses the others
};

}  // namespace antidiffusion
