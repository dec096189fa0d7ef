#include "server/tls/memory_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "core/base/status_macros.h"

namespace antidiffusion {
namespace {

absl::Status WriteAll(int descriptor, absl::string_view rest) {
  while (!rest.empty()) {
    const ssize_t count = write(descriptor, rest.data(), rest.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return absl::ErrnoToStatus(errno, "cannot write a file in memory");
    rest.remove_prefix(static_cast<size_t>(count));
  }
  return absl::OkStatus();
}

// The descriptor of a new one.
absl::StatusOr<int> NewFile(const std::string& contents, int version) {
  const int descriptor = memfd_create("antidiffusion", MFD_CLOEXEC);
  if (descriptor < 0) return absl::ErrnoToStatus(errno, "cannot make a file in memory");
  absl::Cleanup close_descriptor = [descriptor] { close(descriptor); };
  AD_RETURN_IF_ERROR(WriteAll(descriptor, contents));
  const timespec times[2] = {{version, 0}, {version, 0}};
  if (fchmod(descriptor, S_IRUSR) != 0 || futimens(descriptor, times) != 0) {
    return absl::ErrnoToStatus(errno, "cannot make a file in memory");
  }
  std::move(close_descriptor).Cancel();
  return descriptor;
}

}  // namespace

absl::StatusOr<std::unique_ptr<MemoryFile>> MemoryFile::Create(const std::string& contents) {
  AD_ASSIGN_OR_RETURN(const int descriptor, NewFile(contents, 1));
  return std::unique_ptr<MemoryFile>(new MemoryFile(descriptor));
}

MemoryFile::~MemoryFile() { close(descriptor_); }

std::string MemoryFile::path() const { return absl::StrCat("/proc/self/fd/", descriptor_); }

absl::Status MemoryFile::Replace(const std::string& contents) {
  AD_ASSIGN_OR_RETURN(const int other, NewFile(contents, version_ + 1));
  const absl::Cleanup close_other = [other] { close(other); };
  if (dup3(other, descriptor_, O_CLOEXEC) < 0) {  // the switch: the path leads to the other now
    return absl::ErrnoToStatus(errno, "cannot replace a file in memory");
  }
  ++version_;
  return absl::OkStatus();
}

}  // namespace antidiffusion
