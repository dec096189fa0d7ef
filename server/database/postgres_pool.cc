#include "server/database/postgres_pool.h"

#include <libpq-fe.h>
#include <poll.h>

#include <cstdlib>
#include <deque>
#include <unordered_map>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/mutex.h"
#include "core/base/status_macros.h"

namespace antidiffusion {
namespace {

constexpr SqlDialect kPostgresDialect = {
    .begin = "BEGIN",
    .bytes = "BYTEA",
    .serial = "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
    .real = "DOUBLE PRECISION",
    .now = "CAST(extract(epoch FROM clock_timestamp()) * 1000000000 AS BIGINT)",
    .lock = " FOR UPDATE",
    .lock_free = " FOR UPDATE SKIP LOCKED",
    .notify = "SELECT pg_notify('antidiffusion_jobs', $1)",
};

// Numbers of types in pg_type, which never change.
enum : Oid { kBool = 16, kByteA = 17, kInt8 = 20, kInt4 = 23, kText = 25, kFloat8 = 701 };
constexpr Oid kNumeric = 1700;  // of a sum of int8

struct FreeConnection {
  void operator()(PGconn* connection) const { PQfinish(connection); }
};
struct FreeResult {
  void operator()(PGresult* result) const { PQclear(result); }
};
using ResultPointer = std::unique_ptr<PGresult, FreeResult>;

std::string Line(const char* message) {
  return std::string(absl::StripAsciiWhitespace(message == nullptr ? "" : message));
}

absl::Status PostgresFailure(const PGresult* result) {
  const char* const state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  const absl::string_view code = state == nullptr ? "" : state;
  const std::string what = absl::StrCat("PostgreSQL: ", Line(PQresultErrorMessage(result)));
  // Classes of Appendix A of PostgreSQL's manual.
  if (code == "40001" || code == "40P01") return absl::AbortedError(what);
  if (code == "23505" || code == "42710" || code == "42P07") return absl::AlreadyExistsError(what);
  const absl::string_view kind = code.substr(0, 2);
  const bool is_away = code.empty() || kind == "08" || kind == "53" || kind == "57" || kind == "58";
  return is_away ? absl::UnavailableError(what) : absl::InternalError(what);
}

// One parameter as libpq takes it.
struct Parameter {
  explicit Parameter(const SqlValue& value) {
    if (const auto* const integer = std::get_if<int64_t>(&value)) {
      type = kInt8;
      text = absl::StrCat(*integer);
    } else if (const auto* const number = std::get_if<double>(&value)) {
      type = kFloat8;
      text = absl::StrFormat("%.17g", *number);
    } else if (const auto* const words = std::get_if<std::string>(&value)) {
      type = kText;
      text = *words;
    } else if (const auto* const bytes = std::get_if<SqlBytes>(&value)) {
      type = kByteA;
      text = bytes->bytes;
    } else {
      is_null = true;
    }
  }

  Oid type = 0;
  std::string text;
  bool is_null = false;
};

SqlValue PostgresValue(const PGresult* result, int row, int column) {
  if (PQgetisnull(result, row, column) != 0) return std::monostate();
  const char* const text = PQgetvalue(result, row, column);
  const auto length = static_cast<size_t>(PQgetlength(result, row, column));
  switch (PQftype(result, column)) {
    case kBool:
      return int64_t{*text == 't'};
    case kInt4:
    case kInt8:
    case kNumeric: {
      int64_t integer = 0;
      if (absl::SimpleAtoi(absl::string_view(text, length), &integer)) return integer;
      return std::strtod(text, nullptr);
    }
    case kFloat8:
      return std::strtod(text, nullptr);
    case kByteA: {
      size_t size = 0;
      unsigned char* const bytes =
          PQunescapeBytea(reinterpret_cast<const unsigned char*>(text), &size);
      SqlBytes value;
      if (bytes != nullptr) value.bytes.assign(reinterpret_cast<const char*>(bytes), size);
      PQfreemem(bytes);
      return value;
    }
    default:
      return std::string(text, length);
  }
}

class PostgresConnection : public SqlConnection {
 public:
  explicit PostgresConnection(PostgresOptions options) : options_(std::move(options)) {}

  // Where the session is broken or not yet there.
  absl::Status Connect() {
    prepared_.clear();
    connection_.reset(ConnectToPostgres(options_.connection));
    if (PQstatus(connection_.get()) != CONNECTION_OK) {
      const std::string why = Line(PQerrorMessage(connection_.get()));
      connection_.reset();
      return absl::UnavailableError(absl::StrCat("PostgreSQL: ", why));
    }
    AD_RETURN_IF_ERROR(Run("SET client_min_messages = warning").status());
    return Run(absl::StrCat("SET statement_timeout = ",
                            absl::ToInt64Milliseconds(options_.statement_timeout)))
        .status();
  }

  // Between two uses a server only speaks to say goodbye, which libpq notices when it reads.
  bool is_open() const {
    if (connection_ == nullptr || PQstatus(connection_.get()) != CONNECTION_OK) return false;
    pollfd file = {PQsocket(connection_.get()), POLLIN, 0};
    if (poll(&file, 1, 0) == 0) return true;
    return PQconsumeInput(connection_.get()) != 0 && PQstatus(connection_.get()) == CONNECTION_OK;
  }

  using SqlConnection::Run;
  absl::StatusOr<SqlResult> Run(const std::string& statement,
                                const std::vector<SqlValue>& parameters) override {
    if (!is_open()) return absl::UnavailableError("PostgreSQL: the session is gone");
    std::vector<Parameter> given(parameters.begin(), parameters.end());
    AD_ASSIGN_OR_RETURN(const std::string name, Prepare(statement, given));
    std::vector<const char*> values;
    std::vector<int> lengths;
    std::vector<int> formats;
    for (const Parameter& parameter : given) {
      values.push_back(parameter.is_null ? nullptr : parameter.text.c_str());
      lengths.push_back(static_cast<int>(parameter.text.size()));
      formats.push_back(parameter.type == kByteA ? 1 : 0);
    }
    const ResultPointer result(PQexecPrepared(connection_.get(), name.c_str(),
                                              static_cast<int>(given.size()), values.data(),
                                              lengths.data(), formats.data(), 0));
    return Read(result.get());
  }

  const SqlDialect& dialect() const override { return kPostgresDialect; }

 private:
  absl::StatusOr<std::string> Prepare(const std::string& statement,
                                      const std::vector<Parameter>& parameters) {
    std::string& name = prepared_[statement];
    if (!name.empty()) return name;
    name = absl::StrCat("s", prepared_.size());
    std::vector<Oid> types;
    types.reserve(parameters.size());
    for (const Parameter& parameter : parameters) types.push_back(parameter.type);
    const ResultPointer result(PQprepare(connection_.get(), name.c_str(), statement.c_str(),
                                         static_cast<int>(types.size()), types.data()));
    const absl::StatusOr<SqlResult> prepared = Read(result.get());
    if (prepared.ok()) return name;
    prepared_.erase(statement);
    return prepared.status();
  }

  absl::StatusOr<SqlResult> Read(const PGresult* result) const {
    const ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
      if (result != nullptr) return PostgresFailure(result);
      return absl::UnavailableError(
          absl::StrCat("PostgreSQL: ", Line(PQerrorMessage(connection_.get()))));
    }
    SqlResult read;
    for (int row = 0; row < PQntuples(result); ++row) {
      std::vector<SqlValue>& values = read.rows.emplace_back();
      for (int column = 0; column < PQnfields(result); ++column) {
        values.push_back(PostgresValue(result, row, column));
      }
    }
    if (!absl::SimpleAtoi(PQcmdTuples(const_cast<PGresult*>(result)), &read.affected)) {
      read.affected = 0;
    }
    return read;
  }

  const PostgresOptions options_;
  std::unique_ptr<PGconn, FreeConnection> connection_;
  std::unordered_map<std::string, std::string> prepared_;  // statement -> name
};

class PostgresPool : public SqlPool {
 public:
  explicit PostgresPool(const PostgresOptions& options) {
    for (int i = 0; i < options.sessions; ++i) {
      free_.push_back(std::make_unique<PostgresConnection>(options));
    }
  }

  absl::Status With(const std::function<absl::Status(SqlConnection&)>& use) override
      ABSL_LOCKS_EXCLUDED(mutex_) {
    std::unique_ptr<PostgresConnection> connection = Take();
    const absl::Cleanup back = [&] { Return(std::move(connection)); };
    if (!connection->is_open()) AD_RETURN_IF_ERROR(connection->Connect());
    return use(*connection);
  }

  const SqlDialect& dialect() const override { return kPostgresDialect; }

 private:
  std::unique_ptr<PostgresConnection> Take() ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(mutex_);
    while (free_.empty()) returned_.Wait(lock);
    std::unique_ptr<PostgresConnection> connection = std::move(free_.back());
    free_.pop_back();
    return connection;
  }

  void Return(std::unique_ptr<PostgresConnection> connection) ABSL_LOCKS_EXCLUDED(mutex_) {
    {
      const MutexLock lock(mutex_);
      free_.push_back(std::move(connection));
    }
    returned_.NotifyOne();
  }

  Mutex mutex_;
  CondVar returned_;
  std::deque<std::unique_ptr<PostgresConnection>> free_ ABSL_GUARDED_BY(mutex_);  // last used last
};

}  // namespace

pg_conn* ConnectToPostgres(const std::string& connection) {
  // What stands before `dbname` is overridden by it. A server that is gone without a word is
  // noticed within so many seconds.
  const char* const keys[] = {
      "connect_timeout",  "tcp_user_timeout",          "keepalives_idle", "keepalives_interval",
      "keepalives_count", "fallback_application_name", "dbname",          nullptr};
  const char* const values[] = {
      "5", "15000", "10", "5", "2", "antidiffusion", connection.c_str(), nullptr};
  return PQconnectdbParams(keys, values, /*expand_dbname=*/1);
}

absl::StatusOr<std::unique_ptr<SqlPool>> OpenPostgresPool(const PostgresOptions& options) {
  auto pool = std::make_unique<PostgresPool>(options);
  AD_RETURN_IF_ERROR(
      pool->With([](SqlConnection& connection) { return connection.Run("SELECT 1").status(); }));
  return pool;
}

}  // namespace antidiffusion
