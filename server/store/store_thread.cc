#include "server/store/store_thread.h"

#include <utility>

namespace antidiffusion {

StoreThread::StoreThread(std::unique_ptr<JobStore> store)
    : store_(std::move(store)), thread_([this] { Main(); }) {}

bool StoreThread::Post(Task task) {
  MutexLock lock(mutex_);
  if (stopped_) return false;
  tasks_.push_back(std::move(task));
  changed_.NotifyOne();
  return true;
}

void StoreThread::Stop() {
  {
    MutexLock lock(mutex_);
    stopped_ = true;
    changed_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
}

void StoreThread::Main() {
  while (true) {
    Task task;
    {
      MutexLock lock(mutex_);
      while (tasks_.empty() && !stopped_) changed_.Wait(lock);
      if (tasks_.empty()) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    task(*store_);
  }
}

}  // namespace antidiffusion
