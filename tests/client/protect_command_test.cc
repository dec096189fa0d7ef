#include "client/protect_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "client/exit_codes.h"
#include "tests/client/fake_service.h"
#include "tests/testing/temp_dir.h"

namespace antidiffusion {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Json = nlohmann::ordered_json;

// A service that protects by appending "!", and refuses photographs that say "bad".
class ProtectCommandTest : public ::testing::Test {
 protected:
  ProtectCommandTest() {
    service_.protect = [](auto*, const v1::ProtectRequest& request, EventWriter& writer) {
      if (request.image() == "bad") {
        return DetailedStatus(grpc::StatusCode::INVALID_ARGUMENT, "not an image",
                              {.reason = "INVALID_FIELD"});
      }
      writer.Write(QueuedEvent(0));
      writer.Write(ProgressEvent("pgd", 1, 2, 0.5));
      WriteResult(writer, request.image() + "!");
      return grpc::Status::OK;
    };
    settings_.json = true;
  }

  int Run(std::vector<std::string> paths) {
    const int code = RunAt(service_.address(), std::move(paths));
    service_.Settle();
    return code;
  }

  int RunAt(const std::string& address, std::vector<std::string> paths) {
    settings_.paths = std::move(paths);
    const ProtectionClient client(
        {.server = address, .sleep = [this](absl::Duration, const std::stop_token&) {
           ++sleeps_;
           return true;
         }});
    progress_.str("");
    out_.str("");
    ProgressDisplay display(progress_, {});
    return RunProtect(settings_, client, display, out_, stop_.get_token());
  }

  // What --json gave, by the name of the input file.
  std::map<std::string, Json> Objects() const {
    std::map<std::string, Json> objects;
    std::istringstream lines(out_.str());
    for (std::string line; std::getline(lines, line);) {
      const Json object = Json::parse(line);
      objects[std::filesystem::path(object["input"].get<std::string>()).filename()] = object;
    }
    return objects;
  }

  TempDir dir_;
  FakeService service_;
  ProtectSettings settings_;
  std::ostringstream progress_;
  std::ostringstream out_;
  std::stop_source stop_;
  std::atomic<int> sleeps_ = 0;
};

TEST_F(ProtectCommandTest, WritesTheProtectedFileAndOneObject) {
  const std::string input = dir_.Write("a.jpg", "A");
  EXPECT_EQ(Run({input}), kExitOk);
  EXPECT_EQ(ReadFileBytes(dir_.File("a.protected.png")), "A!");
  ASSERT_THAT(Objects(), SizeIs(1));
  const Json object = Objects().at("a.jpg");
  EXPECT_EQ(object["input"], input);
  EXPECT_EQ(object["output"], dir_.File("a.protected.png"));
  EXPECT_EQ(object["status"], "OK");
  EXPECT_EQ(object["report"]["max_difference"], 6);
  EXPECT_GT(object["seconds"], 0);
}

TEST_F(ProtectCommandTest, WithoutJsonASentenceAFile) {
  settings_.json = false;
  EXPECT_EQ(Run({dir_.Write("a.jpg", "A")}), kExitOk);
  EXPECT_EQ(out_.str(),
            absl::StrCat(dir_.File("a.jpg"), " -> ", dir_.File("a.protected.png"),
                         ": max 6 levels, PSNR 38.5 dB, SSIM 0.9712, colour shift 0.00, 0 s\n"));
  EXPECT_THAT(progress_.str(), HasSubstr("pgd 1/2"));
}

TEST_F(ProtectCommandTest, SendsTheSettingsWithEachFile) {
  settings_.request.set_model("clothing");
  settings_.request.mutable_options()->set_budget_levels(4);
  EXPECT_EQ(Run({dir_.Write("a.jpg", "A"), dir_.Write("b.jpg", "B")}), kExitOk);
  const auto requests = service_.requests();
  ASSERT_THAT(requests, SizeIs(2));
  for (const auto& request : requests) {
    EXPECT_EQ(request.model(), "clothing");
    EXPECT_EQ(request.options().budget_levels(), 4);
    EXPECT_THAT(request.request_id(), SizeIs(32));
  }
  EXPECT_NE(requests[0].request_id(), requests[1].request_id());
}

TEST_F(ProtectCommandTest, OneBadFileDoesNotStopABatchAndShowsInTheExitCode) {
  EXPECT_EQ(Run({dir_.Write("a.jpg", "A"), dir_.Write("bad.jpg", "bad"), dir_.File("none.jpg"),
                 dir_.Write("c.jpg", "C")}),
            kExitFailed);
  auto objects = Objects();
  ASSERT_THAT(objects, SizeIs(4));
  EXPECT_EQ(objects["a.jpg"]["status"], "OK");
  EXPECT_EQ(objects["bad.jpg"]["status"], "INVALID_ARGUMENT");
  EXPECT_EQ(objects["bad.jpg"]["message"], "not an image [INVALID_FIELD limit=32]");
  EXPECT_EQ(objects["bad.jpg"]["output"], nullptr);
  EXPECT_EQ(objects["none.jpg"]["status"], "NOT_FOUND");
  EXPECT_EQ(objects["c.jpg"]["status"], "OK");
  EXPECT_FALSE(std::filesystem::exists(dir_.File("bad.protected.png")));
  EXPECT_THAT(progress_.str(), HasSubstr("2 protected, 0 skipped, 2 failed\n"));
}

TEST_F(ProtectCommandTest, SkipsWhatExists) {
  dir_.Write("a.protected.png", "old");
  EXPECT_EQ(Run({dir_.Write("a.jpg", "A")}), kExitOk);
  EXPECT_EQ(ReadFileBytes(dir_.File("a.protected.png")), "old");
  EXPECT_EQ(Objects()["a.jpg"]["status"], "OK");
  EXPECT_EQ(Objects()["a.jpg"]["message"], "skipped: exists");
  EXPECT_EQ(Objects()["a.jpg"]["output"], dir_.File("a.protected.png"));
  EXPECT_EQ(Objects()["a.jpg"]["report"], nullptr);
  EXPECT_THAT(service_.requests(), IsEmpty());
}

TEST_F(ProtectCommandTest, OverwriteReplacesWhatExists) {
  settings_.overwrite = true;
  dir_.Write("a.protected.png", "old");
  EXPECT_EQ(Run({dir_.Write("a.jpg", "A")}), kExitOk);
  EXPECT_EQ(ReadFileBytes(dir_.File("a.protected.png")), "A!");
}

TEST_F(ProtectCommandTest, KeepsFoldersUnderTheOutputFolder) {
  settings_.naming = {.output_folder = dir_.File("out"), .recursive = true};
  dir_.Write("in/a.jpg", "A");
  dir_.Write("in/x/b.jpg", "B");
  EXPECT_EQ(Run({dir_.File("in")}), kExitOk);
  EXPECT_EQ(ReadFileBytes(dir_.File("out/a.protected.png")), "A!");
  EXPECT_EQ(ReadFileBytes(dir_.File("out/x/b.protected.png")), "B!");
}

TEST_F(ProtectCommandTest, AFailedFileLeavesTheOldResult) {
  settings_.overwrite = true;
  dir_.Write("bad.protected.png", "old");
  EXPECT_EQ(Run({dir_.Write("bad.jpg", "bad")}), kExitFailed);
  EXPECT_EQ(ReadFileBytes(dir_.File("bad.protected.png")), "old");
}

TEST_F(ProtectCommandTest, AnOutputFolderThatCannotBeIsFoundBeforeTheWork) {
  settings_.naming.output_folder = dir_.Write("file", "x");
  EXPECT_EQ(Run({dir_.Write("a.jpg", "A")}), kExitFailed);
  EXPECT_THAT(service_.requests(), IsEmpty());
}

TEST_F(ProtectCommandTest, AResultWithoutAnImageIsAFailure) {
  service_.protect = [](auto*, const auto&, EventWriter& writer) {
    WriteResult(writer, "");
    return grpc::Status::OK;
  };
  EXPECT_EQ(Run({dir_.Write("a.jpg", "A")}), kExitFailed);
  EXPECT_EQ(Objects()["a.jpg"]["status"], "INTERNAL");
  EXPECT_FALSE(std::filesystem::exists(dir_.File("a.protected.png")));
}

TEST_F(ProtectCommandTest, WithoutAServerOnlyTheFirstFileIsTriedAgain) {
  EXPECT_EQ(RunAt(UnusedAddress(), {dir_.Write("a.jpg", "A"), dir_.Write("b.jpg", "B")}),
            kExitUnreachable);
  EXPECT_EQ(sleeps_, 3);
  EXPECT_EQ(Objects()["a.jpg"]["status"], "UNAVAILABLE");
  EXPECT_EQ(Objects()["b.jpg"]["status"], "UNAVAILABLE");
}

TEST_F(ProtectCommandTest, AServerThatRefusesIsNotUnreachable) {
  service_.protect = [](auto*, const auto&, EventWriter&) {
    return DetailedStatus(grpc::StatusCode::UNAVAILABLE, "draining", {.reason = "DRAINING"});
  };
  EXPECT_EQ(Run({dir_.Write("a.jpg", "A")}), kExitFailed);
}

TEST_F(ProtectCommandTest, RetriesAreToldAndKeepTheRequestId) {
  std::atomic<int> calls = 0;
  service_.protect = [&calls](auto*, const auto&, EventWriter& writer) {
    if (++calls == 1) {
      return DetailedStatus(grpc::StatusCode::UNAVAILABLE, "loading", {.reason = "LOADING"});
    }
    WriteResult(writer, "protected");
    return grpc::Status::OK;
  };
  EXPECT_EQ(Run({dir_.Write("a.jpg", "A")}), kExitOk);
  const auto requests = service_.requests();
  ASSERT_THAT(requests, SizeIs(2));
  EXPECT_EQ(requests[0].request_id(), requests[1].request_id());
  EXPECT_THAT(progress_.str(), HasSubstr("loading [LOADING limit=32]; attempt 2 in "));
}

TEST_F(ProtectCommandTest, AnInterruptionIsToldForEveryFile) {
  service_.protect = [this](auto*, const auto&, EventWriter& writer) {
    stop_.request_stop();
    while (writer.Write(ProgressEvent("pgd", 1, 2, 0.5))) {
    }
    return grpc::Status::CANCELLED;
  };
  EXPECT_EQ(Run({dir_.Write("a.jpg", "A"), dir_.Write("b.jpg", "B")}), kExitInterrupted);
  EXPECT_EQ(Objects()["a.jpg"]["status"], "CANCELLED");
  EXPECT_EQ(Objects()["b.jpg"]["status"], "CANCELLED");
  EXPECT_THAT(service_.requests(), SizeIs(1));
  EXPECT_FALSE(std::filesystem::exists(dir_.File("a.protected.png")));
}

TEST_F(ProtectCommandTest, WorksOnSeveralFilesAtATime) {
  Mutex mutex;
  CondVar arrived;
  int waiting = 0;
  // Each call waits for two others: only three at a time can end.
  service_.protect = [&](auto*, const v1::ProtectRequest& request, EventWriter& writer) {
    {
      MutexLock lock(mutex);
      ++waiting;
      arrived.NotifyAll();
      while (waiting < 3) arrived.Wait(lock);
    }
    WriteResult(writer, request.image() + "!");
    return grpc::Status::OK;
  };
  settings_.parallel = 3;
  EXPECT_EQ(Run({dir_.Write("a.jpg", "A"), dir_.Write("b.jpg", "B"), dir_.Write("c.jpg", "C")}),
            kExitOk);
  EXPECT_EQ(ReadFileBytes(dir_.File("a.protected.png")), "A!");
  EXPECT_EQ(ReadFileBytes(dir_.File("b.protected.png")), "B!");
  EXPECT_EQ(ReadFileBytes(dir_.File("c.protected.png")), "C!");
}

TEST_F(ProtectCommandTest, WorksOnOneFileAfterTheOtherByDefault) {
  std::atomic<int> early = 0;
  service_.protect = [&](auto*, const v1::ProtectRequest& request, EventWriter& writer) {
    const std::string before = dir_.File("a.protected.png");
    if (request.image() == "B" && !std::filesystem::exists(before)) ++early;
    WriteResult(writer, request.image() + "!");
    return grpc::Status::OK;
  };
  EXPECT_EQ(Run({dir_.Write("a.jpg", "A"), dir_.Write("b.jpg", "B")}), kExitOk);
  EXPECT_EQ(early, 0);
}

}  // namespace
}  // namespace antidiffusion
