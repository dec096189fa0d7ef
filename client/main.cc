#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <string_view>
#include <utility>
#include <variant>

#include "client/command_line.h"
#include "client/compare_command.h"
#include "client/credentials.h"
#include "client/exit_codes.h"
#include "client/interrupt.h"
#include "client/jobs_command.h"
#include "client/progress_display.h"
#include "client/protect_command.h"
#include "client/protection_client.h"
#include "client/query_commands.h"
#include "client/terminal_text.h"

namespace antidiffusion {
namespace {

bool IsTerminal(int fd) {
  const char* kind = std::getenv("TERM");
  return isatty(fd) == 1 && kind != nullptr && std::string_view(kind) != "dumb";
}

int TerminalRows() {
  winsize size = {};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 ? size.ws_row : 24;
}

int Run(const CommandLine& line) {
  if (line.command == CommandLine::Command::kCompare) {
    return RunCompare(line.compare, std::cout, std::cerr);
  }
  const InterruptWatcher interrupt;  // before gRPC makes threads
  const std::stop_token stop = interrupt.token();
  absl::StatusOr<Credentials> credentials = LoadCredentials(line.connection.credentials);
  if (!credentials.ok()) {
    std::cerr << PrintableText(credentials.status().message()) << std::endl;
    return kExitUsage;
  }
  const ProtectionClient client(
      {.server = line.connection.server, .credentials = *std::move(credentials)});
  ProgressDisplay display(std::cerr,
                          {.terminal = IsTerminal(STDERR_FILENO), .terminal_rows = TerminalRows});
  if (line.command == CommandLine::Command::kProtect) {
    return RunProtect(line.protect, client, display, std::cout, stop);
  }
  if (line.command == CommandLine::Command::kJobs) {
    return RunJobs(line.jobs, client, display, std::cout, stop);
  }
  const CallOptions call = {.deadline = absl::Now() + line.timeout, .stop = stop};
  if (line.command == CommandLine::Command::kHealth) {
    return RunHealth(client, call, std::cout, std::cerr);
  }
  return RunModels(client, call, line.json, std::cout, std::cerr);
}

}  // namespace
}  // namespace antidiffusion

int main(int argc, char** argv) {
  const auto parsed = antidiffusion::ParseCommandLine(argc, argv, std::cout, std::cerr);
  if (const int* code = std::get_if<int>(&parsed)) return *code;
  return antidiffusion::Run(std::get<antidiffusion::CommandLine>(parsed));
}
