#include "client/jobs_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "client/exit_codes.h"
#include "tests/client/fake_service.h"
#include "tests/testing/temp_dir.h"

namespace antidiffusion {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using Action = JobsSettings::Action;
using Json = nlohmann::ordered_json;

// A service whose jobs are called after their images, and which knows the jobs "a" and "b".
class JobsCommandTest : public ::testing::Test {
 protected:
  JobsCommandTest() {
    service_.create_job = [](auto*, const v1::ProtectRequest& request, v1::Job& job) {
      if (request.image() == "bad") {
        return DetailedStatus(grpc::StatusCode::INVALID_ARGUMENT, "not an image",
                              {.reason = "INVALID_FIELD"});
      }
      job = MakeJob("job-" + request.image(), v1::Job::QUEUED);
      return grpc::Status::OK;
    };
    service_.watch_job = [](auto*, const v1::WatchJobRequest&, EventWriter& writer) {
      writer.Write(WithSequence(QueuedEvent(1), 1));
      writer.Write(WithSequence(ProgressEvent("pgd", 1, 2, 0.5), 2));
      WriteResult(writer, "protected", 3);
      return grpc::Status::OK;
    };
    service_.cancel_job = [](auto*, const v1::CancelJobRequest& request, v1::Job& job) {
      if (request.name() != "a" && request.name() != "b") return NoSuchJob();
      job = MakeJob(request.name(), request.name() == "a" ? v1::Job::RUNNING : v1::Job::SUCCEEDED);
      return grpc::Status::OK;
    };
    service_.get_job = [](auto*, const v1::GetJobRequest& request, v1::Job& job) {
      if (request.name() != "a") return NoSuchJob();
      job = MakeJob("a", v1::Job::SUCCEEDED);
      *job.mutable_result() = ResultEvent(9).result();
      return grpc::Status::OK;
    };
    service_.download_result = [](auto*, const v1::DownloadResultRequest& request,
                                  EventWriter& writer) {
      if (request.name() != "a") return NoSuchJob();
      WriteResult(writer, "protected");
      return grpc::Status::OK;
    };
  }

  static grpc::Status NoSuchJob() {
    return DetailedStatus(grpc::StatusCode::NOT_FOUND, "no such job", {.reason = "JOB_NOT_FOUND"});
  }

  int Run(Action action) {
    const int code = RunAt(service_.address(), action);
    service_.Settle();
    return code;
  }

  int RunAt(const std::string& address, Action action) {
    settings_.action = action;
    const ProtectionClient client(
        {.server = address, .sleep = [this](absl::Duration, const std::stop_token& stop) {
           ++sleeps_;
           return !stop.stop_requested();
         }});
    progress_.str("");
    out_.str("");
    ProgressDisplay display(progress_, {});
    return RunJobs(settings_, client, display, out_, stop_.get_token());
  }

  Json Object() const { return Json::parse(out_.str()); }

  TempDir dir_;
  FakeService service_;
  JobsSettings settings_;
  std::ostringstream progress_;
  std::ostringstream out_;
  std::stop_source stop_;
  std::atomic<int> sleeps_ = 0;
};

TEST_F(JobsCommandTest, CreateWritesTheNamesForAScript) {
  settings_.paths = {dir_.Write("a.jpg", "A"), dir_.Write("b.jpg", "B")};
  settings_.request.set_priority(v1::PRIORITY_INTERACTIVE);
  EXPECT_EQ(Run(Action::kCreate), kExitOk);
  EXPECT_EQ(out_.str(), "job-A\njob-B\n");
  const auto requests = service_.requests();
  ASSERT_THAT(requests, SizeIs(2));
  EXPECT_EQ(requests[0].priority(), v1::PRIORITY_INTERACTIVE);
  EXPECT_THAT(requests[0].request_id(), SizeIs(32));
  EXPECT_NE(requests[0].request_id(), requests[1].request_id());
}

TEST_F(JobsCommandTest, CreateAsJsonIsAnObjectAFileAlsoForABadOne) {
  settings_.json = true;
  settings_.paths = {dir_.Write("bad.jpg", "bad"), dir_.Write("b.jpg", "B")};
  EXPECT_EQ(Run(Action::kCreate), kExitFailed);
  std::istringstream lines(out_.str());
  std::string line;
  std::getline(lines, line);
  Json object = Json::parse(line);
  EXPECT_EQ(object["input"], dir_.File("bad.jpg"));
  EXPECT_EQ(object["status"], "INVALID_ARGUMENT");
  EXPECT_EQ(object["job"], nullptr);
  std::getline(lines, line);
  object = Json::parse(line);
  EXPECT_EQ(object["name"], "job-B");
  EXPECT_EQ(object["job"]["state"], "QUEUED");
  EXPECT_EQ(object["job"]["result"], nullptr);
  EXPECT_THAT(progress_.str(), HasSubstr("bad.jpg: INVALID_ARGUMENT: not an image"));
}

TEST_F(JobsCommandTest, ARequestIdNamesOneFile) {
  settings_.request.set_request_id("upload-1");
  settings_.paths = {dir_.Write("a.jpg", "A"), dir_.Write("b.jpg", "B")};
  EXPECT_EQ(Run(Action::kCreate), kExitUsage);
  EXPECT_THAT(service_.requests(), SizeIs(0));
  settings_.paths.pop_back();
  EXPECT_EQ(Run(Action::kCreate), kExitOk);
  EXPECT_EQ(service_.requests()[0].request_id(), "upload-1");
}

TEST_F(JobsCommandTest, ACreationIsRepeatedWithItsRequestId) {
  std::atomic<int> calls = 0;
  const auto create = service_.create_job;
  service_.create_job = [&calls, create](auto* context, const auto& request, v1::Job& job) {
    if (++calls == 1) {
      return DetailedStatus(grpc::StatusCode::UNAVAILABLE, "loading", {.reason = "MODEL_LOADING"});
    }
    return create(context, request, job);
  };
  settings_.paths = {dir_.Write("a.jpg", "A")};
  EXPECT_EQ(Run(Action::kCreate), kExitOk);
  const auto requests = service_.requests();
  ASSERT_THAT(requests, SizeIs(2));
  EXPECT_EQ(requests[0].request_id(), requests[1].request_id());
}

TEST_F(JobsCommandTest, ListFollowsThePagesUpToTheLimit) {
  std::vector<int> sizes;
  service_.list_jobs = [&sizes](auto*, const v1::ListJobsRequest& request,
                                v1::ListJobsResponse& response) {
    EXPECT_EQ(request.state(), v1::Job::QUEUED);
    sizes.push_back(request.page_size());
    *response.add_jobs() = MakeJob(absl::StrCat("job", request.page_token()), v1::Job::QUEUED);
    response.set_next_page_token(absl::StrCat(request.page_token(), "+"));
    return grpc::Status::OK;
  };
  settings_.state = v1::Job::QUEUED;
  settings_.limit = 3;
  settings_.json = true;
  EXPECT_EQ(Run(Action::kList), kExitOk);
  EXPECT_THAT(sizes, ElementsAre(3, 2, 1));
  std::istringstream lines(out_.str());
  std::vector<std::string> names;
  for (std::string line; std::getline(lines, line);) names.push_back(Json::parse(line)["name"]);
  EXPECT_THAT(names, ElementsAre("job", "job+", "job++"));
}

TEST_F(JobsCommandTest, GetTellsTheJob) {
  settings_.names = {"a"};
  EXPECT_EQ(Run(Action::kGet), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("name: a\nstate: SUCCEEDED\n"));
  EXPECT_THAT(out_.str(), HasSubstr("created: 2023-11-14T22:13:20+00:00\n"));
  settings_.json = true;
  EXPECT_EQ(Run(Action::kGet), kExitOk);
  EXPECT_EQ(Object()["state"], "SUCCEEDED");
}

TEST_F(JobsCommandTest, GetWritesTheResult) {
  settings_.names = {"a"};
  settings_.json = true;
  settings_.result_file = dir_.File("new/a.png");
  EXPECT_EQ(Run(Action::kGet), kExitOk);
  EXPECT_EQ(ReadFileBytes(settings_.result_file), "protected");
  EXPECT_EQ(Object()["output"], settings_.result_file);
  EXPECT_EQ(Object()["job"]["result"]["model"], "clothing");
}

TEST_F(JobsCommandTest, GetOfAResultThatIsNotThereFails) {
  service_.get_job = [](auto*, const auto&, v1::Job& job) {
    job = MakeJob("a", v1::Job::RUNNING);
    return grpc::Status::OK;
  };
  settings_.names = {"a"};
  settings_.result_file = dir_.File("a.png");
  EXPECT_EQ(Run(Action::kGet), kExitFailed);
  EXPECT_THAT(progress_.str(),
              HasSubstr("FAILED_PRECONDITION: there is no result: the job is RUN"));
}

TEST_F(JobsCommandTest, WatchShowsProgressAndWritesTheResult) {
  settings_.names = {"a"};
  settings_.result_file = dir_.File("a.png");
  EXPECT_EQ(Run(Action::kWatch), kExitOk);
  EXPECT_EQ(ReadFileBytes(settings_.result_file), "protected");
  EXPECT_THAT(progress_.str(), HasSubstr("a: 50%, pgd 1/2"));
  EXPECT_THAT(out_.str(), HasSubstr("max 6 levels"));
}

TEST_F(JobsCommandTest, WatchAsJsonTellsTheJobOnce) {
  settings_.names = {"a"};
  settings_.json = true;
  settings_.result_file = dir_.File("a.png");
  EXPECT_EQ(Run(Action::kWatch), kExitOk);
  EXPECT_EQ(Object()["status"], "OK");
  EXPECT_EQ(Object()["job"]["state"], "SUCCEEDED");
  EXPECT_EQ(Object()["job"]["result"]["report"]["max_difference"], 6);
}

TEST_F(JobsCommandTest, AFileThatExistsIsKeptAndNothingIsAsked) {
  settings_.names = {"a"};
  settings_.result_file = dir_.Write("a.png", "mine");
  EXPECT_EQ(Run(Action::kWatch), kExitFailed);
  EXPECT_EQ(Run(Action::kGet), kExitFailed);
  EXPECT_EQ(ReadFileBytes(settings_.result_file), "mine");
  settings_.overwrite = true;
  EXPECT_EQ(Run(Action::kWatch), kExitOk);
  EXPECT_EQ(ReadFileBytes(settings_.result_file), "protected");
}

TEST_F(JobsCommandTest, AnInterruptedWatchSaysHowToGoOn) {
  // A copy of the source: the handler may outlive the members that come after the service.
  service_.watch_job = [stop = stop_](auto*, const auto&, EventWriter& writer) {
    writer.Write(WithSequence(QueuedEvent(1), 7));
    while (writer.Write(WithSequence(ProgressEvent("pgd", 1, 2, 0.5), 8))) stop.request_stop();
    return grpc::Status::CANCELLED;
  };
  settings_.names = {"a"};
  EXPECT_EQ(Run(Action::kWatch), kExitInterrupted);
  EXPECT_THAT(progress_.str(), HasSubstr("antidiffusion jobs watch a --from-sequence "));
}

TEST_F(JobsCommandTest, AJobThatSomebodyCancelledIsAFailureNotAnInterruption) {
  service_.watch_job = [](auto*, const auto&, EventWriter&) {
    return DetailedStatus(grpc::StatusCode::CANCELLED, "cancelled", {.reason = "CANCELLED"});
  };
  settings_.names = {"a"};
  EXPECT_EQ(Run(Action::kWatch), kExitFailed);
}

TEST_F(JobsCommandTest, CancelTellsWhatBecameOfEachJob) {
  settings_.names = {"a", "none", "b"};
  EXPECT_EQ(Run(Action::kCancel), kExitFailed);
  EXPECT_EQ(out_.str(), "a: stops before its next step\nb: SUCCEEDED\n");
  EXPECT_THAT(progress_.str(), HasSubstr("none: NOT_FOUND: no such job"));
}

TEST_F(JobsCommandTest, DeleteForgetsJobs) {
  std::vector<std::string> deleted;
  service_.delete_job = [&deleted](auto*, const v1::DeleteJobRequest& request, auto&) {
    deleted.push_back(request.name());
    return grpc::Status::OK;
  };
  settings_.names = {"a", "b"};
  EXPECT_EQ(Run(Action::kDelete), kExitOk);
  EXPECT_THAT(deleted, ElementsAre("a", "b"));
  EXPECT_EQ(out_.str(), "a: deleted\nb: deleted\n");
}

TEST_F(JobsCommandTest, WithoutAServerTheExitCodeSaysSo) {
  settings_.names = {"a"};
  EXPECT_EQ(RunAt(UnusedAddress(), Action::kGet), kExitUnreachable);
}

}  // namespace
}  // namespace antidiffusion
