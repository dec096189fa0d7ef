#include "server/job_registry.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "server/errors.h"
#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

class JobRegistryTest : public ::testing::Test {
 protected:
  std::shared_ptr<Job> Make(const std::string& tenant, const std::string& request_id,
                            bool detached = true, const std::string& hash = "hash") {
    JobRequest request;
    request.model = "model";
    request.tenant = tenant;
    request.request_id = request_id;
    request.detached = detached;
    request.body_hash = hash;
    request.cache_key = tenant + hash;
    return std::make_shared<Job>(
        std::move(request), absl::InfiniteFuture(), std::nullopt, [this] { return now_; }, nullptr);
  }
  // Added, and left by its caller.
  std::shared_ptr<Job> Add(const std::string& tenant, const std::string& request_id,
                           const std::string& hash = "hash") {
    std::shared_ptr<Job> job = Make(tenant, request_id, true, hash);
    EXPECT_EQ(*registry_.AddOrJoin(job, now_), job);
    registry_.Leave(*job, false);
    now_ += absl::Seconds(1);
    return job;
  }
  void End(Job& job, const absl::Status& status, int64_t bytes = 10) {
    if (status.ok()) {
      job.Succeed({});
    } else {
      job.Fail(status);
    }
    registry_.Ended(job, status, bytes, now_);
    now_ += absl::Seconds(1);
  }

  absl::Time now_ = absl::FromUnixSeconds(1'000'000);
  JobRegistry registry_{{.result_ttl = absl::Hours(1), .max_ended = 3, .max_result_bytes = 100}};
};

TEST_F(JobRegistryTest, AnotherTenantsJobIsNotThere) {
  const auto job = Add("a", "id");
  EXPECT_EQ(*registry_.Find("a", job->name()), job);
  EXPECT_THAT(registry_.Find("b", job->name()), HasReason(reason::kJobNotFound));
  EXPECT_THAT(registry_.Attach("", job->name()), HasReason(reason::kJobNotFound));
  EXPECT_TRUE(registry_.List("b", std::nullopt, 10, "")->jobs.empty());
  EXPECT_EQ(*registry_.Join(Make("b", "id")->request(), now_), nullptr);
}

TEST_F(JobRegistryTest, ARequestIdIsItsTenantsFor24Hours) {
  const auto job = Add("a", "id");
  EXPECT_EQ(*registry_.Join(Make("a", "id")->request(), now_), job);
  EXPECT_THAT(registry_.Join(Make("a", "id", true, "other")->request(), now_),
              HasReason(reason::kRequestIdReused));
  const auto again = Make("a", "id");
  EXPECT_EQ(*registry_.AddOrJoin(again, now_), job) << "also when two come at once";
  now_ += absl::Hours(24);
  EXPECT_EQ(*registry_.AddOrJoin(again, now_), again);
  EXPECT_EQ(*registry_.Find("a", job->name()), job) << "the old one keeps its name";
}

TEST_F(JobRegistryTest, EndsThatNobodyDecidedOnFreeTheRequestId) {
  const auto retry = Make("a", "id");
  for (const absl::Status& status :
       {DeadlinePassedError("queue"), CallerGoneError(), ShutdownError()}) {
    End(*Add("a", "id"), status);
    EXPECT_EQ(*registry_.Join(retry->request(), now_), nullptr) << status;
  }
  for (const absl::Status& status :
       {absl::OkStatus(), absl::InternalError("x"), JobCancelledError()}) {
    const auto job = Add("a", "id");
    End(*job, status);
    EXPECT_EQ(*registry_.Join(retry->request(), now_), job) << status;
    registry_.Erase(*job);
  }
}

TEST_F(JobRegistryTest, OnlyTheLastCallerOfAnAttachedJobAbandonsIt) {
  const auto job = Make("a", "id", /*detached=*/false);
  ASSERT_THAT(registry_.AddOrJoin(job, now_), IsOk());
  ASSERT_THAT(registry_.Attach("a", job->name()), IsOk());
  EXPECT_FALSE(registry_.Leave(*job, true)) << "one still watches";
  ASSERT_EQ(*registry_.Join(Make("a", "id", false)->request(), now_), job);
  EXPECT_FALSE(registry_.Leave(*job, false));
  EXPECT_TRUE(registry_.Leave(*job, true));
  EXPECT_EQ(*registry_.Join(Make("a", "id")->request(), now_), nullptr) << "a retry begins anew";
}

TEST_F(JobRegistryTest, ADetachedJobIsNeverAbandoned) {
  const auto job = Make("a", "id", /*detached=*/false);
  ASSERT_THAT(registry_.AddOrJoin(job, now_), IsOk());
  ASSERT_EQ(*registry_.Join(Make("a", "id", /*detached=*/true)->request(), now_), job);
  EXPECT_FALSE(registry_.Leave(*job, true));
  EXPECT_FALSE(registry_.Leave(*job, true));
}

TEST_F(JobRegistryTest, AJobOfItsCallAloneGoesWithIt) {
  const auto job = Make("a", "", /*detached=*/false);
  ASSERT_THAT(registry_.AddOrJoin(job, now_), IsOk());
  EXPECT_EQ(registry_.totals().jobs, 0u);
  End(*job, absl::OkStatus());
  EXPECT_THAT(registry_.Find("a", job->name()), IsOk());
  EXPECT_FALSE(registry_.Leave(*job, false));
  EXPECT_THAT(registry_.Find("a", job->name()), HasReason(reason::kJobNotFound));
  EXPECT_TRUE(registry_.TakeExpired(now_ + absl::Hours(100)).empty());
}

TEST_F(JobRegistryTest, PagesGoOnWhereTheLastOneEnded) {
  std::string names;
  for (int i = 0; i < 5; ++i) names.insert(0, Add("a", std::to_string(i))->name());
  std::string listed;
  std::string token;
  do {
    AD_ASSERT_OK_AND_ASSIGN(const JobRegistry::Page page,
                            registry_.List("a", std::nullopt, 2, token));
    for (const auto& job : page.jobs) listed += job->name();
    if (token.empty()) Add("a", "new");  // does not move what is left
    token = page.next_token;
  } while (!token.empty());
  EXPECT_EQ(listed, names);
  EXPECT_THAT(registry_.List("a", std::nullopt, 2, "nonsense"), ViolatesField("page_token"));
}

TEST_F(JobRegistryTest, TheOldestEndsGoFirst) {
  std::vector<std::shared_ptr<Job>> jobs;
  jobs.reserve(4);
  for (int i = 0; i < 4; ++i) jobs.push_back(Add("a", std::to_string(i)));
  for (const int i : {1, 0, 2, 3}) End(*jobs[i], absl::OkStatus());
  EXPECT_EQ(registry_.TakeExpired(now_), (std::vector<std::shared_ptr<Job>>{jobs[1]}));
  EXPECT_EQ(registry_.totals().result_bytes, 30);
  End(*Add("a", "large"), absl::OkStatus(), 75);
  EXPECT_EQ(registry_.TakeExpired(now_), (std::vector<std::shared_ptr<Job>>{jobs[0]}))
      << "three are left, and 95 bytes";
  EXPECT_EQ(registry_.TakeExpired(now_ + absl::Hours(1)).size(), 3u);
  EXPECT_EQ(registry_.totals().jobs, 0u);
  EXPECT_EQ(registry_.totals().result_bytes, 0);
}

TEST_F(JobRegistryTest, AResultIsFoundWhileItIsKept) {
  const auto job = Add("a", "1");
  EXPECT_EQ(registry_.FindResult("ahash"), nullptr) << "not done";
  End(*job, absl::OkStatus());
  EXPECT_NE(registry_.FindResult("ahash"), nullptr);
  EXPECT_EQ(registry_.FindResult("bhash"), nullptr);
  registry_.Erase(*job);
  EXPECT_EQ(registry_.FindResult("ahash"), nullptr);
  End(*Add("a", "2"), absl::InternalError("x"));
  EXPECT_EQ(registry_.FindResult("ahash"), nullptr) << "an error is no result";
}

}  // namespace
}  // namespace antidiffusion
