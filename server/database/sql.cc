#include "server/database/sql.h"

#include "core/base/status_macros.h"

namespace antidiffusion {
namespace {

constexpr int kTries = 10;

template <typename T>
const T* Cell(const SqlResult& result, size_t row, size_t column) {
  return std::get_if<T>(&result.rows.at(row).at(column));
}

absl::Status NotifyOthers(SqlConnection& connection) {
  const std::string notify = connection.dialect().notify;
  if (notify.empty()) return absl::OkStatus();
  for (const std::string& notice : connection.notices()) {
    AD_RETURN_IF_ERROR(connection.Run(notify, {notice}).status());
  }
  return absl::OkStatus();
}

absl::Status Attempt(SqlConnection& connection,
                     const std::function<absl::Status(SqlConnection&)>& body) {
  connection.notices().clear();
  AD_RETURN_IF_ERROR(connection.Run(connection.dialect().begin).status());
  absl::Status status = body(connection);
  if (status.ok()) status = NotifyOthers(connection);
  if (status.ok()) {
    status = connection.Run("COMMIT").status();
    if (status.ok()) return status;
  }
  connection.Run("ROLLBACK").IgnoreError();  // where the connection is gone there is nothing left
  return status;
}

}  // namespace

int64_t SqlResult::Int(size_t row, size_t column) const {
  const auto* const value = Cell<int64_t>(*this, row, column);
  return value == nullptr ? 0 : *value;
}

double SqlResult::Double(size_t row, size_t column) const {
  if (const auto* const value = Cell<double>(*this, row, column)) return *value;
  return static_cast<double>(Int(row, column));
}

const std::string& SqlResult::Text(size_t row, size_t column) const {
  static const auto* const kNone = new std::string;
  if (const auto* const text = Cell<std::string>(*this, row, column)) return *text;
  const auto* const bytes = Cell<SqlBytes>(*this, row, column);
  return bytes == nullptr ? *kNone : bytes->bytes;
}

absl::Status InTransaction(SqlPool& pool, const std::function<absl::Status(SqlConnection&)>& body) {
  absl::Status status;
  for (int i = 0; i < kTries; ++i) {
    std::vector<std::string> notices;
    status = pool.With([&](SqlConnection& connection) {
      absl::Status done = Attempt(connection, body);
      if (done.ok()) notices.swap(connection.notices());
      return done;
    });
    pool.Tell(notices);
    if (!absl::IsAborted(status)) return status;
  }
  return absl::UnavailableError(status.message());
}

}  // namespace antidiffusion
