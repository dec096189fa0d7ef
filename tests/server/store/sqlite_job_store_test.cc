#include "server/store/sqlite_job_store.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "core/base/sha256.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace antidiffusion {
namespace {

const std::string kImage = "an image";
const std::string kResult = "a result";

StoredJob Row(const std::string& name) {
  StoredJob row;
  row.name = name;
  row.tenant = "acme";
  row.request_id = "upload-7";
  row.request = std::string("\0bytes\xff", 7);
  row.request_hash = "hash";
  row.cache_key = "key";
  row.image_digest = Sha256Hex(kImage);
  row.image_bytes = 8;
  row.priority = 1;
  row.created = absl::FromUnixNanos(1'700'000'000'123'456'789);
  row.state = 0;
  return row;
}

StoredJob Ended(StoredJob row) {
  row.image_digest.clear();
  row.state = 2;
  row.attempts = 1;
  row.sequence = (uint64_t{1} << 40) + 5;
  row.started = row.created + absl::Seconds(1);
  row.ended = row.created + absl::Seconds(2);
  row.expires = row.created + absl::Hours(24);
  row.result = "facts";
  row.result_digest = Sha256Hex(kResult);
  row.result_bytes = 8;
  return row;
}

class SqliteJobStoreTest : public ::testing::Test {
 protected:
  SqliteJobStoreTest() { Open(); }

  void Open() {
    store_.reset();
    auto store = OpenSqliteJobStore(path_);
    ASSERT_THAT(store, IsOk());
    store_ = *std::move(store);
  }
  size_t Files() const {
    return static_cast<size_t>(
        std::distance(std::filesystem::directory_iterator(path_ + ".files"), {}));
  }

  TempDir dir_;
  const std::string path_ = dir_.File("jobs.db");
  std::unique_ptr<JobStore> store_;
};

TEST_F(SqliteJobStoreTest, GivesBackEveryField) {
  ASSERT_THAT(store_->Save(Row("a"), {&kImage, nullptr}, true), IsOk());
  const StoredJob ended = Ended(Row("b"));
  ASSERT_THAT(store_->Save(ended, {nullptr, &kResult}, false), IsOk());
  Open();
  AD_ASSERT_OK_AND_ASSIGN(const std::vector<StoredJob> rows, store_->LoadAll());
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].name, "a");
  EXPECT_EQ(rows[0].deadline, absl::InfiniteFuture());
  EXPECT_EQ(rows[0].started, absl::InfinitePast());
  EXPECT_EQ(rows[0].ended, absl::InfinitePast());
  EXPECT_EQ(*store_->ReadFile(rows[0].image_digest), kImage);
  const StoredJob& row = rows[1];
  EXPECT_EQ(row.tenant, "acme");
  EXPECT_EQ(row.request_id, "upload-7");
  EXPECT_EQ(row.request, ended.request);
  EXPECT_EQ(row.request_hash, "hash");
  EXPECT_EQ(row.cache_key, "key");
  EXPECT_EQ(row.image_bytes, 8);
  EXPECT_EQ(row.priority, 1);
  EXPECT_EQ(row.created, ended.created);
  EXPECT_EQ(row.state, 2);
  EXPECT_EQ(row.attempts, 1);
  EXPECT_EQ(row.sequence, ended.sequence);
  EXPECT_EQ(row.started, ended.started);
  EXPECT_EQ(row.ended, ended.ended);
  EXPECT_EQ(row.expires, ended.expires);
  EXPECT_EQ(row.result, "facts");
  EXPECT_EQ(*store_->ReadFile(row.result_digest), kResult);
  EXPECT_EQ(row.result_bytes, 8);
}

TEST_F(SqliteJobStoreTest, KeepsTheOrderOfCreationWhateverIsSavedLater) {
  for (const char* name : {"c", "a", "b"}) {
    ASSERT_THAT(store_->Save(Row(name), {&kImage, nullptr}, true), IsOk());
  }
  ASSERT_THAT(store_->Save(Ended(Row("c")), {nullptr, &kResult}, true), IsOk());
  AD_ASSERT_OK_AND_ASSIGN(const std::vector<StoredJob> rows, store_->LoadAll());
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[0].name + rows[1].name + rows[2].name, "cab");
}

TEST_F(SqliteJobStoreTest, AFileLivesAsLongAsARowNamesIt) {
  ASSERT_THAT(store_->Save(Row("a"), {&kImage, nullptr}, true), IsOk());
  ASSERT_THAT(store_->Save(Row("b"), {&kImage, nullptr}, true), IsOk());
  EXPECT_EQ(Files(), 1u) << "equal images are one file";
  ASSERT_THAT(store_->Save(Ended(Row("a")), {nullptr, &kResult}, true), IsOk());
  EXPECT_EQ(Files(), 2u);
  ASSERT_THAT(store_->Save(Ended(Row("b")), {nullptr, &kResult}, true), IsOk());
  EXPECT_EQ(Files(), 1u) << "the image went with the end of its last job";
  ASSERT_THAT(store_->Delete("a"), IsOk());
  EXPECT_EQ(Files(), 1u);
  ASSERT_THAT(store_->Delete("b"), IsOk());
  EXPECT_EQ(Files(), 0u);
  EXPECT_THAT(store_->Delete("b"), IsOk());
}

TEST_F(SqliteJobStoreTest, FilesOfNoRowAreDeletedAtTheStart) {
  dir_.Write("jobs.db.files/" + Sha256Hex("lost"), "lost");
  AD_ASSERT_OK_AND_ASSIGN(const std::vector<StoredJob> rows, store_->LoadAll());
  EXPECT_EQ(Files(), 0u);
}

TEST_F(SqliteJobStoreTest, ASecondOneIsRefused) {
  EXPECT_THAT(OpenSqliteJobStore(path_), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(SqliteJobStoreTest, SomethingElseIsNoStore) {
  dir_.Write("text.db", std::string(10'000, 'x'));
  EXPECT_THAT(OpenSqliteJobStore(dir_.File("text.db")), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(OpenSqliteJobStore(dir_.File("no/folder.db")),
              StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(SqliteJobStoreTest, AFailedWriteLeavesNoFile) {
  StoredJob both = Ended(Row("a"));
  both.image_digest = Sha256Hex(kImage);
  const std::string in_the_way = path_ + ".files/" + both.result_digest + ".new";
  std::filesystem::create_directory(in_the_way);
  EXPECT_THAT(store_->Save(both, {&kImage, &kResult}, true),
              StatusIs(absl::StatusCode::kUnavailable));
  std::filesystem::remove(in_the_way);
  EXPECT_EQ(Files(), 0u) << "the image was written before the result could not be";
  EXPECT_THAT(store_->Save(both, {&kImage, &kResult}, true), IsOk());
  EXPECT_EQ(Files(), 2u);
}

}  // namespace
}  // namespace antidiffusion
