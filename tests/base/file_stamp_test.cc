#include "base/file_stamp.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "tests/testing/temp_dir.h"

namespace antidiffusion {
namespace {

TEST(FileStampTest, StaysWhileTheFileDoes) {
  const TempDir folder;
  const std::string path = folder.File("file");
  EXPECT_EQ(StampOf(path), FileStamp());
  folder.Write("file", "one");
  const FileStamp stamp = StampOf(path);
  EXPECT_NE(stamp, FileStamp());
  EXPECT_EQ(stamp.size, 3);
  EXPECT_EQ(StampOf(path), stamp);
}

TEST(FileStampTest, ChangesWithTheFileThatThePathLeadsTo) {
  const TempDir folder;
  const std::string path = folder.File("file"), other = folder.File("other");
  const std::string link = folder.File("link");
  folder.Write("file", "one");
  folder.Write("other", "two");
  std::filesystem::create_symlink(path, link);
  const FileStamp stamp = StampOf(link);
  EXPECT_EQ(stamp, StampOf(path));

  std::filesystem::remove(link);
  std::filesystem::create_symlink(other, link);
  EXPECT_NE(StampOf(link), stamp) << "the symlink leads elsewhere";

  std::filesystem::rename(other, path);
  EXPECT_NE(StampOf(path), stamp) << "another file has been moved there";

  const FileStamp moved = StampOf(path);
  folder.Write("file", "three");
  EXPECT_NE(StampOf(path), moved) << "it was written in place";
}

}  // namespace
}  // namespace antidiffusion
