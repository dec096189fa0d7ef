// Keys, rights, rates, quotas and shares, as a caller meets them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/tenants/api_key.h"
#include "tests/server/jobs_client.h"
#include "tests/server/test_server.h"

namespace antidiffusion {
namespace {

using ::testing::HasSubstr;

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
  static Metadata KeyOf(const std::string& tenant) {
    return {{"authorization", "Bearer key-" + tenant}};
  }
  JobsClient Jobs(const std::string& tenant) { return JobsClient(*server_, KeyOf(tenant)); }
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
    grpc::Status status = server_->stub().ListModels(&context, {}, &response);
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
        [](ServerConfig& config) { config.max_image_pixels = int64_t{64} * 64; });
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

TEST_F(TenantAdmissionTest, AJobMayPlanSoMuchWorkAndATenantHasALimitOfItsOwn) {
  Start(Entry("a") + "," + Entry("b", R"("max_job_passes":100)"), {},
        [](ServerConfig& config) { config.max_job_passes = 50; });
  ExpectRefused(ProtectAs("a"), grpc::INVALID_ARGUMENT, "INVALID_FIELD");
  EXPECT_THAT(ProtectAs("a").error_message(), HasSubstr("70 planned passes"));
  EXPECT_TRUE(ProtectAs("b").ok());
  EXPECT_EQ(server_->engine().jobs(), 1);
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
    EXPECT_TRUE(calls.back()->Event().has_queued());
  };
  admit("flood");
  server_->engine().WaitForJobs(1);
  admit("flood");
  admit("flood");
  ExpectRefused(ProtectAs("flood"), grpc::RESOURCE_EXHAUSTED, "TENANT_QUEUE_FULL");
  admit("quiet");
  EXPECT_EQ(calls.back()->last().queued().position(), 1) << "one of the flood runs, none is before";
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
  EXPECT_TRUE(call->Event().has_queued());
  server_->engine().WaitForJobs(1);
  Replace(Entry("b"));
  server_->engine().AllowAllSteps();
  EXPECT_TRUE(call->Finish().ok());
}

TEST_F(TenantAdmissionTest, AnotherTenantsJobIsAsGoodAsNone) {
  Start(Entry("a") + "," + Entry("b"), {.hold_steps = true});
  const auto created = Jobs("a").Create(RequestWith(SmallPng()));
  ASSERT_TRUE(created.status.ok());
  const std::string name = created.value.name();
  const auto expect_none = [&](const grpc::Status& status) {
    ExpectRefused(status, grpc::NOT_FOUND, "JOB_NOT_FOUND");
    const std::string nowhere(32, '0');
    std::string message = Jobs("b").Get(nowhere).status.error_message();
    message.replace(message.find(nowhere), nowhere.size(), name);
    EXPECT_EQ(status.error_message(), message) << "the same words as for a name that never was";
  };
  expect_none(Jobs("b").Get(name).status);
  expect_none(Jobs("b").Cancel(name).status);
  expect_none(Jobs("b").Delete(name).status);
  expect_none(JobWatch(*server_, name, 0, KeyOf("b")).Finish());
  EXPECT_EQ(Jobs("b").List().value.jobs_size(), 0);
  EXPECT_EQ(Jobs("a").List().value.jobs_size(), 1);
  server_->engine().AllowAllSteps();
  EXPECT_TRUE(JobWatch(*server_, name, 0, KeyOf("a")).Finish().ok());
  expect_none(Jobs("b").Get(name).status);
  v1::DownloadResultRequest download;
  download.set_name(name);
  expect_none(JobWatch(*server_, download, KeyOf("b")).Finish());
}

TEST_F(TenantAdmissionTest, RequestIdsAndKeptResultsAreEachTenantsOwn) {
  Start(Entry("a") + "," + Entry("b"));
  v1::ProtectRequest request = RequestWith(SmallPng());
  request.set_request_id("upload-1");
  const std::string first = Jobs("a").Create(request).value.name();
  EXPECT_TRUE(JobWatch(*server_, first, 0, KeyOf("a")).Finish().ok());
  EXPECT_EQ(Jobs("a").Create(request).value.name(), first);
  const std::string second = Jobs("b").Create(request).value.name();
  EXPECT_NE(second, first);
  EXPECT_TRUE(JobWatch(*server_, second, 0, KeyOf("b")).Finish().ok());
  EXPECT_EQ(server_->engine().jobs(), 2) << "an equal image tells nothing of another tenant's";
}

TEST_F(TenantAdmissionTest, JobsNeedTheirRight) {
  Start(Entry("a", R"("rights":["protect"])"));
  ExpectRefused(Jobs("a").Create(RequestWith(SmallPng())).status, grpc::PERMISSION_DENIED,
                "RIGHT_MISSING");
  ExpectRefused(Jobs("a").List().status, grpc::PERMISSION_DENIED, "RIGHT_MISSING");
  ExpectRefused(JobsClient(*server_).List().status, grpc::UNAUTHENTICATED, "KEY_MISSING");
  ExpectRefused(JobWatch(*server_, "any").Finish(), grpc::UNAUTHENTICATED, "KEY_MISSING");
}

TEST_F(TenantAdmissionTest, AQuietTenantIsServedAmidAFlood) {
  Start(Entry("flood") + "," + Entry("quiet"), {.hold_steps = true});
  std::vector<std::pair<std::string, std::string>> created;  // tenant, job
  const auto create = [&](const std::string& tenant, int count) {
    for (int i = 0; i < count; ++i) {
      v1::ProtectRequest request = RequestWith(SmallPng());
      request.mutable_options()->set_seed(created.size());
      created.emplace_back(tenant, Jobs(tenant).Create(request).value.name());
    }
  };
  create("flood", 10);
  create("quiet", 2);
  server_->engine().AllowAllSteps();
  std::map<double, std::string> served;  // by the time of their start
  for (const auto& [tenant, name] : created) {
    EXPECT_TRUE(JobWatch(*server_, name, 0, KeyOf(tenant)).Finish().ok());
    const auto start = Jobs(tenant).Get(name).value.start_time();
    served[static_cast<double>(start.seconds() % 100'000) + start.nanos() * 1e-9] = tenant;
  }
  std::vector<std::string> order;
  order.reserve(served.size());
  for (const auto& [time, tenant] : served) order.push_back(tenant);
  ASSERT_EQ(order.size(), 12u);
  const auto first = std::find(order.begin(), order.end(), "quiet");
  const auto second = std::find(first + 1, order.end(), "quiet");
  EXPECT_LE(first - order.begin(), 2) << "after the job that ran already, and one more";
  EXPECT_LE(second - order.begin(), 4);
}

}  // namespace
}  // namespace antidiffusion
