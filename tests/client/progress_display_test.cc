#include "client/progress_display.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>
#include <thread>
#include <vector>

#include "tests/client/fake_service.h"

namespace antidiffusion {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class ProgressDisplayTest : public ::testing::Test {
 protected:
  DisplayOptions Options(bool terminal) {
    return {.terminal = terminal,
            .terminal_rows = [this] { return rows_; },
            .now = [this] { return now_; }};
  }

  // What was written since the last call.
  std::string Take() {
    std::string text = progress_.str();
    progress_.str("");
    return text;
  }

  std::ostringstream progress_;
  std::ostringstream out_;
  absl::Time now_ = absl::UnixEpoch();
  int rows_ = 24;
};

TEST_F(ProgressDisplayTest, ElsewhereThanOnATerminalItWritesPlainLines) {
  ProgressDisplay display(progress_, Options(/*terminal=*/false));
  const int row = display.Begin("photo.jpg");
  display.Update(row, QueuedEvent(2));
  display.Update(row, ProgressEvent("pgd", 120, 280, 0.437));
  EXPECT_EQ(Take(),
            "photo.jpg: queued, 2 before it\n"
            "photo.jpg: 43%, pgd 120/280, loss 0.125, ETA 1:05\n");
  display.End(row, out_, "photo.jpg is done");
  EXPECT_EQ(out_.str(), "photo.jpg is done\n");
  EXPECT_EQ(Take(), "");
}

TEST_F(ProgressDisplayTest, PlainLinesAreNotMoreThanOneAStageOrEveryFewSeconds) {
  ProgressDisplay display(progress_, Options(/*terminal=*/false));
  const int row = display.Begin("photo.jpg");
  display.Update(row, ProgressEvent("pgd", 1, 10, 0.1));
  EXPECT_NE(Take(), "");
  display.Update(row, ProgressEvent("pgd", 2, 10, 0.2));
  EXPECT_EQ(Take(), "");
  display.Update(row, ProgressEvent("prompt_tuning", 3, 10, 0.3));
  EXPECT_NE(Take(), "");
  display.Update(row, ProgressEvent("pgd", 4, 10, 0.4));  // met before
  EXPECT_EQ(Take(), "");
  now_ += absl::Seconds(5);
  display.Update(row, ProgressEvent("pgd", 5, 10, 0.5));
  EXPECT_EQ(Take(), "photo.jpg: 50%, pgd 5/10, loss 0.125, ETA 1:05\n");
}

TEST_F(ProgressDisplayTest, NotesAreSeenAtOnce) {
  ProgressDisplay display(progress_, Options(/*terminal=*/false));
  display.Note(display.Begin("photo.jpg"), "queue full; attempt 2 in 0.5 s");
  EXPECT_EQ(Take(), "photo.jpg: queue full; attempt 2 in 0.5 s\n");
}

TEST_F(ProgressDisplayTest, OnATerminalABarIsRedrawnInPlace) {
  ProgressDisplay display(progress_, Options(/*terminal=*/true));
  const int row = display.Begin("photo.jpg");
  EXPECT_THAT(Take(), AllOf(HasSubstr("photo.jpg"), HasSubstr("sending\n")));
  now_ += absl::Seconds(1);
  display.Update(row, ProgressEvent("pgd", 5, 10, 0.5));
  EXPECT_THAT(Take(), AllOf(StartsWith("\x1b[1A\r\x1b[J"),
                            HasSubstr("[############............]  50%  pgd 5/10")));
}

TEST_F(ProgressDisplayTest, SeveralFilesHaveABarEach) {
  ProgressDisplay display(progress_, Options(/*terminal=*/true));
  display.Begin("a.jpg");
  const int b = display.Begin("b.jpg");
  Take();
  now_ += absl::Seconds(1);
  display.Update(b, ProgressEvent("pgd", 5, 10, 0.5));
  EXPECT_THAT(Take(), AllOf(StartsWith("\x1b[2A\r\x1b[J"), HasSubstr("a.jpg"), HasSubstr("b.jpg")));
  display.End(b, progress_, "b.jpg is done");
  EXPECT_THAT(Take(), AllOf(StartsWith("\x1b[2A\r\x1b[Jb.jpg is done\n"), HasSubstr("a.jpg"),
                            Not(HasSubstr("50%"))));
}

TEST_F(ProgressDisplayTest, ATerminalIsNotRedrawnMoreOftenThanTheEyeSees) {
  ProgressDisplay display(progress_, Options(/*terminal=*/true));
  const int row = display.Begin("photo.jpg");
  Take();
  display.Update(row, ProgressEvent("pgd", 5, 10, 0.5));
  EXPECT_EQ(Take(), "");
}

TEST_F(ProgressDisplayTest, BarsBeyondTheScreenAreNotDrawn) {
  rows_ = 3;
  ProgressDisplay display(progress_, Options(/*terminal=*/true));
  for (const char* name : {"a.jpg", "b.jpg", "c.jpg"}) display.Begin(name);
  Take();
  now_ += absl::Seconds(1);
  display.Update(0, ProgressEvent("pgd", 5, 10, 0.5));
  EXPECT_THAT(Take(), AllOf(StartsWith("\x1b[2A"), HasSubstr("b.jpg"), Not(HasSubstr("c.jpg"))));
}

TEST_F(ProgressDisplayTest, NamesHaveNoPowerOverTheTerminal) {
  ProgressDisplay display(progress_, Options(/*terminal=*/false));
  display.Update(display.Begin("a\x1b[2J.jpg"), ProgressEvent("p\x1b[2J", 5, 10, 0.5));
  EXPECT_THAT(Take(), Not(HasSubstr("\x1b")));
}

TEST_F(ProgressDisplayTest, FractionsThatAreNoneDoNoHarm) {
  ProgressDisplay display(progress_, Options(/*terminal=*/true));
  for (const double fraction : {-1.0, 7.0, std::nan(""), 1.0}) {
    now_ += absl::Seconds(1);
    display.Update(display.Begin("a.jpg"), ProgressEvent("pgd", 5, 10, fraction));
  }
  EXPECT_THAT(Take(), AllOf(HasSubstr("   0%"), HasSubstr(" 100%")));
}

TEST_F(ProgressDisplayTest, LinesOfSeveralThreadsAreWhole) {
  ProgressDisplay display(progress_, Options(/*terminal=*/false));
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([this, &display] {
      for (int n = 0; n < 50; ++n) display.End(display.Begin("a"), out_, "whole");
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::istringstream lines(out_.str());
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) EXPECT_EQ(line, "whole");
  EXPECT_EQ(count, 200);
}

}  // namespace
}  // namespace antidiffusion
