#include "core/text/byte_pair_encoder.h"

#include <algorithm>
#include <limits>
#include <map>
#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace antidiffusion {
namespace {

using Merges = std::vector<std::pair<std::string, std::string>>;

// The definition, word for word and quadratic: while any adjacent pair can be merged, merge every
// occurrence of the most urgent one, from left to right.
std::vector<std::string> PiecesByDefinition(const std::string& word, const Merges& merges) {
  std::map<std::pair<std::string, std::string>, size_t> ranks;
  for (size_t i = 0; i < merges.size(); ++i) ranks[merges[i]] = i;
  std::vector<std::string> pieces;
  for (const char c : word) pieces.emplace_back(1, c);
  pieces.back() += "</w>";
  while (true) {
    size_t best = std::numeric_limits<size_t>::max();
    for (size_t i = 0; i + 1 < pieces.size(); ++i) {
      const auto rank = ranks.find({pieces[i], pieces[i + 1]});
      if (rank != ranks.end()) best = std::min(best, rank->second);
    }
    if (best == std::numeric_limits<size_t>::max()) return pieces;
    const auto [first, second] = merges[best];
    std::vector<std::string> merged;
    for (size_t i = 0; i < pieces.size(); ++i) {
      if (i + 1 < pieces.size() && pieces[i] == first && pieces[i + 1] == second) {
        merged.push_back(first + second);
        ++i;
      } else {
        merged.push_back(pieces[i]);
      }
    }
    pieces = merged;
  }
}

// Random merges over three letters: many of them make the same symbol in different ways, which a
// trained vocabulary hardly does, so the order within and between rounds shows.
TEST(BytePairEncoderTest, FollowsTheDefinitionForAnyMerges) {
  std::mt19937 random(5);
  const auto pick = [&random](size_t n) {
    return std::uniform_int_distribution<size_t>(0, n - 1)(random);
  };
  for (int round = 0; round < 300; ++round) {
    std::vector<std::string> symbols = {"a", "b", "c", "a</w>", "b</w>", "c</w>"};
    Merges merges;
    for (int i = 0; i < 40; ++i) {
      const std::string first = symbols[pick(symbols.size())];
      const std::string second = symbols[pick(symbols.size())];
      if (first.size() + second.size() > 9) continue;
      merges.emplace_back(first, second);
      symbols.push_back(first + second);
    }
    std::shuffle(merges.begin(), merges.end(), random);
    BytePairEncoder::Vocabulary vocabulary;
    for (const std::string& symbol : symbols) {
      vocabulary.emplace(symbol, static_cast<int64_t>(vocabulary.size()));
    }
    const BytePairEncoder encoder(vocabulary, merges, -1);
    for (int i = 0; i < 20; ++i) {
      std::string word(1 + pick(40), ' ');
      for (char& c : word) c = static_cast<char>('a' + pick(3));
      std::vector<int64_t> expected;
      for (const std::string& piece : PiecesByDefinition(word, merges)) {
        expected.push_back(vocabulary.contains(piece) ? vocabulary[piece] : -1);
      }
      std::vector<int64_t> ids;
      encoder.Append(word, ids);
      ASSERT_EQ(ids, expected) << word;
    }
  }
}

TEST(BytePairEncoderTest, WritesBytesAsGpt2Does) {
  const BytePairEncoder::Vocabulary vocabulary = {
      {"!", 0}, {"~</w>", 1}, {"\u0100", 2}, {"\u0120</w>", 3}, {"\u0143", 4}, {"\u00ff</w>", 5}};
  const BytePairEncoder encoder(vocabulary, {}, 9);
  std::vector<int64_t> ids;
  encoder.Append("!~", ids);
  encoder.Append(absl::string_view("\0 ", 2), ids);
  encoder.Append("\xad\xff", ids);
  encoder.Append("?", ids);
  encoder.Append("", ids);
  EXPECT_THAT(ids, testing::ElementsAre(0, 1, 2, 3, 4, 5, 9));
}

}  // namespace
}  // namespace antidiffusion
