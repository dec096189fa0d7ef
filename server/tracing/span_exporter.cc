#include "server/tracing/span_exporter.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/tracing/otlp_json.h"

namespace antidiffusion {
namespace {

constexpr absl::Duration kMaxPause = absl::Seconds(30);

// Of the answers that OTLP lets a client repeat its request after.
bool MayComeBack(int code) { return code == 429 || code == 502 || code == 503 || code == 504; }

bool IsTaken(int code) { return code >= 200 && code < 300; }

absl::Status StateOf(const absl::StatusOr<HttpPost::Reply>& reply) {
  if (!reply.ok()) return reply.status();
  if (IsTaken(reply->code)) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("the collector answered ", reply->code));
}

}  // namespace

absl::StatusOr<std::unique_ptr<SpanExporter>> SpanExporter::Start(Options options) {
  absl::StatusOr<std::unique_ptr<HttpPost>> post = HttpPost::Create(options.endpoint);
  if (!post.ok()) return post.status();
  std::unique_ptr<SpanExporter> exporter(new SpanExporter(std::move(options), *std::move(post)));
  exporter->thread_ = std::jthread([raw = exporter.get()] { raw->Main(); });
  return exporter;
}

SpanExporter::SpanExporter(Options options, std::unique_ptr<HttpPost> post)
    : options_(std::move(options)), post_(std::move(post)) {}

SpanExporter::~SpanExporter() {
  {
    MutexLock lock(mutex_);
    end_ = absl::Now() + options_.farewell;
    changed_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
}

void SpanExporter::Add(Span span) {
  {
    MutexLock lock(mutex_);
    if (waiting_.size() < options_.max_waiting) {
      waiting_.push_back(std::move(span));
      if (waiting_.size() == 1 || waiting_.size() == options_.max_batch) changed_.NotifyAll();
      return;
    }
  }
  options_.on_dropped(span_loss::kQueueFull, 1);
}

void SpanExporter::Main() {
  while (true) {
    const std::vector<Span> batch = NextBatch();
    if (batch.empty()) return;
    Deliver(batch);
  }
}

std::vector<Span> SpanExporter::NextBatch() {
  MutexLock lock(mutex_);
  const auto stopping = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return end_ != absl::InfiniteFuture();
  };
  while (waiting_.empty() && !stopping()) changed_.Wait(lock);
  while (waiting_.size() < options_.max_batch && !stopping()) {
    if (!changed_.WaitFor(lock, options_.interval)) break;
  }
  const auto end =
      waiting_.begin() + static_cast<std::ptrdiff_t>(std::min(waiting_.size(), options_.max_batch));
  std::vector<Span> batch(std::make_move_iterator(waiting_.begin()), std::make_move_iterator(end));
  waiting_.erase(waiting_.begin(), end);
  return batch;
}

void SpanExporter::Deliver(const std::vector<Span>& batch) {
  const auto count = static_cast<int64_t>(batch.size());
  const std::string body = OtlpJson(batch, options_.resource);
  absl::Duration pause = options_.pause;
  for (int attempt = 1;; ++attempt) {
    const absl::StatusOr<HttpPost::Reply> reply = Send(body);
    Tell(StateOf(reply));
    if (reply.ok() && IsTaken(reply->code)) {
      const int64_t rejected = std::clamp<int64_t>(RejectedSpans(reply->body), 0, count);
      if (rejected > 0) options_.on_dropped(span_loss::kRejected, rejected);
      options_.on_sent(count - rejected);
      return;
    }
    if (reply.ok() && !MayComeBack(reply->code)) {
      options_.on_dropped(span_loss::kRejected, count);
      return;
    }
    const absl::Duration asked = reply.ok() ? reply->retry_after : absl::ZeroDuration();
    if (attempt >= options_.max_attempts || !Pause(std::min(std::max(pause, asked), kMaxPause))) {
      options_.on_dropped(span_loss::kNotSent, count);
      return;
    }
    pause *= 2;
  }
}

absl::StatusOr<HttpPost::Reply> SpanExporter::Send(const std::string& body) {
  return post_->Send(body, std::min(options_.timeout, TimeLeft()),
                     [this] { return TimeLeft() <= absl::ZeroDuration(); });
}

bool SpanExporter::Pause(absl::Duration duration) {
  const absl::Time until = absl::Now() + duration;
  MutexLock lock(mutex_);
  while (end_ == absl::InfiniteFuture()) {
    const absl::Duration left = until - absl::Now();
    if (left <= absl::ZeroDuration()) return true;
    changed_.WaitFor(lock, left);
  }
  return false;
}

absl::Duration SpanExporter::TimeLeft() const {
  MutexLock lock(mutex_);
  return end_ == absl::InfiniteFuture() ? absl::InfiniteDuration() : end_ - absl::Now();
}

void SpanExporter::Tell(const absl::Status& state) {
  if (state.ok() != last_state_.ok()) options_.on_change(state);
  last_state_ = state;
}

}  // namespace antidiffusion
