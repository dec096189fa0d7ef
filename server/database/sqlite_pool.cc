#include "server/database/sqlite_pool.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <exception>
#include <unordered_map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/mutex.h"
#include "core/base/status_macros.h"

namespace antidiffusion {
namespace {

constexpr SqlDialect kSqliteDialect = {
    .begin = "BEGIN IMMEDIATE",
    .bytes = "BLOB",
    .serial = "INTEGER PRIMARY KEY AUTOINCREMENT",
    .real = "REAL",
    .now = "(CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) * 1000000)",
    .lock = "",
    .lock_free = "",
    .notify = "",
};

absl::Status SqliteFailure(const SQLite::Exception& error) {
  const std::string what = absl::StrCat("SQLite: ", error.what());
  switch (error.getErrorCode()) {
    case SQLITE_CONSTRAINT:
      return absl::AlreadyExistsError(what);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
      return absl::UnavailableError(what);
    default:
      return absl::InternalError(what);
  }
}

SqlValue SqliteValue(const SQLite::Column& column) {
  switch (column.getType()) {
    case SQLITE_INTEGER:
      return column.getInt64();
    case SQLITE_FLOAT:
      return column.getDouble();
    case SQLITE_TEXT:
      return column.getString();
    case SQLITE_BLOB:
      return SqlBytes{column.getString()};
    default:
      return std::monostate();
  }
}

class SqliteConnection : public SqlConnection {
 public:
  explicit SqliteConnection(const std::string& path)
      : database_(path, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE) {
    // Exclusive: a second server is refused, and nothing is shared through a mapped file.
    database_.exec("PRAGMA locking_mode = EXCLUSIVE");
    database_.exec("PRAGMA journal_mode = WAL");
    database_.exec("PRAGMA synchronous = FULL");
    database_.exec("PRAGMA secure_delete = ON");
  }

  using SqlConnection::Run;
  absl::StatusOr<SqlResult> Run(const std::string& statement,
                                const std::vector<SqlValue>& parameters) override {
    try {
      return RunOrThrow(Prepared(statement), parameters);
    } catch (const SQLite::Exception& error) {
      return SqliteFailure(error);
    }
  }

  const SqlDialect& dialect() const override { return kSqliteDialect; }

 private:
  SQLite::Statement& Prepared(const std::string& statement) {
    auto found = prepared_.find(statement);
    if (found == prepared_.end()) {
      found =
          prepared_.emplace(statement, std::make_unique<SQLite::Statement>(database_, statement))
              .first;
    }
    return *found->second;
  }

  SqlResult RunOrThrow(SQLite::Statement& statement, const std::vector<SqlValue>& parameters) {
    statement.tryReset();  // else the error of its last run would be this one's
    statement.clearBindings();
    for (size_t i = 0; i < parameters.size(); ++i) {
      Bind(statement, absl::StrCat("$", i + 1), parameters[i]);
    }
    SqlResult result;
    while (statement.executeStep()) {
      std::vector<SqlValue>& row = result.rows.emplace_back();
      for (int i = 0; i < statement.getColumnCount(); ++i) {
        row.push_back(SqliteValue(statement.getColumn(i)));
      }
    }
    result.affected = database_.getChanges();
    statement.reset();
    return result;
  }

  static void Bind(SQLite::Statement& statement, const std::string& name, const SqlValue& value) {
    if (const auto* const integer = std::get_if<int64_t>(&value)) {
      statement.bind(name, *integer);
    } else if (const auto* const number = std::get_if<double>(&value)) {
      statement.bind(name, *number);
    } else if (const auto* const text = std::get_if<std::string>(&value)) {
      statement.bind(name, *text);
    } else if (const auto* const bytes = std::get_if<SqlBytes>(&value)) {
      statement.bind(name, bytes->bytes.data(), static_cast<int>(bytes->bytes.size()));
    } else {
      statement.bind(name);
    }
  }

  SQLite::Database database_;
  std::unordered_map<std::string, std::unique_ptr<SQLite::Statement>> prepared_;
};

class SqlitePool : public SqlPool {
 public:
  explicit SqlitePool(std::unique_ptr<SqliteConnection> connection)
      : connection_(std::move(connection)) {}

  absl::Status With(const std::function<absl::Status(SqlConnection&)>& use) override
      ABSL_LOCKS_EXCLUDED(mutex_) {
    const MutexLock lock(mutex_);
    return use(*connection_);
  }

  const SqlDialect& dialect() const override { return kSqliteDialect; }

 private:
  Mutex mutex_;
  const std::unique_ptr<SqliteConnection> connection_ ABSL_PT_GUARDED_BY(mutex_);
};

// SQLite gives the files beside the database the same permissions.
absl::Status MakePrivate(const std::string& path) {
  const int descriptor = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (descriptor < 0) return absl::UnavailableError(absl::StrCat(path, ": ", strerror(errno)));
  close(descriptor);
  return absl::OkStatus();
}

// A file of before this schema, which numbered itself in SQLite's header.
absl::Status CheckAge(const std::string& path) {
  SQLite::Database database(path, SQLite::OPEN_READWRITE);
  if (database.execAndGet("PRAGMA user_version").getInt() == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      path, " is a job store of an earlier version, which this one does not read: ",
      "let the earlier one finish its jobs, or move the file and ", path, ".files away"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<SqlPool>> OpenSqlitePool(const std::string& path) {
  if (path != ":memory:") AD_RETURN_IF_ERROR(MakePrivate(path));
  try {
    if (path != ":memory:") AD_RETURN_IF_ERROR(CheckAge(path));
    return std::make_unique<SqlitePool>(std::make_unique<SqliteConnection>(path));
  } catch (const SQLite::Exception& error) {
    return absl::UnavailableError(absl::StrCat(path, ": ", error.what()));
  }
}

}  // namespace antidiffusion
