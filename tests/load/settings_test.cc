#include "tests/load/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "client/exit_codes.h"

namespace antidiffusion {
namespace {

class SettingsTest : public ::testing::Test {
 protected:
  std::variant<LoadSettings, int> Parse(std::vector<const char*> words) {
    words.insert(words.begin(), "antidiffusion-loadgen");
    return ParseLoadCommandLine(static_cast<int>(words.size()), words.data(), out_, err_);
  }
  LoadSettings Settings(std::vector<const char*> words) {
    auto parsed = Parse(std::move(words));
    EXPECT_TRUE(std::holds_alternative<LoadSettings>(parsed)) << err_.str();
    return std::holds_alternative<LoadSettings>(parsed) ? std::get<LoadSettings>(parsed)
                                                        : LoadSettings();
  }
  int ExitCode(std::vector<const char*> words) {
    const auto parsed = Parse(std::move(words));
    const int* code = std::get_if<int>(&parsed);
    return code == nullptr ? -1 : *code;
  }

  std::ostringstream out_;
  std::ostringstream err_;
};

TEST_F(SettingsTest, HasDefaults) {
  const LoadSettings load = Settings({"--api-key", "k"});
  EXPECT_EQ(load.count, 100);
  EXPECT_EQ(load.rate, 10);
  ASSERT_EQ(load.tenants.size(), 1U);
  EXPECT_EQ(load.tenants[0].api_key, "") << "RunLoad takes the connection's, by whichever flag";
  EXPECT_EQ(load.connection.credentials.api_key, "k");
  ASSERT_EQ(load.sizes.size(), 1U);
  EXPECT_EQ(load.sizes[0].width, 256);
  EXPECT_EQ(Settings({"--duration", "5"}).duration, absl::Seconds(5));
  EXPECT_GT(Settings({"--duration", "5"}).count, 1'000'000'000);
}

TEST_F(SettingsTest, ReadsTenantsSizesAndOptions) {
  const LoadSettings load =
      Settings({"--tenant", "flood:9=a=b", "--tenant", "quiet=c", "--size", "64x96", "--size",
                "128x128", "--method", "noise", "--rate", "2.5", "--random-seed", "7"});
  ASSERT_EQ(load.tenants.size(), 2U);
  EXPECT_EQ(load.tenants[0].name, "flood");
  EXPECT_EQ(load.tenants[0].share, 9);
  EXPECT_EQ(load.tenants[0].api_key, "a=b");
  EXPECT_EQ(load.tenants[1].share, 1);
  ASSERT_EQ(load.sizes.size(), 2U);
  EXPECT_EQ(load.sizes[0].height, 96);
  EXPECT_EQ(load.request.options().method(), v1::ProtectionOptions::NOISE);
  EXPECT_EQ(load.rate, 2.5);
  EXPECT_EQ(load.seed, 7U);
}

TEST_F(SettingsTest, RefusesWhatMakesNoSense) {
  EXPECT_EQ(ExitCode({"--tenant", "name"}), kExitUsage);
  EXPECT_EQ(ExitCode({"--tenant", "name:0=key"}), kExitUsage);
  EXPECT_EQ(ExitCode({"--size", "64"}), kExitUsage);
  EXPECT_EQ(ExitCode({"--size", "64x"}), kExitUsage);
  EXPECT_EQ(ExitCode({"--rate", "0"}), kExitUsage);
  EXPECT_EQ(ExitCode({"--cancel-ratio", "1.1"}), kExitUsage);
  EXPECT_EQ(ExitCode({"--help"}), kExitOk);
}

}  // namespace
}  // namespace antidiffusion
