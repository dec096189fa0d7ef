#include "server/tenants/tenant_labels.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace antidiffusion {
namespace {

TEST(TenantLabelsTest, FiftyNamesAndThenOther) {
  TenantLabels labels;
  EXPECT_EQ(labels.LabelOf(""), "default");
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(labels.LabelOf(absl::StrCat("t", i)), absl::StrCat("t", i));
  }
  EXPECT_EQ(labels.LabelOf("t50"), "other");
  EXPECT_EQ(labels.LabelOf("t49"), "t49");
}

}  // namespace
}  // namespace antidiffusion
