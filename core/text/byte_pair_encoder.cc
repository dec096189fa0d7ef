#include "core/text/byte_pair_encoder.h"

#include <algorithm>
#include <cstddef>
#include <functional>
#include <queue>
#include <tuple>

#include "absl/strings/str_cat.h"

namespace antidiffusion {
namespace {

constexpr char kEndOfWord[] = "</w>";
constexpr int kBytes = 256;
constexpr int32_t kNone = -1;

// The character that stands for each byte, in UTF-8: itself where it is printable Latin-1, else one
// of U+0100 onwards in the order of the bytes.
std::vector<std::string> ByteCharacters() {
  std::vector<std::string> characters;
  int next = 0x100;
  for (int byte = 0; byte < kBytes; ++byte) {
    const bool printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
    const int code = printable ? byte : next++;
    characters.push_back(code < 0x80 ? std::string(1, static_cast<char>(code))
                                     : std::string({static_cast<char>(0xC0 | (code >> 6)),
                                                    static_cast<char>(0x80 | (code & 0x3F))}));
  }
  return characters;
}

}  // namespace

BytePairEncoder::BytePairEncoder(const Vocabulary& vocabulary,
                                 const std::vector<std::pair<std::string, std::string>>& merges,
                                 int64_t unknown_id)
    : unknown_id_(unknown_id) {
  for (const std::string& character : ByteCharacters()) {
    inner_bytes_.push_back(Intern(vocabulary, character));
    final_bytes_.push_back(Intern(vocabulary, absl::StrCat(character, kEndOfWord)));
  }
  int32_t rank = 0;
  for (const auto& [first, second] : merges) {
    const Merge merge = {rank++, Intern(vocabulary, absl::StrCat(first, second))};
    merges_[{Intern(vocabulary, first), Intern(vocabulary, second)}] = merge;
  }
}

BytePairEncoder::Symbol BytePairEncoder::Intern(const Vocabulary& vocabulary,
                                                const std::string& text) {
  const auto [position, is_new] =
      symbols_.try_emplace(text, static_cast<Symbol>(symbol_ids_.size()));
  if (is_new) {
    const auto id = vocabulary.find(text);
    symbol_ids_.push_back(id == vocabulary.end() ? unknown_id_ : id->second);
  }
  return position->second;
}

struct BytePairEncoder::Node {
  Symbol symbol = kNone;  // kNone: swallowed by a neighbour
  int32_t previous = kNone;
  int32_t next = kNone;
};

// Works on one word. Each round takes the most urgent pair present and merges all its occurrences
// from left to right; pairs that come up within a round wait for the next one. This is the order of
// the reference, and it matters where two merges give the same symbol.
class BytePairEncoder::Merger {
 public:
  Merger(const BytePairEncoder& encoder, absl::string_view word) : encoder_(encoder) {
    const auto size = static_cast<int32_t>(word.size());
    nodes_.reserve(word.size());
    for (int32_t i = 0; i < size; ++i) {
      const auto byte = static_cast<unsigned char>(word[static_cast<size_t>(i)]);
      const bool last = i + 1 == size;
      nodes_.push_back({last ? encoder.final_bytes_[byte] : encoder.inner_bytes_[byte], i - 1,
                        last ? kNone : i + 1});
    }
    for (int32_t i = 0; i + 1 < size; ++i) Offer(i);
  }

  void Run() {
    std::vector<Candidate> round;
    while (!candidates_.empty()) {
      round.clear();
      const int32_t rank = candidates_.top().rank;
      while (!candidates_.empty() && candidates_.top().rank == rank) {
        round.push_back(candidates_.top());  // by position
        candidates_.pop();
      }
      for (const Candidate& candidate : round) Apply(candidate);
    }
  }

  void AppendIds(std::vector<int64_t>& ids) const {
    for (int32_t i = nodes_.empty() ? kNone : 0; i != kNone; i = At(i).next) {
      ids.push_back(encoder_.symbol_ids_[static_cast<size_t>(At(i).symbol)]);
    }
  }

 private:
  struct Candidate {
    int32_t rank;
    int32_t position;  // of the pair's first node
    Symbol first, second, result;

    bool operator>(const Candidate& other) const {
      return std::tie(rank, position) > std::tie(other.rank, other.position);
    }
  };

  Node& At(int32_t i) { return nodes_[static_cast<size_t>(i)]; }
  const Node& At(int32_t i) const { return nodes_[static_cast<size_t>(i)]; }

  // Queues the pair that begins at `position`, if it can be merged.
  void Offer(int32_t position) {
    const Symbol first = At(position).symbol;
    const Symbol second = At(At(position).next).symbol;
    const auto merge = encoder_.merges_.find(std::pair(first, second));
    if (merge == encoder_.merges_.end()) return;
    candidates_.push({merge->second.rank, position, first, second, merge->second.result});
  }

  // Merges unless one of the two has changed since the pair was queued.
  void Apply(const Candidate& candidate) {
    Node& node = At(candidate.position);
    if (node.symbol != candidate.first || node.next == kNone) return;
    Node& swallowed = At(node.next);
    if (swallowed.symbol != candidate.second) return;
    node.symbol = candidate.result;
    node.next = swallowed.next;
    swallowed.symbol = kNone;
    if (node.next != kNone) {
      At(node.next).previous = candidate.position;
      Offer(candidate.position);
    }
    if (node.previous != kNone) Offer(node.previous);
  }

  const BytePairEncoder& encoder_;
  std::vector<Node> nodes_;
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> candidates_;
};

void BytePairEncoder::Append(absl::string_view word, std::vector<int64_t>& ids) const {
  Merger merger(*this, word);
  merger.Run();
  merger.AppendIds(ids);
}

}  // namespace antidiffusion
