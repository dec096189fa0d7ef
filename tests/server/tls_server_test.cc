// Handshakes with a server of TLS, and changes of its certificates under open streams.
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/tenants/api_key.h"
#include "tests/server/test_server.h"
#include "tests/server/tls/test_authority.h"

namespace antidiffusion {
namespace {

class TlsServerTest : public ::testing::Test {
 protected:
  void Write(const TestAuthority::Pair& pair) {
    dir_.Write("cert.pem", pair.certificate);
    dir_.Write("key.pem", pair.key);
  }
  void Start(FakeEngine::Orders orders = {},
             const std::function<void(ServerConfig&)>& configure = nullptr) {
    server_ = std::make_unique<TestServer>(std::move(orders), [&](ServerConfig& config) {
      config.grpc_use_ssl = true;
      config.grpc_server_cert = dir_.File("cert.pem");
      config.grpc_server_key = dir_.File("key.pem");
      if (configure) configure(config);
    });
    server_->WaitForMetric(R"(model_loaded{model="alpha"})", 1);
  }
  // As `Start`, for clients that `clients` signs.
  void StartMutual(const TestAuthority& clients, const std::string& api_key_file = "") {
    dir_.Write("roots.pem", clients.root());
    Start({}, [&](ServerConfig& config) {
      config.grpc_use_ssl_mutual = true;
      config.grpc_root_cert = dir_.File("roots.pem");
      config.api_key_file = api_key_file;
    });
  }
  // A connection of its own that trusts `root` and shows `own`.
  std::unique_ptr<v1::ProtectionService::Stub> Connect(const std::string& root,
                                                       const TestAuthority::Pair& own = {}) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    for (const char* backoff :
         {GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, GRPC_ARG_MIN_RECONNECT_BACKOFF_MS,
          GRPC_ARG_MAX_RECONNECT_BACKOFF_MS}) {
      arguments.SetInt(backoff, 100);
    }
    return v1::ProtectionService::NewStub(grpc::CreateCustomChannel(
        absl::StrCat("127.0.0.1:", server_->server().grpc_port()),
        grpc::SslCredentials({root, own.key, own.certificate}), arguments));
  }
  static grpc::Status ListModels(v1::ProtectionService::Stub& stub, bool wait = false) {
    grpc::ClientContext context;
    context.set_wait_for_ready(wait);
    v1::ListModelsResponse response;
    return stub.ListModels(&context, {}, &response);
  }
  bool Reaches(const std::string& root, const TestAuthority::Pair& own = {}) {
    return ListModels(*Connect(root, own)).ok();
  }
  // gRPC looks at the certificates each second; the channel goes on trying.
  void WaitUntilReachedBy(const std::string& root) {
    EXPECT_TRUE(ListModels(*Connect(root), /*wait=*/true).ok());
  }

  TempDir dir_;
  TestAuthority authority_;
  std::unique_ptr<TestServer> server_;
};

TEST_F(TlsServerTest, ShowsItsCertificateAndWhenItExpires) {
  Write(authority_.Issue({.lifetime = absl::Hours(5)}));
  Start();
  EXPECT_TRUE(Reaches(authority_.root()));
  EXPECT_FALSE(Reaches(TestAuthority().root())) << "a client that trusts another authority";
  const auto plain = v1::ProtectionService::NewStub(
      grpc::CreateChannel(absl::StrCat("127.0.0.1:", server_->server().grpc_port()),
                          grpc::InsecureChannelCredentials()));
  EXPECT_FALSE(ListModels(*plain).ok());
  const auto expiry = server_->Metric("tls_certificate_expiry_timestamp_seconds");
  EXPECT_NEAR(*expiry, absl::ToDoubleSeconds(absl::Now() - absl::UnixEpoch()) + 5 * 3600, 600);
}

TEST_F(TlsServerTest, ANewPairServesNewConnectionsAndLeavesOpenStreamsAlone) {
  Write(authority_.Issue({}));
  Start({.hold_steps = true});
  const auto stub = Connect(authority_.root());
  OpenCall call(*stub, RequestWith(SmallPng()));
  EXPECT_TRUE(call.Event().has_queued());
  server_->engine().WaitForJobs(1);

  TestAuthority other;  // so that a client can tell which pair it met
  Write(other.Issue({.lifetime = absl::Hours(100)}));
  server_->server().Tick(absl::Now());
  WaitUntilReachedBy(other.root());
  EXPECT_FALSE(Reaches(authority_.root()));
  EXPECT_GT(*server_->Metric("tls_certificate_expiry_timestamp_seconds"),
            absl::ToDoubleSeconds(absl::Now() - absl::UnixEpoch()) + 99 * 3600);

  EXPECT_TRUE(ListModels(*stub).ok()) << "the open connection";
  server_->engine().AllowAllSteps();
  EXPECT_TRUE(call.Finish().ok());
  EXPECT_TRUE(call.result().whole());
}

TEST_F(TlsServerTest, AKeyOfAnotherCertificateChangesNothing) {
  Write(authority_.Issue({}));
  Start();
  TestAuthority other;
  const auto next = other.Issue({});
  dir_.Write("cert.pem", next.certificate);
  server_->server().Tick(absl::Now());
  EXPECT_TRUE(Reaches(authority_.root()));
  dir_.Write("key.pem", next.key);
  server_->server().Tick(absl::Now());
  WaitUntilReachedBy(other.root());
}

TEST_F(TlsServerTest, MutualRefusesClientsWithoutACertificateOrWithAStrangersOne) {
  Write(authority_.Issue({}));
  TestAuthority clients;
  StartMutual(clients);
  EXPECT_TRUE(Reaches(authority_.root(), clients.Issue({.common_name = "backend"})));
  EXPECT_FALSE(Reaches(authority_.root()));
  EXPECT_FALSE(Reaches(authority_.root(), TestAuthority().Issue({.common_name = "backend"})));
  EXPECT_FALSE(Reaches(authority_.root(), clients.Issue({.lifetime = -absl::Hours(1)})))
      << "expired";
}

TEST_F(TlsServerTest, ACertificatesIdentityIsATenant) {
  Write(authority_.Issue({}));
  TestAuthority clients;
  StartMutual(clients, dir_.Write("keys.json", R"({"tenants":[
      {"name":"by-uri","identities":["spiffe://site/uploads"]},
      {"name":"by-dns","identities":["backend.site"]},
      {"name":"by-cn","identities":["Old backend"],"rights":["models"]}]})"));
  const auto protect = [&](const TestAuthority::Wish& wish) {
    return OpenCall(*Connect(authority_.root(), clients.Issue(wish)), RequestWith(SmallPng()))
        .Finish();
  };
  EXPECT_TRUE(protect({.common_name = "x", .alternative_names = "URI:spiffe://site/uploads"}).ok());
  EXPECT_TRUE(protect({.common_name = "x", .alternative_names = "DNS:backend.site"}).ok());
  const grpc::Status lacking = protect({.common_name = "Old backend"});
  EXPECT_EQ(lacking.error_code(), grpc::PERMISSION_DENIED);
  EXPECT_EQ(ErrorInfoOf(lacking).reason(), "RIGHT_MISSING");
  const grpc::Status stranger = protect({.common_name = "y"});
  EXPECT_EQ(stranger.error_code(), grpc::UNAUTHENTICATED);
  EXPECT_EQ(ErrorInfoOf(stranger).reason(), "KEY_MISSING");
}

}  // namespace
}  // namespace antidiffusion
