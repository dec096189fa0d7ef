#include "server/database/postgres_listener.h"

#include <libpq-fe.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "server/database/postgres_pool.h"

namespace antidiffusion {
namespace {

constexpr int kPause = 1000;        // ms between two connections
constexpr int kKeepalive = 30'000;  // ms of silence after which the session is tried

}  // namespace

class PostgresListener::Session {
 public:
  explicit Session(const std::string& connection) : connection_(ConnectToPostgres(connection)) {
    if (PQstatus(connection_) == CONNECTION_OK) {
      listens_ = Run(absl::StrCat("LISTEN ", kPostgresChannel));
    }
  }
  ~Session() { PQfinish(connection_); }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  bool listens() const { return listens_; }

  // Waits for news, and publishes them. False: the session is broken, or `stop` is readable.
  bool Listen(int stop, JobSignals& signals) {
    Publish(signals);  // what a statement has read beside its answer
    pollfd files[] = {{PQsocket(connection_), POLLIN, 0}, {stop, POLLIN, 0}};
    const int ready = poll(files, 2, kKeepalive);
    if (files[1].revents != 0) return false;
    if (ready == 0) return Run("SELECT 1");
    if (PQconsumeInput(connection_) == 0) return false;
    Publish(signals);
    return PQstatus(connection_) == CONNECTION_OK;
  }

 private:
  void Publish(JobSignals& signals) {
    while (PGnotify* const news = PQnotifies(connection_)) {
      if (const auto signal = JobSignal::FromText(news->extra)) signals.Publish(*signal);
      PQfreemem(news);
    }
  }
  bool Run(const std::string& statement) {
    PGresult* const result = PQexec(connection_, statement.c_str());
    const ExecStatusType status = PQresultStatus(result);
    PQclear(result);
    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
  }

  PGconn* const connection_;
  bool listens_ = false;
};

PostgresListener::PostgresListener(const std::string& connection, JobSignals& signals)
    : signals_(signals),
      stop_(eventfd(0, EFD_CLOEXEC)),
      thread_([this, connection] { Main(connection); }) {}

PostgresListener::~PostgresListener() {
  const uint64_t one = 1;
  while (write(stop_, &one, sizeof one) < 0) {
  }
  thread_.join();
  close(stop_);
}

bool PostgresListener::stopped(int milliseconds) const {
  pollfd file = {stop_, POLLIN, 0};
  return poll(&file, 1, milliseconds) > 0;
}

void PostgresListener::Main(const std::string& connection) {
  while (!stopped(0)) {
    Session session(connection);
    if (session.listens()) {
      signals_.Publish({});
      while (session.Listen(stop_, signals_)) {
      }
    }
    if (stopped(kPause)) return;
  }
}

}  // namespace antidiffusion
