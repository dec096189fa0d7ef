// How results reach their readers: piece by piece, from memory and out of the job store.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/mutex.h"
#include "core/image/codec.h"
#include "tests/server/jobs_client.h"
#include "tests/server/test_server.h"
#include "tests/testing/temp_dir.h"

namespace antidiffusion {
namespace {

constexpr size_t kMiB = size_t{1} << 20;

// A picture that no codec makes smaller: its PNG is larger than gRPC's default limit of a message.
std::string NoisePng() {
  Picture picture;
  picture.image = {1300, 1300, 3, std::vector<uint8_t>(size_t{1300} * 1300 * 3)};
  std::mt19937 generator(1);
  std::generate(picture.image.pixels.begin(), picture.image.pixels.end(),
                [&generator] { return static_cast<uint8_t>(generator()); });
  return EncodePicture(picture, {}).value();
}

v1::DownloadResultRequest DownloadOf(const std::string& name, int64_t offset) {
  v1::DownloadResultRequest request;
  request.set_name(name);
  request.set_offset(offset);
  return request;
}

// The pieces that were read of a job store.
class PieceLog {
 public:
  void Add(const StoredPiece& piece) {
    MutexLock lock(mutex_);
    pieces_.push_back(piece);
  }
  std::vector<StoredPiece> pieces() const {
    MutexLock lock(mutex_);
    return pieces_;
  }

 private:
  mutable Mutex mutex_;
  std::vector<StoredPiece> pieces_ ABSL_GUARDED_BY(mutex_);
};

class LoggingStore : public JobStore {
 public:
  LoggingStore(std::unique_ptr<JobStore> store, PieceLog& log)
      : store_(std::move(store)), log_(log) {}

  absl::Status Save(const StoredJob& job, const StoredBytes& bytes, bool durable) override {
    return store_->Save(job, bytes, durable);
  }
  absl::Status Delete(const std::string& name) override { return store_->Delete(name); }
  absl::StatusOr<std::string> ReadFile(const std::string& digest) override {
    return store_->ReadFile(digest);
  }
  absl::StatusOr<std::string> ReadPiece(const StoredPiece& piece) override {
    log_.Add(piece);
    return store_->ReadPiece(piece);
  }
  absl::StatusOr<std::vector<StoredJob>> LoadAll() override { return store_->LoadAll(); }

 private:
  const std::unique_ptr<JobStore> store_;
  PieceLog& log_;
};

class ResultsTest : public ::testing::Test {
 protected:
  void Start(FakeEngine::Orders orders = {}) {
    server_ = std::make_unique<TestServer>(std::move(orders));
    server_->WaitReady();
  }
  // On a job store in a file; the server before it ends first.
  void StartDurable() {
    server_.reset();
    const auto on_store = [this](ServerConfig& config) {
      config.job_store = "sqlite:" + dir_.File("jobs.db");
    };
    const StoreFactory open = [this](const std::string& path) -> decltype(OpenSqliteJobStore("")) {
      auto store = OpenSqliteJobStore(path);
      if (!store.ok()) return store.status();
      return std::make_unique<LoggingStore>(*std::move(store), pieces_);
    };
    server_ = std::make_unique<TestServer>(FakeEngine::Orders(), on_store,
                                           std::vector<std::string>{"alpha"}, nullptr, open);
    server_->WaitReady();
  }
  std::string Create(const std::string& image) {
    return JobsClient(*server_).Create(RequestWith(image)).value.name();
  }
  // A job that has succeeded.
  std::string Done(const std::string& image) {
    std::string name = Create(image);
    EXPECT_TRUE(JobWatch(*server_, name).Finish().ok());
    return name;
  }
  grpc::Status Download(const std::string& name, int64_t offset = 0) {
    return JobWatch(*server_, DownloadOf(name, offset)).Finish();
  }

  TempDir dir_;
  PieceLog pieces_;
  std::unique_ptr<TestServer> server_;
};

TEST_F(ResultsTest, AReaderWithGrpcsDefaultLimitGetsALargeResult) {
  Start();
  v1::ProtectRequest request = RequestWith(NoisePng());
  request.set_request_id("large");
  const auto call = server_->Open(request);
  const std::string name = call->Next()->queued().job();
  const grpc::Status status = call->Finish();
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_TRUE(call->result().whole());
  const std::string& image = call->result().image();
  EXPECT_GT(image.size(), 4 * kMiB);
  EXPECT_EQ(call->result().largest_chunk(), kMiB);
  EXPECT_EQ(call->last().chunk().offset() + call->last().chunk().data().size(), image.size());
  EXPECT_EQ(DecodePicture(image, {}).value().image.width, 1300);

  EXPECT_EQ(ImageOf(*server_, name), image);
  EXPECT_EQ(ImageOf(*server_, name, 3 * kMiB + 7), image.substr(3 * kMiB + 7));
  const auto job = JobsClient(*server_).Get(name);
  EXPECT_EQ(job.value.result().image_bytes(), static_cast<int64_t>(image.size()));
  EXPECT_EQ(server_->Metric(R"(requests_total{code="OK",method="DownloadResult"})"), 2);
}

TEST_F(ResultsTest, AStoredResultIsReadPieceByPieceAndCheckedFirst) {
  StartDurable();
  const std::string name = Done(NoisePng());
  const std::string image = ImageOf(*server_, name);
  StartDurable();  // the image is in the store alone
  const size_t before = pieces_.pieces().size();
  JobWatch watch(*server_, name);
  while (!watch.Next()->has_result()) {
  }
  EXPECT_EQ(server_->Metric("unread_bytes"), 0) << "nothing is held in memory";
  EXPECT_TRUE(watch.Finish().ok());
  EXPECT_EQ(watch.result().image(), image);
  const auto all = pieces_.pieces();
  ASSERT_EQ(all.size() - before, (image.size() + kMiB - 1) / kMiB);
  for (size_t i = before; i < all.size(); ++i) {
    EXPECT_EQ(all[i].offset, static_cast<int64_t>((i - before) * kMiB));
    EXPECT_LE(all[i].size, static_cast<int64_t>(kMiB));
    EXPECT_EQ(all[i].check, i == before);
  }
  EXPECT_EQ(ImageOf(*server_, name, 2 * kMiB + 1), image.substr(2 * kMiB + 1));
  EXPECT_TRUE(pieces_.pieces()[all.size()].check) << "a download that goes on, too";
}

TEST_F(ResultsTest, AStoredResultThatWasChangedDoesNotLeave) {
  StartDurable();
  const std::string name = Done(SmallPng());
  StartDurable();
  const auto file = *std::filesystem::directory_iterator(dir_.File("jobs.db.files"));
  std::fstream(file.path(), std::ios::in | std::ios::out | std::ios::binary) << "X";
  JobWatch download(*server_, DownloadOf(name, 0));
  EXPECT_EQ(download.Finish().error_code(), grpc::DATA_LOSS);
  EXPECT_TRUE(download.result().image().empty());
}

TEST_F(ResultsTest, AResultThatIsForgottenWhileItIsReadEndsTheCall) {
  StartDurable();
  const std::string name = Done(NoisePng());
  StartDurable();
  JobWatch download(*server_, DownloadOf(name, 0));
  while (!download.Next()->has_result()) {
  }
  EXPECT_TRUE(JobsClient(*server_).Delete(name).status.ok());
  EXPECT_EQ(ErrorInfoOf(download.Finish()).reason(), "JOB_NOT_FOUND");
}

TEST_F(ResultsTest, AnOffsetIsWithinTheImage) {
  Start();
  const std::string name = Done(SmallPng());
  const int64_t size = JobsClient(*server_).Get(name).value.result().image_bytes();
  for (const int64_t offset : {int64_t{-1}, size + 1}) {
    const grpc::Status status = Download(name, offset);
    EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT) << offset;
    EXPECT_EQ(ErrorInfoOf(status).metadata().at("field"), "offset");
  }
  JobWatch all_there(*server_, DownloadOf(name, size));
  ASSERT_TRUE(all_there.Next()->has_result());
  EXPECT_FALSE(all_there.Next().has_value());
  EXPECT_TRUE(all_there.Finish().ok());
}

TEST_F(ResultsTest, AJobWithoutAResultSaysWhatItIs) {
  Start({.hold_steps = true});
  const std::string name = Create(SmallPng());
  const auto expect_none = [&](const std::string& state) {
    const grpc::Status status = Download(name);
    EXPECT_EQ(status.error_code(), grpc::FAILED_PRECONDITION);
    EXPECT_EQ(ErrorInfoOf(status).reason(), "NO_RESULT");
    EXPECT_EQ(ErrorInfoOf(status).metadata().at("state"), state);
  };
  server_->engine().WaitForStepBegun(1);
  expect_none("RUNNING");
  EXPECT_TRUE(JobsClient(*server_).Cancel(name).status.ok());
  server_->engine().AllowAllSteps();
  EXPECT_EQ(JobWatch(*server_, name).Finish().error_code(), grpc::CANCELLED);
  expect_none("CANCELLED");
  EXPECT_EQ(ErrorInfoOf(Download(std::string(32, '0'))).reason(), "JOB_NOT_FOUND");
}

}  // namespace
}  // namespace antidiffusion
