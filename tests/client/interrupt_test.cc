#include "client/interrupt.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>

#include "client/exit_codes.h"
#include "client/protection_client.h"

namespace antidiffusion {
namespace {

// Each case is a process of its own: a signal goes to any thread that does not block it, and those
// that gRPC made for other tests do not.
class InterruptWatcherDeathTest : public ::testing::Test {
 protected:
  InterruptWatcherDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

constexpr int kStopped = 7;

[[noreturn]] void InterruptOnce() {
  const InterruptWatcher watcher;
  kill(getpid(), SIGINT);
  const bool slept = InterruptibleSleep(absl::InfiniteDuration(), watcher.token());
  _exit(slept ? 1 : kStopped);
}

[[noreturn]] void InterruptTwice() {
  const InterruptWatcher watcher;
  kill(getpid(), SIGINT);
  InterruptibleSleep(absl::InfiniteDuration(), watcher.token());
  kill(getpid(), SIGTERM);
  for (;;) pause();
}

[[noreturn]] void EndWithoutASignal() {
  bool stopped = false;
  {
    const InterruptWatcher watcher;
    stopped = watcher.token().stop_requested();
  }
  _exit(stopped ? kStopped : 0);
}

TEST_F(InterruptWatcherDeathTest, TheFirstSignalRequestsAStop) {
  EXPECT_EXIT(InterruptOnce(), ::testing::ExitedWithCode(kStopped), "");
}

TEST_F(InterruptWatcherDeathTest, TheSecondSignalEndsTheProgram) {
  EXPECT_EXIT(InterruptTwice(), ::testing::ExitedWithCode(kExitInterrupted), "");
}

TEST_F(InterruptWatcherDeathTest, EndsWithoutASignal) {
  EXPECT_EXIT(EndWithoutASignal(), ::testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace antidiffusion
