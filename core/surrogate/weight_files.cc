#include "core/surrogate/weight_files.h"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/file.h"
#include "core/base/json_file.h"
#include "core/base/status_macros.h"
#include "core/checkpoint/safetensors_header.h"

namespace antidiffusion {
namespace {

using Json = nlohmann::json;

constexpr int64_t kMaxIndexBytes = int64_t{4} << 20;  // of 1,700 tensors (SDXL's UNet): 0.2 MB
constexpr int64_t kMaxPointerBytes = 1024;            // by the specification of git-LFS
constexpr size_t kMaxShards = 1000;

// A name of a file in the same folder: never a way out of it.
bool IsPlainFileName(const std::string& name) {
  return absl::EndsWith(name, ".safetensors") && name.front() != '.' &&
         name.find('/') == std::string::npos && name.find('\\') == std::string::npos &&
         name.find('\0') == std::string::npos;
}

absl::StatusOr<std::vector<std::string>> ShardsOfIndex(const std::string& folder,
                                                       const std::string& path) {
  AD_ASSIGN_OR_RETURN(const Json index, ReadJsonFile(path, kMaxIndexBytes));
  const auto map = index.find("weight_map");
  if (map == index.end() || !map->is_object() || map->empty()) {
    return absl::DataLossError(absl::StrCat(path, ": no weight_map"));
  }
  std::set<std::string> names;
  for (const Json& value : *map) {
    if (!value.is_string() || !IsPlainFileName(value.get_ref<const std::string&>())) {
      return absl::DataLossError(absl::StrCat(
          path, ": ",
          value.is_string() ? absl::CHexEscape(value.get<std::string>().substr(0, 100)) : "a value",
          " is no name of a .safetensors file in the folder"));
    }
    names.insert(value.get<std::string>());
    if (names.size() > kMaxShards)
      return absl::DataLossError(absl::StrCat(path, ": over 1000 files"));
  }
  std::vector<std::string> paths;
  for (const std::string& name : names) {
    paths.push_back(absl::StrCat(folder, "/", name));
    if (!PathExists(paths.back())) {
      return absl::NotFoundError(absl::StrCat(paths.back(), ", named in ", path, ", is missing"));
    }
  }
  return paths;
}

bool IsPointerFile(const std::string& path) {
  const absl::StatusOr<std::string> bytes = ReadFile(path, kMaxPointerBytes);
  return bytes.ok() && IsLfsPointer(*bytes);
}

// What there is of one variant; empty when there is nothing.
absl::StatusOr<std::vector<std::string>> FilesOfVariant(const std::string& folder,
                                                        const std::string& stem,
                                                        const char* variant) {
  std::string file = absl::StrCat(folder, "/", stem, variant, ".safetensors");
  if (PathExists(file)) return std::vector<std::string>{std::move(file)};
  // The variant's place in the name of an index changed between releases.
  for (const std::string& index :
       {absl::StrCat(folder, "/", stem, ".safetensors.index", variant, ".json"),
        absl::StrCat(folder, "/", stem, variant, ".safetensors.index.json")}) {
    if (PathExists(index)) return ShardsOfIndex(folder, index);
  }
  return std::vector<std::string>();
}

absl::Status NoWeights(const std::string& folder, const std::string& stem) {
  const std::string pickle = FindPickle(folder);
  if (pickle.empty()) {
    return absl::NotFoundError(absl::StrCat(folder, ": no ", stem, ".safetensors"));
  }
  return absl::FailedPreconditionError(absl::StrCat(
      folder, ": only pickled weights (", pickle,
      "), which may run code when they are read; convert them in Python with diffusers: "
      "DiffusionPipeline.from_pretrained(FOLDER).save_pretrained(NEW_FOLDER, "
      "safe_serialization=True)"));
}

absl::StatusOr<std::vector<std::string>> FindWeightFiles(const std::string& folder,
                                                         const std::string& stem,
                                                         std::vector<std::string>& notes) {
  std::string pointer;  // the first that was found
  for (const char* variant : {"", ".fp16", ".bf16"}) {
    AD_ASSIGN_OR_RETURN(std::vector<std::string> files, FilesOfVariant(folder, stem, variant));
    if (files.empty()) continue;
    const auto found = std::find_if(files.begin(), files.end(), IsPointerFile);
    if (found != files.end()) {
      if (pointer.empty()) pointer = *found;
      continue;
    }
    if (!pointer.empty()) {
      notes.push_back(absl::StrCat(pointer, " is a git-LFS pointer; read is ", files.front()));
    }
    return files;
  }
  if (!pointer.empty()) return std::vector<std::string>{pointer};  // opening it says what it is
  return NoWeights(folder, stem);
}

}  // namespace

bool IsPickleName(const std::string& path) {
  const std::string extension = std::filesystem::path(path).extension().string();
  for (const char* pickled : {".bin", ".ckpt", ".pt", ".pth", ".pkl"}) {
    if (extension == pickled) return true;
  }
  return false;
}

std::string FindPickle(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (IsPickleName(name)) names.push_back(name);
  }
  return names.empty() ? "" : absl::CHexEscape(*std::min_element(names.begin(), names.end()));
}

absl::Status PickledCheckpoint(const std::string& path) {
  return absl::FailedPreconditionError(absl::StrCat(
      path,
      ": a pickled checkpoint, which may run code when it is read; take its .safetensors form, or "
      "convert it with diffusers' scripts/convert_original_stable_diffusion_to_diffusers.py "
      "--to_safetensors"));
}

absl::StatusOr<std::vector<SafetensorsFile>> OpenWeightFiles(const std::string& folder,
                                                             const std::string& stem,
                                                             std::vector<std::string>& notes) {
  AD_ASSIGN_OR_RETURN(const std::vector<std::string> paths, FindWeightFiles(folder, stem, notes));
  std::vector<SafetensorsFile> files;
  for (const std::string& path : paths) {
    AD_ASSIGN_OR_RETURN(SafetensorsFile file, SafetensorsFile::Open(path));
    files.push_back(std::move(file));
  }
  return files;
}

}  // namespace antidiffusion
