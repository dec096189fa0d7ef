#include "core/text/clip_tokenizer.h"

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace antidiffusion {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;
using Json = nlohmann::json;

const std::string kGolden = std::string(ANTIDIFFUSION_SOURCE_DIR) + "/tests/golden";
const std::string kReal = kGolden + "/tokenizer";  // the vocabulary of every published SD 1.x, 2.x

Json ReadJson(const std::string& path) {
  std::ifstream file(path);
  return Json::parse(file);
}

// The real vocabulary with the special tokens of SD 2.x.
void WriteSd2Folder(const TempDir& dir) {
  for (const char* name : {"vocab.json", "merges.txt", "tokenizer_config.json"}) {
    std::filesystem::copy_file(kReal + "/" + name, dir.File(name));
  }
  std::filesystem::copy_file(kGolden + "/models/sd2-base-like/tokenizer/special_tokens_map.json",
                             dir.File("special_tokens_map.json"));
}

std::unique_ptr<ClipTokenizer> CreateOrDie(const std::string& directory) {
  auto tokenizer = ClipTokenizer::Create(directory);
  EXPECT_THAT(tokenizer, IsOk());
  return tokenizer.ok() ? std::move(tokenizer).value() : nullptr;
}

std::vector<int64_t> Padded(std::vector<int64_t> ids, int64_t pad) {
  ids.resize(77, pad);
  return ids;
}

// The folder that transformers 5.24 writes for a tiny model: tokenizer.json, tokenizer_config.json.
std::string OneFileFolder(const std::string& model) { return kGolden + "/tokenizer_json/" + model; }

// Such a folder with the real vocabulary. `as_strings`: merges as "a b" instead of ["a", "b"].
void WriteRealOneFileFolder(const TempDir& dir, bool as_strings) {
  Json file = ReadJson(OneFileFolder("sd1-like") + "/tokenizer.json");
  Json& model = file["model"];
  model["vocab"] = ReadJson(kReal + "/vocab.json");
  model["merges"] = Json::array();
  std::ifstream merges(kReal + "/merges.txt");
  std::string line;
  std::getline(merges, line);  // the version
  while (std::getline(merges, line)) {
    const std::pair<std::string, std::string> pair = absl::StrSplit(line, ' ');
    model["merges"].push_back(as_strings ? Json(line) : Json::array({pair.first, pair.second}));
  }
  file["added_tokens"][0]["id"] = 49406;
  file["added_tokens"][1]["id"] = 49407;
  dir.Write("tokenizer.json", file.dump());
  std::filesystem::copy_file(OneFileFolder("sd1-like") + "/tokenizer_config.json",
                             dir.File("tokenizer_config.json"));
}

// A tokenizer folder of five words; tests change one file of it.
void WriteSmallFolder(const TempDir& dir) {
  dir.Write("vocab.json", R"({"a": 0, "b": 1, "a</w>": 2, "b</w>": 3, "ab</w>": 4,
                              "<|startoftext|>": 5, "<|endoftext|>": 6})");
  dir.Write("merges.txt", "#version: 0.2\na b</w>\n");
}

TEST(ClipTokenizerTest, GivesTheIdsOfSd1) {
  const auto tokenizer = CreateOrDie(kReal);
  const Json pairs = ReadJson(kReal + "/pairs_sd1.json");
  ASSERT_THAT(pairs, SizeIs(78));
  for (const Json& pair : pairs) {
    EXPECT_EQ(tokenizer->Encode(pair["text"]), pair["ids"].get<std::vector<int64_t>>())
        << pair["text"];
  }
}

TEST(ClipTokenizerTest, GivesTheIdsOfSd2WhoseExclamationMarkIsThePadding) {
  const TempDir dir;
  WriteSd2Folder(dir);
  const auto tokenizer = CreateOrDie(dir.path());
  const Json pairs = ReadJson(kReal + "/pairs_sd2.json");
  ASSERT_THAT(pairs, SizeIs(78));
  for (const Json& pair : pairs) {
    EXPECT_EQ(tokenizer->Encode(pair["text"]), pair["ids"].get<std::vector<int64_t>>())
        << pair["text"];
  }
}

TEST(ClipTokenizerTest, GivesTheIdsOfMixedTexts) {
  const TempDir dir;
  WriteSd2Folder(dir);
  const auto sd1 = CreateOrDie(kReal);
  const auto sd2 = CreateOrDie(dir.path());
  const Json pairs = ReadJson(kReal + "/pairs_mixed.json");
  ASSERT_THAT(pairs, SizeIs(300));
  for (const Json& pair : pairs) {
    EXPECT_EQ(sd1->Encode(pair["text"]), Padded(pair["sd1"], 49407)) << pair["text"];
    EXPECT_EQ(sd2->Encode(pair["text"]), Padded(pair["sd2"], 0)) << pair["text"];
  }
}

TEST(ClipTokenizerTest, GivesTheIdsOfTheTinyModels) {
  for (const std::string name : {"sd1-like", "sd2-base-like", "sd2-v-like"}) {
    const auto tokenizer = CreateOrDie(absl::StrCat(kGolden, "/models/", name, "/tokenizer"));
    const Json pairs = ReadJson(absl::StrCat(kGolden, "/", name, "/tokenizer_pairs.json"));
    ASSERT_FALSE(pairs.empty());
    for (const Json& pair : pairs) {
      EXPECT_EQ(tokenizer->Encode(pair["text"]), pair["ids"].get<std::vector<int64_t>>())
          << name << " " << pair["text"];
    }
  }
}

TEST(ClipTokenizerTest, ReadsTheOneFileThatCurrentLibrariesWrite) {
  for (const std::string name : {"sd1-like", "sd2-base-like"}) {
    const auto tokenizer = CreateOrDie(OneFileFolder(name));
    const Json pairs = ReadJson(absl::StrCat(kGolden, "/", name, "/tokenizer_pairs.json"));
    ASSERT_FALSE(pairs.empty());
    for (const Json& pair : pairs) {
      EXPECT_EQ(tokenizer->Encode(pair["text"]), pair["ids"].get<std::vector<int64_t>>())
          << name << " " << pair["text"];
    }
  }
}

TEST(ClipTokenizerTest, GivesTheSameIdsFromOneFileOfTheRealVocabulary) {
  for (const bool as_strings : {false, true}) {
    const TempDir dir;
    WriteRealOneFileFolder(dir, as_strings);
    const auto tokenizer = CreateOrDie(dir.path());
    for (const Json& pair : ReadJson(kReal + "/pairs_sd1.json")) {
      EXPECT_EQ(tokenizer->Encode(pair["text"]), pair["ids"].get<std::vector<int64_t>>())
          << pair["text"];
    }
  }
}

TEST(ClipTokenizerTest, TakesAGeneralClassNameBesideOneFileOnly) {
  for (const char* name : {"TokenizersBackend", "PreTrainedTokenizerFast"}) {
    const std::string config = absl::StrCat(R"({"tokenizer_class": ")", name, R"("})");
    const TempDir one;
    std::filesystem::copy_file(OneFileFolder("sd1-like") + "/tokenizer.json",
                               one.File("tokenizer.json"));
    one.Write("tokenizer_config.json", config);
    EXPECT_THAT(ClipTokenizer::Create(one.path()), IsOk());
    const TempDir slow;
    WriteSmallFolder(slow);
    slow.Write("tokenizer_config.json", config);
    EXPECT_THAT(ClipTokenizer::Create(slow.path()),
                StatusIs(absl::StatusCode::kFailedPrecondition, name));
  }
}

TEST(ClipTokenizerTest, RefusesOneFileWhoseStepsAreNotClips) {
  const std::pair<const char*, Json> kEdits[] = {
      {"/normalizer", nullptr},
      {"/normalizer/normalizers/2/type", "StripAccents"},
      {"/normalizer/normalizers", Json::array({{{"type", "NFC"}}})},
      {"/pre_tokenizer", {{"type", "Whitespace"}}},
      {"/pre_tokenizer/pretokenizers/0/pattern/Regex", "\\s+"},
      {"/pre_tokenizer/pretokenizers/1/type", "Digits"},
      {"/model/type", "WordPiece"},
      {"/model/end_of_word_suffix", ""},
      {"/model/byte_fallback", true},
      {"/model/continuing_subword_prefix", "##"}};
  for (const auto& [pointer, value] : kEdits) {
    Json file = ReadJson(OneFileFolder("sd1-like") + "/tokenizer.json");
    file[Json::json_pointer(pointer)] = value;
    const TempDir dir;
    dir.Write("tokenizer.json", file.dump());
    EXPECT_THAT(ClipTokenizer::Create(dir.path()),
                StatusIs(absl::StatusCode::kFailedPrecondition, "is not that of CLIP's tokenizer"))
        << pointer;
  }
}

TEST(ClipTokenizerTest, RefusesOneFileThatDoesNotAddUp) {
  const std::pair<const char*, Json> kEdits[] = {{"/model/vocab", Json::array()},
                                                 {"/model/vocab/a", -1},
                                                 {"/model/vocab/a", 5000},
                                                 {"/model/merges", nullptr},
                                                 {"/model/merges/0", "a b c"},
                                                 {"/model/merges/0", " a"},
                                                 {"/model/merges/0", {"a", "b", "c"}},
                                                 {"/model/merges/0", {"a", 1}},
                                                 {"/added_tokens", "x"},
                                                 {"/added_tokens/0", {{"content", "x"}}},
                                                 {"/added_tokens/0", "x"},
                                                 {"/added_tokens/0/id", 5000},
                                                 {"/added_tokens/0/content", ""}};
  for (const auto& [pointer, value] : kEdits) {
    Json file = ReadJson(OneFileFolder("sd1-like") + "/tokenizer.json");
    file[Json::json_pointer(pointer)] = value;
    const TempDir dir;
    dir.Write("tokenizer.json", file.dump());
    EXPECT_THAT(ClipTokenizer::Create(dir.path(), 1014), StatusIs(kDataLoss))
        << pointer << " " << value;
  }
}

TEST(ClipTokenizerTest, CutsToAnyLengthSoThatTheEndStays) {
  const auto tokenizer = CreateOrDie(kReal);
  EXPECT_THAT(tokenizer->Encode("a photo of sks person", 4), ElementsAre(49406, 320, 1125, 49407));
  EXPECT_THAT(tokenizer->Encode("a photo", 2), ElementsAre(49406, 49407));
}

TEST(ClipTokenizerTest, LeavesOutBrokenUtf8) {
  const auto tokenizer = CreateOrDie(kReal);
  EXPECT_EQ(tokenizer->Encode("a \xff\xfephoto\xc3 of \xed\xa0\x80sks\xf4\x90\x80\x80 person\xe6"),
            tokenizer->Encode("a photo of sks person"));
}

TEST(ClipTokenizerTest, AnyBytesGiveIdsOfTheVocabulary) {
  const TempDir dir;
  WriteSd2Folder(dir);
  const auto tokenizer = CreateOrDie(dir.path());
  std::mt19937 random(3);
  std::uniform_int_distribution<int> byte(0, 255);
  std::uniform_int_distribution<int> length(0, 300);
  for (int i = 0; i < 3000; ++i) {
    std::string text(static_cast<size_t>(length(random)), '\0');
    for (char& c : text) c = static_cast<char>(byte(random));
    const std::vector<int64_t> ids = tokenizer->Encode(text);
    ASSERT_THAT(ids, SizeIs(77));
    for (const int64_t id : ids) ASSERT_TRUE(id >= 0 && id < 49408) << id;
  }
}

// Quadratic work in the length would not end within the test's time limit.
TEST(ClipTokenizerTest, TakesLongTexts) {
  const auto tokenizer = CreateOrDie(kReal);
  const std::string word(1'000'000, 'x');
  EXPECT_EQ(tokenizer->Encode(word)[1], 32035);
  EXPECT_EQ(tokenizer->Encode(word + "!")[75], 32035);
  std::string words;
  for (int i = 0; i < 200'000; ++i) words += "word ";
  EXPECT_EQ(tokenizer->Encode(words)[75], 2653);
  EXPECT_EQ(tokenizer->Encode(std::string(1'000'000, ' ') + "word")[1], 2653);
}

TEST(ClipTokenizerTest, OptionalFilesMayBeMissing) {
  const TempDir dir;
  WriteSmallFolder(dir);
  const auto tokenizer = CreateOrDie(dir.path());
  EXPECT_THAT(tokenizer->Encode("ab aab c", 9), ElementsAre(5, 4, 0, 4, 6, 6, 6, 6, 6));
}

// As transformers do: tokenizer_config.json counts alone when it lists the added tokens.
TEST(ClipTokenizerTest, ADecoderInTheConfigOverridesTheSpecialTokensMap) {
  const TempDir dir;
  WriteSmallFolder(dir);
  dir.Write("special_tokens_map.json", R"({"pad_token": "a"})");
  EXPECT_THAT(CreateOrDie(dir.path())->Encode("b", 4), ElementsAre(5, 3, 6, 0));
  dir.Write("tokenizer_config.json", R"({"pad_token": "b", "added_tokens_decoder": {
      "7": {"content": "<cat>", "special": false}, "6": {"content": "<|endoftext|>"}}})");
  EXPECT_THAT(CreateOrDie(dir.path())->Encode("<cat>a", 6), ElementsAre(5, 7, 2, 6, 1, 1));
}

TEST(ClipTokenizerTest, AddedTokensAreNeverCut) {
  const TempDir dir;
  WriteSmallFolder(dir);
  dir.Write("added_tokens.json", R"({"<a>": 7, "<a>b": 8})");
  const auto tokenizer = CreateOrDie(dir.path());
  EXPECT_THAT(tokenizer->Encode("a<a>a<a>b", 6), ElementsAre(5, 2, 7, 2, 8, 6));
}

TEST(ClipTokenizerTest, ASpecialTokenOutsideTheVocabularyIsGivenTheNextId) {
  const TempDir dir;
  WriteSmallFolder(dir);
  dir.Write("special_tokens_map.json", R"({"pad_token": {"content": "<pad>"}})");
  EXPECT_THAT(CreateOrDie(dir.path())->Encode("a", 4), ElementsAre(5, 2, 6, 7));
}

TEST(ClipTokenizerTest, RefusesMissingFiles) {
  const TempDir dir;
  EXPECT_THAT(ClipTokenizer::Create(dir.path()), StatusIs(absl::StatusCode::kNotFound));
  dir.Write("vocab.json", "{}");
  EXPECT_THAT(ClipTokenizer::Create(dir.path()), StatusIs(absl::StatusCode::kNotFound));
}

TEST(ClipTokenizerTest, RefusesIdsBeyondTheTextEncoder) {
  const TempDir dir;
  WriteSmallFolder(dir);
  EXPECT_THAT(ClipTokenizer::Create(dir.path(), 7), IsOk());
  EXPECT_THAT(ClipTokenizer::Create(dir.path(), 6), StatusIs(kDataLoss, "<|endoftext|>"));
}

TEST(ClipTokenizerTest, RefusesFilesThatDoNotAddUp) {
  const std::pair<const char*, const char*> kBroken[] = {
      {"vocab.json", "[]"},
      {"vocab.json", R"({"a": -1})"},
      {"vocab.json", R"({"a": 1.5})"},
      {"vocab.json", R"({"a": "1"})"},
      {"vocab.json", R"({"a": 99999999999999999999})"},
      {"merges.txt", "#version\na b c\n"},
      {"merges.txt", "#version\na\n"},
      {"special_tokens_map.json", R"({"pad_token": 3})"},
      {"special_tokens_map.json", R"({"pad_token": ""})"},
      {"special_tokens_map.json", R"({"pad_token": {"lstrip": true}})"},
      {"tokenizer_config.json", R"({"added_tokens_decoder": []})"},
      {"tokenizer_config.json", R"({"added_tokens_decoder": {"x": "y"}})"},
      {"added_tokens.json", R"({"x": null})"},
  };
  for (const auto& [name, contents] : kBroken) {
    const TempDir dir;
    WriteSmallFolder(dir);
    dir.Write(name, contents);
    EXPECT_THAT(ClipTokenizer::Create(dir.path()), StatusIs(kDataLoss)) << name << contents;
  }
}

TEST(ClipTokenizerTest, RefusesFilesFarAboveThePublishedOnes) {
  const std::pair<const char*, size_t> kLimits[] = {{"vocab.json", 16 << 20},
                                                    {"merges.txt", 16 << 20},
                                                    {"special_tokens_map.json", 16 << 20},
                                                    {"tokenizer.json", 8 << 20}};
  for (const auto& [name, limit] : kLimits) {
    const TempDir dir;
    if (name != absl::string_view("tokenizer.json")) WriteSmallFolder(dir);
    dir.Write(name, std::string(limit - 1, ' ') + "{}");
    EXPECT_THAT(ClipTokenizer::Create(dir.path()),
                StatusIs(kDataLoss, absl::StrCat("limit ", limit)))
        << name;
  }
}

TEST(ClipTokenizerTest, RefusesAnotherKindOfTokenizer) {
  const TempDir dir;
  WriteSmallFolder(dir);
  dir.Write("tokenizer_config.json", R"({"tokenizer_class": "T5Tokenizer"})");
  EXPECT_THAT(ClipTokenizer::Create(dir.path()),
              StatusIs(absl::StatusCode::kFailedPrecondition, "T5Tokenizer"));
}

}  // namespace
}  // namespace antidiffusion
