#include "tests/server/database/postgres_server.h"

#include <fcntl.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"

namespace antidiffusion {
namespace {

constexpr char kInstalled[] = "/usr/lib/postgresql";
constexpr char kUser[] = "tester";

// The newest of the installed versions; "" without any.
std::string FindPrograms() {
  std::vector<std::string> found;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(kInstalled, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string programs = entry->path().string() + "/bin";
    if (std::filesystem::exists(programs + "/initdb", error)) found.push_back(programs);
  }
  return found.empty() ? "" : *std::max_element(found.begin(), found.end());
}

// Runs a program as somebody who is not root, which PostgreSQL refuses to be run by; what it says
// goes to `log`.
pid_t Spawn(const std::vector<std::string>& words, const std::string& log) {
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  const passwd* const nobody = getpwnam("nobody");
  const pid_t child = fork();
  if (child != 0) return child;
  const int output = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0666);
  dup2(output, STDOUT_FILENO);
  dup2(output, STDERR_FILENO);
  close_range(STDERR_FILENO + 1, ~0U, 0);  // what the test was given is not the database's
  setpgid(0, 0);
  if (getuid() == 0 && nobody != nullptr) {
    if (setgid(nobody->pw_gid) != 0 || setuid(nobody->pw_uid) != 0) _exit(126);
  }
  prctl(PR_SET_PDEATHSIG, SIGQUIT);  // a test that is killed leaves none behind
  execv(arguments[0], arguments.data());
  _exit(127);
}

std::vector<pid_t> ChildrenOf(pid_t process) {
  std::ifstream list(absl::StrCat("/proc/", process, "/task/", process, "/children"));
  std::vector<pid_t> children;
  for (pid_t child = 0; list >> child;) children.push_back(child);
  return children;
}

void Execute(const std::string& connection, const std::string& statement) {
  PGconn* const session = PQconnectdb(connection.c_str());
  PGresult* const result = PQexec(session, statement.c_str());
  const bool done = PQresultStatus(result) == PGRES_COMMAND_OK;
  const std::string why = PQerrorMessage(session);
  PQclear(result);
  PQfinish(session);
  if (!done) throw std::runtime_error(statement + ": " + why);
}

}  // namespace

absl::StatusOr<std::unique_ptr<PostgresServer>> PostgresServer::Start() {
  std::unique_ptr<PostgresServer> server(new PostgresServer);
  server->programs_ = FindPrograms();
  if (server->programs_.empty()) {
    return absl::UnimplementedError(absl::StrCat("no PostgreSQL in ", kInstalled));
  }
  AD_RETURN_IF_ERROR(server->Initialise());
  AD_RETURN_IF_ERROR(server->Launch());
  return server;
}

PostgresServer::~PostgresServer() { Kill(); }

absl::Status PostgresServer::Initialise() {
  std::filesystem::create_directory(dir_.File("data"));
  const passwd* const nobody = getpwnam("nobody");
  if (getuid() == 0 && nobody != nullptr) {
    std::filesystem::permissions(dir_.path(), std::filesystem::perms::all);
    if (chown(dir_.File("data").c_str(), nobody->pw_uid, nobody->pw_gid) != 0) {
      return absl::InternalError("chown");
    }
  }
  const pid_t child = Spawn({programs_ + "/initdb", "-D", dir_.File("data"), "-A", "trust", "-U",
                             kUser, "-E", "UTF8", "--locale=C", "--no-sync"},
                            dir_.File("log"));
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("initdb: ", ReadFileBytes(dir_.File("log"))));
}

absl::Status PostgresServer::Launch() {
  process_ = Spawn({programs_ + "/postgres", "-D", dir_.File("data"), "-k", dir_.path(), "-c",
                    "listen_addresses=", "-c", "max_connections=60", "-c", "shared_buffers=16MB",
                    "-c", "fsync=off"},
                   dir_.File("log"));
  const std::string connection = ConnectionTo("postgres");
  for (int i = 0; i < 600; ++i) {
    if (PQping(connection.c_str()) == PQPING_OK) return absl::OkStatus();
    if (waitpid(process_, nullptr, WNOHANG) == process_) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return absl::InternalError(absl::StrCat("postgres: ", ReadFileBytes(dir_.File("log"))));
}

std::string PostgresServer::ConnectionTo(const std::string& database) const {
  return absl::StrCat("host=", dir_.path(), " user=", kUser, " dbname=", database);
}

std::string PostgresServer::NewDatabase() {
  const std::string name = absl::StrCat("test", ++databases_);
  Execute(ConnectionTo("postgres"), "CREATE DATABASE " + name);
  return ConnectionTo(name);
}

void PostgresServer::Kill() {
  if (process_ <= 0) return;
  // A session is a process, in a group of its own, that would go on for a moment.
  kill(process_, SIGSTOP);
  const std::vector<pid_t> sessions = ChildrenOf(process_);
  for (const pid_t session : sessions) kill(session, SIGKILL);
  kill(-process_, SIGKILL);
  waitpid(process_, nullptr, 0);
  for (const pid_t session : sessions) {
    while (kill(session, 0) == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  process_ = -1;
}

absl::Status PostgresServer::Restart() { return Launch(); }

}  // namespace antidiffusion
