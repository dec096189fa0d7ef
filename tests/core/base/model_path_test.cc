#include "core/base/model_path.h"

#include <filesystem>

#include "gtest/gtest.h"
#include "tests/testing/temp_dir.h"

namespace antidiffusion {
namespace {

TEST(ModelPathTest, TellsTheKindsOfModelsApart) {
  const TempDir dir;
  dir.Write("pipeline/model_index.json", "{}");
  dir.Write("encoder/config.json", R"({"_class_name": "AutoencoderTiny"})");
  dir.Write("unet/config.json", R"({"_class_name": "UNet2DConditionModel"})");
  dir.Write("broken/config.json", "{");
  dir.Write("other/readme.txt", "");
  EXPECT_EQ(KindOfModelPath(dir.File("pipeline")), ModelPathKind::kPipeline);
  EXPECT_EQ(KindOfModelPath(dir.File("encoder")), ModelPathKind::kEncoder);
  EXPECT_EQ(KindOfModelPath(dir.Write("a.safetensors", "")), ModelPathKind::kSingleFile);
  for (const char* name : {"unet", "broken", "other", "none"}) {
    EXPECT_EQ(KindOfModelPath(dir.File(name)), ModelPathKind::kNone) << name;
  }
  EXPECT_EQ(KindOfModelPath(dir.Write("a.ckpt", "")), ModelPathKind::kNone);
  std::filesystem::create_directory(dir.File("folder.safetensors"));
  EXPECT_EQ(KindOfModelPath(dir.File("folder.safetensors")), ModelPathKind::kNone);
}

TEST(ModelPathTest, NamesAModelByItsFolderOrFile) {
  EXPECT_EQ(ModelNameOf("/models/alpha"), "alpha");
  EXPECT_EQ(ModelNameOf("/models/alpha/"), "alpha");
  EXPECT_EQ(ModelNameOf("models/./v1.5"), "v1.5");
  EXPECT_EQ(ModelNameOf("/models/beta.v2.safetensors"), "beta.v2");
}

}  // namespace
}  // namespace antidiffusion
