// What the files of a tokenizer folder say.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

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

// Fills in vocabulary, merges and added tokens from the tokenizer.json at `path`. That file
// describes its steps (normalisation, splitting, pieces) one by one; they are compared with CLIP's
// and then not used: the ids are those of the slow tokenizer with the same vocabulary (see
// ClipTokenizer), from which the fast one differs for a few rare characters. NOT_FOUND; DATA_LOSS:
// the file does not add up, or an id is not below `vocab_size`; FAILED_PRECONDITION: steps that are
// not CLIP's.
absl::Status ReadTokenizerJson(const std::string& path, int64_t vocab_size, TokenizerFiles& files);

// A token as these files write it: a string, or an object with `content`. DATA_LOSS: neither, or
// empty; FAILED_PRECONDITION: one that is only found between other words. `where` names it in
// messages.
absl::StatusOr<std::string> TokenContent(const nlohmann::json& token, absl::string_view where);

// A token's id. DATA_LOSS unless it is a whole number in [0, vocab_size).
absl::StatusOr<int64_t> TokenId(const nlohmann::json& id, absl::string_view token,
                                int64_t vocab_size);

}  // namespace antidiffusion
