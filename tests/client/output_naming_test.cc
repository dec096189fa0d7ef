#include "client/output_naming.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace antidiffusion {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

// The outputs, below `dir`, of the tasks that can be tried.
std::vector<std::string> Outputs(const std::vector<FileTask>& tasks, const TempDir& dir) {
  std::vector<std::string> outputs;
  for (const FileTask& task : tasks) {
    if (task.status.ok()) outputs.push_back(task.output.lexically_relative(dir.path()).string());
  }
  return outputs;
}

TEST(ProtectedNameTest, KeepsTheNameAndTakesTheExtensionOfTheFormat) {
  EXPECT_EQ(ProtectedName("photo.jpg", "png"), "photo.protected.png");
  EXPECT_EQ(ProtectedName("a.b.JPEG", "webp"), "a.b.protected.webp");
  EXPECT_EQ(ProtectedName("photo", "png"), "photo.protected.png");
}

TEST(ProtectedNameTest, WithoutAnExtensionKeepsThatOfTheInput) {
  EXPECT_EQ(ProtectedName("photo.JPG", ""), "photo.protected.JPG");
  EXPECT_EQ(ProtectedName("photo", ""), "photo.protected");
}

TEST(CollectFilesTest, PutsResultsBesideTheInputs) {
  TempDir dir;
  EXPECT_THAT(Outputs(CollectFiles({dir.Write("a/photo.jpg", "x")}, {}), dir),
              ElementsAre("a/photo.protected.png"));
}

TEST(CollectFilesTest, AFolderStandsForItsPhotographsInOrder) {
  TempDir dir;
  for (const char* name : {"in/b.PNG", "in/a.jpg", "in/c.webp", "in/d.jpeg", "in/notes.txt",
                           "in/a.protected.png", "in/a.comparison.png", "in/below/e.jpg"}) {
    dir.Write(name, "x");
  }
  EXPECT_THAT(Outputs(CollectFiles({dir.File("in")}, {}), dir),
              ElementsAre("in/a.protected.png", "in/b.protected.png", "in/c.protected.png",
                          "in/d.protected.png"));
}

TEST(CollectFilesTest, RecursionKeepsPlacesUnderTheOutputFolder) {
  TempDir dir;
  for (const char* name : {"in/a.jpg", "in/x/y/b.jpg", "in/x/c.jpg", "other/d.jpg"}) {
    dir.Write(name, "x");
  }
  const NamingOptions options = {.output_folder = dir.File("out"), .recursive = true};
  EXPECT_THAT(Outputs(CollectFiles({dir.File("in"), dir.File("other/d.jpg")}, options), dir),
              ElementsAre("out/a.protected.png", "out/x/c.protected.png", "out/x/y/b.protected.png",
                          "out/d.protected.png"));
}

TEST(CollectFilesTest, AFileThatIsNamedTwiceIsOneTask) {
  TempDir dir;
  const std::string path = dir.Write("in/a.jpg", "x");
  EXPECT_THAT(CollectFiles({path, dir.File("in/../in/a.jpg"), dir.File("in")}, {}), SizeIs(1));
}

TEST(CollectFilesTest, TwoInputsNeverGetOneOutput) {
  TempDir dir;
  dir.Write("a.jpg", "x");
  dir.Write("a.png", "x");
  const std::vector<FileTask> tasks = CollectFiles({dir.path()}, {});
  ASSERT_THAT(tasks, SizeIs(2));
  EXPECT_THAT(tasks[0].status, IsOk());
  EXPECT_THAT(tasks[1].status, StatusIs(absl::StatusCode::kAlreadyExists, "a.jpg"));
  for (const FileTask& task : CollectFiles({dir.path()}, {.extension = ""})) {
    EXPECT_THAT(task.status, IsOk());
  }
}

TEST(CollectFilesTest, WhatIsNotThereIsATaskThatFails) {
  TempDir dir;
  std::filesystem::create_directory(dir.File("empty"));
  const std::vector<FileTask> tasks = CollectFiles({dir.File("no.jpg"), dir.File("empty")}, {});
  ASSERT_THAT(tasks, SizeIs(2));
  EXPECT_THAT(tasks[0].status, StatusIs(absl::StatusCode::kNotFound, "no such file"));
  EXPECT_THAT(tasks[1].status, StatusIs(absl::StatusCode::kNotFound, "folder"));
}

TEST(CollectFilesTest, ALinkThatClosesACircleIsNotFollowed) {
  TempDir dir;
  dir.Write("in/a.jpg", "x");
  std::filesystem::create_directory_symlink(dir.File("in"), dir.File("in/circle"));
  EXPECT_THAT(CollectFiles({dir.File("in")}, {.recursive = true}), SizeIs(1));
}

}  // namespace
}  // namespace antidiffusion
