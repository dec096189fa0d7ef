#include "tests/server/test_server.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <stdexcept>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "core/image/codec.h"
#include "google/rpc/status.pb.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/synthetic_image.h"

namespace antidiffusion {
namespace {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

std::string Png(int side) {
  Picture picture;
  picture.image = SyntheticImage(side, side);
  return EncodePicture(picture, {}).value();
}

}  // namespace

std::string SmallPng() { return Png(64); }
std::string LargePng() { return Png(700); }

v1::ProtectRequest RequestWith(const std::string& image) {
  v1::ProtectRequest request;
  request.set_image(image);
  return request;
}

google::rpc::ErrorInfo ErrorInfoOf(const grpc::Status& status) {
  google::rpc::Status rich;
  google::rpc::ErrorInfo info;
  if (!rich.ParseFromString(status.error_details())) return info;
  for (const auto& detail : rich.details()) {
    if (detail.UnpackTo(&info)) break;
  }
  return info;
}

void StreamedResult::Take(const v1::JobEvent& event) {
  if (event.has_result()) {
    facts_ = event.result();
  } else if (event.has_chunk()) {
    EXPECT_TRUE(begun());
    // One that goes on after another stream begins later.
    if (image_.empty()) image_.resize(static_cast<size_t>(event.chunk().offset()));
    EXPECT_EQ(event.chunk().offset(), static_cast<int64_t>(image_.size()));
    EXPECT_FALSE(event.chunk().data().empty());
    image_ += event.chunk().data();
    largest_chunk_ = std::max(largest_chunk_, event.chunk().data().size());
  }
}

bool StreamedResult::whole() const {
  return begun() && static_cast<int64_t>(image_.size()) == facts_->image_bytes();
}

OpenCall::OpenCall(v1::ProtectionService::Stub& stub, const v1::ProtectRequest& request,
                   std::optional<absl::Duration> timeout, const Metadata& metadata) {
  for (const auto& [name, value] : metadata) context_.AddMetadata(name, value);
  if (timeout.has_value()) context_.set_deadline(absl::ToChronoTime(absl::Now() + *timeout));
  reader_ = stub.Protect(&context_, request);
}

v1::JobEvent Required(std::optional<v1::JobEvent> event, grpc::ClientReader<v1::JobEvent>& call) {
  if (event.has_value()) return *std::move(event);
  const grpc::Status status = call.Finish();
  throw std::runtime_error(
      absl::StrCat("the call ended, ", status.error_code(), ": ", status.error_message()));
}

std::optional<v1::JobEvent> OpenCall::Next() {
  v1::JobEvent event;
  if (!reader_->Read(&event)) return std::nullopt;
  last_ = event;
  result_.Take(event);
  ++events_;
  return event;
}

grpc::Status OpenCall::Finish() {
  while (Next().has_value()) {
  }
  return reader_->Finish();
}

std::string OpenCall::Trailer(const std::string& name) const {
  const auto& trailers = context_.GetServerTrailingMetadata();
  const auto found = trailers.find(name);
  return found == trailers.end() ? "" : std::string(found->second.data(), found->second.size());
}

TestServer::TestServer(FakeEngine::Orders orders,
                       const std::function<void(ServerConfig&)>& configure,
                       const std::vector<std::string>& models, std::unique_ptr<Log> log,
                       const PoolFactory& open_pool)
    : open_pool_(open_pool), engine_(std::move(orders)), log_(std::move(log)) {
  Start(engine_.Factory(), configure, models);
}

TestServer::TestServer(OwnEngines engines, const std::function<void(ServerConfig&)>& configure,
                       const std::vector<std::string>& models)
    : open_pool_(OpenPool), engine_({}) {
  Start(std::move(engines.factory), configure, models);
}

void TestServer::Start(EngineFactory engines, const std::function<void(ServerConfig&)>& configure,
                       const std::vector<std::string>& models) {
  if (log_ == nullptr) log_ = Log::Create(LogFormat::kText, "off").value();
  for (const std::string& model : models) repository_.Write(model + "/model_index.json", "{}");
  ServerConfig config;
  config.grpc_address = "127.0.0.1";
  config.grpc_port = 0;
  config.metrics_port = 0;
  config.model_repository = repository_.path();
  config.result_cache = false;          // equal requests are common in tests
  config.job_lease = absl::Hours(100);  // whatever a test does to the clock
  if (configure) configure(config);
  auto server = Server::Start(
      config, std::move(engines), *log_, [this](const JobStoreName& store, int sessions) {
        absl::StatusOr<std::unique_ptr<SqlPool>> pool = open_pool_(store, sessions);
        if (pool.ok()) pool_ = pool->get();
        return pool;
      });
  EXPECT_THAT(server, IsOk());
  server_ = *std::move(server);
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);  // the window stays at 64 KiB
  const std::string host = absl::StrContains(config.grpc_address, ":") ? "[::1]:" : "127.0.0.1:";
  channel_ = grpc::CreateCustomChannel(absl::StrCat(host, server_->grpc_port()),
                                       grpc::InsecureChannelCredentials(), arguments);
  stub_ = v1::ProtectionService::NewStub(channel_);
  health_ = grpc::health::v1::Health::NewStub(channel_);
}

void TestServer::Advance(absl::Duration time) {
  EXPECT_THAT(pool_->With([time](SqlConnection& connection) {
    return connection
        .Run("UPDATE clock_skew SET skew = skew + $1", {absl::ToInt64Nanoseconds(time)})
        .status();
  }),
              IsOk());
  server_->KeepHouse();
}

int64_t TestServer::Ask(const std::string& statement) {
  const absl::StatusOr<int64_t> number =
      Query<int64_t>(*pool_, [&](SqlConnection& connection, int64_t& value) {
        const absl::StatusOr<SqlResult> rows = connection.Run(statement);
        if (rows.ok() && !rows->empty()) value = rows->Int(0, 0);
        return rows.status();
      });
  EXPECT_THAT(number.status(), IsOk());
  return number.value_or(-1);
}

bool TestServer::Healthy(const std::string& service) {
  grpc::ClientContext context;
  HealthCheckRequest request;
  HealthCheckResponse response;
  request.set_service(service);
  const grpc::Status status = health_->Check(&context, request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return response.status() == HealthCheckResponse::SERVING;
}

void TestServer::WaitForHealth(bool serving) {
  grpc::ClientContext context;
  const auto wanted = serving ? HealthCheckResponse::SERVING : HealthCheckResponse::NOT_SERVING;
  const auto watch = health_->Watch(&context, HealthCheckRequest());
  HealthCheckResponse response;
  do {
    ASSERT_TRUE(watch->Read(&response));
  } while (response.status() != wanted);
  context.TryCancel();
}

std::optional<double> TestServer::Metric(const std::string& series) {
  const std::string text = "\n" + Get("/metrics").body;
  const std::string wanted = absl::StrCat("\nantidiffusion_", series, " ");
  const size_t found = text.find(wanted);
  if (found == std::string::npos) return std::nullopt;
  return std::strtod(text.c_str() + found + wanted.size(), nullptr);
}

void TestServer::WaitForMetric(const std::string& series, double value) {
  const absl::Time end = absl::Now() + absl::Minutes(2);  // of a wait that would never end
  while (Metric(series) != value) {
    if (absl::Now() > end) {
      ADD_FAILURE() << series << " is " << Metric(series).value_or(-1) << ", not " << value;
      return;
    }
    absl::SleepFor(absl::Milliseconds(1));
  }
}

}  // namespace antidiffusion
