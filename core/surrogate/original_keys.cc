#include "core/surrogate/original_keys.h"

#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace antidiffusion {

OriginalKeys::OriginalKeys(const NamedShapes& shapes, std::string prefix,
                           const SafetensorsFile* file)
    : shapes_(shapes), prefix_(std::move(prefix)), file_(file) {}

bool OriginalKeys::Has(const std::string& name) const {
  return shapes_.find(absl::StrCat(prefix_, name)) != shapes_.end();
}

bool OriginalKeys::HasAnyUnder(const std::string& beginning) const {
  const std::string full = absl::StrCat(prefix_, beginning);
  const auto found = shapes_.lower_bound(full);
  return found != shapes_.end() && absl::StartsWith(found->first, full);
}

size_t OriginalKeys::Rank(const std::string& name) const {
  const auto found = shapes_.find(absl::StrCat(prefix_, name));
  return found == shapes_.end() ? 0 : found->second.size();
}

int64_t OriginalKeys::Side(const std::string& name, size_t dimension) const {
  const auto found = shapes_.find(absl::StrCat(prefix_, name));
  if (found == shapes_.end() || found->second.size() <= dimension) return 0;
  return found->second[dimension];
}

int64_t OriginalKeys::Count(const std::string& beginning) const {
  int64_t count = 0;
  while (HasAnyUnder(absl::StrCat(beginning, count, "."))) ++count;
  return count;
}

TensorSource OriginalKeys::Source(const std::string& name) const {
  TensorSource source;
  source.file = file_;
  source.name = absl::StrCat(prefix_, name);
  return source;
}

void OriginalKeys::MapUnder(const std::string& from, const std::string& to, const Renames& renames,
                            bool pointwise) {
  const std::string full = absl::StrCat(prefix_, from);
  for (auto item = shapes_.lower_bound(full);
       item != shapes_.end() && absl::StartsWith(item->first, full); ++item) {
    std::string rest = item->first.substr(full.size());
    for (const auto& [old_name, new_name] : renames) {
      if (!absl::StartsWith(rest, old_name)) continue;
      rest = absl::StrCat(new_name, rest.substr(old_name.size()));
      break;
    }
    TensorSource source = Source(item->first.substr(prefix_.size()));
    source.pointwise = pointwise;
    Add(absl::StrCat(to, rest), std::move(source));
  }
}

std::vector<std::string> UnreadNames(const NamedShapes& shapes,
                                     const std::vector<const OriginalPart*>& parts) {
  std::set<std::string> read;
  for (const OriginalPart* part : parts) {
    for (const auto& [name, source] : part->tensors) read.insert(source.name);
  }
  std::vector<std::string> unread;
  for (const auto& [name, shape] : shapes) {
    if (read.count(name) == 0) unread.push_back(name);
  }
  return unread;
}

}  // namespace antidiffusion
