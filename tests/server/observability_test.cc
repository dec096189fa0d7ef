// What an operator sees of a job from outside: its log lines and its spans.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>

#include <algorithm>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <tuple>
#include <vector>

#include "tests/server/test_server.h"
#include "tests/server/tracing/collector.h"
#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

using nlohmann::json;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kTrace[] = "0af7651916cd43dd8448eb211c80319c";
constexpr char kParent[] = "b7ad6b7169203331";
constexpr char kTraceParent[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

class ObservabilityTest : public ::testing::Test {
 protected:
  void Start(FakeEngine::Orders orders = {}, const std::string& endpoint = "", double sample = 1,
             const std::string& job_store = ":memory:") {
    auto log = Log::Create(LogFormat::kJson, "debug",
                           std::make_shared<spdlog::sinks::ostream_sink_mt>(log_));
    server_ = std::make_unique<TestServer>(
        std::move(orders),
        [&](ServerConfig& config) {
          config.otlp_endpoint = endpoint;
          config.trace_sample = sample;
          config.job_store = job_store;
        },
        std::vector<std::string>{"alpha"}, *std::move(log));
    server_->WaitReady();
  }

  grpc::Status Protect(const v1::ProtectRequest& request,
                       const std::multimap<std::string, std::string>& metadata) {
    grpc::ClientContext context;
    for (const auto& [key, value] : metadata) context.AddMetadata(key, value);
    const auto reader = server_->stub().Protect(&context, request);
    v1::JobEvent event;
    while (reader->Read(&event)) {
    }
    return reader->Finish();
  }

  // The lines of the log so far; each must be JSON. Stops the server first.
  std::vector<json> LogLines() {
    server_->Stop();
    std::vector<json> lines;
    std::istringstream text(log_.str());
    for (std::string line; std::getline(text, line);) {
      lines.push_back(json::parse(line, nullptr, false));
      EXPECT_TRUE(lines.back().is_object()) << line;
    }
    return lines;
  }

  json LogLine(const std::string& message) {
    for (const json& line : LogLines()) {
      if (line["message"] == message) return line;
    }
    ADD_FAILURE() << "no line '" << message << "' in\n" << log_.str();
    return {};
  }

  std::ostringstream log_;
  std::unique_ptr<TestServer> server_;
};

json Attribute(const json& span, const std::string& key) {
  for (const json& attribute : span.at("attributes")) {
    if (attribute["key"] == key) return attribute["value"];
  }
  return nullptr;
}

int64_t Nanoseconds(const json& text) { return std::stoll(text.get<std::string>()); }

// The spans that came, by their beginning, the job's own last. They come in the order of their
// ends, and a worker may be faster than the thread that admitted the job.
std::vector<json> InOrder(Collector& collector) {
  std::vector<json> spans = collector.spans();
  const auto key = [](const json& span) {
    return std::make_tuple(span.at("name") == "job", Nanoseconds(span.at("startTimeUnixNano")));
  };
  std::sort(spans.begin(), spans.end(),
            [&](const json& a, const json& b) { return key(a) < key(b); });
  return spans;
}

std::vector<std::string> NamesOf(const std::vector<json>& spans) {
  std::vector<std::string> names;
  names.reserve(spans.size());
  for (const json& span : spans) names.push_back(span.at("name"));
  return names;
}

TEST_F(ObservabilityTest, AJobsStagesArriveAtTheCollectorBelowTheCallersSpan) {
  Collector collector;
  Start({.steps = 3}, collector.endpoint(), 0);
  ASSERT_TRUE(Protect(RequestWith(SmallPng()), {{"traceparent", kTraceParent}}).ok());
  server_->Stop();  // sends what waits
  const std::vector<json> spans = InOrder(collector);
  ASSERT_EQ(NamesOf(spans), (std::vector<std::string>{"admit", "queue", "decode", "pgd", "encode",
                                                      "report", "job"}));
  const json& root = spans.back();
  EXPECT_EQ(root["parentSpanId"], kParent);
  EXPECT_EQ(root["kind"], 2);
  EXPECT_EQ(Attribute(root, "antidiffusion.outcome"), json({{"stringValue", "succeeded"}}));
  EXPECT_EQ(Attribute(root, "antidiffusion.model"), json({{"stringValue", "alpha"}}));
  for (const json& span : spans) {
    EXPECT_EQ(span["traceId"], kTrace);
    EXPECT_EQ(span["spanId"].get<std::string>().size(), 16u);
    EXPECT_GE(Nanoseconds(span["startTimeUnixNano"]), Nanoseconds(root["startTimeUnixNano"]));
    EXPECT_LE(Nanoseconds(span["startTimeUnixNano"]), Nanoseconds(span["endTimeUnixNano"]));
    EXPECT_LE(Nanoseconds(span["endTimeUnixNano"]), Nanoseconds(root["endTimeUnixNano"]));
    if (span != root) {
      EXPECT_EQ(span["parentSpanId"], root["spanId"]);
    }
  }
  for (size_t i = 2; i + 1 < spans.size(); ++i) {  // what the worker did, one after the other
    EXPECT_GE(Nanoseconds(spans[i]["startTimeUnixNano"]),
              Nanoseconds(spans[i - 1]["endTimeUnixNano"]))
        << spans[i]["name"];
  }
  EXPECT_EQ(Attribute(spans[3], "antidiffusion.steps"), json({{"intValue", "3"}}));
  EXPECT_EQ(Attribute(spans[3], "antidiffusion.device"), json({{"stringValue", "fake:0"}}));
}

TEST_F(ObservabilityTest, ACallerThatDoesNotSampleGetsNoSpansButItsTraceInTheLog) {
  Collector collector;
  Start({}, collector.endpoint(), 1);
  const std::string unsampled = std::string(kTraceParent).substr(0, 53) + "00";
  ASSERT_TRUE(Protect(RequestWith(SmallPng()), {{"traceparent", unsampled}}).ok());
  EXPECT_EQ(LogLine("job accepted")["trace_id"], kTrace);
  EXPECT_TRUE(collector.spans().empty());
}

TEST_F(ObservabilityTest, WithoutATraceparentTheSampleDecides) {
  Collector collector;
  Start({}, collector.endpoint(), 1);
  ASSERT_TRUE(Protect(RequestWith(SmallPng()), {}).ok());
  ASSERT_TRUE(Protect(RequestWith(SmallPng()),
                      {{"traceparent", kTraceParent}, {"traceparent", kTraceParent}})
                  .ok())
      << "two are none";
  const json line = LogLine("job accepted");
  const std::vector<json> spans = InOrder(collector);
  ASSERT_EQ(spans.size(), 14u);
  EXPECT_EQ(spans.front()["traceId"], line["trace_id"]);
  for (const json& span : spans) {
    EXPECT_NE(span["traceId"], kTrace);
    EXPECT_EQ(span.contains("parentSpanId"), span["name"] != "job");
  }
}

TEST_F(ObservabilityTest, ARefusedCallIsASpanWithItsReason) {
  Collector collector;
  Start({}, collector.endpoint());
  EXPECT_FALSE(Protect(RequestWith("no image"), {{"traceparent", kTraceParent}}).ok());
  server_->Stop();
  const std::vector<json> spans = InOrder(collector);
  ASSERT_EQ(NamesOf(spans), (std::vector<std::string>{"admit", "job"}));
  EXPECT_EQ(spans[1]["parentSpanId"], kParent);
  EXPECT_EQ(spans[1]["status"]["code"], 2);
  EXPECT_EQ(Attribute(spans[1], "error.type"), json({{"stringValue", "INVALID_FIELD"}}));
}

TEST_F(ObservabilityTest, AFailedJobEndsItsPhaseAndItsSpanWithTheError) {
  Collector collector;
  Start({.error = absl::InternalError("the device is gone")}, collector.endpoint());
  EXPECT_FALSE(Protect(RequestWith(SmallPng()), {{"traceparent", kTraceParent}}).ok());
  server_->Stop();
  const std::vector<json> spans = InOrder(collector);
  ASSERT_EQ(NamesOf(spans), (std::vector<std::string>{"admit", "queue", "decode", "pgd", "job"}));
  for (const size_t failed : {3, 4}) {
    EXPECT_EQ(spans[failed]["status"]["message"], "INTERNAL: the device is gone");
  }
  EXPECT_EQ(Attribute(spans[4], "antidiffusion.outcome"), json({{"stringValue", "failed"}}));
}

TEST_F(ObservabilityTest, ATraceGoesOnInTheNextServer) {
  Collector collector;
  TempDir folder;
  const std::string store = "sqlite:" + folder.File("jobs.db");
  Start({.hold_steps = true}, collector.endpoint(), 0, store);
  grpc::ClientContext context;
  context.AddMetadata("traceparent", kTraceParent);
  v1::Job job;
  ASSERT_TRUE(server_->stub().CreateJob(&context, RequestWith(SmallPng()), &job).ok());
  server_->engine().WaitForStepBegun(1);
  server_->server().StartDrain();
  server_->server().CancelJobs();
  server_->engine().AllowAllSteps();
  server_->Stop();
  EXPECT_THAT(NamesOf(collector.spans()), Not(Contains("job"))) << "it has not ended";

  Start({}, collector.endpoint(), 0, store);
  server_->WaitForMetric(R"(jobs_total{model="alpha",outcome="succeeded",reason=""})", 1);
  EXPECT_EQ(LogLine("job finished")["trace_id"], kTrace);
  const std::vector<json> spans = InOrder(collector);
  const json& root = spans.back();
  EXPECT_EQ(root["name"], "job");
  EXPECT_EQ(root["parentSpanId"], kParent);
  for (const json& span : spans) {
    EXPECT_EQ(span["traceId"], kTrace);
    EXPECT_GE(Nanoseconds(span["startTimeUnixNano"]), Nanoseconds(root["startTimeUnixNano"]));
    if (span != root) {
      EXPECT_EQ(span["parentSpanId"], root["spanId"]);
    }
  }
}

TEST_F(ObservabilityTest, LostSpansAreCounted) {
  Collector collector;
  Start({}, collector.endpoint());
  EXPECT_EQ(server_->Metric("trace_spans_sent_total"), 0);
  EXPECT_EQ(server_->Metric("trace_spans_dropped_total{reason=\"queue_full\"}"), 0);
  collector.WillAnswer(std::vector<Collector::Answer>(7, {.code = 400}));
  ASSERT_TRUE(Protect(RequestWith(SmallPng()), {}).ok());
  server_->WaitForMetric("trace_spans_dropped_total{reason=\"rejected\"}", 7);
  EXPECT_EQ(LogLine("the trace collector takes no spans")["level"], "warning");
}

TEST_F(ObservabilityTest, AnEndpointThatIsNoneKeepsTheServerFromStarting) {
  TempDir repository;
  repository.Write("alpha/model_index.json", "{}");
  ServerConfig config;
  config.grpc_address = "127.0.0.1";
  config.grpc_port = config.metrics_port = 0;
  config.model_repository = repository.path();
  config.otlp_endpoint = "localhost:4318";
  FakeEngine engine({});
  const auto log = Log::Create(LogFormat::kText, "off");
  EXPECT_THAT(Server::Start(config, engine.Factory(), **log), ViolatesField("otlp-endpoint"));
}

TEST_F(ObservabilityTest, TheLinesOfAJobNameItAndItsSizesAndTimes) {
  Start();
  v1::ProtectRequest request = RequestWith(SmallPng());
  request.set_request_id("upload-7");
  ASSERT_TRUE(Protect(request, {{"traceparent", kTraceParent}}).ok());
  const json accepted = LogLine("job accepted");
  EXPECT_EQ(accepted["request_id"], "upload-7");
  EXPECT_EQ(accepted["tenant"], "");
  EXPECT_EQ(accepted["trace_id"], kTrace);
  EXPECT_EQ(accepted["model"], "alpha");
  EXPECT_EQ(accepted["bytes"], request.image().size());
  EXPECT_EQ(accepted["width"], 64);
  EXPECT_EQ(accepted["height"], 64);
  const json finished = LogLine("job finished");
  EXPECT_EQ(finished["job"], accepted["job"]);
  EXPECT_EQ(finished["trace_id"], kTrace);
  EXPECT_EQ(finished["tenant"], "");
  EXPECT_TRUE(finished["seconds"].is_number());
}

TEST_F(ObservabilityTest, NeitherImagesNorPromptsNorLabelsNorKeysLeave) {
  Collector collector;
  Start({.error = absl::InternalError("broken")}, collector.endpoint());
  v1::ProtectRequest request = RequestWith(SmallPng());
  request.mutable_options()->set_prompt("a-secret-prompt");
  (*request.mutable_labels())["who"] = "a-secret-label";
  const std::multimap<std::string, std::string> keys = {{"authorization", "Bearer a-secret-key"},
                                                        {"x-api-key", "a-secret-key"}};
  EXPECT_FALSE(Protect(request, keys).ok());
  request.mutable_options()->set_prompt("a-secret-prompt" + std::string(1000, 'x'));
  EXPECT_FALSE(Protect(request, keys).ok());
  request.mutable_options()->clear_prompt();
  (*request.mutable_labels())["who"] = "a-secret-label" + std::string(100, 'x');
  EXPECT_FALSE(Protect(request, keys).ok());
  request.mutable_labels()->clear();
  request.set_image("a-secret-image");
  EXPECT_FALSE(Protect(request, keys).ok());
  EXPECT_GE(LogLines().size(), 6u);
  std::string all = log_.str();
  for (const json& span : collector.spans()) all += span.dump();
  EXPECT_THAT(all, Not(HasSubstr("a-secret")));
  EXPECT_THAT(all, Not(HasSubstr("IHDR")));
}

}  // namespace
}  // namespace antidiffusion
