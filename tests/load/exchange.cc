#include "tests/load/exchange.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/call_error.h"
#include "client/channel.h"
#include "core/base/status_details.h"

namespace antidiffusion {
namespace {

constexpr absl::Duration kResumeDelay = absl::Milliseconds(500);
constexpr absl::Duration kCancelRetryDelay = absl::Milliseconds(200);

std::string Describe(const absl::Status& error) {
  const auto reason = GetErrorReason(error);
  return absl::StrCat(absl::StatusCodeToString(error.code()), " ",
                      reason.has_value() ? reason->reason : "(without a reason)");
}

// Whether an error before the acceptance is the server's no. Without its word the request may have
// been accepted and the answer lost.
bool IsRefusal(const absl::Status& error) {
  return GetErrorReason(error).has_value() ||
         !(absl::IsCancelled(error) || absl::IsDeadlineExceeded(error) ||
           absl::IsUnavailable(error));
}

}  // namespace

// Reads one stream at its exchange's pace; deletes itself when gRPC is done with it. gRPC orders
// what its threads do to it in a way that ThreadSanitizer cannot see; the lock shows it.
class Exchange::EventStream : public grpc::ClientReadReactor<v1::JobEvent> {
 public:
  EventStream(std::shared_ptr<Exchange> exchange, std::unique_ptr<grpc::ClientContext> context)
      : exchange_(std::move(exchange)), context_(std::move(context)) {}

  grpc::ClientContext* context() { return context_.get(); }
  v1::WatchJobRequest& watch_request() { return watch_request_; }
  v1::ProtectRequest& protect_request() { return protect_request_; }

  void Begin() {
    exchange_->with_.count_call(1);
    { MutexLock lock(mutex_); }
    Read();
    StartCall();
  }

  void OnReadDone(bool ok) override {
    { MutexLock lock(mutex_); }
    if (!ok) return;
    exchange_->OnEvent(event_);
    Read();
  }

  void OnDone(const grpc::Status& status) override {
    { MutexLock lock(mutex_); }
    const std::shared_ptr<Exchange> exchange = exchange_;
    exchange->ForgetCall();
    delete this;
    exchange->OnStreamEnd(status);
    exchange->with_.count_call(-1);
  }

 private:
  void Read() {
    if (!exchange_->arrival_.slow) {
      StartRead(&event_);
      return;
    }
    AddHold();  // a read that no reaction starts
    exchange_->with_.schedule.At(absl::Now() + exchange_->with_.settings.slow_delay, [this] {
      StartRead(&event_);
      { MutexLock lock(mutex_); }
      RemoveHold();
    });
  }

  Mutex mutex_;
  const std::shared_ptr<Exchange> exchange_;
  const std::unique_ptr<grpc::ClientContext> context_;
  v1::WatchJobRequest watch_request_;
  v1::ProtectRequest protect_request_;
  v1::JobEvent event_;
};

// A unary call with its request and answer; deletes itself when gRPC is done with it.
class Exchange::UnaryCall : public grpc::ClientUnaryReactor {
 public:
  using Answered = std::function<void(const grpc::Status& status, const v1::Job& job)>;

  UnaryCall(std::shared_ptr<Exchange> exchange, Answered answered)
      : exchange_(std::move(exchange)),
        answered_(std::move(answered)),
        context_(exchange_->MakeContext()) {}

  grpc::ClientContext* context() { return context_.get(); }
  v1::ProtectRequest& create_request() { return create_request_; }
  v1::CancelJobRequest& cancel_request() { return cancel_request_; }
  v1::Job& job() { return job_; }

  void Begin() {
    exchange_->with_.count_call(1);
    { MutexLock lock(mutex_); }  // see EventStream
    StartCall();
  }

  void OnDone(const grpc::Status& status) override {
    { MutexLock lock(mutex_); }
    const std::shared_ptr<Exchange> exchange = exchange_;
    answered_(status, job_);
    delete this;
    exchange->with_.count_call(-1);
  }

 private:
  Mutex mutex_;
  const std::shared_ptr<Exchange> exchange_;
  const Answered answered_;
  const std::unique_ptr<grpc::ClientContext> context_;
  v1::ProtectRequest create_request_;
  v1::CancelJobRequest cancel_request_;
  v1::Job job_;
};

Exchange::Exchange(const ExchangeSurroundings& with, const Arrival& arrival,
                   v1::ProtectionService::Stub& stub, absl::string_view picture)
    : with_(with),
      arrival_(arrival),
      stub_(stub),
      begun_(absl::Now()),
      request_(MakeRequest(picture)) {
  ending_.number = arrival.number;
  ending_.kind = arrival.kind;
  ending_.tenant = arrival.tenant;
}

Exchange::~Exchange() = default;

v1::ProtectRequest Exchange::MakeRequest(absl::string_view picture) const {
  v1::ProtectRequest request = with_.settings.request;
  request.set_image(std::string(picture));
  request.mutable_options()->set_seed(arrival_.seed);
  if (arrival_.kind == RequestKind::kJob && with_.settings.deadline != absl::InfiniteDuration()) {
    const int64_t nanoseconds = absl::ToInt64Nanoseconds(with_.settings.deadline);
    request.mutable_timeout()->set_seconds(nanoseconds / 1'000'000'000);
    request.mutable_timeout()->set_nanos(static_cast<int32_t>(nanoseconds % 1'000'000'000));
  }
  return request;
}

std::unique_ptr<grpc::ClientContext> Exchange::MakeContext() const {
  auto context = std::make_unique<grpc::ClientContext>();
  AddApiKey(with_.settings.tenants[arrival_.tenant].api_key, *context);
  return context;
}

void Exchange::Start() {
  if (arrival_.cancel_after.has_value()) {
    with_.schedule.At(begun_ + *arrival_.cancel_after,
                      [self = shared_from_this()] { self->Cancel(); });
  }
  if (arrival_.kind == RequestKind::kProtect) {
    StartProtect();
  } else {
    CreateJob();
  }
}

void Exchange::StartProtect() {
  auto context = MakeContext();
  if (with_.settings.deadline != absl::InfiniteDuration()) {
    context->set_deadline(absl::ToChronoTime(begun_ + with_.settings.deadline));
  }
  auto* stream = new EventStream(shared_from_this(), std::move(context));  // deletes itself
  {
    MutexLock lock(mutex_);
    open_ = stream->context();
    stream->protect_request() = std::exchange(request_, {});
  }
  stub_.async()->Protect(stream->context(), &stream->protect_request(), stream);
  stream->Begin();
}

void Exchange::CreateJob() {
  auto* call = new UnaryCall(shared_from_this(),  // deletes itself
                             [this](const grpc::Status& status, const v1::Job& job) {
                               ForgetCall();
                               OnCreated(status, job);
                             });
  {
    MutexLock lock(mutex_);
    call->create_request() = std::exchange(request_, {});
    open_ = call->context();
  }
  stub_.async()->CreateJob(call->context(), &call->create_request(), &call->job(), call);
  call->Begin();
}

void Exchange::OnCreated(const grpc::Status& status, const v1::Job& job) {
  if (!status.ok()) {
    End(ReadCallError(status, {}).status);
    return;
  }
  bool cancel = false;
  {
    MutexLock lock(mutex_);
    accepted_ = true;
    accepted_at_ = absl::Now();
    ending_.admission = accepted_at_ - begun_;
    job_ = job.name();
    cancel = cancel_wanted_;
  }
  if (cancel) SendCancel();
  Watch();
}

void Exchange::Watch() {
  auto* stream = new EventStream(shared_from_this(), MakeContext());  // deletes itself
  {
    MutexLock lock(mutex_);
    open_ = stream->context();
    stream->watch_request().set_name(job_);
    stream->watch_request().set_from_sequence(sequence_);
    if (over_) open_->TryCancel();
  }
  stub_.async()->WatchJob(stream->context(), &stream->watch_request(), stream);
  stream->Begin();
}

void Exchange::Cancel() {
  {
    MutexLock lock(mutex_);
    if (ended_) return;
    cancel_wanted_ = true;
    if (arrival_.kind == RequestKind::kProtect) {
      if (open_ != nullptr) open_->TryCancel();
      return;
    }
    if (!accepted_) return;  // OnCreated does it
  }
  SendCancel();
}

void Exchange::SendCancel() {
  std::string job;
  {
    MutexLock lock(mutex_);
    if (ended_ || over_) return;
    job = job_;
    if (!cancel_sent_.has_value()) cancel_sent_ = absl::Now();
  }
  auto* call = new UnaryCall(
      shared_from_this(),  // deletes itself
      [this](const grpc::Status& status, const v1::Job& /*job*/) { OnCancelAnswered(status); });
  call->cancel_request().set_name(job);
  stub_.async()->CancelJob(call->context(), &call->cancel_request(), &call->job(), call);
  call->Begin();
}

void Exchange::OnCancelAnswered(const grpc::Status& status) {
  if (status.error_code() != grpc::StatusCode::UNAVAILABLE) return;
  with_.schedule.At(absl::Now() + kCancelRetryDelay,
                    [self = shared_from_this()] { self->SendCancel(); });
}

void Exchange::GiveUp() {
  MutexLock lock(mutex_);
  over_ = true;
  if (open_ != nullptr) open_->TryCancel();
}

void Exchange::OnEvent(const v1::JobEvent& event) {
  MutexLock lock(mutex_);
  const absl::Time now = absl::Now();
  ending_.disorder |= event.sequence() <= sequence_;
  if (!accepted_) {
    accepted_ = true;
    accepted_at_ = now;
    ending_.admission = now - begun_;
  }
  if (event.has_running() && !ending_.wait.has_value()) ending_.wait = now - accepted_at_;
  if (event.has_result()) {
    image_bytes_ = event.result().image_bytes();
    received_bytes_ = 0;
  } else if (event.has_chunk()) {
    ending_.disorder |= event.chunk().offset() != received_bytes_;
    received_bytes_ += static_cast<int64_t>(event.chunk().data().size());
    ending_.disorder |= received_bytes_ > image_bytes_;
    if (HasResult()) ending_.total = now - begun_;
  } else {
    ending_.disorder |= image_bytes_ > 0;
    sequence_ = event.sequence();  // a stream that breaks in the image is read again from before it
  }
}

bool Exchange::HasResult() const { return image_bytes_ > 0 && received_bytes_ == image_bytes_; }

void Exchange::OnStreamEnd(const grpc::Status& status) {
  const absl::Status error = status.ok() ? absl::OkStatus() : ReadCallError(status, {}).status;
  if (!Resume(error)) End(error);
}

void Exchange::ForgetCall() {
  MutexLock lock(mutex_);
  open_ = nullptr;
}

bool Exchange::Resume(const absl::Status& error) {
  if (arrival_.kind != RequestKind::kJob || !IsUnreachable(error)) return false;
  {
    MutexLock lock(mutex_);
    if (over_) return false;
    ++ending_.resumed;
    image_bytes_ = 0;
  }
  with_.schedule.At(absl::Now() + kResumeDelay, [self = shared_from_this()] { self->Watch(); });
  return true;
}

void Exchange::End(const absl::Status& error) {
  Ending ending;
  {
    MutexLock lock(mutex_);
    ended_ = true;
    ending = ending_;
    const bool servers_word = GetErrorReason(error).has_value();
    if (!accepted_) {
      ending.outcome = IsRefusal(error) ? Outcome::kRefused : Outcome::kAbandoned;
    } else if (error.ok()) {
      ending.outcome = HasResult() ? Outcome::kSucceeded : Outcome::kFailed;
    } else if (over_ || (IsUnreachable(error) && !servers_word)) {
      ending.outcome = Outcome::kLost;
    } else if (absl::IsCancelled(error)) {
      ending.outcome = Outcome::kCancelled;
      if (cancel_sent_.has_value()) ending.cancel = absl::Now() - *cancel_sent_;
    } else if (absl::IsDeadlineExceeded(error)) {
      ending.outcome = Outcome::kExpired;
    } else {
      ending.outcome = Outcome::kFailed;
    }
    ending.code = error.ok() ? "OK without a result" : Describe(error);
  }
  with_.on_end(ending);
}

}  // namespace antidiffusion
