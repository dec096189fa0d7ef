#include "client/json_lines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "tests/client/fake_service.h"

namespace antidiffusion {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using Json = nlohmann::ordered_json;

FileOutcome Protected() {
  FileOutcome outcome;
  outcome.input = "a.jpg";
  outcome.output = "a.protected.png";
  outcome.seconds = 1.5;
  outcome.result = ResultEvent(0).result();
  return outcome;
}

std::vector<std::string> Keys(const Json& json) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : json.items()) keys.push_back(key);
  return keys;
}

TEST(JsonLineTest, AProtectedFileHasAllKeysInOrder) {
  const Json json = Json::parse(JsonLine(Protected()));
  EXPECT_THAT(Keys(json),
              ElementsAre("input", "output", "status", "message", "report", "seconds",
                          "stage_seconds", "unet_passes", "seed", "model", "model_digest"));
  EXPECT_EQ(json["input"], "a.jpg");
  EXPECT_EQ(json["output"], "a.protected.png");
  EXPECT_EQ(json["status"], "OK");
  EXPECT_EQ(json["message"], "");
  EXPECT_EQ(json["seconds"], 1.5);
  EXPECT_EQ(json["stage_seconds"], Json({{"pgd", 1.25}}));
  EXPECT_EQ(json["unet_passes"], 310);
  EXPECT_EQ(json["seed"], (uint64_t{1} << 63) + 5);
  EXPECT_EQ(json["model"], "clothing");
  EXPECT_EQ(json["model_digest"], "abc123");
}

TEST(JsonLineTest, AFailedFileHasTheSameKeys) {
  FileOutcome outcome;
  outcome.input = "a.jpg";
  outcome.status = absl::InvalidArgumentError("image: truncated");
  outcome.seconds = 0.25;
  const Json json = Json::parse(JsonLine(outcome));
  EXPECT_EQ(Keys(json), Keys(Json::parse(JsonLine(Protected()))));
  EXPECT_EQ(json["status"], "INVALID_ARGUMENT");
  EXPECT_EQ(json["message"], "image: truncated");
  for (const char* key :
       {"output", "report", "stage_seconds", "unet_passes", "seed", "model", "model_digest"}) {
    EXPECT_TRUE(json[key].is_null()) << key;
  }
}

TEST(JsonLineTest, AReportHasTheNamesOfTheProtoAndItsZeros) {
  const Json report = Json::parse(JsonLine(Protected()))["report"];
  EXPECT_EQ(report["max_difference"], 6);
  EXPECT_EQ(report["psnr"], 38.5);
  EXPECT_EQ(report["codec_difference"], 0);
  EXPECT_FALSE(report.contains("full"));
}

TEST(JsonLineTest, AFullReportIsTheReportsMember) {
  FileOutcome outcome = Protected();
  outcome.result->mutable_report()->mutable_full()->mutable_after()->set_denoising_loss(0.5);
  EXPECT_EQ(Json::parse(JsonLine(outcome))["report"]["full"]["after"]["denoising_loss"], 0.5);
}

TEST(JsonLineTest, AnInfinitePsnrIsStillJson) {
  FileOutcome outcome = Protected();
  outcome.result->mutable_report()->set_psnr(std::numeric_limits<double>::infinity());
  EXPECT_EQ(Json::parse(JsonLine(outcome))["report"]["psnr"], "Infinity");
}

TEST(JsonLineTest, AnyFileNameGivesOneLineOfUtf8) {
  FileOutcome outcome = Protected();
  outcome.input = "bad\xff\n\"name";
  const std::string line = JsonLine(outcome);
  EXPECT_THAT(line, Not(HasSubstr("\n")));
  EXPECT_EQ(Json::parse(line)["input"], "bad\xef\xbf\xbd\n\"name");
}

}  // namespace
}  // namespace antidiffusion
