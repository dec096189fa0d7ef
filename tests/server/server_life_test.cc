// From loading to stopped: health, probes, metrics, drain.
#include <gmock/gmock.h>
#include <grpcpp/channel.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <gtest/gtest.h>

#include <spdlog/sinks/ostream_sink.h>

#include <chrono>
#include <sstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "server/http_endpoint.h"
#include "server/server.h"
#include "tests/server/test_server.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace antidiffusion {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

v1::ListModelsResponse ListModels(TestServer& server) {
  grpc::ClientContext context;
  v1::ListModelsResponse response;
  EXPECT_TRUE(server.stub().ListModels(&context, {}, &response).ok());
  return response;
}

TEST(ServerLifeTest, RefusesJobsWhileLoading) {
  TestServer server({.hold_loading = true});
  EXPECT_FALSE(server.Healthy());
  EXPECT_FALSE(server.Healthy("antidiffusion.v1.ProtectionService"));
  EXPECT_EQ(server.Get("/livez").code, 200);
  EXPECT_EQ(server.Get("/readyz").code, 503);
  EXPECT_EQ(server.Get("/startupz").code, 503);
  EXPECT_EQ(ListModels(server).models(0).state(), v1::Model::LOADING);
  const auto call = server.Open(RequestWith(SmallPng()));
  const grpc::Status status = call->Finish();
  EXPECT_EQ(status.error_code(), grpc::UNAVAILABLE);
  EXPECT_EQ(ErrorInfoOf(status).reason(), "MODEL_LOADING");
  EXPECT_EQ(call->Trailer("grpc-retry-pushback-ms"), "5000");

  server.engine().ReleaseLoading();
  server.WaitReady();
  EXPECT_TRUE(server.Healthy());
  EXPECT_TRUE(server.Healthy("antidiffusion.v1.ProtectionService"));
  EXPECT_EQ(server.Get("/readyz").code, 200);
  EXPECT_EQ(server.Get("/startupz").code, 200);
  EXPECT_EQ(ListModels(server).models(0).state(), v1::Model::READY);
  EXPECT_TRUE(server.Protect(RequestWith(SmallPng())).ok());
}

// Lines that hold `text`.
int CountLines(const std::string& log, const std::string& text) {
  int count = 0;
  for (size_t at = log.find(text); at != std::string::npos; at = log.find(text, at + 1)) ++count;
  return count;
}

TEST(ServerLifeTest, StrictReadinessWantsEveryModelAndSaysWhichOneIsMissing) {
  std::ostringstream lines;
  auto log = Log::Create(LogFormat::kJson, "info",
                         std::make_shared<spdlog::sinks::ostream_sink_mt>(lines));
  TestServer server(
      {.hold_loading = true, .broken_models = {{"alpha", absl::DataLossError("a bad header")}}},
      nullptr, {"alpha", "beta"}, *std::move(log));
  EXPECT_EQ(server.Get("/readyz").body, "not ok: alpha loads; beta loads\n");
  EXPECT_EQ(server.Get("/startupz").body, "not ok: it has not been ready yet\n");
  EXPECT_EQ(server.Get("/livez").body, "ok\n");
  server.engine().ReleaseLoading();
  server.WaitForMetric(R"(model_loaded{model="beta"})", 1);
  EXPECT_FALSE(server.Healthy());
  EXPECT_THAT(server.Get("/readyz").body,
              MatchesRegex("not ok: alpha cannot be loaded: .*: a bad header\n"));
  v1::ProtectRequest request = RequestWith(SmallPng());
  request.set_model("beta");
  EXPECT_TRUE(server.Protect(request).ok()) << "what is loaded can be used";
  server.server().StartDrain();
  EXPECT_EQ(server.Get("/readyz").body, "not ok: draining\n");
  server.Stop();
  EXPECT_EQ(CountLines(lines.str(), "the server does not become ready"), 1);
  EXPECT_THAT(lines.str(), ContainsRegex("does not become ready: --strict-readiness wants every "
                                         "model\",\"model\":\"alpha\",\"error\":.*a bad header"));
}

TEST(ServerLifeTest, ALaxServerWithoutAModelSaysSo) {
  std::ostringstream lines;
  auto log = Log::Create(LogFormat::kJson, "info",
                         std::make_shared<spdlog::sinks::ostream_sink_mt>(lines));
  const absl::Status broken = absl::DataLossError("a bad header");
  TestServer server(
      {.broken_models = {{"alpha", broken}, {"beta", broken}}},
      [](ServerConfig& config) { config.strict_readiness = false; }, {"alpha", "beta"},
      *std::move(log));
  while (server.Get("/readyz").body.find("beta cannot") == std::string::npos) {
  }
  server.Stop();
  EXPECT_EQ(CountLines(lines.str(), "does not become ready: no model can be loaded"), 2);
}

TEST(ServerLifeTest, AnIpv6AddressServesHttpOnIpv4WhereHttpHasNoIpv6) {
  for (const std::string address : {"::1", "::", "[::1]"}) {
    std::ostringstream lines;
    auto log = Log::Create(LogFormat::kText, "info",
                           std::make_shared<spdlog::sinks::ostream_sink_mt>(lines));
    TestServer server(
        {}, [&](ServerConfig& config) { config.grpc_address = address; }, {"alpha"},
        *std::move(log));
    server.WaitReady();
    EXPECT_TRUE(server.Protect(RequestWith(SmallPng())).ok()) << address;
    if (!HttpHasIpv6()) {
      EXPECT_EQ(server.Get("/readyz").code, 200) << address;
      server.Stop();
      EXPECT_THAT(lines.str(), HasSubstr("HTTP listens on IPv4 alone"));
    }
  }
}

TEST(ServerLifeTest, HttpMayHaveAnAddressOfItsOwn) {
  TestServer server({}, [](ServerConfig& config) {
    config.grpc_address = "::1";
    config.metrics_address = "127.0.0.1";
  });
  server.WaitReady();
  EXPECT_EQ(server.Get("/livez").code, 200);
}

TEST(HttpAddressTest, IsTheSameOrOfTheSameReach) {
  EXPECT_EQ(*HttpAddressFor("10.0.0.7", false), "10.0.0.7");
  EXPECT_EQ(*HttpAddressFor("::1", false), "127.0.0.1");
  EXPECT_EQ(*HttpAddressFor("[::]", false), "0.0.0.0");
  EXPECT_EQ(*HttpAddressFor("fd00::7", true), "fd00::7");
  EXPECT_THAT(HttpAddressFor("fd00::7", false),
              StatusIs(absl::StatusCode::kInvalidArgument, "--metrics-address"));
}

TEST(ServerLifeTest, LaxReadinessWantsOneModel) {
  TestServer server({.broken_models = {{"alpha", absl::DataLossError("a bad header")}}},
                    [](ServerConfig& config) { config.strict_readiness = false; },
                    {"alpha", "beta"});
  server.WaitReady();
  const v1::ListModelsResponse models = ListModels(server);
  EXPECT_EQ(models.models(0).state(), v1::Model::FAILED);
  EXPECT_THAT(models.models(0).message(), HasSubstr("a bad header"));
  v1::ProtectRequest request = RequestWith(SmallPng());
  const grpc::Status status = server.Protect(request);
  EXPECT_EQ(status.error_code(), grpc::UNAVAILABLE);
  EXPECT_EQ(ErrorInfoOf(status).reason(), "MODEL_FAILED");
  request.set_model("beta");
  EXPECT_TRUE(server.Protect(request).ok());
}

TEST(ServerLifeTest, DrainFinishesWhatWasAdmitted) {
  TestServer server({.hold_steps = true});
  server.WaitReady();
  const auto running = server.Open(RequestWith(SmallPng()));
  server.engine().WaitForJobs(1);
  const auto waiting = server.Open(RequestWith(SmallPng()));
  ASSERT_TRUE(waiting->Event().has_queued());

  server.server().StartDrain();
  server.WaitForHealth(false);
  EXPECT_EQ(server.Get("/readyz").code, 503);
  EXPECT_EQ(server.Get("/startupz").code, 200);
  EXPECT_EQ(server.Metric("draining"), 1);
  const grpc::Status status = server.Protect(RequestWith(SmallPng()));
  EXPECT_EQ(status.error_code(), grpc::UNAVAILABLE);
  EXPECT_EQ(ErrorInfoOf(status).reason(), "DRAINING");
  EXPECT_FALSE(server.server().WaitDrained(absl::ZeroDuration()));

  server.engine().AllowAllSteps();
  EXPECT_TRUE(running->Finish().ok());
  EXPECT_TRUE(waiting->Finish().ok());
  EXPECT_TRUE(running->result().whole());
  EXPECT_TRUE(waiting->result().whole());
  while (!server.server().WaitDrained(absl::Seconds(1))) {
  }
}

TEST(ServerLifeTest, CancelJobsEndsThemWithUnavailable) {
  TestServer server({.steps = 100, .hold_steps = true});
  server.WaitReady();
  const auto running = server.Open(RequestWith(SmallPng()));
  server.engine().WaitForJobs(1);
  const auto waiting = server.Open(RequestWith(SmallPng()));
  ASSERT_TRUE(waiting->Event().has_queued());
  server.engine().WaitForStepBegun(1);
  server.server().StartDrain();
  server.server().CancelJobs();
  server.engine().WaitForStop();
  server.engine().AllowSteps(1);
  for (OpenCall* call : {running.get(), waiting.get()}) {
    const grpc::Status status = call->Finish();
    EXPECT_EQ(status.error_code(), grpc::UNAVAILABLE);
    EXPECT_EQ(ErrorInfoOf(status).reason(), "SERVER_SHUTDOWN");
  }
  EXPECT_EQ(server.engine().steps(), 1);
  EXPECT_EQ(
      server.Metric(R"(jobs_total{model="alpha",outcome="cancelled",reason="SERVER_SHUTDOWN"})"),
      2);
}

TEST(ServerLifeTest, AServerCanBeDestroyedWithCallsOpen) {
  FakeEngine::Orders orders;
  orders.hold_steps = true;
  auto server = std::make_unique<TestServer>(orders);
  server->WaitReady();
  auto call = server->Open(RequestWith(SmallPng()));
  server->engine().WaitForJobs(1);
  std::jthread release([&] {
    server->engine().WaitForStop();
    server->engine().AllowAllSteps();
  });
  EXPECT_FALSE(server->server().WaitDrained(absl::ZeroDuration()));
  server->Stop();
  EXPECT_EQ(call->Finish().error_code(), grpc::UNAVAILABLE);
}

TEST(ServerLifeTest, EverySeriesIsThereFromTheStart) {
  TestServer server;
  server.WaitReady();
  for (const char* series : {
           R"(requests_total{code="OK",method="Protect"})",
           R"(requests_total{code="RESOURCE_EXHAUSTED",method="Protect"})",
           R"(requests_total{code="OK",method="ListModels"})",
           R"(request_duration_seconds_count{method="Protect"})",
           R"(rejected_total{reason="QUEUE_FULL"})",
           R"(rejected_total{reason="DRAINING"})",
           R"(jobs_total{model="alpha",outcome="accepted",reason=""})",
           R"(jobs_total{model="alpha",outcome="succeeded",reason=""})",
           R"(jobs_total{model="alpha",outcome="failed",reason="DEVICE_MEMORY"})",
           R"(jobs_total{model="alpha",outcome="cancelled",reason="CANCELLED"})",
           R"(jobs_total{model="alpha",outcome="expired",reason="DEADLINE_PASSED"})",
           R"(queue_depth{class="interactive"})",
           R"(queue_depth{class="batch"})",
           R"(tenant_jobs_total{outcome="accepted",tenant="default"})",
           R"(tenant_queue_wait_seconds_total{tenant="default"})",
           "tls_certificate_expiry_timestamp_seconds",
           "job_store_failures_total",
           "queue_bytes",
           "unread_bytes",
           R"(queue_wait_seconds_count{class="interactive"})",
           R"(queue_wait_seconds_count{class="batch"})",
           R"(jobs_running{device="fake:0"})",
           "draining",
           R"(job_stage_seconds_count{model="alpha",stage="encode"})",
           R"(step_seconds_count{model="alpha",phase="surrogate_tuning"})",
           "cancel_latency_seconds_count",
           R"(device_busy_seconds_total{device="fake:0"})",
       }) {
    EXPECT_EQ(server.Metric(series), 0) << series;
  }
  EXPECT_EQ(server.Metric("queue_capacity"), 64);
  EXPECT_EQ(server.Metric(R"(worker_up{device="fake:0"})"), 1);
  EXPECT_EQ(server.Metric(R"(model_loaded{model="alpha"})"), 1);
  EXPECT_EQ(server.Metric(R"(device_memory_used_bytes{device="fake:0"})"), 100);
  EXPECT_EQ(server.Metric(R"(device_memory_reserved_bytes{device="fake:0"})"), 200);
  EXPECT_EQ(server.Metric(R"(device_memory_total_bytes{device="fake:0"})"), 300);
  EXPECT_TRUE(server.Metric(R"(model_load_seconds{model="alpha"})").has_value());
  EXPECT_THAT(server.Get("/metrics").body, HasSubstr("antidiffusion_build_info{cuda="));
  EXPECT_EQ(server.Metric(R"(step_seconds_bucket{model="alpha",phase="pgd",le="0.1"})"), 0);
  EXPECT_EQ(server.Metric(R"(step_seconds_bucket{model="alpha",phase="pgd",le="600"})"), 0);
}

TEST(ServerLifeTest, HttpAnswersItsPathsOnly) {
  TestServer server;
  EXPECT_THAT(server.Get("/metrics").head, HasSubstr("text/plain; version=0.0.4"));
  for (const char* path : {"/", "/livezz", "/livez/x", "/metrics/..", "/etc/passwd"}) {
    EXPECT_EQ(server.Get(path).code, 404) << path;
  }
}

// The client's connection is asked to go, and goes; a stream on it ends by itself.
TEST(ServerLifeTest, AConnectionHasAnAgeAndItsStreamsOutliveIt) {
  TestServer server({.hold_steps = true}, [](ServerConfig& config) {
    config.grpc_max_connection_age = absl::Milliseconds(200);
  });
  grpc::ChannelArguments own;
  own.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  const auto channel =
      grpc::CreateCustomChannel(absl::StrCat("127.0.0.1:", server.server().grpc_port()),
                                grpc::InsecureChannelCredentials(), own);
  const auto stub = v1::ProtectionService::NewStub(channel);
  server.WaitReady();
  OpenCall call(*stub, RequestWith(SmallPng()));
  ASSERT_TRUE(call.Event().has_queued());
  while (channel->GetState(false) == GRPC_CHANNEL_READY) {
    ASSERT_TRUE(channel->WaitForStateChange(
        GRPC_CHANNEL_READY, std::chrono::system_clock::now() + std::chrono::minutes(2)));
  }
  server.engine().AllowAllSteps();
  EXPECT_TRUE(call.Finish().ok());
  EXPECT_TRUE(call.result().whole());
}

TEST(ServerLifeTest, ATakenPortIsAnError) {
  TestServer first;
  TempDir repository;
  repository.Write("alpha/model_index.json", "{}");
  FakeEngine engine({});
  const auto log = Log::Create(LogFormat::kText, "off").value();
  ServerConfig config;
  config.grpc_address = "127.0.0.1";
  config.model_repository = repository.path();
  config.grpc_port = first.server().grpc_port();
  config.metrics_port = 0;
  EXPECT_THAT(Server::Start(config, engine.Factory(), *log),
              StatusIs(absl::StatusCode::kUnavailable));
  config.grpc_port = 0;
  config.metrics_port = first.server().metrics_port();
  EXPECT_THAT(Server::Start(config, engine.Factory(), *log),
              StatusIs(absl::StatusCode::kUnavailable));
}

TEST(ServerLifeTest, ThePortFileNamesThePorts) {
  TempDir dir;
  const std::string path = dir.File("ports");
  TestServer server({}, [&](ServerConfig& config) { config.port_file = path; });
  EXPECT_EQ(ReadFileBytes(path),
            "GRPC_PORT=" + std::to_string(server.server().grpc_port()) +
                "\nMETRICS_PORT=" + std::to_string(server.server().metrics_port()) + "\n");
}

TEST(ServerLifeTest, NoModelIsAnError) {
  TempDir repository;
  FakeEngine engine({});
  const auto log = Log::Create(LogFormat::kText, "off").value();
  ServerConfig config;
  config.model_repository = repository.path();
  EXPECT_THAT(Server::Start(config, engine.Factory(), *log), StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace antidiffusion
