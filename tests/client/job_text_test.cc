#include "client/job_text.h"

#include <gmock/gmock.h>
#include <google/rpc/error_details.pb.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/client/fake_service.h"

namespace antidiffusion {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::ordered_json;

v1::Job FailedJob() {
  v1::Job job = MakeJob("f00d", v1::Job::FAILED);
  job.mutable_error()->set_code(13);
  job.mutable_error()->set_message("lost twice");
  google::rpc::ErrorInfo info;
  info.set_reason("WORKER_LOST_TWICE");
  job.mutable_error()->add_details()->PackFrom(info);
  job.mutable_error()->add_details()->set_type_url("type.googleapis.com/of.another.Program");
  return job;
}

TEST(JobTextTest, AJobIsAnObjectWithNamesAsInTheProto) {
  const Json object = Json::parse(JobJson(MakeJob("f00d", v1::Job::QUEUED)));
  EXPECT_EQ(object["name"], "f00d");
  EXPECT_EQ(object["state"], "QUEUED");
  EXPECT_EQ(object["priority"], "PRIORITY_BATCH");
  EXPECT_EQ(object["create_time"], "2023-11-14T22:13:20Z");
  EXPECT_EQ(object["sequence"], "1");
  EXPECT_TRUE(object["error"].is_null());
  EXPECT_TRUE(object["result"].is_null());
}

TEST(JobTextTest, AnErrorIsTakenApartAlsoWhenItHoldsWhatIsNotKnown) {
  const Json object = Json::parse(JobJson(FailedJob()));
  EXPECT_EQ(object["error"]["code"], "INTERNAL");
  EXPECT_EQ(object["error"]["message"], "lost twice");
  EXPECT_EQ(object["error"]["reason"], "WORKER_LOST_TWICE");
}

TEST(JobTextTest, TheResultIsInTheObject) {
  v1::Job job = MakeJob("f00d", v1::Job::SUCCEEDED);
  *job.mutable_result() = ResultEvent(5).result();
  const Json object = Json::parse(JobJson(job));
  EXPECT_EQ(object["result"]["image_bytes"], "5");
  EXPECT_EQ(object["result"]["seed"], "9223372036854775813");
}

TEST(JobTextTest, AnOutcomeAlwaysHasAllKeysInOrder) {
  EXPECT_EQ(JobOutcomeJson({.name = "f00d", .status = absl::NotFoundError("no such job")}),
            R"({"input":null,"name":"f00d","output":null,"status":"NOT_FOUND",)"
            R"("message":"no such job","job":null})");
}

TEST(JobTextTest, TheTableHasARowAJob) {
  v1::Job running = MakeJob("b", v1::Job::RUNNING);
  running.set_attempts(1);
  *running.mutable_progress() = ProgressEvent("pgd", 1, 2, 0.5).progress();
  v1::Job queued = MakeJob("a", v1::Job::QUEUED);
  queued.set_position(3);
  queued.set_eta_seconds(65);
  std::ostringstream out;
  WriteJobTable({queued, running, FailedJob()}, absl::FromUnixSeconds(1'700'000'065), out);
  EXPECT_EQ(out.str(),
            "NAME  STATE    PRIORITY  MODEL     AGE   ATTEMPTS  REMARK\n"
            "a     QUEUED   batch     clothing  1:05  0         3 before it, ETA 1:05\n"
            "b     RUNNING  batch     clothing  1:05  1         50%, pgd\n"
            "f00d  FAILED   batch     clothing  1:05  0         INTERNAL: lost twice "
            "[WORKER_LOST_TWICE]\n");
}

TEST(JobTextTest, FactsCannotBreakALine) {
  v1::Job job = MakeJob("f00d", v1::Job::QUEUED);
  (*job.mutable_labels())["al\nbum"] = "x\ny";
  std::ostringstream out;
  WriteJob(job, out);
  EXPECT_THAT(out.str(), HasSubstr("\nlabel al bum: x y\n"));
}

TEST(JobTextTest, AStateOfALaterServerHasItsNumber) {
  EXPECT_EQ(StateName(static_cast<v1::Job::State>(9)), "state 9");
}

}  // namespace
}  // namespace antidiffusion
