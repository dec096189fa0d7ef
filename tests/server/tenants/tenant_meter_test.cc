#include "server/tenants/tenant_meter.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace antidiffusion {
namespace {

const absl::Time kOnTheHour = absl::FromUnixSeconds(int64_t{3600} * 400'000);  // on the hour
constexpr RequestRate kRate = {2, 3};

TEST(TenantMeterTest, ABurstThenTheRate) {
  TenantMeter meter;
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(meter.TakeRequest(kRate, kOnTheHour).has_value()) << i;
  EXPECT_EQ(meter.TakeRequest(kRate, kOnTheHour), absl::Seconds(0.5));
  EXPECT_EQ(meter.TakeRequest(kRate, kOnTheHour + absl::Seconds(0.25)), absl::Seconds(0.25));
  EXPECT_FALSE(meter.TakeRequest(kRate, kOnTheHour + absl::Seconds(0.5)).has_value());
  EXPECT_TRUE(meter.TakeRequest(kRate, kOnTheHour + absl::Seconds(0.5)).has_value());
}

TEST(TenantMeterTest, TheBucketDoesNotOverflow) {
  TenantMeter meter;
  EXPECT_FALSE(meter.TakeRequest(kRate, kOnTheHour).has_value());
  const absl::Time later = kOnTheHour + absl::Hours(5);
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(meter.TakeRequest(kRate, later).has_value()) << i;
  EXPECT_TRUE(meter.TakeRequest(kRate, later).has_value());
}

TEST(TenantMeterTest, AClockSetBackTakesNothingAway) {
  TenantMeter meter;
  EXPECT_FALSE(meter.TakeRequest(kRate, kOnTheHour).has_value());
  EXPECT_FALSE(meter.TakeRequest(kRate, kOnTheHour - absl::Hours(1)).has_value());
  EXPECT_FALSE(meter.TakeRequest(kRate, kOnTheHour - absl::Hours(1)).has_value());
  EXPECT_TRUE(meter.TakeRequest(kRate, kOnTheHour - absl::Hours(1)).has_value());
}

TEST(TenantMeterTest, ADayHoldsSoManyBytesWhereverItBegins) {
  TenantMeter meter;
  EXPECT_FALSE(meter.TakeBytes(60, 100, kOnTheHour + absl::Minutes(59)).has_value());
  EXPECT_FALSE(meter.TakeBytes(40, 100, kOnTheHour + absl::Hours(12)).has_value());
  EXPECT_EQ(meter.TakeBytes(1, 100, kOnTheHour + absl::Hours(24)), absl::Hours(1));
  EXPECT_EQ(meter.TakeBytes(61, 100, kOnTheHour + absl::Hours(24)), absl::Hours(13));
  EXPECT_TRUE(meter.TakeBytes(1, 100, kOnTheHour + absl::Hours(25) - absl::Seconds(1)).has_value());
  EXPECT_FALSE(meter.TakeBytes(60, 100, kOnTheHour + absl::Hours(25)).has_value());
  EXPECT_TRUE(meter.TakeBytes(1, 100, kOnTheHour + absl::Hours(25)).has_value());
}

TEST(TenantMeterTest, MoreThanTheLimitNeverFits) {
  TenantMeter meter;
  EXPECT_EQ(meter.TakeBytes(101, 100, kOnTheHour), absl::InfiniteDuration());
  EXPECT_FALSE(meter.TakeBytes(100, 100, kOnTheHour).has_value());
}

TEST(TenantMeterTest, WhatIsGivenBackCanBeTakenAgain) {
  TenantMeter meter;
  EXPECT_FALSE(meter.TakeBytes(30, 100, kOnTheHour).has_value());
  EXPECT_FALSE(meter.TakeBytes(70, 100, kOnTheHour + absl::Hours(1)).has_value());
  meter.ReturnBytes(80);
  EXPECT_FALSE(meter.TakeBytes(80, 100, kOnTheHour + absl::Hours(1)).has_value());
  EXPECT_TRUE(meter.TakeBytes(1, 100, kOnTheHour + absl::Hours(1)).has_value());
}

TEST(TenantMeterTest, ManyThreadsTakeNoMoreThanThereIs) {
  TenantMeter meter;
  std::atomic<int> requests = 0;
  std::atomic<int> bytes = 0;
  {
    std::vector<std::jthread> threads;
    threads.reserve(4);
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        for (int j = 0; j < 100; ++j) {
          requests += !meter.TakeRequest({1, 50}, kOnTheHour).has_value();
          bytes += !meter.TakeBytes(1, 70, kOnTheHour).has_value();
        }
      });
    }
  }
  EXPECT_EQ(requests, 50);
  EXPECT_EQ(bytes, 70);
}

}  // namespace
}  // namespace antidiffusion
