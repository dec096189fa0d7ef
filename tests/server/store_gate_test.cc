#include "server/store_gate.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>

#include "tests/testing/status_matchers.h"

namespace antidiffusion {
namespace {

TEST(StoreGateTest, IsOpenUnlessClosed) {
  StoreGate gate;
  EXPECT_THAT(gate.Wait(), IsOk());
  bool called = false;
  gate.WhenOpen([&](const absl::Status& status) { called = status.ok(); });
  EXPECT_TRUE(called);
}

TEST(StoreGateTest, LetsAllPassOnceItOpens) {
  StoreGate gate;
  gate.Close();
  std::string heard;
  gate.WhenOpen([&](const absl::Status& status) { heard = std::string(status.message()); });
  EXPECT_EQ(heard, "");
  absl::Status waited;
  {
    std::jthread waiter([&] { waited = gate.Wait(); });
    gate.Open(absl::UnavailableError("full"));
  }
  EXPECT_EQ(waited.message(), "full");
  EXPECT_EQ(heard, "full");
  gate.Open(absl::OkStatus());
  EXPECT_EQ(gate.Wait().message(), "full") << "the first counts";
}

}  // namespace
}  // namespace antidiffusion
