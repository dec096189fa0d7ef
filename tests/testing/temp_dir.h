// A temporary folder of a test, removed with everything in it at the end.
//
//   TempDir dir;
//   const std::string path = dir.Write("config.json", "{}");
#pragma once

#include <string>
#include <string_view>

namespace antidiffusion {

// Throws std::filesystem::filesystem_error or std::runtime_error (the test then fails) where the
// file system refuses.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::string& path() const { return path_; }

  // The path of `name` (which may contain folders) below this folder; creates nothing.
  std::string File(std::string_view name) const;

  // Writes a file, and the folders above it, and gives its path.
  std::string Write(std::string_view name, std::string_view contents) const;

 private:
  std::string path_;
};

// The bytes of a file.
std::string ReadFileBytes(const std::string& path);

}  // namespace antidiffusion
