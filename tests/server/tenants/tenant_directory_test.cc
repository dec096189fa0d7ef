#include "server/tenants/tenant_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace antidiffusion {
namespace {

using ::testing::ElementsAre;

const absl::Time kStart = absl::FromUnixSeconds(1'000'000);

std::string TenantJson(const std::string& name, const std::string& key,
                       const std::string& more = "") {
  return absl::StrCat(R"({"name":")", name, R"(","key_sha256":[")", ToHex(DigestOfKey(key)), "\"]",
                      more.empty() ? "" : ",", more, "}");
}

std::string FileOf(const std::string& tenants) {
  return absl::StrCat(R"({"tenants":[)", tenants, "]}");
}

class TenantDirectoryTest : public ::testing::Test {
 protected:
  std::unique_ptr<TenantDirectory> Create(const std::string& file) {
    path_ = dir_.Write("keys.json", file);
    auto directory = TenantDirectory::Create({path_, 32, 1000});
    EXPECT_THAT(directory, IsOk());
    return *std::move(directory);
  }
  // As a careful operator does: beside, then renamed.
  void Replace(const std::string& file) {
    std::filesystem::rename(dir_.Write("keys.json.new", file), path_);
  }
  static std::string NameOf(const TenantDirectory& directory, const Credentials& credentials,
                            Right right = Right::kProtect) {
    const auto tenant = directory.Identify(credentials, right);
    return tenant.ok() ? (*tenant)->name() : tenant.status().ToString();
  }

  static TenantShare ShareOf(const TenantDirectory& directory, const std::string& key) {
    return directory.Identify(Credentials{key, {}}, Right::kProtect).value()->share();
  }

  TempDir dir_;
  std::string path_;
};

TEST_F(TenantDirectoryTest, WithoutAFileEverybodyIsTheAnonymousTenant) {
  const auto directory = TenantDirectory::Create({});
  ASSERT_THAT(directory, IsOk());
  const auto tenant = (*directory)->Identify(Credentials{"whatever", {}}, Right::kJobs);
  ASSERT_THAT(tenant, IsOk());
  EXPECT_EQ((*tenant)->name(), "");
  EXPECT_FALSE((*tenant)->TakeBytes(1 << 30, kStart).has_value());
  EXPECT_FALSE(*(*directory)->ReloadIfChanged());
}

TEST_F(TenantDirectoryTest, AKeyNamesItsTenant) {
  const auto directory = Create(FileOf(TenantJson("a", "key-a") + "," + TenantJson("b", "key-b")));
  EXPECT_EQ(NameOf(*directory, {"key-a", {}}), "a");
  EXPECT_EQ(NameOf(*directory, {"key-b", {}}), "b");
  EXPECT_THAT(directory->Names(), ElementsAre("a", "b"));
}

TEST_F(TenantDirectoryTest, RefusesWithoutAKeyOrWithAnUnknownOne) {
  const auto directory = Create(FileOf(TenantJson("a", "key-a")));
  const auto missing = directory->Identify(Credentials(), Right::kProtect).status();
  EXPECT_THAT(missing, StatusIs(absl::StatusCode::kUnauthenticated));
  EXPECT_THAT(missing, HasReason(reason::kKeyMissing));
  for (const char* key : {"", "key-b", "key-a "}) {
    const auto unknown = directory->Identify(Credentials{key, {}}, Right::kProtect).status();
    EXPECT_THAT(unknown, StatusIs(absl::StatusCode::kUnauthenticated)) << key;
    EXPECT_THAT(unknown, HasReason(reason::kKeyUnknown)) << key;
  }
}

TEST_F(TenantDirectoryTest, RefusesWhatAKeyLacksTheRightFor) {
  const auto directory = Create(FileOf(TenantJson("a", "key-a", R"("rights":["protect"])")));
  EXPECT_EQ(NameOf(*directory, {"key-a", {}}, Right::kProtect), "a");
  const auto refused = directory->Identify(Credentials{"key-a", {}}, Right::kJobs).status();
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(refused, HasReason(reason::kRightMissing));
}

TEST_F(TenantDirectoryTest, ACertificateNamesItsTenantWhereThereIsNoKey) {
  const auto directory =
      Create(FileOf(TenantJson("a", "key-a", R"("identities":["spiffe://x/a"])") + "," +
                    TenantJson("b", "key-b", R"("identities":["host-b"])")));
  EXPECT_EQ(NameOf(*directory, {std::nullopt, {"spiffe://x/a", "host-a"}}), "a");
  EXPECT_EQ(NameOf(*directory, {std::nullopt, {"spiffe://x/other", "host-b"}}), "b");
  EXPECT_EQ(NameOf(*directory, {"key-b", {"spiffe://x/a"}}), "b") << "the key decides";
  EXPECT_THAT(
      directory->Identify(Credentials{std::nullopt, {"stranger"}}, Right::kProtect).status(),
      HasReason(reason::kKeyMissing));
  EXPECT_THAT(directory->Identify(Credentials{"wrong", {"spiffe://x/a"}}, Right::kProtect).status(),
              HasReason(reason::kKeyUnknown))
      << "a wrong key is not made up for";
}

TEST_F(TenantDirectoryTest, SeveralTenantsHaveADefaultShareOfTheQueueAndOneHasAll) {
  const auto one = Create(FileOf(TenantJson("a", "key-a")));
  EXPECT_EQ(ShareOf(*one, "key-a").max_waiting, TenantShare().max_waiting);
  const auto two = Create(FileOf(TenantJson("a", "key-a", R"("weight":3,"max_running":2)") + "," +
                                 TenantJson("b", "key-b", R"("max_waiting":5)")));
  EXPECT_EQ(ShareOf(*two, "key-a").weight, 3);
  EXPECT_EQ(ShareOf(*two, "key-a").max_running, 2u);
  EXPECT_EQ(ShareOf(*two, "key-a").max_waiting, 32u);
  EXPECT_EQ(ShareOf(*two, "key-a").max_waiting_bytes, 1000);
  EXPECT_EQ(ShareOf(*two, "key-b").max_waiting, 5u);
}

TEST_F(TenantDirectoryTest, TakesUpAChangedFile) {
  const auto directory = Create(FileOf(TenantJson("a", "key-a")));
  EXPECT_FALSE(*directory->ReloadIfChanged());
  Replace(FileOf(TenantJson("a", "key-a2") + "," + TenantJson("b", "key-b")));
  EXPECT_TRUE(*directory->ReloadIfChanged());
  EXPECT_FALSE(*directory->ReloadIfChanged());
  EXPECT_EQ(NameOf(*directory, {"key-a2", {}}), "a");
  EXPECT_EQ(NameOf(*directory, {"key-b", {}}), "b");
  EXPECT_THAT(directory->Identify(Credentials{"key-a", {}}, Right::kProtect).status(),
              HasReason(reason::kKeyUnknown));
}

TEST_F(TenantDirectoryTest, ABrokenOrMissingFileKeepsTheOldTenantsAndIsToldOnce) {
  const auto directory = Create(FileOf(TenantJson("a", "key-a")));
  Replace("{ broken");
  EXPECT_THAT(directory->ReloadIfChanged().status(), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_FALSE(*directory->ReloadIfChanged());
  EXPECT_EQ(NameOf(*directory, {"key-a", {}}), "a");
  std::filesystem::remove(path_);
  EXPECT_THAT(directory->ReloadIfChanged().status(), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(NameOf(*directory, {"key-a", {}}), "a");
  Replace(FileOf(TenantJson("b", "key-b")));
  EXPECT_TRUE(*directory->ReloadIfChanged());
  EXPECT_EQ(NameOf(*directory, {"key-b", {}}), "b");
}

TEST_F(TenantDirectoryTest,
       FollowsASymlinkThatIsTurned) {  // as Kubernetes updates a mounted secret
  dir_.Write("v1/keys.json", FileOf(TenantJson("a", "key-a")));
  dir_.Write("v2/keys.json", FileOf(TenantJson("b", "key-b")));
  std::filesystem::create_directory_symlink(dir_.File("v1"), dir_.File("now"));
  const auto directory = TenantDirectory::Create({dir_.File("now/keys.json")});
  ASSERT_THAT(directory, IsOk());
  std::filesystem::create_directory_symlink(dir_.File("v2"), dir_.File("next"));
  std::filesystem::rename(dir_.File("next"), dir_.File("now"));
  EXPECT_TRUE(*(*directory)->ReloadIfChanged());
  EXPECT_EQ(NameOf(**directory, {"key-b", {}}), "b");
}

TEST_F(TenantDirectoryTest, WhatWasUsedOutlivesAReload) {
  const auto directory =
      Create(FileOf(TenantJson("a", "key-a", R"("requests_per_second":1,"bytes_per_day":100)")));
  const auto before = *directory->Identify(Credentials{"key-a", {}}, Right::kProtect);
  EXPECT_FALSE(before->TakeRequest(kStart).has_value());
  EXPECT_FALSE(before->TakeBytes(90, kStart).has_value());
  Replace(FileOf(TenantJson("a", "key-a", R"("requests_per_second":2,"bytes_per_day":95)")));
  EXPECT_TRUE(*directory->ReloadIfChanged());
  const auto after = *directory->Identify(Credentials{"key-a", {}}, Right::kProtect);
  EXPECT_EQ(after->TakeRequest(kStart), absl::Seconds(0.5));
  EXPECT_TRUE(after->TakeBytes(6, kStart).has_value());
  EXPECT_FALSE(after->TakeBytes(5, kStart).has_value());
  EXPECT_EQ(before->spec().bytes_per_day, 100) << "a call under way keeps its tenant as it was";
}

TEST_F(TenantDirectoryTest, AServerDoesNotStartWithABrokenFile) {
  EXPECT_THAT(TenantDirectory::Create({dir_.File("none.json")}).status(),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(TenantDirectory::Create({dir_.Write("bad.json", "[]")}).status(),
              StatusIs(absl::StatusCode::kDataLoss));
}

}  // namespace
}  // namespace antidiffusion
