#include "core/checkpoint/safetensors.h"

#include <ATen/ops/empty.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/checkpoint/safetensors_header.h"

namespace antidiffusion {
namespace {

constexpr size_t kHashedBytes = size_t{4} << 20;

// nullopt for a dtype that is not read.
std::optional<c10::ScalarType> ScalarTypeOf(SafetensorsDtype dtype) {
  switch (dtype) {
    case SafetensorsDtype::kF64:
      return c10::kDouble;
    case SafetensorsDtype::kF32:
      return c10::kFloat;
    case SafetensorsDtype::kF16:
      return c10::kHalf;
    case SafetensorsDtype::kBF16:
      return c10::kBFloat16;
    case SafetensorsDtype::kI64:
      return c10::kLong;
    case SafetensorsDtype::kI32:
      return c10::kInt;
    case SafetensorsDtype::kI16:
      return c10::kShort;
    case SafetensorsDtype::kI8:
      return c10::kChar;
    case SafetensorsDtype::kU8:
      return c10::kByte;
    case SafetensorsDtype::kBool:
      return c10::kBool;
    default:
      return std::nullopt;
  }
}

// Takes the whole pages within `bytes`, a part of a mapped file, out of the process's memory; they
// come back when they are read again. Else a file would be in memory twice while it is loaded.
void DropPages(absl::string_view bytes) {
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto address = reinterpret_cast<uintptr_t>(bytes.data());
  const uintptr_t skipped = (page - address % page) % page;  // up to the first whole page
  if (bytes.size() < skipped + page) return;
  const uintptr_t length = (bytes.size() - skipped) / page * page;
  madvise(const_cast<char*>(bytes.data()) + skipped, length, MADV_DONTNEED);
}

absl::Status Annotate(const std::string& path, const absl::Status& status) {
  return {status.code(), absl::StrCat(path, ": ", status.message())};
}

}  // namespace

struct SafetensorsFile::Mapping {
  Mapping() = default;
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping() {
    if (!bytes.empty()) munmap(const_cast<char*>(bytes.data()), bytes.size());
    if (descriptor >= 0) close(descriptor);
  }

  // NOT_FOUND when the file has no such tensor.
  absl::StatusOr<const SafetensorsEntry*> Find(absl::string_view name) const {
    const auto position = entries.find(name);
    if (position == entries.end()) {
      return absl::NotFoundError(
          absl::StrCat(path, ": no tensor \"", absl::CHexEscape(name), "\""));
    }
    return &position->second;
  }

  // FAILED_PRECONDITION for a dtype that is not read.
  absl::StatusOr<c10::ScalarType> TypeOf(absl::string_view name,
                                         const SafetensorsEntry& entry) const {
    if (const auto type = ScalarTypeOf(entry.dtype); type.has_value()) return *type;
    return absl::FailedPreconditionError(absl::StrCat(path, ": \"", absl::CHexEscape(name),
                                                      "\" is stored as ", DtypeName(entry.dtype),
                                                      "; take the file in fp16, or convert it"));
  }

  std::string path;
  int descriptor = -1;      // owned
  struct stat opened = {};  // what it said when it was opened
  absl::string_view bytes;  // of the whole file
  SafetensorsEntries entries;
};

SafetensorsFile::SafetensorsFile(std::unique_ptr<Mapping> mapping) : mapping_(std::move(mapping)) {}
SafetensorsFile::SafetensorsFile(SafetensorsFile&&) noexcept = default;
SafetensorsFile& SafetensorsFile::operator=(SafetensorsFile&&) noexcept = default;
SafetensorsFile::~SafetensorsFile() = default;

absl::StatusOr<SafetensorsFile> SafetensorsFile::Open(const std::string& path) {
  // O_NONBLOCK: opening a pipe must not wait for its writer.
  auto mapping = std::make_unique<Mapping>();
  mapping->path = path;
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) return absl::ErrnoToStatus(errno, path);
  mapping->descriptor = descriptor;

  struct stat& info = mapping->opened;
  if (fstat(descriptor, &info) != 0) return absl::ErrnoToStatus(errno, path);
  if (!S_ISREG(info.st_mode)) return absl::DataLossError(absl::StrCat(path, ": not a file"));
  if (info.st_size > 0) {
    const auto size = static_cast<size_t>(info.st_size);
    void* address = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (address == MAP_FAILED) return absl::ErrnoToStatus(errno, path);
    mapping->bytes = absl::string_view(static_cast<const char*>(address), size);
  }
  absl::StatusOr<SafetensorsEntries> entries = ParseSafetensorsHeader(mapping->bytes);
  if (!entries.ok()) return Annotate(path, entries.status());
  mapping->entries = std::move(entries).value();
  return SafetensorsFile(std::move(mapping));
}

const std::string& SafetensorsFile::path() const { return mapping_->path; }

absl::Status SafetensorsFile::CheckUnchanged() const {
  const struct stat& before = mapping_->opened;
  struct stat now = {};
  if (fstat(mapping_->descriptor, &now) != 0) return absl::ErrnoToStatus(errno, path());
  if (now.st_size == before.st_size && now.st_mtim.tv_sec == before.st_mtim.tv_sec &&
      now.st_mtim.tv_nsec == before.st_mtim.tv_nsec) {
    return absl::OkStatus();
  }
  return absl::DataLossError(absl::StrCat(path(), " was changed while it was in use"));
}

std::vector<std::string> SafetensorsFile::names() const {
  std::vector<std::string> names;
  names.reserve(mapping_->entries.size());
  for (const auto& item : mapping_->entries) names.push_back(item.first);
  return names;
}

bool SafetensorsFile::Contains(absl::string_view name) const { return mapping_->Find(name).ok(); }

void SafetensorsFile::HashInto(Sha256& sha) const {
  for (size_t at = 0; at < mapping_->bytes.size(); at += kHashedBytes) {
    const absl::string_view piece = mapping_->bytes.substr(at, kHashedBytes);
    sha.Update(piece);
    DropPages(piece);
  }
}

absl::StatusOr<std::vector<int64_t>> SafetensorsFile::Shape(absl::string_view name) const {
  AD_ASSIGN_OR_RETURN(const SafetensorsEntry* entry, mapping_->Find(name));
  return entry->shape;
}

absl::Status SafetensorsFile::CheckIsWeight(absl::string_view name) const {
  AD_ASSIGN_OR_RETURN(const SafetensorsEntry* entry, mapping_->Find(name));
  AD_ASSIGN_OR_RETURN(const c10::ScalarType type, mapping_->TypeOf(name, *entry));
  if (c10::isFloatingType(type)) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(mapping_->path, ": \"", absl::CHexEscape(name),
                                          "\" holds integers (", DtypeName(entry->dtype),
                                          "), weights are floating point"));
}

absl::StatusOr<at::Tensor> SafetensorsFile::Read(absl::string_view name) const {
  AD_ASSIGN_OR_RETURN(const SafetensorsEntry* entry, mapping_->Find(name));
  AD_ASSIGN_OR_RETURN(const c10::ScalarType type, mapping_->TypeOf(name, *entry));
  const absl::string_view data = mapping_->bytes.substr(entry->begin, entry->end - entry->begin);
  if (entry->dtype == SafetensorsDtype::kBool &&
      std::any_of(data.begin(), data.end(), [](char c) { return c != 0 && c != 1; })) {
    return absl::DataLossError(absl::StrCat(mapping_->path, ": \"", absl::CHexEscape(name),
                                            "\" holds a BOOL that is neither 0 nor 1"));
  }
  at::Tensor tensor = at::empty(entry->shape, type);
  if (!data.empty()) std::memcpy(tensor.mutable_data_ptr(), data.data(), data.size());
  DropPages(data);
  return tensor;
}

}  // namespace antidiffusion
