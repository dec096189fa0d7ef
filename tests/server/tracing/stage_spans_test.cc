#include "server/tracing/stage_spans.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <variant>
#include <vector>

namespace antidiffusion {
namespace {

class StageSpansTest : public ::testing::Test {
 protected:
  StageSpansTest() {
    stages_ = std::make_unique<StageSpans>(tracer_, trace_, At(0),
                                           std::vector<SpanAttribute>{{"device", "cpu"}});
  }

  static absl::Time At(int seconds) { return absl::FromUnixSeconds(1'000'000 + seconds); }

  // The recorded spans as "name start-end", in seconds.
  std::vector<std::string> Recorded() const {
    std::vector<std::string> lines;
    for (const Span& span : spans_) {
      EXPECT_EQ(span.parent_id, trace_.span_id);
      lines.push_back(span.facts.name + " " + Seconds(span.facts.start) + "-" +
                      Seconds(span.facts.end));
    }
    return lines;
  }

  static std::string Seconds(absl::Time time) {
    return std::to_string(absl::ToInt64Seconds(time - At(0)));
  }

  std::vector<Span> spans_;
  const Tracer tracer_{0, [this](Span span) { spans_.push_back(std::move(span)); }};
  const TraceContext trace_ =
      tracer_.Begin("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", At(0));
  std::unique_ptr<StageSpans> stages_;
};

TEST_F(StageSpansTest, StepsOfAPhaseAreOneSpan) {
  stages_->Stage({.name = "decode", .start = At(0), .end = At(1)});
  stages_->Step("prompt_tuning", At(3), 0.5);
  stages_->Step("pgd", At(4), 0.25);
  stages_->Step("pgd", At(6), 0.125);
  stages_->Step("surrogate_tuning", At(7), 1);
  stages_->Step("pgd", At(9), 0.0625);
  stages_->Stage({.name = "encode", .start = At(10), .end = At(11)});
  EXPECT_EQ(Recorded(),
            (std::vector<std::string>{"decode 0-1", "prompt_tuning 1-3", "pgd 3-6",
                                      "surrogate_tuning 6-7", "pgd 7-9", "encode 10-11"}));
  const std::vector<SpanAttribute> of_first_pgd = {
      {"antidiffusion.steps", int64_t{2}}, {"antidiffusion.loss", 0.125}, {"device", "cpu"}};
  EXPECT_EQ(spans_[2].facts.attributes, of_first_pgd);
  EXPECT_EQ(spans_[5].facts.attributes, (std::vector<SpanAttribute>{{"device", "cpu"}}));
}

TEST_F(StageSpansTest, APhaseThatFailsEndsWithTheError) {
  stages_->Step("pgd", At(1), 0);
  stages_->Fail(At(5), "CANCELLED: gone");
  stages_.reset();
  EXPECT_EQ(Recorded(), (std::vector<std::string>{"pgd 0-5"}));
  EXPECT_EQ(spans_[0].facts.error, "CANCELLED: gone");
}

TEST_F(StageSpansTest, APhaseEndsWithTheJob) {
  stages_->Step("pgd", At(2), 0);
  stages_.reset();
  EXPECT_EQ(Recorded(), (std::vector<std::string>{"pgd 0-2"}));
  EXPECT_EQ(spans_[0].facts.error, "");
}

TEST_F(StageSpansTest, AFailureWithoutAPhaseIsNoSpan) {
  stages_->Stage({.name = "decode", .start = At(0), .end = At(1), .error = "bad"});
  stages_->Fail(At(2), "bad");
  stages_.reset();
  EXPECT_EQ(Recorded(), (std::vector<std::string>{"decode 0-1"}));
}

}  // namespace
}  // namespace antidiffusion
