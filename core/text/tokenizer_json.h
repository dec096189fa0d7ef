// tokenizer.json: a whole tokenizer in one file, as the "fast" tokenizers write it. Releases from
// transformers 5 on write no other.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "core/text/tokenizer_files.h"

namespace antidiffusion {

// Fills in vocabulary, merges and added tokens. The file describes its steps (normalisation,
// splitting, pieces) one by one; they are compared with CLIP's and then not used: the ids are those
// of the slow tokenizer with the same vocabulary (see ClipTokenizer), from which the fast one
// differs for a few rare characters. NOT_FOUND; DATA_LOSS: the file does not add up, or an id is
// not below `vocab_size`; FAILED_PRECONDITION: steps that are not CLIP's.
absl::Status ReadTokenizerJson(const std::string& path, int64_t vocab_size, TokenizerFiles& files);

}  // namespace antidiffusion
