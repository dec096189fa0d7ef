#include "server/store/blob_files.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <string>

#include "core/base/sha256.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace antidiffusion {
namespace {

class BlobFilesTest : public ::testing::Test {
 protected:
  static int ModeOf(const std::string& path) {
    struct stat info = {};
    EXPECT_EQ(stat(path.c_str(), &info), 0) << path;
    return info.st_mode & 0777;
  }

  TempDir dir_;
  const std::string folder_ = dir_.File("files");
  const std::string digest_ = Sha256Hex("bytes");
};

TEST_F(BlobFilesTest, GivesBackWhatWasWritten) {
  AD_ASSERT_OK_AND_ASSIGN(const BlobFiles files, BlobFiles::Open(folder_));
  EXPECT_THAT(files.Write(digest_, "bytes"), IsOk());
  EXPECT_THAT(files.Write(digest_, "bytes"), IsOk());
  EXPECT_EQ(*files.Read(digest_), "bytes");
  files.Delete(digest_);
  EXPECT_THAT(files.Read(digest_), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(BlobFilesTest, NobodyElseMayLook) {
  std::filesystem::create_directory(folder_);
  std::filesystem::permissions(folder_, std::filesystem::perms::all);
  AD_ASSERT_OK_AND_ASSIGN(const BlobFiles files, BlobFiles::Open(folder_));
  EXPECT_THAT(files.Write(digest_, "bytes"), IsOk());
  EXPECT_EQ(ModeOf(folder_), 0700);
  EXPECT_EQ(ModeOf(folder_ + "/" + digest_), 0600);
}

TEST_F(BlobFilesTest, KnowsBytesThatHaveChanged) {
  AD_ASSERT_OK_AND_ASSIGN(const BlobFiles files, BlobFiles::Open(folder_));
  dir_.Write("files/" + digest_, "other");
  EXPECT_THAT(files.Read(digest_), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(BlobFilesTest, GivesPiecesOfAFileThatItHasChecked) {
  AD_ASSERT_OK_AND_ASSIGN(const BlobFiles files, BlobFiles::Open(folder_));
  EXPECT_THAT(files.Check(digest_), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(files.ReadPiece(digest_, 0, 2), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(files.Write(digest_, "bytes"), IsOk());
  EXPECT_THAT(files.Check(digest_), IsOk());
  EXPECT_EQ(*files.ReadPiece(digest_, 0, 2), "by");
  EXPECT_EQ(*files.ReadPiece(digest_, 2, 2), "te");
  EXPECT_EQ(*files.ReadPiece(digest_, 4, 2), "s");
  EXPECT_THAT(files.ReadPiece(digest_, 5, 2), StatusIs(absl::StatusCode::kDataLoss));
  dir_.Write("files/" + digest_, "other");
  EXPECT_THAT(files.Check(digest_), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(BlobFilesTest, DeletesWhatIsNotWanted) {
  AD_ASSERT_OK_AND_ASSIGN(const BlobFiles files, BlobFiles::Open(folder_));
  EXPECT_THAT(files.Write(digest_, "bytes"), IsOk());
  dir_.Write("files/" + Sha256Hex("old"), "old");
  dir_.Write("files/" + Sha256Hex("cut short") + ".new", "cut");
  files.DeleteAllBut({digest_});
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);
  EXPECT_THAT(files.Read(digest_), IsOk());
}

TEST_F(BlobFilesTest, AFolderThatCannotBeIsAnError) {
  dir_.Write("file", "");
  EXPECT_THAT(BlobFiles::Open(dir_.File("file/folder")), StatusIs(absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace antidiffusion
