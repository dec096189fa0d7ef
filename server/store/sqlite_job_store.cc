#include "server/store/sqlite_job_store.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <exception>
#include <limits>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "server/store/blob_files.h"

namespace antidiffusion {
namespace {

constexpr int kVersion = 1;

// Times in nanoseconds since 1970; the ends of absl::Time's range are those of int64.
constexpr char kSchema[] = R"(
CREATE TABLE jobs (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE, tenant TEXT NOT NULL, request_id TEXT NOT NULL,
  request BLOB NOT NULL, request_hash TEXT NOT NULL, cache_key TEXT NOT NULL,
  image_digest TEXT NOT NULL, image_bytes INTEGER NOT NULL, priority INTEGER NOT NULL,
  trace TEXT NOT NULL,
  created INTEGER NOT NULL, deadline INTEGER NOT NULL, state INTEGER NOT NULL,
  attempts INTEGER NOT NULL, sequence INTEGER NOT NULL, started INTEGER NOT NULL,
  ended INTEGER NOT NULL, expires INTEGER NOT NULL, error BLOB NOT NULL, result BLOB NOT NULL,
  result_digest TEXT NOT NULL, result_bytes INTEGER NOT NULL);
CREATE INDEX jobs_by_image ON jobs (image_digest);
CREATE INDEX jobs_by_result ON jobs (result_digest);
)";

constexpr char kColumns[] =
    "name, tenant, request_id, request, request_hash, cache_key, image_digest, image_bytes, "
    "priority, trace, created, deadline, state, attempts, sequence, started, ended, expires, "
    "error, "
    "result, result_digest, result_bytes";

// What SQLite cannot do now: a full or broken disk, most often.
absl::Status Failed(const std::exception& error) {
  return absl::UnavailableError(absl::StrCat("job store: ", error.what()));
}

class SqliteJobStore : public JobStore {
 public:
  SqliteJobStore(std::unique_ptr<SQLite::Database> database, BlobFiles files)
      : database_(std::move(database)), files_(std::move(files)) {}

  absl::Status Save(const StoredJob& job, const StoredBytes& bytes, bool durable) override {
    absl::Status saved = Write(job, bytes, durable);
    if (!saved.ok()) DropUnnamed({job.image_digest, job.result_digest});
    return saved;
  }

  absl::Status Delete(const std::string& name) override {
    try {
      const std::set<std::string> before = DigestsOf(name);
      SetDurable(true);
      SQLite::Statement statement(*database_, "DELETE FROM jobs WHERE name = ?");
      statement.bind(1, name);
      statement.exec();
      DeleteUnnamed(before);
      return absl::OkStatus();
    } catch (const std::exception& error) {
      return Failed(error);
    }
  }

  absl::StatusOr<std::string> ReadFile(const std::string& digest) override {
    return files_.Read(digest);
  }

  absl::StatusOr<std::string> ReadPiece(const StoredPiece& piece) override {
    if (piece.check) AD_RETURN_IF_ERROR(files_.Check(piece.digest));
    return files_.ReadPiece(piece.digest, piece.offset, piece.size);
  }

  absl::StatusOr<std::vector<StoredJob>> LoadAll() override {
    std::vector<StoredJob> jobs;
    std::set<std::string> named;
    try {
      SQLite::Statement rows(*database_,
                             absl::StrCat("SELECT ", kColumns, " FROM jobs ORDER BY number"));
      while (rows.executeStep()) {
        jobs.push_back(FromRow(rows));
        named.insert(jobs.back().image_digest);
        named.insert(jobs.back().result_digest);
      }
    } catch (const std::exception& error) {
      return Failed(error);
    }
    files_.DeleteAllBut(named);
    return jobs;
  }

 private:
  absl::Status Write(const StoredJob& job, const StoredBytes& bytes, bool durable) {
    if (!job.image_digest.empty() && bytes.image != nullptr) {
      AD_RETURN_IF_ERROR(files_.Write(job.image_digest, *bytes.image));
    }
    if (!job.result_digest.empty() && bytes.result != nullptr) {
      AD_RETURN_IF_ERROR(files_.Write(job.result_digest, *bytes.result));
    }
    try {
      const std::set<std::string> before = DigestsOf(job.name);
      // A file goes only after the row that named it does so no longer, on the disk as well.
      const bool drops = std::any_of(before.begin(), before.end(), [&](const std::string& digest) {
        return !digest.empty() && digest != job.image_digest && digest != job.result_digest;
      });
      SetDurable(durable || drops);
      Upsert(job);
      DeleteUnnamed(before);
      return absl::OkStatus();
    } catch (const std::exception& error) {
      return Failed(error);
    }
  }

  // What a failed write left; LoadAll deletes what this cannot.
  void DropUnnamed(const std::set<std::string>& digests) {
    try {
      DeleteUnnamed(digests);
    } catch (const std::exception&) {
    }
  }

  // In WAL mode: FULL flushes the log at each commit, NORMAL leaves that to checkpoints.
  void SetDurable(bool durable) {
    database_->exec(durable ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL");
  }

  void Upsert(const StoredJob& job) {
    SQLite::Statement statement(
        *database_,
        absl::StrCat("INSERT INTO jobs (", kColumns,
                     ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
                     "ON CONFLICT (name) DO UPDATE SET cache_key = excluded.cache_key, "
                     "image_digest = excluded.image_digest, "
                     "state = excluded.state, attempts = excluded.attempts, sequence = "
                     "excluded.sequence, started = excluded.started, ended = excluded.ended, "
                     "expires = excluded.expires, error = excluded.error, result = "
                     "excluded.result, result_digest = excluded.result_digest, result_bytes = "
                     "excluded.result_bytes"));
    int column = 0;
    const auto text = [&](const std::string& value) { statement.bind(++column, value); };
    const auto blob = [&](const std::string& value) {
      statement.bind(++column, value.data(), static_cast<int>(value.size()));
    };
    const auto number = [&](int64_t value) { statement.bind(++column, value); };
    const auto time = [&](absl::Time value) { number(absl::ToUnixNanos(value)); };
    text(job.name);
    text(job.tenant);
    text(job.request_id);
    blob(job.request);
    text(job.request_hash);
    text(job.cache_key);
    text(job.image_digest);
    number(job.image_bytes);
    number(job.priority);
    text(job.trace);
    time(job.created);
    time(job.deadline);
    number(job.state);
    number(job.attempts);
    number(static_cast<int64_t>(job.sequence));
    time(job.started);
    time(job.ended);
    time(job.expires);
    blob(job.error);
    blob(job.result);
    text(job.result_digest);
    number(job.result_bytes);
    statement.exec();
  }

  static absl::Time TimeOf(int64_t nanoseconds) {
    if (nanoseconds == std::numeric_limits<int64_t>::max()) return absl::InfiniteFuture();
    if (nanoseconds == std::numeric_limits<int64_t>::min()) return absl::InfinitePast();
    return absl::FromUnixNanos(nanoseconds);
  }

  static StoredJob FromRow(SQLite::Statement& row) {
    int column = 0;
    const auto text = [&] { return row.getColumn(column++).getString(); };
    const auto number = [&] { return row.getColumn(column++).getInt64(); };
    StoredJob job;
    job.name = text();
    job.tenant = text();
    job.request_id = text();
    job.request = text();
    job.request_hash = text();
    job.cache_key = text();
    job.image_digest = text();
    job.image_bytes = number();
    job.priority = static_cast<int>(number());
    job.trace = text();
    job.created = TimeOf(number());
    job.deadline = TimeOf(number());
    job.state = static_cast<int>(number());
    job.attempts = static_cast<int>(number());
    job.sequence = static_cast<uint64_t>(number());
    job.started = TimeOf(number());
    job.ended = TimeOf(number());
    job.expires = TimeOf(number());
    job.error = text();
    job.result = text();
    job.result_digest = text();
    job.result_bytes = number();
    return job;
  }

  std::set<std::string> DigestsOf(const std::string& name) {
    SQLite::Statement row(*database_,
                          "SELECT image_digest, result_digest FROM jobs WHERE name = ?");
    row.bind(1, name);
    std::set<std::string> digests;
    if (row.executeStep()) {
      digests = {row.getColumn(0).getString(), row.getColumn(1).getString()};
    }
    return digests;
  }

  void DeleteUnnamed(const std::set<std::string>& digests) {
    for (const std::string& digest : digests) {
      if (digest.empty()) continue;
      SQLite::Statement count(*database_,
                              "SELECT EXISTS (SELECT 1 FROM jobs WHERE image_digest = ?1) OR "
                              "EXISTS (SELECT 1 FROM jobs WHERE result_digest = ?1)");
      count.bind(1, digest);
      count.executeStep();
      if (count.getColumn(0).getInt() == 0) files_.Delete(digest);
    }
  }

  const std::unique_ptr<SQLite::Database> database_;
  const BlobFiles files_;
};

absl::Status Prepare(SQLite::Database& database) {
  // Exclusive: a second server is refused, and nothing is shared through a mapped file.
  database.exec("PRAGMA locking_mode = EXCLUSIVE");
  database.exec("PRAGMA journal_mode = WAL");
  database.exec("PRAGMA secure_delete = ON");
  const int version = database.execAndGet("PRAGMA user_version").getInt();
  if (version == kVersion) return absl::OkStatus();
  if (version != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("the job store is of version ", version, ", known is ", kVersion));
  }
  SQLite::Transaction transaction(database);
  database.exec(kSchema);
  database.exec(absl::StrCat("PRAGMA user_version = ", kVersion));
  transaction.commit();
  return absl::OkStatus();
}

// SQLite gives the files beside the database the same permissions.
absl::Status MakePrivate(const std::string& path) {
  const int descriptor = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (descriptor < 0) {
    return absl::UnavailableError(absl::StrCat("cannot open ", path, ": ", strerror(errno)));
  }
  close(descriptor);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<JobStore>> OpenSqliteJobStore(const std::string& path) {
  AD_RETURN_IF_ERROR(MakePrivate(path));
  AD_ASSIGN_OR_RETURN(BlobFiles files, BlobFiles::Open(absl::StrCat(path, ".files")));
  try {
    auto database =
        std::make_unique<SQLite::Database>(path, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE);
    AD_RETURN_IF_ERROR(Prepare(*database));
    return std::make_unique<SqliteJobStore>(std::move(database), std::move(files));
  } catch (const std::exception& error) {
    return Failed(error);
  }
}

}  // namespace antidiffusion
