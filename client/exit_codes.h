// What the program's exit status means. Scripts rely on the numbers; `--help` lists them.
#pragma once

namespace antidiffusion {

inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;  // at least one file failed, or the answer was no
inline constexpr int kExitUsage = 2;   // wrong command line, key or certificate; nothing was sent
inline constexpr int kExitUnreachable = 3;    // no connection to the server, or it was lost
inline constexpr int kExitInterrupted = 130;  // Ctrl-C or SIGTERM

}  // namespace antidiffusion
