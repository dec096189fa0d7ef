#include "server/model_catalogue.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "server/errors.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace antidiffusion {
namespace {

ModelInfo Info(const std::string& name, const std::string& device) {
  ModelInfo info;
  info.name = name;
  info.device = device;
  return info;
}

class RepositoryTest : public ::testing::Test {
 protected:
  RepositoryTest() {
    dir_.Write("beta/model_index.json", "{}");
    dir_.Write("alpha/model_index.json", "{}");
    dir_.Write("notes/readme.txt", "not a model");
    dir_.Write("model_index.json", "a file of the repository itself");
  }
  TempDir dir_;
};

TEST_F(RepositoryTest, ListsFoldersWithAModelIndexByName) {
  AD_ASSERT_OK_AND_ASSIGN(const auto models, ScanModelRepository(dir_.path(), {}));
  ASSERT_EQ(models.size(), 2u);
  EXPECT_EQ(models[0].name, "alpha");
  EXPECT_EQ(models[0].directory, dir_.File("alpha"));
  EXPECT_EQ(models[1].name, "beta");
}

TEST_F(RepositoryTest, TakesOnlyTheWanted) {
  AD_ASSERT_OK_AND_ASSIGN(const auto models, ScanModelRepository(dir_.path(), {"beta"}));
  ASSERT_EQ(models.size(), 1u);
  EXPECT_EQ(models[0].name, "beta");
}

TEST_F(RepositoryTest, SaysWhatIsMissing) {
  EXPECT_THAT(ScanModelRepository(dir_.path(), {"beta", "notes"}),
              StatusIs(absl::StatusCode::kNotFound, "notes"));
  EXPECT_THAT(ScanModelRepository(dir_.path(), {"../alpha"}),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(ScanModelRepository(dir_.File("none"), {}),
              StatusIs(absl::StatusCode::kNotFound, "none"));
  EXPECT_THAT(ScanModelRepository(dir_.File("notes"), {}),
              StatusIs(absl::StatusCode::kNotFound, "no model"));
}

TEST(ModelCatalogueTest, TheDefaultIsTheFirstOrTheChosenOne) {
  const std::vector<ModelEntry> models = {{"alpha", "a"}, {"beta", "b"}};
  EXPECT_EQ((*ModelCatalogue::Create(models, "", 1))->default_model(), "alpha");
  EXPECT_EQ((*ModelCatalogue::Create(models, "beta", 1))->default_model(), "beta");
  EXPECT_THAT(ModelCatalogue::Create(models, "gamma", 1), StatusIs(absl::StatusCode::kNotFound));
}

TEST(ModelCatalogueTest, ReadyOnceLoadedOnEveryDevice) {
  const auto catalogue = *ModelCatalogue::Create({{"alpha", "a"}}, "", 2);
  EXPECT_THAT(catalogue->Check("alpha"), HasReason(reason::kModelLoading));
  catalogue->Loaded(0, Info("alpha", "cuda:0"));
  EXPECT_THAT(catalogue->Check("alpha"), HasReason(reason::kModelLoading));
  EXPECT_FALSE(catalogue->AnyReady());
  catalogue->Loaded(1, Info("alpha", "cuda:1"));
  EXPECT_THAT(catalogue->Check("alpha"), IsOk());
  EXPECT_TRUE(catalogue->AllReady());
  EXPECT_EQ(catalogue->List().front().devices, (std::vector<std::string>{"cuda:0", "cuda:1"}));
}

TEST(ModelCatalogueTest, FailedOnOneDeviceIsFailed) {
  const auto catalogue = *ModelCatalogue::Create({{"alpha", "a"}, {"beta", "b"}}, "", 2);
  catalogue->Loaded(0, Info("alpha", "cuda:0"));
  catalogue->Failed("alpha", "cuda:1", absl::DataLossError("a bad header"));
  EXPECT_THAT(catalogue->Check("alpha"), HasReason(reason::kModelFailed));
  EXPECT_THAT(catalogue->Check("alpha"), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_NE(catalogue->List().front().message.find("a bad header"), std::string::npos);
  catalogue->Loaded(0, Info("beta", "cuda:0"));
  catalogue->Loaded(1, Info("beta", "cuda:1"));
  EXPECT_TRUE(catalogue->AnyReady());
  EXPECT_FALSE(catalogue->AllReady());
}

TEST(ModelCatalogueTest, OnceReadyOneDeviceIsEnough) {
  const auto catalogue = *ModelCatalogue::Create({{"alpha", "a"}}, "", 2);
  catalogue->Loaded(0, Info("alpha", "cpu"));
  catalogue->Lost(0);
  catalogue->Loaded(1, Info("alpha", "cpu"));
  EXPECT_FALSE(catalogue->AnyReady()) << "never on both so far";
  catalogue->Loaded(0, Info("alpha", "cpu"));
  EXPECT_EQ(catalogue->List().front().devices, (std::vector<std::string>{"cpu", "cpu"}));
  catalogue->Lost(1);
  EXPECT_TRUE(catalogue->AllReady());
  catalogue->Lost(0);
  EXPECT_THAT(catalogue->Check("alpha"), HasReason(reason::kModelLoading));
  EXPECT_TRUE(catalogue->List().front().devices.empty());
  catalogue->Loaded(1, Info("alpha", "cpu"));
  EXPECT_THAT(catalogue->Check("alpha"), IsOk());
}

TEST(ModelCatalogueTest, UnknownNamesAreNotFound) {
  const auto catalogue = *ModelCatalogue::Create({{"alpha", "a"}}, "", 1);
  for (const char* name : {"gamma", "../alpha", "alpha/", ""}) {
    EXPECT_THAT(catalogue->Check(name), StatusIs(absl::StatusCode::kNotFound)) << name;
  }
}

}  // namespace
}  // namespace antidiffusion
