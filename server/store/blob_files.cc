#include "server/store/blob_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "core/base/file.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"

namespace antidiffusion {
namespace {

constexpr int64_t kMaxFileBytes = int64_t{1} << 31;
constexpr int64_t kCheckedAtOnce = int64_t{1} << 20;

absl::Status Failed(const std::string& what, const std::string& path) {
  return absl::UnavailableError(absl::StrCat("cannot ", what, " ", path, ": ", strerror(errno)));
}

absl::Status WriteAll(int descriptor, const std::string& bytes, const std::string& path) {
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t count = write(descriptor, bytes.data() + done, bytes.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return Failed("write", path);
    done += static_cast<size_t>(count);
  }
  return fsync(descriptor) == 0 ? absl::OkStatus() : Failed("flush", path);
}

absl::Status NotWhatWasWritten(const std::string& path) {
  return absl::DataLossError(absl::StrCat(path, " is not what was written"));
}

// As much of what was asked for as the file holds.
absl::StatusOr<std::string> ReadAt(int descriptor, int64_t offset, int64_t size,
                                   const std::string& path) {
  std::string bytes(static_cast<size_t>(size), '\0');
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t count = pread(descriptor, bytes.data() + done, bytes.size() - done,
                                static_cast<off_t>(offset) + static_cast<off_t>(done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return Failed("read", path);
    if (count == 0) break;
    done += static_cast<size_t>(count);
  }
  bytes.resize(done);
  return bytes;
}

absl::Status FlushFolder(const std::string& folder) {
  const int descriptor = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return Failed("open", folder);
  const bool flushed = fsync(descriptor) == 0;
  close(descriptor);
  return flushed ? absl::OkStatus() : Failed("flush", folder);
}

}  // namespace

absl::StatusOr<BlobFiles> BlobFiles::Open(const std::string& folder) {
  if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) return Failed("make", folder);
  if (chmod(folder.c_str(), 0700) != 0) return Failed("protect", folder);
  return BlobFiles(folder);
}

absl::Status BlobFiles::Write(const std::string& digest, const std::string& bytes) const {
  const std::string path = PathOf(digest);
  if (access(path.c_str(), F_OK) == 0) return FlushFolder(folder_);  // the last try may not have
  const std::string beside = path + ".new";
  const int descriptor = open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (descriptor < 0) return Failed("create", beside);
  const absl::Status written = WriteAll(descriptor, bytes, beside);
  close(descriptor);
  if (!written.ok() || rename(beside.c_str(), path.c_str()) != 0) {
    absl::Status failed = written.ok() ? Failed("rename", beside) : written;
    unlink(beside.c_str());
    return failed;
  }
  return FlushFolder(folder_);
}

absl::StatusOr<std::string> BlobFiles::Read(const std::string& digest) const {
  AD_ASSIGN_OR_RETURN(std::string bytes, ReadFile(PathOf(digest), kMaxFileBytes));
  if (Sha256Hex(bytes) != digest) return NotWhatWasWritten(PathOf(digest));
  return bytes;
}

absl::Status BlobFiles::Check(const std::string& digest) const {
  const std::string path = PathOf(digest);
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return absl::ErrnoToStatus(errno, path);
  const absl::Cleanup close_descriptor = [descriptor] { close(descriptor); };
  Sha256 sum;
  int64_t offset = 0;
  while (true) {
    AD_ASSIGN_OR_RETURN(const std::string bytes, ReadAt(descriptor, offset, kCheckedAtOnce, path));
    if (bytes.empty()) break;
    sum.Update(bytes);
    offset += static_cast<int64_t>(bytes.size());
  }
  return sum.FinishHex() == digest ? absl::OkStatus() : NotWhatWasWritten(path);
}

absl::StatusOr<std::string> BlobFiles::ReadPiece(const std::string& digest, int64_t offset,
                                                 int64_t size) const {
  const std::string path = PathOf(digest);
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return absl::ErrnoToStatus(errno, path);
  const absl::Cleanup close_descriptor = [descriptor] { close(descriptor); };
  AD_ASSIGN_OR_RETURN(std::string bytes, ReadAt(descriptor, offset, size, path));
  if (bytes.empty()) return NotWhatWasWritten(path);
  return bytes;
}

void BlobFiles::Delete(const std::string& digest) const { unlink(PathOf(digest).c_str()); }

void BlobFiles::DeleteAllBut(const std::set<std::string>& wanted) const {
  std::error_code error;
  std::vector<std::filesystem::path> unwanted;
  for (const auto& entry : std::filesystem::directory_iterator(folder_, error)) {
    if (!wanted.contains(entry.path().filename().string())) unwanted.push_back(entry.path());
  }
  for (const std::filesystem::path& path : unwanted) std::filesystem::remove(path, error);
}

}  // namespace antidiffusion
