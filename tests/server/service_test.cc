// Protect and ListModels over a real connection, with a fake engine behind.
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "core/image/codec.h"
#include "core/image/similarity.h"
#include "server/errors.h"
#include "tests/server/test_server.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/synthetic_image.h"

namespace antidiffusion {
namespace {

constexpr char kAccepted[] = R"(jobs_total{model="alpha",outcome="accepted",reason=""})";
constexpr char kSucceeded[] = R"(jobs_total{model="alpha",outcome="succeeded",reason=""})";
constexpr char kCancelled[] = R"(jobs_total{model="alpha",outcome="cancelled",reason="CANCELLED"})";
constexpr char kExpired[] =
    R"(jobs_total{model="alpha",outcome="expired",reason="DEADLINE_PASSED"})";

void PutBigEndian(std::string& bytes, size_t at, uint32_t value) {
  for (int i = 0; i < 4; ++i) bytes[at + i] = static_cast<char>(value >> (24 - 8 * i));
}

// The PNG with another size in its header, and the header's checksum mended.
std::string WithSize(std::string png, uint32_t width, uint32_t height) {
  constexpr size_t kType = 12;
  constexpr size_t kCrc = 29;
  PutBigEndian(png, 16, width);
  PutBigEndian(png, 20, height);
  uint32_t crc = 0xFFFFFFFF;
  for (size_t i = kType; i < kCrc; ++i) {
    crc ^= static_cast<uint8_t>(png[i]);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xEDB88320 : 0);
  }
  PutBigEndian(png, kCrc, ~crc);
  return png;
}

// A call that is refused: its code and reason, before any message.
void ExpectRefused(TestServer& server, const v1::ProtectRequest& request, grpc::StatusCode code,
                   const std::string& reason, const std::string& field = "") {
  const auto call = server.Open(request);
  const grpc::Status status = call->Finish();
  EXPECT_EQ(status.error_code(), code) << status.error_message();
  EXPECT_EQ(ErrorInfoOf(status).reason(), reason) << status.error_message();
  EXPECT_EQ(ErrorInfoOf(status).domain(), "antidiffusion");
  EXPECT_EQ(call->events(), 0);
  if (!field.empty()) {
    EXPECT_EQ(ErrorInfoOf(status).metadata().at("field"), field);
  }
}

// What a packed message takes unpacked is not known before.
TEST(ServiceTest, PackedMessagesAreRefusedUnread) {
  TestServer server;
  server.WaitReady();
  for (const auto algorithm : {GRPC_COMPRESS_GZIP, GRPC_COMPRESS_DEFLATE}) {
    grpc::ClientContext context;
    context.set_compression_algorithm(algorithm);
    v1::GetJobRequest request;
    request.set_name(std::string(100'000, 'a'));
    v1::Job job;
    EXPECT_EQ(server.stub().GetJob(&context, request, &job).error_code(),
              grpc::StatusCode::UNIMPLEMENTED);
  }
}

TEST(ServiceTest, StreamsTheWholeLifeOfAJob) {
  TestServer server;
  server.WaitReady();
  const auto call = server.Open(RequestWith(SmallPng()));
  const auto queued = call->Next();
  ASSERT_TRUE(queued->has_queued());
  EXPECT_EQ(queued->queued().job().size(), 32u);
  EXPECT_EQ(queued->queued().position(), 0);
  EXPECT_EQ(queued->sequence(), 1u);
  uint64_t sequence = 1;
  std::optional<v1::JobEvent> event;
  while ((event = call->Next())) {
    EXPECT_GE(event->sequence(), sequence + (event->has_chunk() ? 0 : 1));
    sequence = event->sequence();
    if (event->has_running()) {
      EXPECT_EQ(event->running().device(), "fake:0");
    }
  }
  EXPECT_TRUE(call->Finish().ok());
  ASSERT_TRUE(call->result().whole());
  const v1::ProtectionResult& result = call->result().facts();
  EXPECT_EQ(result.mime_type(), "image/png");
  EXPECT_EQ(result.model(), "alpha");
  EXPECT_EQ(result.model_digest(), "0123abcd");
  const Picture picture = DecodePicture(call->result().image(), {}).value();
  EXPECT_EQ(*MaxDifference(SyntheticImage(64, 64), picture.image), 2);
  EXPECT_EQ(server.Metric(kAccepted), 1);
  EXPECT_EQ(server.Metric(kSucceeded), 1);
  EXPECT_EQ(server.Metric(R"(requests_total{code="OK",method="Protect"})"), 1);
  EXPECT_EQ(server.Metric(R"(step_seconds_count{model="alpha",phase="pgd"})"), 3);
  EXPECT_EQ(server.Metric(R"(jobs_running{device="fake:0"})"), 0);
}

TEST(ServiceTest, OptionsReachTheEngine) {
  TestServer server;
  server.WaitReady();
  v1::ProtectRequest request = RequestWith(SmallPng());
  request.mutable_options()->set_method(v1::ProtectionOptions::SDS);
  request.mutable_options()->set_seed(0);
  const auto call = server.Open(request);
  ASSERT_TRUE(call->Finish().ok());
  EXPECT_EQ(server.engine().last_options().method, Method::kSds);
  EXPECT_EQ(call->result().facts().seed(), 0u);
}

TEST(ServiceTest, BadRequestsAreRefusedBeforeAnyMessage) {
  TestServer server({}, [](ServerConfig& config) { config.max_image_bytes = 100'000; });
  server.WaitReady();
  const std::string png = SmallPng();
  const auto expect_bad = [&](const std::string& image, const std::string& what) {
    SCOPED_TRACE(what);
    ExpectRefused(server, RequestWith(image), grpc::INVALID_ARGUMENT, "INVALID_FIELD", "image");
  };
  expect_bad("", "empty");
  expect_bad("GIF89a, not really", "not an image");
  expect_bad(WithSize(png, 20'000, 20'000), "too many pixels");
  expect_bad(WithSize(png, 63, 64), "too small");
  expect_bad(std::string(100'001, 'x'), "too many bytes");
  v1::ProtectRequest request = RequestWith(png);
  for (const double budget : {0.0, 1000.0}) {
    request.mutable_options()->set_budget_levels(budget);
    ExpectRefused(server, request, grpc::INVALID_ARGUMENT, "INVALID_FIELD",
                  "options.budget_levels");
  }
  EXPECT_EQ(server.engine().jobs(), 0);
  EXPECT_EQ(server.Metric(R"(rejected_total{reason="INVALID_FIELD"})"), 7);
  EXPECT_EQ(server.Metric(kAccepted), 0);
}

TEST(ServiceTest, TruncatedFilesFailWithTheSameError) {
  TestServer server;
  server.WaitReady();
  Picture picture;
  picture.image = SyntheticImage(100, 100);
  for (const ImageFormat format : {ImageFormat::kPng, ImageFormat::kJpeg, ImageFormat::kWebp}) {
    const std::string bytes = EncodePicture(picture, {format, 90}).value();
    const grpc::Status status = server.Protect(RequestWith(bytes.substr(0, bytes.size() * 2 / 3)));
    EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT) << status.error_message();
    EXPECT_EQ(ErrorInfoOf(status).metadata().at("field"), "image");
  }
  EXPECT_EQ(server.engine().jobs(), 0);
  EXPECT_TRUE(server.Protect(RequestWith(SmallPng())).ok()) << "the worker lives on";
}

TEST(ServiceTest, UnknownModelsAreNotFound) {
  TestServer server;
  server.WaitReady();
  v1::ProtectRequest request = RequestWith(SmallPng());
  for (const char* model : {"beta", "../alpha", "alpha/"}) {
    request.set_model(model);
    ExpectRefused(server, request, grpc::NOT_FOUND, "MODEL_NOT_FOUND");
  }
  request.set_model("alpha");
  EXPECT_TRUE(server.Protect(request).ok());
}

TEST(ServiceTest, FurtherModelsAreTheServersAndNotTheRequestsOwn) {
  TestServer server({.broken_models = {{"a-broken", absl::DataLossError("a bad header")}}},
                    [](ServerConfig& config) { config.default_model = "alpha"; },
                    {"a-broken", "alpha", "beta"});  // loaded in this order
  server.WaitForMetric(R"(model_loaded{model="beta"})", 1);
  const auto request = [](const std::vector<std::string>& also) {
    v1::ProtectRequest made = RequestWith(SmallPng());
    for (const std::string& name : also) made.mutable_options()->add_also(name);
    return made;
  };
  ExpectRefused(server, request({"beta", "gamma"}), grpc::NOT_FOUND, "MODEL_NOT_FOUND");
  ExpectRefused(server, request({"../beta"}), grpc::NOT_FOUND, "MODEL_NOT_FOUND");
  ExpectRefused(server, request({"alpha"}), grpc::INVALID_ARGUMENT, "INVALID_FIELD",
                "options.also");  // the default
  v1::ProtectRequest own = request({"alpha", "beta"});
  own.set_model("beta");
  ExpectRefused(server, own, grpc::INVALID_ARGUMENT, "INVALID_FIELD", "options.also");
  ExpectRefused(server, request({"a-broken"}), grpc::UNAVAILABLE, "MODEL_FAILED");
  EXPECT_EQ(server.engine().jobs(), 0);
  EXPECT_TRUE(server.Protect(request({"beta"})).ok());
  EXPECT_EQ(server.engine().last_options().also, (std::vector<std::string>{"beta"}));
}

TEST(ServiceTest, WhatAModelCannotDoIsRefusedAtOnce) {
  TestServer server({.encoders = {"vae"}}, nullptr, {"alpha", "vae"});
  server.WaitReady();
  v1::ProtectRequest request = RequestWith(SmallPng());
  request.set_model("vae");
  ExpectRefused(server, request, grpc::INVALID_ARGUMENT, "INVALID_FIELD", "options.method");
  auto& term = *request.mutable_options()->add_objectives();
  term.set_objective(v1::ObjectiveTerm::SCORE_DISTILLATION);
  ExpectRefused(server, request, grpc::INVALID_ARGUMENT, "INVALID_FIELD", "options.objectives");
  EXPECT_EQ(server.engine().jobs(), 0);
  term.set_objective(v1::ObjectiveTerm::AWAY);
  EXPECT_TRUE(server.Protect(request).ok());
  request = RequestWith(SmallPng());
  request.mutable_options()->add_also("vae");  // of which an encoder is all that is needed
  EXPECT_TRUE(server.Protect(request).ok());
}

TEST(ServiceTest, AFullQueueSaysWhenToComeBack) {
  TestServer server({.hold_steps = true}, [](ServerConfig& config) { config.max_queue_size = 1; });
  server.WaitReady();
  const auto running = server.Open(RequestWith(SmallPng()));
  server.engine().WaitForJobs(1);
  const auto waiting = server.Open(RequestWith(SmallPng()));
  ASSERT_EQ(waiting->Event().queued().position(), 1);

  const auto refused = server.Open(RequestWith(SmallPng()));
  const grpc::Status status = refused->Finish();
  EXPECT_EQ(status.error_code(), grpc::RESOURCE_EXHAUSTED);
  EXPECT_EQ(ErrorInfoOf(status).reason(), "QUEUE_FULL");
  EXPECT_EQ(refused->events(), 0);
  EXPECT_EQ(refused->Trailer("grpc-retry-pushback-ms"), "5000");
  EXPECT_EQ(server.Metric(R"(queue_depth{class="interactive"})"), 1);
  EXPECT_EQ(server.Metric(R"(rejected_total{reason="QUEUE_FULL"})"), 1);
  EXPECT_EQ(server.Metric(R"(jobs_running{device="fake:0"})"), 1);

  server.engine().AllowAllSteps();
  EXPECT_TRUE(running->Finish().ok());
  EXPECT_TRUE(waiting->Finish().ok());
}

TEST(ServiceTest, TheQueueIsBoundedByBytesToo) {
  const std::string png = SmallPng();
  TestServer server({.hold_steps = true}, [&](ServerConfig& config) {
    config.max_queue_bytes = static_cast<int64_t>(png.size()) * 3 / 2;
  });
  server.WaitReady();
  const auto running = server.Open(RequestWith(png));
  server.engine().WaitForJobs(1);
  const auto waiting = server.Open(RequestWith(png));
  ASSERT_TRUE(waiting->Event().has_queued());
  EXPECT_EQ(server.Metric("queue_bytes"), static_cast<double>(png.size()));
  ExpectRefused(server, RequestWith(png), grpc::RESOURCE_EXHAUSTED, "QUEUE_BYTES_FULL");
  server.engine().AllowAllSteps();
  EXPECT_TRUE(running->Finish().ok());
  EXPECT_TRUE(waiting->Finish().ok());
}

TEST(ServiceTest, AClientThatLeavesFreesTheWorkerAtTheNextStep) {
  TestServer server({.steps = 10, .hold_steps = true});
  server.WaitReady();
  auto call = server.Open(RequestWith(SmallPng()));
  server.engine().WaitForJobs(1);
  server.engine().AllowSteps(1);
  while (!call->Event().has_progress() || call->last().progress().step() < 1) {
  }
  server.engine().WaitForStepBegun(2);
  call->Cancel();
  EXPECT_EQ(call->Finish().error_code(), grpc::CANCELLED);
  server.engine().WaitForStop();
  server.engine().AllowSteps(1);
  server.WaitForMetric(kCancelled, 1);
  EXPECT_EQ(server.engine().steps(), 2) << "the second step was finished, no third was begun";
  EXPECT_EQ(server.Metric("cancel_latency_seconds_count"), 1);
  server.engine().AllowAllSteps();
  EXPECT_TRUE(server.Protect(RequestWith(SmallPng())).ok()) << "the worker is free";
}

TEST(ServiceTest, AClientThatLeavesFreesItsPlaceInTheQueue) {
  TestServer server({.hold_steps = true}, [](ServerConfig& config) { config.max_queue_size = 1; });
  server.WaitReady();
  const auto running = server.Open(RequestWith(SmallPng()));
  server.engine().WaitForJobs(1);
  const auto leaving = server.Open(RequestWith(SmallPng()));
  ASSERT_TRUE(leaving->Event().has_queued());
  leaving->Cancel();
  server.WaitForMetric(kCancelled, 1);
  const auto next = server.Open(RequestWith(SmallPng()));
  EXPECT_TRUE(next->Event().has_queued());
  server.engine().AllowAllSteps();
  EXPECT_TRUE(running->Finish().ok());
  EXPECT_TRUE(next->Finish().ok());
  EXPECT_EQ(server.engine().jobs(), 2) << "the one that left never ran";
}

TEST(ServiceTest, ADeadlinePassesInTheQueue) {
  TestServer server({.hold_steps = true});
  server.WaitReady();
  const auto running = server.Open(RequestWith(SmallPng()));
  server.engine().WaitForJobs(1);
  const auto waiting = server.Open(RequestWith(SmallPng()), absl::Seconds(20));
  ASSERT_TRUE(waiting->Event().has_queued());
  server.Advance(absl::Seconds(21));
  const grpc::Status status = waiting->Finish();
  EXPECT_EQ(status.error_code(), grpc::DEADLINE_EXCEEDED);
  EXPECT_EQ(ErrorInfoOf(status).reason(), "DEADLINE_PASSED");
  EXPECT_EQ(ErrorInfoOf(status).metadata().at("stage"), "queue");
  EXPECT_EQ(server.Metric(kExpired), 1);
  server.engine().AllowAllSteps();
  EXPECT_TRUE(running->Finish().ok());
  EXPECT_EQ(server.engine().jobs(), 1) << "the expired one never ran";
}

TEST(ServiceTest, AClientsOwnDeadlineFreesItsPlaceInTheQueue) {
  TestServer server({.hold_steps = true});
  server.WaitReady();
  const auto running = server.Open(RequestWith(SmallPng()));
  server.engine().WaitForJobs(1);
  const auto waiting = server.Open(RequestWith(SmallPng()), absl::Milliseconds(300));
  EXPECT_EQ(waiting->Finish().error_code(), grpc::DEADLINE_EXCEEDED);
  server.WaitForMetric(R"(queue_depth{class="interactive"})", 0);
  server.engine().AllowAllSteps();
  EXPECT_TRUE(running->Finish().ok());
}

TEST(ServiceTest, ADeadlineOutOfReachIsRefused) {
  TestServer server({.eta_seconds = 1000, .hold_steps = true});
  server.WaitReady();
  server.engine().AllowSteps(3);
  ASSERT_TRUE(server.Protect(RequestWith(SmallPng())).ok());  // so that its kind is known
  server.engine().AllowSteps(1);
  const auto running = server.Open(RequestWith(SmallPng()));
  while (!running->Event().has_progress() || running->last().progress().step() < 1) {
  }
  const auto refused = server.Open(RequestWith(SmallPng()), absl::Seconds(100));
  const grpc::Status status = refused->Finish();
  EXPECT_EQ(status.error_code(), grpc::DEADLINE_EXCEEDED);
  EXPECT_EQ(ErrorInfoOf(status).reason(), "DEADLINE_UNREACHABLE");
  EXPECT_EQ(ErrorInfoOf(status).metadata().at("stage"), "admission");
  const auto patient = server.Open(RequestWith(SmallPng()), absl::Seconds(5000));
  ASSERT_TRUE(patient->Event().has_queued());
  EXPECT_NEAR(patient->last().queued().eta_seconds(), 1000, 100);
  server.engine().AllowAllSteps();
  EXPECT_TRUE(running->Finish().ok());
  EXPECT_TRUE(patient->Finish().ok());
}

TEST(ServiceTest, EngineErrorsKeepTheirCodeAndReason) {
  const absl::Status error =
      WithReason(absl::ResourceExhaustedError("out of memory"), {reason::kDeviceMemory, {}});
  TestServer server({.error = error});
  server.WaitReady();
  const auto call = server.Open(RequestWith(SmallPng()));
  const grpc::Status status = call->Finish();
  EXPECT_EQ(status.error_code(), grpc::RESOURCE_EXHAUSTED);
  EXPECT_EQ(ErrorInfoOf(status).reason(), "DEVICE_MEMORY");
  EXPECT_EQ(call->Trailer("grpc-retry-pushback-ms"), "-1");
  EXPECT_EQ(server.Metric(R"(jobs_total{model="alpha",outcome="failed",reason="DEVICE_MEMORY"})"),
            1);
}

TEST(ServiceTest, ASilentStreamIsKeptAlive) {
  TestServer server({.hold_steps = true});
  server.WaitReady();
  const auto running = server.Open(RequestWith(SmallPng()));
  server.engine().WaitForJobs(1);
  const auto waiting = server.Open(RequestWith(SmallPng()));
  ASSERT_TRUE(waiting->Event().has_queued());
  // Until the write of the first event is known to be done, a tick finds nothing to do.
  std::optional<v1::JobEvent> again;
  while (!running->Event().has_progress()) {
  }
  const uint64_t before = running->last().sequence();
  server.server().Tick(absl::Now() + absl::Seconds(9));
  while (running->Event().sequence() <= before) {
  }
  EXPECT_TRUE(running->last().has_progress());
  server.engine().AllowAllSteps();
  EXPECT_TRUE(running->Finish().ok());
  EXPECT_TRUE(waiting->Finish().ok());
}

TEST(ServiceTest, AReaderThatReadsNothingIsDropped) {
  TestServer server;
  server.WaitReady();
  const auto call = server.Open(RequestWith(LargePng()));  // its result fills the window
  server.WaitForMetric(kSucceeded, 1);
  server.server().StartDrain();
  EXPECT_FALSE(server.server().WaitDrained(absl::Milliseconds(50)));
  while (!server.server().WaitDrained(absl::Milliseconds(20))) {
    server.server().Tick(absl::Now() + absl::Minutes(1));
  }
  EXPECT_FALSE(call->Finish().ok());
}

TEST(ServiceTest, ManyCallersAtOnce) {
  TestServer server;
  server.WaitReady();
  std::vector<std::jthread> callers;
  callers.reserve(8);
  for (int i = 0; i < 8; ++i) {
    callers.emplace_back([&, i] {
      for (int j = 0; j < 5; ++j) {
        const auto call = server.Open(RequestWith(SmallPng()));
        if ((i + j) % 3 == 0) {
          call->Next();
          call->Cancel();
        }
        call->Finish();
      }
    });
  }
  callers.clear();
  server.server().StartDrain();
  while (!server.server().WaitDrained(absl::Seconds(1))) {
  }
  EXPECT_EQ(server.Metric(kAccepted), 40);
  EXPECT_EQ(*server.Metric(kSucceeded) + *server.Metric(kCancelled), 40);
  EXPECT_EQ(server.Metric(R"(queue_depth{class="interactive"})"), 0);
}

TEST(ServiceTest, ListsModels) {
  TestServer server({}, [](ServerConfig& config) { config.default_model = "beta"; },
                    {"alpha", "beta"});
  server.WaitReady();
  grpc::ClientContext context;
  v1::ListModelsResponse response;
  ASSERT_TRUE(server.stub().ListModels(&context, {}, &response).ok());
  EXPECT_EQ(response.default_model(), "beta");
  ASSERT_EQ(response.models_size(), 2);
  const v1::Model& model = response.models(0);
  EXPECT_EQ(model.name(), "alpha");
  EXPECT_EQ(model.family(), "sd1");
  EXPECT_EQ(model.prediction_type(), "epsilon");
  EXPECT_EQ(model.native_side(), 64);
  EXPECT_EQ(model.digest(), "0123abcd");
  EXPECT_EQ(model.state(), v1::Model::READY);
  EXPECT_EQ(model.devices(0), "fake:0");
  EXPECT_EQ(model.precision(), "fp32");
  EXPECT_TRUE(model.capabilities().denoises());
  EXPECT_TRUE(model.capabilities().semantic_layers());
  EXPECT_FALSE(model.capabilities().guides_by_image());
  EXPECT_EQ(model.capabilities().latent_channels(), 4);
  EXPECT_EQ(server.Metric(R"(requests_total{code="OK",method="ListModels"})"), 1);
  const auto call = server.Open(RequestWith(SmallPng()));
  ASSERT_TRUE(call->Finish().ok());
  EXPECT_EQ(call->result().facts().model(), "beta");
}

}  // namespace
}  // namespace antidiffusion
