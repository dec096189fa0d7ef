// Jobs that outlive their caller: the RPCs over a real connection, with a fake engine behind.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "server/errors.h"
#include "tests/server/jobs_client.h"
#include "tests/server/test_server.h"

namespace antidiffusion {
namespace {

constexpr char kAccepted[] = R"(jobs_total{model="alpha",outcome="accepted",reason=""})";
constexpr char kSucceeded[] = R"(jobs_total{model="alpha",outcome="succeeded",reason=""})";

v1::ProtectRequest WithId(const std::string& id, int seed = 1) {
  v1::ProtectRequest request = RequestWith(SmallPng());
  request.set_request_id(id);
  request.mutable_options()->set_seed(seed);
  (*request.mutable_labels())["album"] = "7";
  (*request.mutable_labels())["user"] = "9";
  return request;
}

// Until it is known that its result was given out.
void WaitUntilRead(TestServer& server, const std::string& name) {
  while (server.Ask("SELECT is_read FROM jobs WHERE name = '" + name + "'") != 1) {
  }
}

// The job once it has ended.
v1::Job Ended(TestServer& server, const std::string& name) {
  JobWatch(server, name).Finish();
  return JobsClient(server).Get(name).value;
}

TEST(JobsTest, AJobOutlivesItsCall) {
  TestServer server;
  server.WaitReady();
  const JobsClient jobs(server);
  const auto created = jobs.Create(WithId("upload-1"));
  ASSERT_TRUE(created.status.ok()) << created.status.error_message();
  EXPECT_EQ(created.value.name().size(), 32u);
  EXPECT_EQ(created.value.model(), "alpha");
  EXPECT_EQ(created.value.priority(), v1::PRIORITY_BATCH);
  EXPECT_EQ(created.value.request_id(), "upload-1");
  EXPECT_EQ(created.value.labels().at("album"), "7");
  const v1::Job ended = Ended(server, created.value.name());
  EXPECT_EQ(ended.state(), v1::Job::SUCCEEDED);
  EXPECT_EQ(ended.attempts(), 1);
  EXPECT_EQ(ended.result().mime_type(), "image/png");
  EXPECT_GT(ended.result().image_bytes(), 0);
  EXPECT_GE(ended.end_time().seconds(), ended.start_time().seconds());
  EXPECT_EQ(ended.expire_time().seconds() - ended.end_time().seconds(), 24 * 3600);
  EXPECT_EQ(server.Metric("jobs_kept"), 1);
  EXPECT_EQ(server.Metric("result_bytes"), static_cast<double>(ended.result().image_bytes()));
  EXPECT_FALSE(jobs.List().value.jobs(0).has_result());
  EXPECT_EQ(server.Metric(kAccepted), 1);
  EXPECT_EQ(server.Metric(kSucceeded), 1);
}

TEST(JobsTest, ABrokenWatchGoesOnWithoutLossOrRepetition) {
  TestServer server({.steps = 5, .hold_steps = true});
  server.WaitReady();
  const std::string name = JobsClient(server).Create(WithId("")).value.name();
  server.engine().AllowSteps(2);
  server.engine().WaitForStepBegun(3);
  std::vector<uint64_t> sequences;
  {
    JobWatch watch(server, name);
    while (watch.Event().progress().step() < 2) sequences.push_back(watch.last().sequence());
    sequences.push_back(watch.last().sequence());
    watch.Cancel();
  }
  server.engine().AllowAllSteps();
  JobWatch again(server, name, sequences.back());
  while (again.Next().has_value()) {
    // The chunks have the number of their result.
    if (!again.last().has_chunk()) sequences.push_back(again.last().sequence());
  }
  EXPECT_TRUE(again.Finish().ok());
  EXPECT_TRUE(again.result().whole());
  EXPECT_EQ(std::set<uint64_t>(sequences.begin(), sequences.end()).size(), sequences.size());
  EXPECT_TRUE(std::is_sorted(sequences.begin(), sequences.end()));
  JobWatch known(server, name, sequences.back());
  EXPECT_FALSE(known.Next().has_value()) << "the result is known already";
  EXPECT_TRUE(known.Finish().ok());
}

TEST(JobsTest, AJobThatWaitsTellsWhenItMayBeDone) {
  TestServer server({.steps = 2, .hold_steps = true},
                    [](ServerConfig& config) { config.result_cache = false; });
  server.WaitReady();
  const JobsClient jobs(server);
  server.engine().AllowSteps(4);
  for (int i = 0; i < 2; ++i) {  // the first is known to the estimate once the second is done
    const std::string name = jobs.Create(WithId("")).value.name();
    EXPECT_TRUE(JobWatch(server, name).Finish().ok());
  }
  jobs.Create(WithId(""));
  server.engine().WaitForJobs(3);
  const v1::Job waits = jobs.Create(WithId("")).value;
  EXPECT_EQ(waits.state(), v1::Job::QUEUED);
  EXPECT_GT(waits.eta_seconds(), 0);
  EXPECT_GT(jobs.Get(waits.name()).value.eta_seconds(), 0);
  EXPECT_GT(jobs.List().value.jobs(0).eta_seconds(), 0);
}

TEST(JobsTest, ManyMayWatchOneJob) {
  TestServer server({.hold_steps = true});
  server.WaitReady();
  const std::string name = JobsClient(server).Create(WithId("")).value.name();
  std::vector<std::unique_ptr<JobWatch>> watches;
  watches.reserve(5);
  for (int i = 0; i < 5; ++i) watches.push_back(std::make_unique<JobWatch>(server, name));
  for (const auto& watch : watches) ASSERT_TRUE(watch->Event().has_queued());
  watches.pop_back();  // leaves
  server.engine().AllowAllSteps();
  for (const auto& watch : watches) {
    EXPECT_TRUE(watch->Finish().ok());
    EXPECT_TRUE(watch->result().whole());
  }
  EXPECT_EQ(server.engine().jobs(), 1);
}

TEST(JobsTest, AnEqualRequestIdMeansTheSameJob) {
  TestServer server({.hold_steps = true});
  server.WaitReady();
  const JobsClient jobs(server);
  const std::string name = jobs.Create(WithId("a")).value.name();
  EXPECT_EQ(jobs.Create(WithId("a")).value.name(), name);
  const auto call = server.Open(WithId("a"));
  EXPECT_EQ(call->Event().queued().job(), name) << "whichever RPC made it";
  const auto other = jobs.Create(WithId("a", /*seed=*/2));
  EXPECT_EQ(other.status.error_code(), grpc::ALREADY_EXISTS);
  EXPECT_EQ(other.reason(), "REQUEST_ID_REUSED");
  EXPECT_NE(jobs.Create(WithId("b")).value.name(), name);
  server.engine().AllowAllSteps();
  EXPECT_TRUE(call->Finish().ok());
  EXPECT_EQ(jobs.Create(WithId("a")).value.state(), v1::Job::SUCCEEDED) << "also once it is done";
  EXPECT_EQ(server.Metric(kAccepted), 2);
  EXPECT_EQ(server.Metric("jobs_joined_total"), 3);
  EXPECT_EQ(server.Metric(R"(rejected_total{reason="REQUEST_ID_REUSED"})"), 1);
}

TEST(JobsTest, AFailedJobIsNotRepeatedByItsRetry) {
  TestServer server({.error = absl::InternalError("broken")});
  server.WaitReady();
  for (int i = 0; i < 2; ++i) {
    const grpc::Status status = server.Protect(WithId("a"));
    EXPECT_EQ(status.error_code(), grpc::INTERNAL);
  }
  EXPECT_EQ(server.engine().jobs(), 1);
}

TEST(JobsTest, ARetryAfterALostCallBeginsAnew) {
  TestServer server({.hold_steps = true});
  server.WaitReady();
  auto lost = server.Open(WithId("a"));
  server.engine().WaitForJobs(1);
  lost->Cancel();
  EXPECT_EQ(lost->Finish().error_code(), grpc::CANCELLED);
  server.engine().WaitForStop();
  const auto again = server.Open(WithId("a"));
  ASSERT_TRUE(again->Event().has_queued());
  server.engine().AllowAllSteps();
  EXPECT_TRUE(again->Finish().ok());
  EXPECT_EQ(server.engine().jobs(), 2);
}

TEST(JobsTest, ACallThatLeavesDoesNotTakeTheJobFromOthers) {
  TestServer server({.hold_steps = true});
  server.WaitReady();
  auto first = server.Open(WithId("a"));
  const std::string name = first->Event().queued().job();
  const auto second = server.Open(WithId("a"));
  ASSERT_TRUE(second->Event().has_queued());
  first->Cancel();
  EXPECT_EQ(first->Finish().error_code(), grpc::CANCELLED);
  server.WaitForMetric(R"(requests_total{code="CANCELLED",method="Protect"})", 1);
  server.engine().AllowAllSteps();
  EXPECT_TRUE(second->Finish().ok());
  EXPECT_EQ(second->result().facts().seed(), 1u);
}

TEST(JobsTest, ACallThatJoinsADetachedJobDoesNotCancelIt) {
  TestServer server({.hold_steps = true});
  server.WaitReady();
  const std::string name = JobsClient(server).Create(WithId("a")).value.name();
  auto call = server.Open(WithId("a"));
  ASSERT_TRUE(call->Event().has_queued());
  call->Cancel();
  EXPECT_EQ(call->Finish().error_code(), grpc::CANCELLED);
  server.WaitForMetric(R"(requests_total{code="CANCELLED",method="Protect"})", 1);
  server.engine().AllowAllSteps();
  EXPECT_EQ(Ended(server, name).state(), v1::Job::SUCCEEDED);
}

TEST(JobsTest, CancelEndsWaitingAndRunningJobs) {
  TestServer server({.steps = 100, .hold_steps = true});
  server.WaitReady();
  const JobsClient jobs(server);
  const std::string running = jobs.Create(WithId("running")).value.name();
  server.engine().WaitForJobs(1);
  const std::string waiting = jobs.Create(WithId("waiting")).value.name();
  EXPECT_EQ(jobs.Get(waiting).value.position(), 1);
  EXPECT_EQ(jobs.Cancel(waiting).value.state(), v1::Job::CANCELLED);
  server.engine().WaitForStepBegun(1);
  EXPECT_EQ(jobs.Cancel(running).value.state(), v1::Job::RUNNING) << "until its step is done";
  server.engine().WaitForStop();
  server.engine().AllowSteps(1);
  const v1::Job ended = Ended(server, running);
  EXPECT_EQ(ended.state(), v1::Job::CANCELLED);
  EXPECT_EQ(ended.error().code(), grpc::CANCELLED);
  EXPECT_EQ(jobs.Cancel(running).value.state(), v1::Job::CANCELLED) << "stays as it is";
  EXPECT_EQ(jobs.Create(WithId("waiting")).value.name(), waiting) << "a retry does not undo it";
  EXPECT_EQ(
      server.Metric(R"(jobs_total{model="alpha",outcome="cancelled",reason="JOB_CANCELLED"})"), 2);
}

TEST(JobsTest, AnEndedJobCanBeDeleted) {
  TestServer server({.hold_steps = true});
  server.WaitReady();
  const JobsClient jobs(server);
  const std::string name = jobs.Create(WithId("a")).value.name();
  const auto early = jobs.Delete(name);
  EXPECT_EQ(early.status.error_code(), grpc::FAILED_PRECONDITION);
  EXPECT_EQ(early.reason(), "JOB_NOT_ENDED");
  server.engine().AllowAllSteps();
  Ended(server, name);
  EXPECT_TRUE(jobs.Delete(name).status.ok());
  const auto gone = jobs.Get(name);
  EXPECT_EQ(gone.status.error_code(), grpc::NOT_FOUND);
  EXPECT_EQ(gone.reason(), "JOB_NOT_FOUND");
  EXPECT_EQ(jobs.Delete(name).reason(), "JOB_NOT_FOUND");
  EXPECT_EQ(JobWatch(server, name).Finish().error_code(), grpc::NOT_FOUND);
  EXPECT_NE(jobs.Create(WithId("a")).value.name(), name) << "its request_id is free";
}

TEST(JobsTest, ListsPageByPageNewestFirst) {
  TestServer server({.hold_steps = true});
  server.WaitReady();
  const JobsClient jobs(server);
  std::vector<std::string> names;
  for (int i = 0; i < 5; ++i) {
    names.insert(names.begin(), jobs.Create(WithId(std::to_string(i))).value.name());
  }
  std::vector<std::string> listed;
  v1::ListJobsRequest request;
  request.set_page_size(2);
  int pages = 0;
  do {
    const v1::ListJobsResponse page = jobs.List(request).value;
    for (const v1::Job& job : page.jobs()) listed.push_back(job.name());
    request.set_page_token(page.next_page_token());
    ++pages;
  } while (!request.page_token().empty());
  EXPECT_EQ(listed, names);
  EXPECT_EQ(pages, 3);
  request.set_state(v1::Job::SUCCEEDED);
  EXPECT_EQ(jobs.List(request).value.jobs_size(), 0);
  request.set_page_token("forged");
  EXPECT_EQ(jobs.List(request).status.error_code(), grpc::INVALID_ARGUMENT);
  request.set_page_token("");
  request.set_page_size(1001);
  EXPECT_EQ(jobs.List(request).status.error_code(), grpc::INVALID_ARGUMENT);
  server.engine().AllowAllSteps();
}

TEST(JobsTest, AJobExpiresByItsTimeout) {
  TestServer server({.hold_steps = true});
  server.WaitReady();
  const JobsClient jobs(server);
  const std::string running = jobs.Create(WithId("")).value.name();
  server.engine().WaitForJobs(1);
  v1::ProtectRequest request = WithId("a");
  request.mutable_timeout()->set_seconds(100);
  const std::string name = jobs.Create(request).value.name();
  server.Advance(absl::Seconds(101));
  EXPECT_EQ(jobs.Get(name).value.state(), v1::Job::EXPIRED);
  EXPECT_EQ(jobs.Get(running).value.state(), v1::Job::RUNNING);
  EXPECT_NE(jobs.Create(request).value.name(), name) << "a retry begins anew";
  request.mutable_timeout()->set_seconds(int64_t{8} * 24 * 3600);
  EXPECT_EQ(jobs.Create(request).status.error_code(), grpc::INVALID_ARGUMENT);
  server.engine().AllowAllSteps();
}

TEST(JobsTest, ResultsAreForgottenInTimeAndBeyondTheCaps) {
  TestServer server({}, [](ServerConfig& config) { config.max_kept_jobs = 2; });
  server.WaitReady();
  const JobsClient jobs(server);
  std::vector<std::string> names;
  for (int i = 0; i < 3; ++i) {
    names.push_back(jobs.Create(WithId(std::to_string(i))).value.name());
    Ended(server, names.back());
    WaitUntilRead(server, names.back());
  }
  EXPECT_EQ(jobs.Get(names[0]).reason(), "JOB_NOT_FOUND") << "the oldest that was read went first";
  EXPECT_EQ(server.Metric("results_evicted_total"), 1);
  EXPECT_TRUE(jobs.Get(names[2]).status.ok());
  server.Advance(absl::Hours(25));
  EXPECT_EQ(jobs.Get(names[2]).reason(), "JOB_NOT_FOUND");
  EXPECT_EQ(server.Metric("jobs_kept"), 0);
  EXPECT_EQ(server.Metric("result_bytes"), 0);
}

TEST(JobsTest, AnUnreadResultIsNotDroppedForANewJob) {
  TestServer server({}, [](ServerConfig& config) { config.max_kept_jobs = 1; });
  server.WaitReady();
  const JobsClient jobs(server);
  const std::string first = jobs.Create(WithId("a")).value.name();
  while (jobs.Get(first).value.state() != v1::Job::SUCCEEDED) {
  }
  const auto refused = jobs.Create(WithId("b"));
  EXPECT_EQ(refused.status.error_code(), grpc::RESOURCE_EXHAUSTED);
  EXPECT_EQ(refused.reason(), "RESULTS_FULL");
  EXPECT_GT(jobs.Get(first).value.result().image_bytes(), 0);
  EXPECT_EQ(jobs.Create(WithId("b")).reason(), "RESULTS_FULL") << "the image was not read";
  EXPECT_FALSE(ImageOf(server, first).empty());
  WaitUntilRead(server, first);
  EXPECT_TRUE(jobs.Create(WithId("b")).status.ok());
}

// The last of them was a watcher.
TEST(JobsTest, AJobThatLostAllItsCallersEnds) {
  TestServer server({.steps = 100, .hold_steps = true});
  server.WaitReady();
  auto call = server.Open(RequestWith(SmallPng()));
  const std::string name = call->Event().queued().job();
  server.engine().WaitForStepBegun(1);
  JobWatch watch(server, name);
  ASSERT_TRUE(watch.Next().has_value());
  call->Cancel();
  EXPECT_EQ(call->Finish().error_code(), grpc::CANCELLED);
  server.WaitForMetric(R"(requests_total{code="CANCELLED",method="Protect"})", 1);
  EXPECT_EQ(JobsClient(server).Get(name).value.state(), v1::Job::RUNNING) << "one watches";
  watch.Cancel();
  server.engine().WaitForStop();
  server.engine().AllowAllSteps();
  server.WaitForMetric(R"(jobs_total{model="alpha",outcome="cancelled",reason="CANCELLED"})", 1);
}

TEST(JobsTest, ADetachedRequestThatJoinsACallDoesNotInheritItsDeadline) {
  TestServer server({.hold_steps = true});
  server.WaitReady();
  const auto running = server.Open(RequestWith(SmallPng()));
  server.engine().WaitForJobs(1);
  const auto call = server.Open(WithId("a"), absl::Seconds(50));
  const std::string name = call->Event().queued().job();
  EXPECT_EQ(JobsClient(server).Create(WithId("a")).value.name(), name);
  server.Advance(absl::Seconds(55));
  EXPECT_EQ(JobsClient(server).Get(name).value.state(), v1::Job::QUEUED);
  server.engine().AllowAllSteps();
  EXPECT_TRUE(running->Finish().ok());
  EXPECT_EQ(Ended(server, name).state(), v1::Job::SUCCEEDED);
}

TEST(JobsTest, ACallWithoutARequestIdLeavesNothingBehind) {
  TestServer server;
  server.WaitReady();
  const auto call = server.Open(RequestWith(SmallPng()));
  ASSERT_TRUE(call->Finish().ok());
  while (JobsClient(server).List().value.jobs_size() > 0) {  // until gRPC is done with the call
  }
  EXPECT_EQ(server.Metric("jobs_kept"), 0);
}

TEST(JobsTest, AnEqualRequestIsAnsweredFromTheCache) {
  TestServer server({}, [](ServerConfig& config) { config.result_cache = true; });
  server.WaitReady();
  const JobsClient jobs(server);
  const std::string first = jobs.Create(WithId("a")).value.name();
  Ended(server, first);
  v1::ProtectRequest request = WithId("b");
  request.clear_labels();
  const v1::Job second = jobs.Create(request).value;
  EXPECT_NE(second.name(), first);
  const auto call = server.Open(WithId(""));
  EXPECT_TRUE(call->Event().has_queued());
  EXPECT_TRUE(call->Finish().ok());
  EXPECT_EQ(ImageOf(server, second.name()), call->result().image());
  EXPECT_EQ(server.engine().jobs(), 1);
  EXPECT_EQ(server.Metric("result_cache_hits_total"), 2);
  EXPECT_TRUE(server.Protect(WithId("", /*seed=*/2)).ok());
  EXPECT_EQ(server.engine().jobs(), 2) << "another seed, another result";
  EXPECT_EQ(server.Metric(kAccepted), 4);
  EXPECT_EQ(server.Metric(kSucceeded), 4);
}

}  // namespace
}  // namespace antidiffusion
