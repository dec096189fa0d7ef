// What other processes change in a PostgreSQL database, as signals of this one.
#pragma once

#include <memory>
#include <string>
#include <thread>

#include "server/database/job_signals.h"

namespace antidiffusion {

// A thread with a session of its own, which is opened anew, about every second, where it breaks.
class PostgresListener {
 public:
  // `connection` as in PostgresOptions; `signals` outlives it. After each (re)connection a signal
  // without a job is published.
  PostgresListener(const std::string& connection, JobSignals& signals);
  ~PostgresListener();
  PostgresListener(const PostgresListener&) = delete;
  PostgresListener& operator=(const PostgresListener&) = delete;

 private:
  class Session;
  void Main(const std::string& connection);
  bool stopped(int milliseconds) const;  // waits for it so long

  JobSignals& signals_;
  const int stop_;  // an eventfd, readable once it is to end
  std::jthread thread_;
};

}  // namespace antidiffusion
