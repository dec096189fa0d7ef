// Photographs on disk: read within bounds, written whole or not at all.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace antidiffusion {

// As much as a server takes by default.
inline constexpr int64_t kMaxInputBytes = int64_t{32} << 20;

// The bytes of a regular file. INVALID_ARGUMENT: empty, over `max_bytes` (found before anything is
// read), or a folder, pipe or device; NOT_FOUND, PERMISSION_DENIED, ... as the system says.
absl::StatusOr<std::string> ReadInputFile(const std::filesystem::path& path,
                                          int64_t max_bytes = kMaxInputBytes);

// Makes the folder of `path` and proves that a file can be made in it: better known before minutes
// of work than after.
absl::Status PrepareOutputFolder(const std::filesystem::path& path);

// Writes beside `path` and renames, so that `path` is the old file or the whole new one at any
// time, also after a crash. The mode is that of any new file (umask). Replaces what is there.
absl::Status WriteFileAtomically(const std::filesystem::path& path, absl::string_view bytes);

}  // namespace antidiffusion
