#include "server/store/store_thread.h"

#include <gtest/gtest.h>

#include <set>
#include <thread>
#include <vector>

#include "server/store/sqlite_job_store.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace antidiffusion {
namespace {

TEST(StoreThreadTest, RunsEverythingInOrderOnOneThread) {
  TempDir dir;
  AD_ASSERT_OK_AND_ASSIGN(auto store, OpenSqliteJobStore(dir.File("jobs.db")));
  StoreThread thread(std::move(store));
  std::vector<int> order;
  std::set<std::thread::id> threads;
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(thread.Post([&, i](JobStore&) {
      order.push_back(i);
      threads.insert(std::this_thread::get_id());
    }));
  }
  thread.Stop();
  ASSERT_EQ(order.size(), 100u);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
  EXPECT_EQ(threads.size(), 1u);
  EXPECT_FALSE(threads.contains(std::this_thread::get_id()));
  EXPECT_FALSE(thread.Post([](JobStore&) {})) << "it has stopped";
}

}  // namespace
}  // namespace antidiffusion
