// Keys, rights, rates, quotas and shares, as a caller meets them.
#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/tenants/api_key.h"
#include "tests/server/jobs_client.h"
#include "tests/server/test_server.h"

namespace antidiffusion {
namespace {

std::string Entry(const std::string& name, const std::string& more = "") {
  return absl::StrCat(R"({"name":")", name, R"(","key_sha256":[")",
                      ToHex(DigestOfKey("key-" + name)), "\"]", more.empty() ? "" : ",", more, "}");
}

std::string FileOf(const std::string& tenants) {
  return absl::StrCat(R"({"tenants":[)", tenants, "]}");
}

// A server that knows tenants whose keys are "key-NAME".
class TenantAdmissionTest : public ::testing::Test {
 protected:
  void Start(const std::string& tenants, FakeEngine::Orders orders = {},
             const std::function<void(ServerConfig&)>& configure = nullptr) {
    file_ = dir_.Write("keys.json", FileOf(tenants));
    server_ = std::make_unique<TestServer>(std::move(orders), [&](ServerConfig& config) {
      config.api_key_file = file_;
      if (configure) configure(config);
    });
    server_->WaitReady();
  }
  void Replace(const std::string& tenants) {
    std::filesystem::rename(dir_.Write("keys.json.new", FileOf(tenants)), file_);
    server_->server().Tick(absl::Now());
  }
  std::unique_ptr<OpenCall> Open(const std::string& tenant) {
    return std::make_unique<OpenCall>(server_->stub(), RequestWith(SmallPng()), std::nullopt,
                                      Metadata{{"authorization", "Bearer key-" + tenant}});
  }
  grpc::Status Protect(const Metadata& metadata) {
    return OpenCall(server_->stub(), RequestWith(SmallPng()), std::nullopt, metadata).Finish();
  }
  grpc::Status ProtectAs(const std::string& tenant) { return Open(tenant)->Finish(); }
  void ExpectRefused(const grpc::Status& status, grpc::StatusCode code, const std::string& why) {
    EXPECT_EQ(status.error_code(), code) << status.error_message();
    EXPECT_EQ(ErrorInfoOf(status).reason(), why);
  }

  TempDir dir_;
  std::string file_;
  std::unique_ptr<TestServer> server_;
};

TEST_F(TenantAdmissionTest, AKeyIsNeededAndEitherHeaderCarriesIt) {
  Start(Entry("a"));
  EXPECT_TRUE(Protect({{"authorization", "Bearer key-a"}}).ok());
  EXPECT_TRUE(Protect({{"authorization", "bearer key-a"}}).ok());
  EXPECT_TRUE(Protect({{"x-api-key", "key-a"}}).ok());
  ExpectRefused(Protect({}), grpc::UNAUTHENTICATED, "KEY_MISSING");
  ExpectRefused(Protect({{"authorization", "Basic key-a"}}), grpc::UNAUTHENTICATED, "KEY_MISSING");
  ExpectRefused(Protect({{"x-api-key", "key-b"}}), grpc::UNAUTHENTICATED, "KEY_UNKNOWN");
  EXPECT_EQ(server_->Metric(R"(rejected_total{reason="KEY_MISSING"})"), 2);
  EXPECT_EQ(server_->engine().jobs(), 3);
}

TEST_F(TenantAdmissionTest, HealthNeedsNoKeyAndModelsNeedTheirRight) {
  Start(Entry("a", R"("rights":["protect"])"));
  EXPECT_TRUE(server_->Healthy());
  const auto list = [&](const std::string& key) {
    grpc::ClientContext context;
    context.AddMetadata("x-api-key", key);
    v1::ListModelsResponse response;
    const grpc::Status status = server_->stub().ListModels(&context, {}, &response);
    EXPECT_EQ(response.models_size(), 0);
    return status;
  };
  ExpectRefused(list("key-b"), grpc::UNAUTHENTICATED, "KEY_UNKNOWN");
  ExpectRefused(list("key-a"), grpc::PERMISSION_DENIED, "RIGHT_MISSING");
}

TEST_F(TenantAdmissionTest, TheRateIsRefusedWithTheTimeToTheNextRequest) {
  Start(Entry("a", R"("requests_per_second":0.001,"burst":2)") + "," + Entry("b"));
  EXPECT_TRUE(ProtectAs("a").ok());
  EXPECT_TRUE(ProtectAs("a").ok());
  const auto call = Open("a");
  ExpectRefused(call->Finish(), grpc::RESOURCE_EXHAUSTED, "TENANT_RATE");
  EXPECT_GT(std::stoi(call->Trailer("grpc-retry-pushback-ms")), 900'000);
  EXPECT_TRUE(ProtectAs("b").ok());
}

TEST_F(TenantAdmissionTest, BytesOfADayAreCountedOnceAcceptedOnly) {
  const auto size = static_cast<int64_t>(SmallPng().size());
  Start(Entry("a", absl::StrCat(R"("bytes_per_day":)", 2 * size)), {},
        [](ServerConfig& config) { config.max_image_pixels = 64 * 64; });
  EXPECT_TRUE(ProtectAs("a").ok());
  ExpectRefused(
      OpenCall(server_->stub(), RequestWith("no image"), std::nullopt, {{"x-api-key", "key-a"}})
          .Finish(),
      grpc::INVALID_ARGUMENT, "INVALID_FIELD");
  EXPECT_TRUE(ProtectAs("a").ok());
  const auto call = Open("a");
  ExpectRefused(call->Finish(), grpc::RESOURCE_EXHAUSTED, "TENANT_BYTES");
  EXPECT_GT(std::stoi(call->Trailer("grpc-retry-pushback-ms")), 23 * 3'600'000);
}

TEST_F(TenantAdmissionTest, AnImageAboveTheWholeQuotaIsNotToBeTriedAgain) {
  Start(Entry("a", R"("bytes_per_day":10)"));
  const auto call = Open("a");
  ExpectRefused(call->Finish(), grpc::RESOURCE_EXHAUSTED, "TENANT_BYTES");
  EXPECT_EQ(call->Trailer("grpc-retry-pushback-ms"), "-1");
}

TEST_F(TenantAdmissionTest, AFloodFillsItsOwnShareOfTheQueueOnly) {
  Start(Entry("flood") + "," + Entry("quiet"), {.hold_steps = true},
        [](ServerConfig& config) { config.max_queue_size = 4; });
  std::vector<std::unique_ptr<OpenCall>> calls;
  const auto admit = [&](const std::string& tenant) {
    calls.push_back(Open(tenant));
    EXPECT_TRUE(calls.back()->Next()->has_queued());
  };
  admit("flood");
  server_->engine().WaitForJobs(1);
  admit("flood");
  admit("flood");
  ExpectRefused(ProtectAs("flood"), grpc::RESOURCE_EXHAUSTED, "TENANT_QUEUE_FULL");
  admit("quiet");
  EXPECT_EQ(calls.back()->last().queued().position(), 2) << "one runs, one of the flood is before";
  server_->engine().AllowAllSteps();
  for (const auto& call : calls) EXPECT_TRUE(call->Finish().ok());
}

TEST_F(TenantAdmissionTest, AChangedFileIsInForceWithinATick) {
  Start(Entry("a"));
  EXPECT_TRUE(ProtectAs("a").ok());
  Replace(Entry("b"));
  EXPECT_TRUE(ProtectAs("b").ok());
  ExpectRefused(ProtectAs("a"), grpc::UNAUTHENTICATED, "KEY_UNKNOWN");
  Replace("broken");
  EXPECT_TRUE(ProtectAs("b").ok()) << "a broken file changes nothing";
}

TEST_F(TenantAdmissionTest, ACallUnderWayOutlivesItsKey) {
  Start(Entry("a"), {.hold_steps = true});
  const auto call = Open("a");
  EXPECT_TRUE(call->Next()->has_queued());
  server_->engine().WaitForJobs(1);
  Replace(Entry("b"));
  server_->engine().AllowAllSteps();
  EXPECT_TRUE(call->Finish().ok());
}

TEST_F(TenantAdmissionTest, AnotherTenantsJobIsNotThere) {
  Start(Entry("a") + "," + Entry("b") + "," + Entry("c", R"("rights":["protect"])"));
  const JobsClient a(*server_, {{"x-api-key", "key-a"}});
  const JobsClient b(*server_, {{"x-api-key", "key-b"}});
  v1::ProtectRequest request = RequestWith(SmallPng());
  request.set_request_id("id");
  const std::string name = a.Create(request).value.name();
  EXPECT_EQ(b.Get(name).reason(), "JOB_NOT_FOUND");
  EXPECT_EQ(b.Cancel(name).status.error_code(), grpc::NOT_FOUND);
  EXPECT_EQ(b.Delete(name).status.error_code(), grpc::NOT_FOUND);
  EXPECT_EQ(b.List().value.jobs_size(), 0);
  EXPECT_EQ(a.List().value.jobs_size(), 1);
  EXPECT_NE(b.Create(request).value.name(), name) << "its request_id is its own";
  EXPECT_EQ(JobWatch(*server_, name).Finish().error_code(), grpc::UNAUTHENTICATED);
  const JobsClient c(*server_, {{"x-api-key", "key-c"}});
  EXPECT_EQ(c.Create(request).reason(), "RIGHT_MISSING");
  EXPECT_EQ(c.List().reason(), "RIGHT_MISSING");
}

}  // namespace
}  // namespace antidiffusion
