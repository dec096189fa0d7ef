#include "server/job_record.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "antidiffusion/v1/protection.pb.h"
#include "server/errors.h"
#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

class JobRecordTest : public ::testing::Test {
 protected:
  JobRecordTest() {
    v1::ProtectRequest body;
    body.set_model("alpha");
    body.mutable_options()->set_seed(7);
    (*body.mutable_labels())["album"] = "9";
    JobRequest request;
    request.image = "image";
    request.model = "alpha";
    request.tenant = "acme";
    request.request_id = "id";
    request.priority = JobPriority::kBatch;
    request.body = body.SerializeAsString();
    request.body_hash = "hash";
    request.image_digest = "digest";
    request.cache_key = "key";
    job_ = std::make_unique<Job>(std::move(request), now_ + absl::Hours(1), std::nullopt, clock_);
  }

  // As the database would have it.
  StoredJobRow Row() const {
    const NewJob made = ToNewJob(*job_);
    StoredJobRow row;
    row.name = made.name;
    row.tenant = made.tenant;
    row.request_id = made.request_id;
    row.request = made.request;
    row.model = made.model;
    row.job_class = made.job_class;
    row.image_digest = made.image_digest;
    row.image_bytes = made.image_bytes;
    row.cache_key = made.cache_key;
    row.trace = made.trace;
    row.created = now_;
    row.now = now_ + absl::Seconds(5);
    row.deadline = now_ + absl::Seconds(25);
    row.started = row.ended = absl::InfinitePast();
    row.sequence = 1;
    return row;
  }
  StoredJobRow Ended(const JobEnd& end) const {
    StoredJobRow row = Row();
    row.phase = end.phase;
    row.ended = row.now;
    row.error = end.error;
    row.result = end.result;
    row.result_digest = end.result_digest;
    row.result_bytes = end.result_bytes;
    return row;
  }

  absl::Time now_ = absl::FromUnixSeconds(1'000'000);
  Job::Clock clock_ = [this] { return now_; };
  std::unique_ptr<Job> job_;
};

TEST_F(JobRecordTest, ARequestComesBack) {
  AD_ASSERT_OK_AND_ASSIGN(const JobRequest request, RequestOf(Row()));
  EXPECT_EQ(request.model, "alpha");
  EXPECT_EQ(request.options.seed, 7u);
  EXPECT_EQ(request.labels.at("album"), "9");
  EXPECT_EQ(request.tenant, "acme");
  EXPECT_EQ(request.request_id, "id");
  EXPECT_EQ(request.priority, JobPriority::kBatch);
  EXPECT_EQ(request.image_digest, "digest");
  EXPECT_EQ(request.cache_key, "key");
  EXPECT_TRUE(request.kept());
  StoredJobRow broken = Row();
  broken.request = "\xff";
  EXPECT_THAT(RequestOf(broken), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_EQ(JobOf(broken, EtaEstimator(), clock_)->request().model, "alpha")
      << "what can be told is told";
}

TEST_F(JobRecordTest, ADeadlineIsHeldByTheClockOfTheDatabase) {
  EXPECT_EQ(JobOf(Row(), EtaEstimator(), clock_)->deadline(), now_ + absl::Seconds(20));
  EXPECT_EQ(OnClock(absl::InfiniteFuture(), now_, now_), absl::InfiniteFuture());
}

TEST_F(JobRecordTest, ARunIsToldWithItsDevice) {
  EXPECT_EQ(ToStoredProgress(*job_), "");
  job_->Start({"alpha", "cuda:1"});
  StoredJobRow row = Row();
  row.phase = JobPhase::kRunning;
  EXPECT_FALSE(NewsOf(row).running.has_value());
  row.progress = ToStoredProgress(*job_);
  EXPECT_EQ(NewsOf(row).running->device, "cuda:1");
  job_->Report({"pgd", 3, 10, 0.3, 0.5, 7, 0.01});
  row.progress = ToStoredProgress(*job_);
  const JobNews news = NewsOf(row);
  EXPECT_EQ(news.state, JobState::kRunning);
  EXPECT_EQ(news.running->model, "alpha");
  EXPECT_EQ(news.progress->stage, "pgd");
  EXPECT_EQ(news.progress->step, 3);
  EXPECT_EQ(news.progress->eta_seconds, 7);
}

TEST_F(JobRecordTest, AResultComesBackButForItsImage) {
  JobResult result;
  result.image = "12345";
  result.format = ImageFormat::kWebp;
  result.report.psnr = 40.5;
  result.report.bound = 6;
  result.report.full = FullReport{};
  result.report.full->after_blur.gain_left = 0.5;
  result.model.digest = "abc";
  result.seed = 7;
  result.unet_passes = 310;
  result.stage_seconds = {{"pgd", 1.5}};
  const JobEnd end = ToJobEnd(result, "digest of the result");
  EXPECT_EQ(end.phase, JobPhase::kSucceeded);
  EXPECT_EQ(end.result.find("12345"), std::string::npos);
  const JobNews news = NewsOf(Ended(end));
  EXPECT_THAT(news.status, IsOk());
  EXPECT_EQ(*news.ended, now_ + absl::Seconds(5));
  ASSERT_NE(news.result, nullptr);
  EXPECT_EQ(news.result->image, "");
  EXPECT_EQ(news.result->image_digest, "digest of the result");
  EXPECT_EQ(news.result->bytes(), 5);
  EXPECT_EQ(news.result->format, ImageFormat::kWebp);
  EXPECT_EQ(news.result->report.psnr, 40.5);
  EXPECT_EQ(news.result->report.bound, 6);
  EXPECT_EQ(news.result->report.full->after_blur.gain_left, 0.5);
  EXPECT_EQ(news.result->model.digest, "abc");
  EXPECT_EQ(news.result->seed, 7u);
  EXPECT_EQ(news.result->unet_passes, 310);
  EXPECT_EQ(news.result->stage_seconds.at("pgd"), 1.5);
  StoredJobRow broken = Ended(end);
  broken.result = "\xff";
  EXPECT_THAT(NewsOf(broken).status, StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(JobRecordTest, AnErrorComesBackWithItsReason) {
  const JobEnd end = ToJobEnd(BudgetNotKeptError("pixels", 9, 6));
  EXPECT_EQ(end.phase, JobPhase::kFailed);
  const absl::Status error = NewsOf(Ended(end)).status;
  EXPECT_EQ(error.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(error, HasReason(reason::kBudgetNotKept));
  EXPECT_EQ(GetErrorReason(error)->metadata.at("difference"), "9");
  EXPECT_THAT(ErrorOf("\xff"), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(JobRecordTest, ARequestIdIsFreeWhereARetryShallBeginAnew) {
  EXPECT_TRUE(ToJobEnd(CallerGoneError()).frees_request_id);
  EXPECT_TRUE(ToJobEnd(DeadlinePassedError("queue")).frees_request_id);
  EXPECT_FALSE(ToJobEnd(JobCancelledError()).frees_request_id);
  EXPECT_FALSE(ToJobEnd(absl::InternalError("x")).frees_request_id);
}

}  // namespace
}  // namespace antidiffusion
