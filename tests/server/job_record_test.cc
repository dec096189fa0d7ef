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
    job_ = std::make_unique<Job>(
        std::move(request), now_ + absl::Hours(1), std::nullopt, [this] { return now_; }, nullptr);
  }
  StoredJob Row() const {
    return ToStored(*job_, job_->Snapshot(Job::View::kJournal), now_ + absl::Hours(24), "result");
  }

  absl::Time now_ = absl::FromUnixSeconds(1'000'000);
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
  EXPECT_EQ(request.body_hash, "hash");
  EXPECT_EQ(request.image_digest, "digest");
  EXPECT_EQ(request.cache_key, "") << "the weights may be others when it runs";
  EXPECT_TRUE(request.kept());
  StoredJob broken = Row();
  broken.request = "\xff";
  EXPECT_THAT(RequestOf(broken), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(JobRecordTest, SequencesGoOnAboveAllThatWereGivenOut) {
  job_->SetQueued({0, 0});
  const StoredJob row = Row();
  job_->Start({"alpha", "cpu"});
  for (int i = 0; i < 1000; ++i) job_->Report({});
  const JobPast past = PastOf(row);
  EXPECT_GT(past.sequence, job_->Snapshot().sequence);
  EXPECT_EQ(past.name, job_->name());
  EXPECT_EQ(past.admitted, now_);
  EXPECT_FALSE(past.ended.has_value());
  EXPECT_FALSE(WasRunning(row));
  EXPECT_TRUE(WasRunning(Row()));
  EXPECT_EQ(PastOf(Row()).attempts, 1);
}

TEST_F(JobRecordTest, AResultComesBackButForItsImage) {
  job_->Start({"alpha", "cpu"});
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
  job_->Succeed(std::move(result));
  const StoredJob row = Row();
  EXPECT_TRUE(HasEnded(row));
  EXPECT_EQ(RequestOf(row)->cache_key, "key");
  EXPECT_EQ(row.image_digest, "") << "the image is no longer needed";
  const JobPast past = PastOf(row);
  ASSERT_NE(past.result, nullptr);
  EXPECT_EQ(past.result->image, "");
  EXPECT_EQ(past.result->image_digest, "result");
  EXPECT_EQ(past.result->image_bytes, 5);
  EXPECT_EQ(past.result->format, ImageFormat::kWebp);
  EXPECT_EQ(past.result->report.psnr, 40.5);
  EXPECT_EQ(past.result->report.bound, 6);
  EXPECT_EQ(past.result->report.full->after_blur.gain_left, 0.5);
  EXPECT_EQ(past.result->model.digest, "abc");
  EXPECT_EQ(past.result->seed, 7u);
  EXPECT_EQ(past.result->unet_passes, 310);
  EXPECT_EQ(past.result->stage_seconds.at("pgd"), 1.5);
  EXPECT_EQ(past.sequence, job_->Snapshot().sequence);
  EXPECT_EQ(*past.ended, now_);
}

TEST_F(JobRecordTest, AnErrorComesBackWithItsReason) {
  job_->Fail(BudgetNotKeptError("pixels", 9, 6));
  const JobPast past = PastOf(Row());
  EXPECT_EQ(past.status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(past.status, HasReason(reason::kBudgetNotKept));
  EXPECT_EQ(GetErrorReason(past.status)->metadata.at("difference"), "9");
}

TEST_F(JobRecordTest, WhatIsHandedBackWaitsAndHasNotBegun) {
  job_->Start({"alpha", "cpu"});
  job_->Fail(HandedBackError());
  const StoredJob row = ToStoredWaiting(*job_, job_->Snapshot(Job::View::kJournal));
  EXPECT_FALSE(HasEnded(row));
  EXPECT_FALSE(WasRunning(row));
  EXPECT_EQ(row.attempts, 0);
  EXPECT_EQ(row.image_digest, "digest");
}

}  // namespace
}  // namespace antidiffusion
