#include "server/tls/tls_credentials.h"

#include <gtest/gtest.h>

#include "absl/time/clock.h"
#include "tests/server/tls/test_authority.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace antidiffusion {
namespace {

// Handshakes with it: server/tls_server_test.
class TlsCredentialsTest : public ::testing::Test {
 protected:
  void Write(const TestAuthority::Pair& pair) {
    dir_.Write("cert.pem", pair.certificate);
    dir_.Write("key.pem", pair.key);
  }

  TempDir dir_;
  TestAuthority authority_;
  const TlsFiles files_ = {dir_.File("cert.pem"), dir_.File("key.pem"), dir_.File("roots.pem")};
  const absl::Time now_ = absl::Now();
};

TEST_F(TlsCredentialsTest, NamesTheFileThatIsMissingOrWrong) {
  EXPECT_THAT(TlsCredentials::Create(files_, now_), StatusIs(absl::StatusCode::kNotFound));
  Write(authority_.Issue({}));
  EXPECT_THAT(TlsCredentials::Create(files_, now_), StatusIs(absl::StatusCode::kNotFound));
  dir_.Write("roots.pem", "nothing");
  const absl::Status status = TlsCredentials::Create(files_, now_).status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_NE(status.message().find("roots.pem"), absl::string_view::npos);
  dir_.Write("roots.pem", authority_.root());
  EXPECT_THAT(TlsCredentials::Create(files_, now_), IsOk());
}

TEST_F(TlsCredentialsTest, TakesUpAPairOnceItIsOne) {
  Write(authority_.Issue({.lifetime = absl::Hours(5)}));
  dir_.Write("roots.pem", authority_.root());
  const auto credentials = *TlsCredentials::Create(files_, now_);
  const absl::Time before = credentials->expiry();
  EXPECT_FALSE(*credentials->ReloadIfChanged(now_));

  const auto next = authority_.Issue({.lifetime = absl::Hours(9)});
  dir_.Write("cert.pem", next.certificate);
  EXPECT_THAT(credentials->ReloadIfChanged(now_), StatusIs(absl::StatusCode::kInvalidArgument))
      << "the old key";
  EXPECT_FALSE(*credentials->ReloadIfChanged(now_)) << "told once";
  EXPECT_EQ(credentials->expiry(), before);

  dir_.Write("key.pem", next.key);
  EXPECT_TRUE(*credentials->ReloadIfChanged(now_));
  EXPECT_GE(credentials->expiry(), before + absl::Hours(4));
}

TEST_F(TlsCredentialsTest, WithoutRootsThePairIsEnough) {
  Write(authority_.Issue({}));
  const auto credentials = TlsCredentials::Create({files_.certificate, files_.key, ""}, now_);
  ASSERT_THAT(credentials, IsOk());
  EXPECT_FALSE(*(*credentials)->ReloadIfChanged(now_));
}

}  // namespace
}  // namespace antidiffusion
