// What the files of a tokenizer folder say.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"

namespace antidiffusion {

struct TokenizerFiles {
  absl::flat_hash_map<std::string, int64_t> vocabulary;  // of the file, then `added` over it
  std::vector<std::pair<std::string, std::string>> merges;
  absl::btree_map<std::string, int64_t> added;  // special and added tokens: never cut into pieces
  int64_t begin_id = 0;
  int64_t end_id = 0;
  int64_t unknown_id = 0;
  int64_t pad_id = 0;
};

// See ClipTokenizer::Create.
absl::StatusOr<TokenizerFiles> ReadTokenizerFiles(const std::string& directory, int64_t vocab_size);

}  // namespace antidiffusion
