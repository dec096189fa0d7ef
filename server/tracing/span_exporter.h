// Sends spans to a collector, on a thread of its own.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/mutex.h"
#include "server/tracing/http_post.h"
#include "server/tracing/tracer.h"

namespace antidiffusion {

// Why spans were dropped.
namespace span_loss {
inline constexpr char kQueueFull[] = "queue_full";  // more wait than are kept
inline constexpr char kNotSent[] = "not_sent";      // the collector was away for too long
inline constexpr char kRejected[] = "rejected";     // the collector did not want them
}  // namespace span_loss

// OTLP/HTTP with JSON. Spans wait in a bounded queue; a batch goes out when it is full or the first
// of it has waited for `interval`. A collector that is away (no answer, or 429, 502, 503, 504) is
// asked again, more and more slowly. Thread-safe.
class SpanExporter {
 public:
  struct Options {
    std::string endpoint;                 // http://HOST:4318/v1/traces
    std::vector<SpanAttribute> resource;  // whose spans these are
    size_t max_waiting = 2048;            // spans
    size_t max_batch = 512;               // spans
    absl::Duration interval = absl::Seconds(2);
    absl::Duration timeout = absl::Seconds(5);  // of one request
    absl::Duration pause = absl::Seconds(1);    // before the second attempt; then twice as long, ..
    int max_attempts = 5;                       // for one batch
    absl::Duration farewell = absl::Seconds(2);  // what the destructor gives to what still waits
    // The first may be called on any thread, the others are on the exporter's.
    std::function<void(const std::string& why, int64_t spans)> on_dropped;
    std::function<void(int64_t spans)> on_sent;
    std::function<void(const absl::Status& state)> on_change;  // the collector went away or is back
  };

  // INVALID_ARGUMENT: the endpoint is no address.
  static absl::StatusOr<std::unique_ptr<SpanExporter>> Start(Options options);
  ~SpanExporter();
  SpanExporter(const SpanExporter&) = delete;
  SpanExporter& operator=(const SpanExporter&) = delete;

  // Returns at once.
  void Add(Span span) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  SpanExporter(Options options, std::unique_ptr<HttpPost> post);
  void Main() ABSL_LOCKS_EXCLUDED(mutex_);
  // Empty: the end.
  std::vector<Span> NextBatch() ABSL_LOCKS_EXCLUDED(mutex_);
  void Deliver(const std::vector<Span>& batch) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::StatusOr<HttpPost::Reply> Send(const std::string& body) ABSL_LOCKS_EXCLUDED(mutex_);
  // False: it is time to stop.
  bool Pause(absl::Duration duration) ABSL_LOCKS_EXCLUDED(mutex_);
  // What is left of the farewell; infinite before it.
  absl::Duration TimeLeft() const ABSL_LOCKS_EXCLUDED(mutex_);
  void Tell(const absl::Status& state);

  const Options options_;
  const std::unique_ptr<HttpPost> post_;  // the thread's
  absl::Status last_state_;               // the thread's

  mutable Mutex mutex_;
  CondVar changed_;
  std::deque<Span> waiting_ ABSL_GUARDED_BY(mutex_);
  absl::Time end_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();  // finite once stopping
  std::jthread thread_;
};

}  // namespace antidiffusion
