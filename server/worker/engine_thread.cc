#include "server/worker/engine_thread.h"

#include <utility>

namespace antidiffusion {

void EngineThread::Post(std::function<void()> task) {
  MutexLock lock(mutex_);
  tasks_.push_back(std::move(task));
  changed_.NotifyOne();
}

void EngineThread::Run() {
  while (const std::function<void()> task = Take()) task();
}

void EngineThread::Stop() {
  MutexLock lock(mutex_);
  stopped_ = true;
  changed_.NotifyAll();
}

std::function<void()> EngineThread::Take() {
  MutexLock lock(mutex_);
  while (tasks_.empty() && !stopped_) changed_.Wait(lock);
  if (tasks_.empty()) return nullptr;
  std::function<void()> task = std::move(tasks_.front());
  tasks_.pop_front();
  return task;
}

}  // namespace antidiffusion
