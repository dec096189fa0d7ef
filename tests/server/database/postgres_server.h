// A PostgreSQL of the test's own: a new cluster in a temporary folder, reached by a socket there.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/testing/temp_dir.h"

namespace antidiffusion {

class PostgresServer {
 public:
  // UNIMPLEMENTED: none is installed; INTERNAL: it does not start.
  static absl::StatusOr<std::unique_ptr<PostgresServer>> Start();
  ~PostgresServer();
  PostgresServer(const PostgresServer&) = delete;
  PostgresServer& operator=(const PostgresServer&) = delete;

  // Makes an empty database and says how it is reached.
  std::string NewDatabase();

  void Kill();             // kill -9 of all its processes
  absl::Status Restart();  // after Kill

 private:
  PostgresServer() = default;
  absl::Status Initialise();
  absl::Status Launch();
  std::string ConnectionTo(const std::string& database) const;

  TempDir dir_;
  std::string programs_;  // the folder of initdb and postgres
  pid_t process_ = -1;
  int databases_ = 0;
};

}  // namespace antidiffusion
