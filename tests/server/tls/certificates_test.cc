#include "server/tls/certificates.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/clock.h"
#include "tests/server/tls/test_authority.h"
#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

using ::testing::HasSubstr;

class CertificatesTest : public ::testing::Test {
 protected:
  TestAuthority authority_;
  const absl::Time now_ = absl::Now();
};

TEST_F(CertificatesTest, TheExpiryIsTheFirstOfTheChain) {
  const auto leaf = authority_.Issue({.lifetime = absl::Hours(24)});
  const auto expiry = CheckPair(leaf.certificate, leaf.key, now_);
  ASSERT_THAT(expiry, IsOk());
  EXPECT_LE(absl::AbsDuration(*expiry - now_ - absl::Hours(24)), absl::Minutes(1));
  const auto early = authority_.Issue({.lifetime = absl::Hours(2)});
  const auto chain = CheckPair(leaf.certificate + early.certificate, leaf.key, now_);
  ASSERT_THAT(chain, IsOk());
  EXPECT_LT(*chain, *expiry);
}

TEST_F(CertificatesTest, AKeyOfAnotherCertificateIsRefused) {
  const auto one = authority_.Issue({});
  const auto other = authority_.Issue({});
  const absl::Status status = CheckPair(one.certificate, other.key, now_).status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(std::string(status.message()), HasSubstr("not the certificate's"));
  EXPECT_THAT(CheckPair(other.certificate + one.certificate, one.key, now_),
              StatusIs(absl::StatusCode::kInvalidArgument))
      << "the leaf comes first";
}

TEST_F(CertificatesTest, AnExpiredOneIsRefused) {
  const auto pair = authority_.Issue({.lifetime = -absl::Hours(1)});
  EXPECT_THAT(CheckPair(pair.certificate, pair.key, now_),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(CertificatesTest, WhatCannotBeReadIsRefused) {
  const auto pair = authority_.Issue({});
  const std::string broken = pair.certificate.substr(0, pair.certificate.size() / 2);
  for (const std::string& certificate : {std::string(), std::string("no PEM"), broken, pair.key,
                                         pair.certificate + broken + pair.certificate}) {
    EXPECT_THAT(CheckPair(certificate, pair.key, now_),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << certificate;
    EXPECT_THAT(CheckRoots(certificate), StatusIs(absl::StatusCode::kInvalidArgument));
  }
  for (const std::string& key : {std::string(), pair.certificate, pair.key.substr(0, 60)}) {
    EXPECT_THAT(CheckPair(pair.certificate, key, now_),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << key;
  }
  EXPECT_THAT(CheckRoots(authority_.root() + pair.certificate), IsOk());
}

}  // namespace
}  // namespace antidiffusion
