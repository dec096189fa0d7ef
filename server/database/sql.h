// SQL as far as SQLite and PostgreSQL agree: parameters are written $1, $2, ..., types are 64-bit
// integers, doubles, texts and bytes. What they do not agree on is SqlDialect's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace antidiffusion {

// Bytes that need not be text.
struct SqlBytes {
  std::string bytes;
  bool operator==(const SqlBytes&) const = default;
};

// std::monostate is NULL.
using SqlValue = std::variant<std::monostate, int64_t, double, std::string, SqlBytes>;

struct SqlResult {
  std::vector<std::vector<SqlValue>> rows;
  int64_t affected = 0;  // rows that were inserted, updated or deleted

  // Of a cell; 0 or "" where it is NULL or of another type.
  int64_t Int(size_t row, size_t column) const;
  double Double(size_t row, size_t column) const;
  const std::string& Text(size_t row, size_t column) const;  // text or bytes
  bool empty() const { return rows.empty(); }
};

struct SqlDialect {
  const char* begin;      // of a transaction that will write
  const char* bytes;      // type of a column
  const char* serial;     // type of a primary key that counts up
  const char* real;       // type of a column of doubles
  const char* now;        // nanoseconds since 1970 by the database's clock
  const char* lock;       // end of a SELECT: keeps others from its rows until the transaction ends
  const char* lock_free;  // the same, without rows that others have locked
  const char* notify;     // tells $1 to other processes, once committed; "": there are none
};

// One session. Thread-compatible.
class SqlConnection {
 public:
  virtual ~SqlConnection() = default;

  // One statement. ABORTED: in the way of another transaction, to be run again from its beginning;
  // ALREADY_EXISTS: not unique; UNAVAILABLE: no connection, a full or broken disk; INTERNAL.
  virtual absl::StatusOr<SqlResult> Run(const std::string& statement,
                                        const std::vector<SqlValue>& parameters) = 0;
  absl::StatusOr<SqlResult> Run(const std::string& statement) { return Run(statement, {}); }

  virtual const SqlDialect& dialect() const = 0;

  // Of the transaction under way: told to the pool's listener once it is committed.
  std::vector<std::string>& notices() { return notices_; }

 private:
  std::vector<std::string> notices_;
};

// Sessions of one database, lent one at a time. Thread-safe.
class SqlPool {
 public:
  virtual ~SqlPool() = default;

  // Waits for a free session and runs `use` with it. UNAVAILABLE where none can be had; else what
  // `use` returns.
  virtual absl::Status With(const std::function<absl::Status(SqlConnection&)>& use) = 0;

  virtual const SqlDialect& dialect() const = 0;

  // Called on the thread that has committed, without a session. Set once, before the first use.
  using OnNotice = std::function<void(const std::string& notice)>;
  void set_on_notice(OnNotice on_notice) { on_notice_ = std::move(on_notice); }
  void Tell(const std::vector<std::string>& notices) const {
    if (!on_notice_) return;
    for (const std::string& notice : notices) on_notice_(notice);
  }

 private:
  OnNotice on_notice_;
};

// Runs `body` in one transaction: committed when it returns OK, else rolled back; once more from
// the beginning, a few times, when it or the commit is ABORTED.
absl::Status InTransaction(SqlPool& pool, const std::function<absl::Status(SqlConnection&)>& body);

// The same for what `body(connection, value)` leaves in `value`, which is T() before each try.
template <typename T, typename Body>
absl::StatusOr<T> InTransaction(SqlPool& pool, const Body& body) {
  T value{};
  const absl::Status done = InTransaction(pool, [&](SqlConnection& connection) {
    value = T{};
    return body(connection, value);
  });
  if (!done.ok()) return done;
  return value;
}

// The same without a transaction.
template <typename T, typename Body>
absl::StatusOr<T> Query(SqlPool& pool, const Body& body) {
  T value{};
  const absl::Status done =
      pool.With([&](SqlConnection& connection) { return body(connection, value); });
  if (!done.ok()) return done;
  return value;
}

}  // namespace antidiffusion
