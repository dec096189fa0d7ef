#include "client/file_io.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <random>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/status_macros.h"

namespace antidiffusion {
namespace {

namespace fs = std::filesystem;

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  ~FileDescriptor() { Close(); }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;

  int get() const { return fd_; }
  bool Close() { return fd_ < 0 || close(std::exchange(fd_, -1)) == 0; }

 private:
  int fd_;
};

fs::path FolderOf(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

fs::path TemporaryBeside(const fs::path& path) {
  std::random_device random;
  return FolderOf(path) /
         absl::StrFormat(".%s.%08x%08x", path.filename().string(), random(), random());
}

absl::Status WriteAll(int fd, absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return absl::ErrnoToStatus(errno, "cannot be written");
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::Status WriteNewFile(const fs::path& path, absl::string_view bytes) {
  FileDescriptor file(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
  if (file.get() < 0) return absl::ErrnoToStatus(errno, "cannot be made");
  AD_RETURN_IF_ERROR(WriteAll(file.get(), bytes));
  if (fsync(file.get()) != 0 || !file.Close()) {
    return absl::ErrnoToStatus(errno, "cannot be written");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> ReadInputFile(const fs::path& path, int64_t max_bytes) {
  // Non-blocking, so that a pipe without a writer does not hold the batch.
  FileDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) return absl::ErrnoToStatus(errno, "cannot be read");
  struct stat info = {};
  if (fstat(file.get(), &info) != 0) return absl::ErrnoToStatus(errno, "cannot be read");
  if (!S_ISREG(info.st_mode)) return absl::InvalidArgumentError("not a regular file");
  if (info.st_size == 0) return absl::InvalidArgumentError("the file is empty");
  if (info.st_size > max_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("the file has ", info.st_size, " bytes, allowed: ", max_bytes));
  }
  std::string bytes(static_cast<size_t>(info.st_size), '\0');
  size_t filled = 0;
  while (filled < bytes.size()) {
    const ssize_t count = read(file.get(), bytes.data() + filled, bytes.size() - filled);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return absl::ErrnoToStatus(errno, "cannot be read");
    if (count == 0) break;
    filled += static_cast<size_t>(count);
  }
  bytes.resize(filled);
  return bytes;
}

absl::Status PrepareOutputFolder(const fs::path& path) {
  const fs::path folder = FolderOf(path);
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) {
    return absl::ErrnoToStatus(error.value(),
                               absl::StrCat("output folder ", folder.string(), " cannot be made"));
  }
  if (access(folder.c_str(), W_OK | X_OK) != 0) {
    return absl::ErrnoToStatus(errno,
                               absl::StrCat("output folder ", folder.string(), " is not writable"));
  }
  return absl::OkStatus();
}

absl::Status WriteFileAtomically(const fs::path& path, absl::string_view bytes) {
  const fs::path temporary = TemporaryBeside(path);
  absl::Status status = WriteNewFile(temporary, bytes);
  if (status.ok() && std::rename(temporary.c_str(), path.c_str()) != 0) {
    status = absl::ErrnoToStatus(errno, "cannot be renamed");
  }
  if (!status.ok()) {
    unlink(temporary.c_str());
    return absl::Status(status.code(), absl::StrCat(path.string(), ": ", status.message()));
  }
  return absl::OkStatus();
}

}  // namespace antidiffusion
