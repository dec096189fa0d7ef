#include "client/file_io.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace antidiffusion {
namespace {

namespace fs = std::filesystem;

int FilesIn(const std::string& folder) {
  return static_cast<int>(std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

TEST(ReadInputFileTest, ReadsWholeFilesUpToTheLimit) {
  TempDir dir;
  const std::string bytes("a\0b", 3);
  const std::string path = dir.Write("a.jpg", bytes);
  AD_ASSERT_OK_AND_ASSIGN(const std::string read, ReadInputFile(path, 3));
  EXPECT_EQ(read, bytes);
  EXPECT_THAT(ReadInputFile(path, 2), StatusIs(absl::StatusCode::kInvalidArgument, "3 bytes"));
}

TEST(ReadInputFileTest, AHugeFileIsRefusedUnread) {
  TempDir dir;
  const std::string path = dir.Write("a.jpg", "x");
  fs::resize_file(path, uintmax_t{1} << 40);  // a hole: 1 TiB that could not be read into memory
  EXPECT_THAT(ReadInputFile(path), StatusIs(absl::StatusCode::kInvalidArgument, "33554432"));
}

TEST(ReadInputFileTest, WhatIsNoPhotographOnDiskIsRefused) {
  TempDir dir;
  EXPECT_THAT(ReadInputFile(dir.File("no.jpg")), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(ReadInputFile(dir.path()), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ReadInputFile(dir.Write("empty.jpg", "")),
              StatusIs(absl::StatusCode::kInvalidArgument, "empty"));
  ASSERT_EQ(mkfifo(dir.File("pipe").c_str(), 0600), 0);
  EXPECT_THAT(ReadInputFile(dir.File("pipe")),
              StatusIs(absl::StatusCode::kInvalidArgument, "regular"));
}

TEST(WriteFileAtomicallyTest, ReplacesTheFileAndLeavesNothingElse) {
  TempDir dir;
  const std::string path = dir.Write("a.png", "old and longer");
  ASSERT_THAT(WriteFileAtomically(path, "new"), IsOk());
  EXPECT_EQ(ReadFileBytes(path), "new");
  EXPECT_EQ(FilesIn(dir.path()), 1);
}

TEST(WriteFileAtomicallyTest, GivesTheModeOfAnyNewFile) {
  TempDir dir;
  const mode_t mask = umask(0);
  umask(mask);
  ASSERT_THAT(WriteFileAtomically(dir.File("a.png"), "x"), IsOk());
  struct stat info = {};
  ASSERT_EQ(stat(dir.File("a.png").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0666 & ~mask);
}

TEST(WriteFileAtomicallyTest, AFailureLeavesNothing) {
  TempDir dir;
  fs::create_directory(dir.File("a.png"));
  dir.Write("a.png/inside", "x");
  EXPECT_FALSE(WriteFileAtomically(dir.File("a.png"), "x").ok());
  EXPECT_EQ(FilesIn(dir.path()), 1);
  EXPECT_THAT(WriteFileAtomically(dir.File("no/a.png"), "x"),
              StatusIs(absl::StatusCode::kNotFound, "no/a.png"));
}

TEST(PrepareOutputFolderTest, MakesFolders) {
  TempDir dir;
  ASSERT_THAT(PrepareOutputFolder(dir.File("a/b/c.png")), IsOk());
  EXPECT_TRUE(fs::is_directory(dir.File("a/b")));
}

TEST(PrepareOutputFolderTest, AFileInTheWayIsAnError) {
  TempDir dir;
  dir.Write("a", "x");
  EXPECT_FALSE(PrepareOutputFolder(dir.File("a/c.png")).ok());
}

}  // namespace
}  // namespace antidiffusion
