// When a call that failed before its first message is made again.
#pragma once

#include <functional>
#include <optional>

#include "absl/time/time.h"
#include "client/call_error.h"

namespace antidiffusion {

struct RetryOptions {
  int max_attempts = 10;         // of one call, the first included
  int max_connect_attempts = 4;  // of these, how many may end without a word from the server
  absl::Duration initial_backoff = absl::Milliseconds(500);
  absl::Duration max_backoff = absl::Seconds(30);
  double multiplier = 2.0;
  double jitter = 0.2;  // share of the delay
  // A server that asks for more patience than this gets none: the error is the caller's.
  absl::Duration max_server_delay = absl::Minutes(5);
};

// The memory of one call. Not thread-safe.
class RetryPolicy {
 public:
  // `random` draws from [0, 1).
  RetryPolicy(const RetryOptions& options, std::function<double()> random);

  // How long to wait before the next attempt; nullopt: give up with this error.
  //   UNAVAILABLE         again, with exponential back-off and jitter
  //   RESOURCE_EXHAUSTED  again only where the server says when (a message that is too large, for
  //                       one, is exhausted for good)
  //   others, or a negative pushback: never
  // The server's delay is a lower bound: jitter is added, not taken away.
  std::optional<absl::Duration> NextDelay(const CallError& error);

 private:
  const RetryOptions options_;
  const std::function<double()> random_;
  absl::Duration backoff_;
  int attempts_ = 0;
  int connect_attempts_ = 0;
};

}  // namespace antidiffusion
