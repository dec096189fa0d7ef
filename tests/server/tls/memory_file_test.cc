#include "server/tls/memory_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace antidiffusion {
namespace {

struct stat StatOf(const std::string& path) {
  struct stat info = {};
  EXPECT_EQ(stat(path.c_str(), &info), 0);
  return info;
}

TEST(MemoryFileTest, IsReadByItsPathAndByItsOwnerOnly) {
  const auto file = MemoryFile::Create("secret");
  ASSERT_THAT(file, IsOk());
  EXPECT_EQ(ReadFileBytes((*file)->path()), "secret");
  EXPECT_EQ(StatOf((*file)->path()).st_mode & 0777, 0400u);
}

TEST(MemoryFileTest, ThePathLeadsToTheNewContentsWithATimeOfTheirOwn) {
  const auto file = *MemoryFile::Create("a longer one, at first");
  const std::string path = file->path();
  const time_t before = StatOf(path).st_mtime;
  ASSERT_THAT(file->Replace("short"), IsOk());
  EXPECT_EQ(file->path(), path);
  EXPECT_EQ(ReadFileBytes(path), "short");
  EXPECT_NE(StatOf(path).st_mtime, before);
  EXPECT_NE(before, 0) << "which gRPC takes for an error";
}

}  // namespace
}  // namespace antidiffusion
