#include "core/checkpoint/safetensors.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/zeros.h>
#include <sys/stat.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <random>

#include "absl/strings/str_cat.h"
#include "core/checkpoint/safetensors_header.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/checkpoint/safetensors_writer.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace antidiffusion {
namespace {

// The status of opening a file with this header and `data_bytes` bytes of data.
absl::Status OpenWithHeader(const std::string& header, size_t data_bytes,
                            int64_t header_bytes = -1) {
  const TempDir dir;
  const std::string path =
      dir.Write("f", RawSafetensorsBytes(header, std::string(data_bytes, '\0'), header_bytes));
  return SafetensorsFile::Open(path).status();
}

std::string Entry(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}";
}

TEST(SafetensorsTest, ReadsEveryDtypeIntoAlignedMemoryOfItsOwn) {
  const TempDir dir;
  TensorMap tensors;
  for (const c10::ScalarType type : {c10::kDouble, c10::kFloat, c10::kHalf, c10::kBFloat16,
                                     c10::kLong, c10::kInt, c10::kShort, c10::kChar, c10::kByte}) {
    tensors[c10::toString(type)] = at::arange(15).view({3, 5}).to(type);
  }
  tensors["a bool"] = at::arange(15).view({3, 5}).remainder(2).to(c10::kBool);
  tensors["a scalar"] = at::scalar_tensor(7.5, c10::kFloat);
  tensors["an empty one"] = at::zeros({4, 0, 2});
  const std::string path = dir.File("f");
  WriteSafetensors(path, tensors);

  std::vector<at::Tensor> read;
  {
    AD_ASSERT_OK_AND_ASSIGN(const SafetensorsFile file, SafetensorsFile::Open(path));
    EXPECT_EQ(file.names().size(), tensors.size());
    EXPECT_EQ(file.path(), path);
    for (const auto& [name, tensor] : tensors) {
      ASSERT_TRUE(file.Contains(name));
      AD_ASSERT_OK_AND_ASSIGN(const std::vector<int64_t> shape, file.Shape(name));
      EXPECT_EQ(c10::IntArrayRef(shape), tensor.sizes());
      AD_ASSERT_OK_AND_ASSIGN(const at::Tensor value, file.Read(name));
      read.push_back(value);
    }
  }
  // The file is closed by now.
  size_t i = 0;
  for (const auto& [name, tensor] : tensors) {
    EXPECT_TRUE(read[i].equal(tensor)) << name;
    EXPECT_EQ(read[i].scalar_type(), tensor.scalar_type());
    EXPECT_EQ(reinterpret_cast<uintptr_t>(read[i].const_data_ptr()) % 64, 0U) << name;
    ++i;
  }
}

TEST(SafetensorsTest, TellsWhatIsNotThere) {
  const TempDir dir;
  EXPECT_THAT(SafetensorsFile::Open(dir.File("none")), StatusIs(kNotFound, dir.File("none")));
  WriteSafetensors(dir.File("f"), {{"a", at::ones(1)}});
  AD_ASSERT_OK_AND_ASSIGN(const SafetensorsFile file, SafetensorsFile::Open(dir.File("f")));
  EXPECT_FALSE(file.Contains("b"));
  EXPECT_THAT(file.Read("b"), StatusIs(kNotFound, "no tensor \"b\""));
  EXPECT_THAT(file.Shape("b"), StatusIs(kNotFound, "no tensor \"b\""));
}

TEST(SafetensorsTest, ReadsAFileWithoutTensors) {
  EXPECT_THAT(OpenWithHeader("{}", 0), IsOk());
  EXPECT_THAT(OpenWithHeader(R"({"__metadata__":{"format":"pt"}}    )", 0), IsOk());
}

TEST(SafetensorsTest, RefusesWhatIsNoRegularFile) {
  const TempDir dir;
  EXPECT_THAT(SafetensorsFile::Open(dir.path()), StatusIs(kDataLoss, "not a file"));
  ASSERT_EQ(mkfifo(dir.File("pipe").c_str(), 0600), 0);
  EXPECT_THAT(SafetensorsFile::Open(dir.File("pipe")), StatusIs(kDataLoss, "not a file"));
}

TEST(SafetensorsTest, RefusesABadHeaderLength) {
  const TempDir dir;
  for (const char* bytes : {"", "1234567"}) {
    EXPECT_THAT(SafetensorsFile::Open(dir.Write("f", bytes)), StatusIs(kDataLoss, "8 bytes"));
  }
  EXPECT_THAT(OpenWithHeader("{}", 0, 3), StatusIs(kDataLoss, "3 bytes in a file of 10"));
  EXPECT_THAT(OpenWithHeader("{}", 0, 16'000'001), StatusIs(kDataLoss, "limit 16000000"));
  EXPECT_THAT(OpenWithHeader("{}", 0, std::numeric_limits<int64_t>::max()), StatusIs(kDataLoss));
  EXPECT_THAT(SafetensorsFile::Open(dir.Write("f", std::string(8, '\xff') + "{}")),
              StatusIs(kDataLoss, "limit"));
  EXPECT_THAT(OpenWithHeader("", 0), StatusIs(kDataLoss, "no JSON object"));
}

TEST(SafetensorsTest, RefusesAHeaderThatIsNotTheExpectedJson) {
  const std::string good = Entry("F32", "[1]", "[0,4]");
  ASSERT_THAT(OpenWithHeader("{\"a\":" + good + "}", 4), IsOk());
  for (const std::string& header : std::vector<std::string>{
           "[]", " {}", "{", "{}}", "{\"a\":" + good, "{\"a\":" + good + ",}", "{\"a\":null}",
           "{\"a\":3}", "{\"a\":\"x\"}", "{\"a\":[]}", "{\"a\":true}", "{\"a\":1.5}", "{\"a\":{}}",
           "{\"\xff\":" + good + "}", "{\"a\":{\"b\":" + good + "}}",
           "{\"a\":" + std::string(100000, '[')}) {
    EXPECT_THAT(OpenWithHeader(header, 4), StatusIs(kDataLoss, "safetensors"))
        << header.substr(0, 99);
  }
  for (const char* entry : {
           R"({"shape":[1],"data_offsets":[0,4]})",
           R"({"dtype":"F32","data_offsets":[0,4]})",
           R"({"dtype":"F32","shape":[1]})",
           R"({"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1})",
           R"({"dtype":"F32","shape":1,"data_offsets":[0,4]})",
           R"({"dtype":["F32"],"shape":[1],"data_offsets":[0,4]})",
           R"({"dtype":"F32","shape":["1"],"data_offsets":[0,4]})",
           R"({"dtype":"F32","shape":[1.0],"data_offsets":[0,4]})",
           R"({"dtype":"F32","shape":[-1],"data_offsets":[0,4]})",
           R"({"dtype":"F32","shape":[[1]],"data_offsets":[0,4]})",
           R"({"dtype":"F32","shape":[1],"data_offsets":[0]})",
           R"({"dtype":"F32","shape":[1],"data_offsets":[0,4,4]})",
           R"({"dtype":"F32","shape":[1],"data_offsets":[-4,0]})",
       }) {
    EXPECT_THAT(OpenWithHeader(std::string("{\"a\":") + entry + "}", 4),
                StatusIs(kDataLoss, "\"a\""))
        << entry;
  }
}

TEST(SafetensorsTest, RefusesUnknownDtypes) {
  for (const char* dtype : {"F8_E3M4", "f32", "", "C128", "U4"}) {
    EXPECT_THAT(OpenWithHeader("{\"a\":" + Entry(dtype, "[1]", "[0,4]") + "}", 4),
                StatusIs(kDataLoss, "unknown dtype"));
  }
}

// All dtypes of the format are known: a file may hold some that nobody asks for, and a checkpoint
// for small GPUs is told apart from a broken one.
TEST(SafetensorsTest, OpensFilesOfEveryDtypeAndRefusesToReadTheRareOnes) {
  const std::pair<const char*, int> kRare[] = {
      {"U16", 16},        {"U32", 32},    {"U64", 64},    {"C64", 64},
      {"F8_E4M3", 8},     {"F8_E5M2", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8},
      {"F8_E5M2FNUZ", 8}, {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"F4", 4}};
  const TempDir dir;
  for (const auto& [dtype, bits] : kRare) {  // eight elements have `bits` bytes
    const std::string header =
        "{\"a\":" + Entry(dtype, "[2,4]", absl::StrCat("[0,", bits, "]")) +
        ",\"b\":" + Entry("F32", "[1]", absl::StrCat("[", bits, ",", bits + 4, "]")) + "}";
    const std::string data(static_cast<size_t>(bits) + 4, '\0');
    AD_ASSERT_OK_AND_ASSIGN(
        const SafetensorsFile file,
        SafetensorsFile::Open(dir.Write("f", RawSafetensorsBytes(header, data))));
    EXPECT_THAT(file.Shape("a"), IsOk());
    const absl::StatusCode code = absl::StatusCode::kFailedPrecondition;
    const std::string message = absl::StrCat("\"a\" is stored as ", dtype, ";");
    EXPECT_THAT(file.Read("a"), StatusIs(code, message));
    EXPECT_THAT(file.CheckIsWeight("a"), StatusIs(code, message));
    EXPECT_THAT(file.CheckIsWeight("b"), IsOk());
    EXPECT_TRUE(file.Read("b")->equal(at::zeros(1)));
  }
}

TEST(SafetensorsTest, ElementsBelowAByteHaveToFillBytes) {
  const auto open = [](const char* dtype, const char* shape, size_t bytes) {
    return OpenWithHeader("{\"a\":" + Entry(dtype, shape, absl::StrCat("[0,", bytes, "]")) + "}",
                          bytes);
  };
  EXPECT_THAT(open("F4", "[4]", 2), IsOk());
  EXPECT_THAT(open("F4", "[3]", 2), StatusIs(kDataLoss, "size"));
  EXPECT_THAT(open("F4", "[3]", 1), StatusIs(kDataLoss, "size"));
  EXPECT_THAT(open("F6_E2M3", "[4]", 3), IsOk());
  EXPECT_THAT(open("F6_E2M3", "[5]", 4), StatusIs(kDataLoss, "size"));
  EXPECT_THAT(open("F4", "[0]", 0), IsOk());
}

TEST(SafetensorsTest, TellsWeightsFromIntegers) {
  const TempDir dir;
  WriteSafetensors(dir.File("f"),
                   {{"half", at::ones(1, c10::kHalf)}, {"long", at::ones(1, c10::kLong)}});
  AD_ASSERT_OK_AND_ASSIGN(const SafetensorsFile file, SafetensorsFile::Open(dir.File("f")));
  EXPECT_THAT(file.CheckIsWeight("half"), IsOk());
  EXPECT_THAT(file.CheckIsWeight("long"), StatusIs(kDataLoss, "\"long\" holds integers (I64)"));
  EXPECT_THAT(file.CheckIsWeight("none"), StatusIs(kNotFound));
}

TEST(SafetensorsTest, NamesWhatPeopleTakeForASafetensorsFile) {
  const std::pair<std::string, const char*> kOthers[] = {
      {"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 3438\n",
       "git-LFS pointer"},
      {"<!DOCTYPE html>\n<html><head><title>Log in</title>", "HTML page"},
      {"\r\n <HTML lang=en>", "HTML page"},
      {std::string("PK\x03\x04\0\0\x08\x08\0\0archive/data.pkl", 26), "pickled PyTorch file"},
      {"\x80\x02}q\x01(X\x0a...", "pickled PyTorch file"},
      {std::string("GGUF\3\0\0\0", 8), "GGUF"}};
  const TempDir dir;
  for (const auto& [bytes, kind] : kOthers) {
    EXPECT_THAT(SafetensorsFile::Open(dir.Write("f", bytes)), StatusIs(kDataLoss, kind));
  }
}

// A pickle's first two bytes are also those of a header of 640 bytes.
TEST(SafetensorsTest, AHeaderOf640BytesIsNoPickle) {
  std::string header = "{\"a\":" + Entry("F32", "[1]", "[0,4]") + "}";
  header.resize(640, ' ');
  EXPECT_THAT(OpenWithHeader(header, 4), IsOk());
}

TEST(SafetensorsTest, HashesTheFileThatWasOpened) {
  const TempDir dir;
  // More than one piece of what is hashed at a time.
  const TensorMap tensors = {{"a", at::arange(3'000'000, c10::kInt)}};
  WriteSafetensors(dir.File("f"), tensors);
  AD_ASSERT_OK_AND_ASSIGN(const SafetensorsFile file, SafetensorsFile::Open(dir.File("f")));
  WriteSafetensors(dir.File("other"), {{"a", at::zeros(1)}});
  std::filesystem::rename(dir.File("other"), dir.File("f"));
  Sha256 mapped, wanted;
  file.HashInto(mapped);
  wanted.Update(SafetensorsBytes(tensors));
  EXPECT_EQ(mapped.FinishHex(), wanted.FinishHex());
  EXPECT_TRUE(file.Read("a")->equal(tensors.at("a")));
}

TEST(SafetensorsTest, RefusesRepeatedKeys) {
  EXPECT_THAT(OpenWithHeader("{\"a\":" + Entry("F32", "[1]", "[0,4]") +
                                 ",\"a\":" + Entry("F32", "[1]", "[4,8]") + "}",
                             8),
              StatusIs(kDataLoss, "a key is repeated"));
  EXPECT_THAT(
      OpenWithHeader(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"dtype":"F32"}})", 4),
      StatusIs(kDataLoss, "a key is repeated"));
  EXPECT_THAT(OpenWithHeader(R"({"__metadata__":{},"__metadata__":{}})", 0),
              StatusIs(kDataLoss, "repeated"));
}

TEST(SafetensorsTest, RefusesMetadataThatIsNoMapOfStrings) {
  for (const char* metadata : {"3", "[]", "\"x\"", "{\"a\":3}", "{\"a\":{}}", "{\"a\":null}"}) {
    EXPECT_THAT(OpenWithHeader(std::string("{\"__metadata__\":") + metadata + "}", 0),
                StatusIs(kDataLoss, "__metadata__"))
        << metadata;
  }
}

TEST(SafetensorsTest, RefusesALayoutThatDoesNotAddUp) {
  const auto open = [](const std::string& a, const std::string& b, size_t data_bytes) {
    return OpenWithHeader("{\"a\":" + a + ",\"b\":" + b + "}", data_bytes);
  };
  const auto f32 = [](const char* shape, const char* offsets) {
    return Entry("F32", shape, offsets);
  };
  EXPECT_THAT(open(f32("[1]", "[0,4]"), f32("[1]", "[4,8]"), 8), IsOk());
  EXPECT_THAT(open(f32("[1]", "[4,8]"), f32("[1]", "[0,4]"), 8), IsOk());
  EXPECT_THAT(open(f32("[0]", "[4,4]"), f32("[1]", "[0,4]"), 4), IsOk());
  // A hole, an overlap, bytes at the end, bytes missing at the end, an end before its begin.
  EXPECT_THAT(open(f32("[1]", "[0,4]"), f32("[1]", "[8,12]"), 12), StatusIs(kDataLoss, "hole"));
  EXPECT_THAT(open(f32("[2]", "[0,8]"), f32("[1]", "[4,8]"), 8), StatusIs(kDataLoss, "overlaps"));
  EXPECT_THAT(open(f32("[1]", "[0,4]"), f32("[1]", "[0,4]"), 4), StatusIs(kDataLoss, "overlaps"));
  EXPECT_THAT(open(f32("[1]", "[0,4]"), f32("[1]", "[4,8]"), 9),
              StatusIs(kDataLoss, "belong to no tensor"));
  EXPECT_THAT(open(f32("[1]", "[0,4]"), f32("[1]", "[4,8]"), 7), StatusIs(kDataLoss, "outside"));
  EXPECT_THAT(open(f32("[1]", "[0,4]"), f32("[1]", "[4,0]"), 8), StatusIs(kDataLoss, "outside"));
  EXPECT_THAT(open(f32("[1]", "[0,4]"), f32("[1]", "[4,9223372036854775807]"), 8),
              StatusIs(kDataLoss, "outside"));
  EXPECT_THAT(open(f32("[1]", "[0,4]"), f32("[1]", "[4,18446744073709551615]"), 8),
              StatusIs(kDataLoss, "below 2^63"));
}

TEST(SafetensorsTest, RefusesASizeThatIsNotThatOfTheShape) {
  for (const char* shape : {"[2]", "[]", "[0]", "[1,1,2]", "[4611686018427387905]",
                            "[4294967296,4294967296,4294967296]", "[9223372036854775807,8]",
                            "[4611686018427387904,4]"}) {
    EXPECT_THAT(OpenWithHeader("{\"a\":" + Entry("F32", shape, "[0,12]") + "}", 12),
                StatusIs(kDataLoss, "size"))
        << shape;
  }
  EXPECT_THAT(OpenWithHeader("{\"a\":" + Entry("F32", "[9223372036854775808]", "[0,4]") + "}", 4),
              StatusIs(kDataLoss, "2^63"));
  std::string ones = "1";
  for (int i = 0; i < 64; ++i) ones += ",1";
  EXPECT_THAT(OpenWithHeader("{\"a\":" + Entry("F32", "[" + ones + "]", "[0,4]") + "}", 4),
              StatusIs(kDataLoss, "64 dimensions"));
}

TEST(SafetensorsTest, RefusesABoolThatIsNeitherZeroNorOne) {
  const TempDir dir;
  const std::string header = "{\"a\":" + Entry("BOOL", "[2]", "[0,2]") + "}";
  AD_ASSERT_OK_AND_ASSIGN(
      const SafetensorsFile file,
      SafetensorsFile::Open(dir.Write("f", RawSafetensorsBytes(header, std::string("\1\2")))));
  EXPECT_THAT(file.Read("a"), StatusIs(kDataLoss, "BOOL"));
}

TEST(SafetensorsTest, NamesAreShownWithoutControlCharacters) {
  const absl::Status status =
      OpenWithHeader("{\"\\u001b[31m\\n\":" + Entry("F9", "[1]", "[0,4]") + "}", 4);
  EXPECT_THAT(status, StatusIs(kDataLoss, "\\x1b[31m\\n"));
}

TEST(SafetensorsTest, RefusesEveryTruncation) {
  const TempDir dir;
  const std::string bytes =
      SafetensorsBytes({{"a", at::arange(6, c10::kFloat)}, {"b", at::ones({2, 2}, c10::kHalf)}});
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_THAT(SafetensorsFile::Open(dir.Write("f", bytes.substr(0, size))), StatusIs(kDataLoss));
  }
  EXPECT_THAT(SafetensorsFile::Open(dir.Write("f", bytes)), IsOk());
}

// One mutation of a kind that a fuzzer would try.
void Mutate(std::mt19937& random, std::string& bytes) {
  const auto pick = [&random](size_t n) {
    return std::uniform_int_distribution<size_t>(0, n - 1)(random);
  };
  static constexpr const char* kTokens[] = {
      "{",    "}",   "[",    "]",      "\"", ",", ":", "0", "9", "-1", "18446744073709551615",
      "null", "F64", "BOOL", "\\u0000"};
  const size_t at = pick(bytes.size());
  switch (pick(5)) {
    case 0:
      bytes[at] = static_cast<char>(pick(256));
      break;
    case 1:
      bytes[at] = static_cast<char>(bytes[at] ^ (1 << pick(8)));
      break;
    case 2:
      bytes.insert(at, kTokens[pick(std::size(kTokens))]);
      break;
    case 3:
      bytes.erase(at, 1 + pick(8));
      break;
    default:
      bytes.insert(at, bytes.substr(pick(bytes.size()), 1 + pick(30)));
      break;
  }
  if (bytes.empty()) bytes = "x";
}

// Never a crash (see also the run under the address sanitizer), and what opens can be read.
TEST(SafetensorsTest, SurvivesMutatedFiles) {
  const TempDir dir;
  const std::string valid = SafetensorsBytes({{"a", at::arange(6, c10::kFloat)},
                                              {"b.c", at::ones({2, 2}, c10::kHalf)},
                                              {"d", at::ones({3}, c10::kBool)},
                                              {"e", at::scalar_tensor(1.0, c10::kDouble)}});
  std::mt19937 random(11);
  int opened = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string bytes = valid;
    const int mutations = 1 + i % 3;
    for (int j = 0; j < mutations; ++j) Mutate(random, bytes);
    if (i % 2 == 0) {  // a true length lets the mutation of the header through to the parser
      const size_t end = bytes.rfind('}');
      const size_t length = end == std::string::npos || end < 8 ? 0 : end + 1 - 8;
      bytes = RawSafetensorsBytes(bytes.substr(std::min<size_t>(8, bytes.size()), length),
                                  bytes.substr(std::min(bytes.size(), 8 + length)));
    }
    const auto entries = ParseSafetensorsHeader(bytes);
    if (!entries.ok()) {
      ASSERT_THAT(entries, StatusIs(kDataLoss));
      continue;
    }
    AD_ASSERT_OK_AND_ASSIGN(const SafetensorsFile file,
                            SafetensorsFile::Open(dir.Write("f", bytes)));
    ++opened;
    for (const std::string& name : file.names()) {
      const auto tensor = file.Read(name);
      if (!tensor.ok()) continue;  // a broken BOOL
      EXPECT_EQ(tensor->sizes(), c10::IntArrayRef(file.Shape(name).value()));
    }
  }
  EXPECT_GT(opened, 100);  // else the mutations would reach nothing but the parser
}

}  // namespace
}  // namespace antidiffusion
