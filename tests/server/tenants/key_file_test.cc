#include "server/tenants/key_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "core/base/status_details.h"
#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string kHex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

// A file with one tenant that has these fields beside its name and key.
std::string FileWith(const std::string& fields) {
  return absl::StrCat(R"({"tenants":[{"name":"acme","key_sha256":[")", kHex, "\"]",
                      fields.empty() ? "" : ",", fields, "}]}");
}

std::string ViolatedField(const std::string& file) {
  const auto parsed = ParseKeyFile(file);
  if (parsed.ok()) return "none";
  const auto violation = GetFieldViolation(parsed.status());
  return violation.has_value() ? violation->field : parsed.status().ToString();
}

TEST(KeyFileTest, ReadsAllOfATenant) {
  const auto specs = ParseKeyFile(FileWith(R"("identities":["spiffe://a/b","CN"],
      "rights":["jobs"],"weight":2.5,"max_running":3,"max_waiting":4,"max_waiting_bytes":5,
      "requests_per_second":0.5,"burst":7,"bytes_per_day":8,"max_job_passes":9)"));
  ASSERT_THAT(specs, IsOk());
  ASSERT_EQ(specs->size(), 1u);
  const TenantSpec& spec = specs->front();
  EXPECT_EQ(spec.name, "acme");
  EXPECT_THAT(spec.keys, ElementsAre(DigestOfKey("abc")));
  EXPECT_THAT(spec.identities, ElementsAre("spiffe://a/b", "CN"));
  EXPECT_THAT(spec.rights, ElementsAre(Right::kJobs));
  EXPECT_EQ(spec.weight, 2.5);
  EXPECT_EQ(spec.max_running, 3u);
  EXPECT_EQ(spec.max_waiting, 4u);
  EXPECT_EQ(spec.max_waiting_bytes, 5);
  EXPECT_EQ(spec.rate->per_second, 0.5);
  EXPECT_EQ(spec.rate->burst, 7);
  EXPECT_EQ(spec.bytes_per_day, 8);
  EXPECT_EQ(spec.max_job_passes, 9);
}

TEST(KeyFileTest, WhatIsNotSaidIsNotLimited) {
  const auto specs = ParseKeyFile(FileWith(""));
  ASSERT_THAT(specs, IsOk());
  const TenantSpec& spec = specs->front();
  EXPECT_EQ(spec.rights.size(), 3u);
  EXPECT_EQ(spec.weight, 1);
  EXPECT_FALSE(spec.max_running.has_value() || spec.max_waiting.has_value() ||
               spec.rate.has_value() || spec.bytes_per_day.has_value() ||
               spec.max_job_passes.has_value());
}

TEST(KeyFileTest, TheBurstIsASecondsWorthAndAtLeastOne) {
  EXPECT_EQ(ParseKeyFile(FileWith(R"("requests_per_second":5)"))->front().rate->burst, 5);
  EXPECT_EQ(ParseKeyFile(FileWith(R"("requests_per_second":0.1)"))->front().rate->burst, 1);
}

TEST(KeyFileTest, NamesTheFieldThatIsWrong) {
  const auto expect_wrong = [](const std::string& fields, const std::string& field) {
    EXPECT_EQ(ViolatedField(FileWith(fields)), "tenants[0]." + field) << fields;
  };
  expect_wrong(R"("max_runing":1)", "max_runing");
  expect_wrong(R"("":1)", R"("")");
  expect_wrong(absl::StrCat("\"", std::string(63, 'x'), "\u00e9\":1"), std::string(63, 'x'));
  expect_wrong(R"("max_running":0)", "max_running");
  expect_wrong(R"("max_running":1.5)", "max_running");
  expect_wrong(R"("max_running":18446744073709551615)", "max_running");
  expect_wrong(R"("max_running":"1")", "max_running");
  expect_wrong(R"("weight":0)", "weight");
  expect_wrong(R"("weight":1e300)", "weight");
  expect_wrong(R"("burst":2)", "burst");
  expect_wrong(R"("requests_per_second":-1)", "requests_per_second");
  expect_wrong(R"("requests_per_second":1,"burst":0)", "burst");
  expect_wrong(R"("bytes_per_day":-5)", "bytes_per_day");
  expect_wrong(R"("max_job_passes":0)", "max_job_passes");
  expect_wrong(R"("rights":["protect","admin"])", "rights");
  expect_wrong(R"("rights":"protect")", "rights");
  expect_wrong(R"("identities":[""])", "identities");
  expect_wrong(R"("identities":[1])", "identities");
}

TEST(KeyFileTest, RefusesATenantThatIsNobodyOrNameless) {
  EXPECT_EQ(ViolatedField(R"({"tenants":[{"name":"a"}]})"), "tenants[0].key_sha256");
  EXPECT_EQ(ViolatedField(R"({"tenants":[{"name":"","identities":["x"]}]})"), "tenants[0].name");
  EXPECT_EQ(ViolatedField(R"({"tenants":[{"name":"a b","identities":["x"]}]})"), "tenants[0].name");
  EXPECT_EQ(ViolatedField(R"({"tenants":[{"identities":["x"]}]})"), "tenants[0].name");
  EXPECT_EQ(ViolatedField(R"({"tenants":[7]})"), "tenants[0]");
  EXPECT_EQ(ViolatedField(R"({"tenants":[]})"), "tenants");
  EXPECT_EQ(ViolatedField(R"({})"), "tenants");
  EXPECT_EQ(ViolatedField(R"({"tenants":[],"tenant":[]})"), "tenant");
  EXPECT_EQ(ViolatedField(R"({"":[]})"), R"("")");
}

TEST(KeyFileTest, RefusesWhatIsThereTwice) {
  const auto two = [](const std::string& first, const std::string& second) {
    return absl::StrCat(R"({"tenants":[{)", first, "},{", second, "}]}");
  };
  EXPECT_EQ(
      ViolatedField(two(R"("name":"a","identities":["x"])", R"("name":"a","identities":["y"])")),
      "tenants[1].name");
  EXPECT_EQ(
      ViolatedField(two(R"("name":"a","identities":["x"])", R"("name":"b","identities":["x"])")),
      "tenants[1].identities");
  const std::string key = absl::StrCat(R"("key_sha256":[")", kHex, "\"]");
  EXPECT_EQ(ViolatedField(two(R"("name":"a",)" + key, R"("name":"b",)" + key)),
            "tenants[1].key_sha256");
}

TEST(KeyFileTest, AKeyInPlaceOfItsHashIsRefusedAndNotQuoted) {
  const std::string key = "adk_00112233445566778899aabbccddeeff";
  const auto parsed = ParseKeyFile(R"({"tenants":[{"name":"a","key_sha256":[")" + key + "\"]}]}");
  EXPECT_THAT(parsed.status(), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(parsed.status().ToString(), Not(HasSubstr("adk_")));
  EXPECT_THAT(parsed.status().ToString(), HasSubstr("hexadecimal"));
}

TEST(KeyFileTest, RefusesWhatIsNotJson) {
  EXPECT_THAT(ParseKeyFile("{").status(), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(ParseKeyFile("").status(), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(ParseKeyFile(R"({"tenants":[],"tenants":[]})").status(),
              StatusIs(absl::StatusCode::kDataLoss));
}

}  // namespace
}  // namespace antidiffusion
