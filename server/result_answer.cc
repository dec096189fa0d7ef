#include "server/result_answer.h"

#include <utility>

#include "server/errors.h"
#include "server/job_call.h"

namespace antidiffusion {

void ResultAnswer::Begin(std::function<void()> send,
                         std::function<void(const absl::Status& why)> refuse) {
  {
    MutexLock lock(mutex_);  // shows the other threads what is written here
    send_ = std::move(send);
    refuse_ = std::move(refuse);
  }
  TrySend();
}

// Once the call is finished another thread may destroy the answer: nothing of it is touched from
// there on.
void ResultAnswer::TrySend() {
  ResultRoom::Answer room = ResultRoom::Answer::kInLine;
  {
    MutexLock lock(mutex_);
    if (ended_) return;
    room = hooks_.room.Ask(this, bytes_);
    if (room == ResultRoom::Answer::kInLine) return;
    ended_ = true;
    limit_ = hooks_.now() + JobCall::WriteLimit(static_cast<size_t>(bytes_));
  }
  if (room == ResultRoom::Answer::kIn) {
    send_();
  } else {
    refuse_(ResultsUnreadError());
  }
}

void ResultAnswer::Tick(absl::Time now) {
  {
    MutexLock lock(mutex_);
    if (now > limit_) context_->TryCancel();
    if (ended_) return;
  }
  TrySend();
}

void ResultAnswer::OnCancel() {
  {
    MutexLock lock(mutex_);
    if (ended_) return;
    ended_ = true;
  }
  refuse_(CallerGoneError());
}

// As in JobCall::OnDone, the lock shows an order that gRPC keeps.
void ResultAnswer::OnDone() {
  { MutexLock lock(mutex_); }
  hooks_.on_done(this);
}

}  // namespace antidiffusion
