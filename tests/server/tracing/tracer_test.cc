#include "server/tracing/tracer.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

namespace antidiffusion {
namespace {

constexpr char kSampled[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
constexpr char kUnsampled[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

class TracerTest : public ::testing::Test {
 protected:
  Tracer Make(double sample) {
    return Tracer(sample, [this](Span span) { spans_.push_back(std::move(span)); });
  }

  const absl::Time now_ = absl::FromUnixSeconds(1'000'000);
  std::vector<Span> spans_;
};

TEST_F(TracerTest, TheCallersTraceGoesOn) {
  const Tracer tracer = Make(0);
  const TraceContext trace = tracer.Begin(kSampled, now_);
  EXPECT_EQ(trace.trace_id, "0af7651916cd43dd8448eb211c80319c");
  EXPECT_EQ(trace.parent_id, "b7ad6b7169203331");
  EXPECT_EQ(trace.start, now_);
  tracer.RecordStage(trace, {.name = "decode", .start = now_, .end = now_ + absl::Seconds(1)});
  tracer.RecordJob(trace, {.name = "job", .start = now_, .end = now_ + absl::Seconds(2)});
  ASSERT_EQ(spans_.size(), 2u);
  for (const Span& span : spans_) EXPECT_EQ(span.trace_id, trace.trace_id);
  EXPECT_EQ(spans_[0].facts.name, "decode");
  EXPECT_EQ(spans_[0].parent_id, trace.span_id);
  EXPECT_FALSE(spans_[0].is_server);
  EXPECT_EQ(spans_[1].span_id, trace.span_id);
  EXPECT_EQ(spans_[1].parent_id, "b7ad6b7169203331");
  EXPECT_TRUE(spans_[1].is_server);
}

TEST_F(TracerTest, TheCallersFlagDecidesNotTheSample) {
  const Tracer all = Make(1);
  const TraceContext unsampled = all.Begin(kUnsampled, now_);
  EXPECT_EQ(unsampled.id(), "0af7651916cd43dd8448eb211c80319c") << "for the log";
  all.RecordJob(unsampled, {.name = "job"});
  EXPECT_TRUE(spans_.empty());
  EXPECT_TRUE(Make(0).Begin(kSampled, now_).sampled);
}

TEST_F(TracerTest, WithoutACallersTraceTheSampleDecides) {
  for (const char* header : {"", "00-nonsense"}) {
    EXPECT_EQ(Make(0).Begin(header, now_).id(), std::nullopt);
    const TraceContext begun = Make(1).Begin(header, now_);
    EXPECT_TRUE(begun.sampled);
    EXPECT_EQ(begun.parent_id, "");
    EXPECT_TRUE(ParseTraceParent(TraceParentOf(begun)).has_value()) << "well-formed";
  }
}

TEST_F(TracerTest, TheSampleIsAShare) {
  const Tracer tracer = Make(0.5);
  std::set<bool> seen;  // one of the two never coming: a chance of 2^-999
  for (int i = 0; i < 1000; ++i) seen.insert(tracer.Begin("", now_).sampled);
  EXPECT_EQ(seen.size(), 2u);
}

TEST_F(TracerTest, IdsDiffer) {
  const Tracer tracer = Make(1);
  std::set<std::string> ids;
  for (int i = 0; i < 100; ++i) {
    const TraceContext trace = tracer.Begin("", now_);
    ids.insert({trace.trace_id, trace.span_id});
    tracer.RecordStage(trace, {.name = "decode"});
  }
  for (const Span& span : spans_) ids.insert(span.span_id);
  EXPECT_EQ(ids.size(), 300u);
}

TEST_F(TracerTest, WithoutASinkNothingIsBegun) {
  const Tracer tracer;
  EXPECT_EQ(tracer.Begin("", now_).id(), std::nullopt);
  const TraceContext given = tracer.Begin(kSampled, now_);
  EXPECT_EQ(given.id(), "0af7651916cd43dd8448eb211c80319c") << "for the log";
  tracer.RecordJob(given, {.name = "job"});
}

}  // namespace
}  // namespace antidiffusion
