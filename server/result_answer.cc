#include "server/result_answer.h"

#include <utility>

#include "server/errors.h"
#include "server/job_call.h"

namespace antidiffusion {

void ResultAnswer::Begin(int64_t bytes, Send send, RefuseWith refuse) {
  bool gone = false;
  {
    MutexLock lock(mutex_);
    gone = gone_;
    ended_ = gone_;
    bytes_ = bytes;
    if (!gone) {
      send_ = std::move(send);
      refuse_ = std::move(refuse);
    }
  }
  if (gone) {
    refuse(CallerGoneError());
  } else {
    TrySend();
  }
}

void ResultAnswer::EndAtOnce(const absl::Status& status, const RefuseWith& end) {
  {
    MutexLock lock(mutex_);
    ended_ = true;
  }
  end(status);
}

// Once the call is finished another thread may destroy the answer: nothing of it is touched from
// there on.
void ResultAnswer::TrySend() {
  ResultRoom::Answer room = ResultRoom::Answer::kInLine;
  Send send;  // these two outlive the answer
  RefuseWith refuse;
  {
    MutexLock lock(mutex_);
    if (ended_ || send_ == nullptr) return;  // a tick may come before Begin
    room = calls_.AskForRoom(this, bytes_);
    if (room == ResultRoom::Answer::kInLine) return;
    ended_ = true;
    send = std::exchange(send_, nullptr);
    refuse = std::exchange(refuse_, nullptr);
    limit_ = now_() + JobCall::WriteLimit(static_cast<size_t>(bytes_));
  }
  if (room == ResultRoom::Answer::kIn) {
    send();
  } else {
    refuse(ResultsUnreadError());
  }
}

void ResultAnswer::Tick(absl::Time now) {
  {
    MutexLock lock(mutex_);
    if (done_) return;
    if (now > limit_) context_->TryCancel();
    if (ended_) return;
  }
  TrySend();
}

void ResultAnswer::OnCancel() {
  RefuseWith refuse;
  {
    MutexLock lock(mutex_);
    if (ended_) return;
    gone_ = send_ == nullptr;
    if (gone_) return;  // it has not begun
    ended_ = true;
    send_ = nullptr;
    refuse = std::exchange(refuse_, nullptr);
  }
  refuse(CallerGoneError());
}

void ResultAnswer::OnDone() {
  {
    MutexLock lock(mutex_);
    done_ = true;
  }
  calls_.Remove(this);
}

}  // namespace antidiffusion
