#include "client/credentials.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/protection_client.h"
#include "core/base/status_macros.h"
#include "tests/client/fake_service.h"
#include "tests/server/tls/test_authority.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace antidiffusion {
namespace {

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

class CredentialsTest : public ::testing::Test {
 protected:
  std::string Key(const CredentialSettings& settings) {
    const auto credentials = LoadCredentials(settings);
    EXPECT_THAT(credentials, IsOk());
    return credentials.ok() ? credentials->api_key : "";
  }

  TempDir dir_;
};

TEST_F(CredentialsTest, WithoutSettingsThereIsNoKeyAndNoTls) { EXPECT_EQ(Key({}), ""); }

TEST_F(CredentialsTest, AKeyFileWinsAndLosesItsLineBreak) {
  EXPECT_EQ(Key({.api_key = "direct"}), "direct");
  EXPECT_EQ(Key({.api_key = "direct", .api_key_file = dir_.Write("key", "secret\n")}), "secret");
}

TEST_F(CredentialsTest, WhatCannotBeAKeyIsRefusedWithoutBeingShown) {
  EXPECT_THAT(LoadCredentials({.api_key = "two words"}), StatusIs(kInvalid, "visible ASCII"));
  EXPECT_THAT(LoadCredentials({.api_key_file = dir_.Write("key", " \n")}),
              StatusIs(kInvalid, "holds no key"));
  EXPECT_THAT(LoadCredentials({.api_key_file = dir_.File("none")}),
              StatusIs(absl::StatusCode::kNotFound, "--api-key-file"));
}

TEST_F(CredentialsTest, ACertificateNeedsItsKey) {
  EXPECT_THAT(LoadCredentials({.tls = true, .certificate_file = "a"}),
              StatusIs(kInvalid, "--cert and --key belong together"));
  EXPECT_THAT(LoadCredentials({.tls = true, .key_file = "a"}), StatusIs(kInvalid));
}

TEST_F(CredentialsTest, FilesThatAreNotPemAreNamed) {
  const std::string text = dir_.Write("text", "no certificate");
  EXPECT_THAT(LoadCredentials({.tls = true, .ca_file = text}), StatusIs(kInvalid, "--ca"));
  EXPECT_THAT(LoadCredentials({.tls = true, .certificate_file = text, .key_file = text}),
              StatusIs(kInvalid, "--cert"));
}

TEST_F(CredentialsTest, AKeyThatIsNotTheCertificatesIsFoundBeforeAnythingIsSent) {
  TestAuthority authority;
  const std::string certificate = dir_.Write("cert.pem", authority.Issue({}).certificate);
  const std::string key = dir_.Write("key.pem", authority.Issue({}).key);
  EXPECT_THAT(LoadCredentials({.tls = true, .certificate_file = certificate, .key_file = key}),
              StatusIs(kInvalid, "is not that of --cert"));
}

// A server that asks for certificates, and clients that have and have not what it takes.
class TlsTest : public CredentialsTest {
 protected:
  TlsTest() : service_(ServerCredentials()) {
    service_.get_job = [](grpc::ServerContext* context, const auto&, v1::Job& job) {
      job = MakeJob(context->auth_context()->IsPeerAuthenticated() ? "known" : "unknown",
                    v1::Job::QUEUED);
      return grpc::Status::OK;
    };
  }

  std::shared_ptr<grpc::ServerCredentials> ServerCredentials() {
    const TestAuthority::Pair pair = authority_.Issue({});
    grpc::SslServerCredentialsOptions options(
        GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
    options.pem_root_certs = authority_.root();
    options.pem_key_cert_pairs.push_back({pair.key, pair.certificate});
    return grpc::SslServerCredentials(options);
  }

  absl::StatusOr<v1::Job> GetJob(const CredentialSettings& settings) {
    AD_ASSIGN_OR_RETURN(Credentials credentials, LoadCredentials(settings));
    const ProtectionClient client({.server = service_.address(), .credentials = credentials});
    return client.GetJob({}, {.retry = false});
  }

  CredentialSettings Settings(TestAuthority& roots) {
    const TestAuthority::Pair pair = authority_.Issue({.common_name = "backend"});
    return {.tls = true,
            .ca_file = dir_.Write("ca.pem", roots.root()),
            .certificate_file = dir_.Write("cert.pem", pair.certificate),
            .key_file = dir_.Write("key.pem", pair.key)};
  }

  TestAuthority authority_;
  FakeService service_;
};

TEST_F(TlsTest, BothSidesKnowEachOther) {
  const auto job = GetJob(Settings(authority_));
  ASSERT_THAT(job, IsOk());
  EXPECT_EQ(job->name(), "known");
}

TEST_F(TlsTest, AServerOfAnotherAuthorityIsNotTalkedTo) {
  TestAuthority other;
  EXPECT_THAT(GetJob(Settings(other)), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(TlsTest, WithoutTlsTheErrorSaysWhatMayBeMissing) {
  EXPECT_THAT(GetJob({}), StatusIs(absl::StatusCode::kUnavailable, "--tls"));
}

}  // namespace
}  // namespace antidiffusion
