// Which files a command line means, and what their protected copies are called.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace antidiffusion {

struct NamingOptions {
  std::filesystem::path output_folder = {};  // empty: beside the input
  std::string extension = "png";             // of the copies; empty: that of the input
  bool recursive = false;                    // also what lies in folders below a given folder
};

struct FileTask {
  std::filesystem::path input;
  std::filesystem::path output;  // empty where `status` is an error
  absl::Status status;           // why this file cannot even be tried
};

// photo.jpg -> photo.protected.png. `extension` without a dot; empty keeps that of `name`.
std::filesystem::path ProtectedName(const std::filesystem::path& name, absl::string_view extension);

// One task for each file, in the order of `paths`; a folder gives its PNG, JPEG and WebP files
// (by extension, in any case) in the order of their names, without the results of earlier runs
// (*.protected.*, *.comparison.png). Symbolic links to folders are not followed. With an output
// folder, what lies below a given folder keeps its place: FOLDER/a/b.jpg -> OUT/a/b.protected.png.
// A file that is named twice is one task. Errors are tasks, too:
//   NOT_FOUND       no such file, or a folder without a photograph
//   ALREADY_EXISTS  two inputs would be given one output (photo.jpg and photo.png)
//   others          a folder cannot be read
// Reads the file system, writes nothing.
std::vector<FileTask> CollectFiles(const std::vector<std::string>& paths,
                                   const NamingOptions& options);

}  // namespace antidiffusion
