#include "client/output_naming.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <system_error>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace antidiffusion {
namespace {

namespace fs = std::filesystem;

constexpr std::array<absl::string_view, 4> kPhotographs = {".png", ".jpg", ".jpeg", ".webp"};

bool IsPhotograph(const fs::path& path) {
  const std::string extension = absl::AsciiStrToLower(path.extension().string());
  return std::find(kPhotographs.begin(), kPhotographs.end(), extension) != kPhotographs.end();
}

bool IsOwnResult(const fs::path& path) {
  return path.stem().extension() == ".protected" ||
         absl::EndsWith(path.filename().string(), ".comparison.png");
}

absl::Status FromErrorCode(const std::error_code& error) {
  return absl::ErrnoToStatus(error.value(), "cannot be read");
}

class Collector {
 public:
  explicit Collector(const NamingOptions& options) : options_(options) {}

  void Add(const fs::path& path) {
    std::error_code error;
    const fs::file_status status = fs::status(path, error);
    if (status.type() == fs::file_type::directory) {
      photographs_ = 0;
      if (AddFolder(path, fs::path()) && photographs_ == 0) {
        AddError(path, absl::NotFoundError("no PNG, JPEG or WebP file in this folder"));
      }
    } else if (status.type() == fs::file_type::not_found) {
      AddError(path, absl::NotFoundError("no such file"));
    } else if (status.type() == fs::file_type::none) {
      AddError(path, FromErrorCode(error));
    } else {
      AddFile(path, fs::path());
    }
  }

  std::vector<FileTask> Take() { return std::move(tasks_); }

 private:
  // `below`: the place of `folder` under the folder that was named. False: could not be read.
  bool AddFolder(const fs::path& folder, const fs::path& below) {
    std::error_code error;
    std::vector<fs::path> files;
    std::vector<fs::path> folders;
    for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
         entry.increment(error)) {
      std::error_code ignored;
      if (entry->is_directory(ignored)) {
        if (!entry->is_symlink(ignored)) folders.push_back(entry->path());
      } else if (IsPhotograph(entry->path()) && !IsOwnResult(entry->path())) {
        files.push_back(entry->path());
      }
    }
    if (error) {
      AddError(folder, FromErrorCode(error));
      return false;
    }
    std::sort(files.begin(), files.end());
    std::sort(folders.begin(), folders.end());
    for (const fs::path& file : files) AddFile(file, below);
    bool readable = true;
    if (options_.recursive) {
      for (const fs::path& inner : folders) readable &= AddFolder(inner, below / inner.filename());
    }
    return readable;
  }

  void AddFile(const fs::path& input, const fs::path& below) {
    ++photographs_;
    if (!inputs_.insert(Key(input)).second) return;
    const fs::path folder =
        options_.output_folder.empty() ? input.parent_path() : options_.output_folder / below;
    fs::path output = folder / ProtectedName(input.filename(), options_.extension);
    const auto [owner, is_new] = outputs_.emplace(Key(output), input.string());
    if (is_new) {
      tasks_.push_back({input, std::move(output), absl::OkStatus()});
    } else {
      AddError(input, absl::AlreadyExistsError(absl::StrCat("its output ", output.string(),
                                                            " is that of ", owner->second)));
    }
  }

  void AddError(const fs::path& input, absl::Status status) {
    tasks_.push_back({input, fs::path(), std::move(status)});
  }

  // One text for all ways to write a path; the file need not exist.
  static std::string Key(const fs::path& path) {
    std::error_code error;
    const fs::path canonical = fs::weakly_canonical(path, error);
    return error ? path.lexically_normal().string() : canonical.string();
  }

  const NamingOptions& options_;
  std::vector<FileTask> tasks_;
  std::set<std::string> inputs_;
  std::map<std::string, std::string> outputs_;  // output -> the input that has it
  int photographs_ = 0;                         // in the folder that was named last
};

}  // namespace

fs::path ProtectedName(const fs::path& name, absl::string_view extension) {
  fs::path result = name.stem();
  result += ".protected";
  if (extension.empty()) {
    result += name.extension();
  } else {
    result += absl::StrCat(".", extension);
  }
  return result;
}

std::vector<FileTask> CollectFiles(const std::vector<std::string>& paths,
                                   const NamingOptions& options) {
  Collector collector(options);
  for (const std::string& path : paths) collector.Add(path);
  return collector.Take();
}

}  // namespace antidiffusion
