// How results reach their readers: piece by piece, from memory and out of the database.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "base/mutex.h"
#include "core/base/status_macros.h"
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

// The chunks of images that were read of a database.
class ReadLog {
 public:
  struct Read {
    int64_t chunk = 0;
    bool is_piece = false;  // else the whole chunk
    bool operator==(const Read&) const = default;
  };

  void Add(const Read& read) {
    MutexLock lock(mutex_);
    reads_.push_back(read);
  }
  // Those since the last call.
  std::vector<Read> Take() {
    MutexLock lock(mutex_);
    return std::exchange(reads_, {});
  }

 private:
  Mutex mutex_;
  std::vector<Read> reads_ ABSL_GUARDED_BY(mutex_);
};

class LoggingConnection : public SqlConnection {
 public:
  LoggingConnection(SqlConnection& connection, ReadLog& log) : connection_(connection), log_(log) {}

  using SqlConnection::Run;
  absl::StatusOr<SqlResult> Run(const std::string& statement,
                                const std::vector<SqlValue>& parameters) override {
    const bool is_piece = absl::StartsWith(statement, "SELECT substr(bytes");
    if (is_piece || absl::StartsWith(statement, "SELECT bytes FROM blob_chunks")) {
      log_.Add({std::get<int64_t>(parameters.at(1)), is_piece});
    }
    return connection_.Run(statement, parameters);
  }

  const SqlDialect& dialect() const override { return connection_.dialect(); }

 private:
  SqlConnection& connection_;
  ReadLog& log_;
};

class LoggingPool : public SqlPool {
 public:
  LoggingPool(std::unique_ptr<SqlPool> pool, ReadLog& log) : pool_(std::move(pool)), log_(log) {}

  absl::Status With(const std::function<absl::Status(SqlConnection&)>& use) override {
    return pool_->With([&](SqlConnection& connection) {
      LoggingConnection logging(connection, log_);
      return use(logging);
    });
  }

  const SqlDialect& dialect() const override { return pool_->dialect(); }

 private:
  const std::unique_ptr<SqlPool> pool_;
  ReadLog& log_;
};

class ResultsTest : public ::testing::Test {
 protected:
  void Start(FakeEngine::Orders orders = {}) {
    server_ = std::make_unique<TestServer>(std::move(orders));
    server_->WaitReady();
  }
  // On a database in a file; the server before it ends first.
  void StartDurable() {
    server_.reset();
    const auto on_store = [this](ServerConfig& config) {
      config.job_store = "sqlite:" + dir_.File("jobs.db");
    };
    const PoolFactory open = [this](const JobStoreName& store,
                                    int sessions) -> absl::StatusOr<std::unique_ptr<SqlPool>> {
      AD_ASSIGN_OR_RETURN(std::unique_ptr<SqlPool> pool, OpenPool(store, sessions));
      return std::make_unique<LoggingPool>(std::move(pool), reads_);
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
  ReadLog reads_;
  std::unique_ptr<TestServer> server_;
};

TEST_F(ResultsTest, AReaderWithGrpcsDefaultLimitGetsALargeResult) {
  Start();
  v1::ProtectRequest request = RequestWith(NoisePng());
  request.set_request_id("large");
  const auto call = server_->Open(request);
  const std::string name = call->Event().queued().job();
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
  StartDurable();
  reads_.Take();
  JobWatch watch(*server_, name);
  while (!watch.Event().has_result()) {
  }
  EXPECT_EQ(server_->Metric("unread_bytes"), 0) << "nothing is held in memory";
  EXPECT_TRUE(watch.Finish().ok());
  EXPECT_EQ(watch.result().image(), image);
  const auto chunks = static_cast<int64_t>((image.size() + kMiB - 1) / kMiB);
  std::vector<ReadLog::Read> expected;
  for (const bool is_piece : {false, true}) {
    for (int64_t i = 0; i < chunks; ++i) expected.push_back({i, is_piece});
  }
  EXPECT_EQ(reads_.Take(), expected);
  EXPECT_EQ(ImageOf(*server_, name, 2 * kMiB + 1), image.substr(2 * kMiB + 1));
  EXPECT_FALSE(reads_.Take().front().is_piece) << "a download that goes on is checked, too";
}

TEST_F(ResultsTest, AStoredResultThatWasChangedDoesNotLeave) {
  StartDurable();
  const std::string name = Done(SmallPng());
  StartDurable();  // the image is in the database alone
  server_->Ask("UPDATE blob_chunks SET bytes = CAST('X' AS BLOB)");
  JobWatch download(*server_, DownloadOf(name, 0));
  EXPECT_EQ(download.Finish().error_code(), grpc::DATA_LOSS);
  EXPECT_TRUE(download.result().image().empty());
  EXPECT_EQ(server_->Metric("job_store_failures_total"), 1);
}

TEST_F(ResultsTest, AnImageCountsAsReadOnceAllOfItWasGivenOut) {
  StartDurable();
  const std::string name = Create(NoisePng());
  while (JobsClient(*server_).Get(name).value.state() != v1::Job::SUCCEEDED) {
  }
  {
    JobWatch watch(*server_, name);
    while (!watch.Event().has_result()) {
    }
  }
  server_->WaitForMetric(R"(requests_total{code="CANCELLED",method="WatchJob"})", 1);
  EXPECT_EQ(server_->Ask("SELECT count(*) FROM jobs WHERE is_read = 1"), 0);
  EXPECT_FALSE(ImageOf(*server_, name, 1).empty());
  while (server_->Ask("SELECT count(*) FROM jobs WHERE is_read = 1") != 1) {
  }
}

TEST_F(ResultsTest, AResultThatIsForgottenWhileItIsReadEndsTheCall) {
  StartDurable();
  const std::string name = Done(NoisePng());
  StartDurable();
  JobWatch download(*server_, DownloadOf(name, 0));
  while (!download.Event().has_result()) {
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
  ASSERT_TRUE(all_there.Event().has_result());
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
