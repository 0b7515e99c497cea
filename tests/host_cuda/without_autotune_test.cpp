// What runs where plans must not be timed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "core/device/autotune.h"
#include "cuda/libraries/plan_table.h"
#include "tests/host_cuda/tuning_bench.h"
#include "tests/support/temporary_folder.h"

namespace residua::test {
namespace {

using namespace cuda;

using ::testing::IsEmpty;

TEST(NoAutotune, TakesTheFirstThatRunsWithoutTiming) {
  TuningBench bench;
  bench.milliseconds = {{"broken", {0.1}}, {"first", {3.0}}, {"fast", {1.0}}};
  const WithoutAutotune without;
  EXPECT_EQ(bench.tuned_from({"absent", "broken", "first", "fast"}), "first");
  EXPECT_FALSE(bench.tuned);
  EXPECT_THAT(bench.timings, IsEmpty());
  EXPECT_EQ(bench.built["fast"], 0) << "the first one is enough";
  EXPECT_EQ(bench.choice.name, "first");
  EXPECT_THAT(bench.choice.milliseconds, IsEmpty());
}

TEST(NoAutotune, KeepsNothing) {
  const TemporaryFolder folder;
  const std::string path = folder / "plans.json";
  TuningBench bench(path);
  bench.milliseconds = {{"first", {3.0}}, {"fast", {1.0}}};
  {
    const WithoutAutotune without;
    bench.tuned_from({"first", "fast"});
    bench.cache.save();
    EXPECT_FALSE(bench.cache.find("key"));
    EXPECT_FALSE(std::filesystem::exists(path));
  }
  EXPECT_EQ(bench.tuned_from({"first", "fast"}), "fast");
  EXPECT_TRUE(bench.tuned);
  bench.cache.save();
  EXPECT_EQ(PlanCache(path, "device").find("key")->name, "fast");
}

TEST(NoAutotune, TakesWhatTheCacheKnows) {
  TuningBench bench;
  bench.milliseconds = {{"first", {3.0}}, {"fast", {1.0}}};
  bench.tuned_from({"first", "fast"});
  bench.timings.clear();
  const WithoutAutotune without;
  EXPECT_EQ(bench.tuned_from({"first", "fast"}), "fast");
  EXPECT_TRUE(bench.tuned);
  EXPECT_THAT(bench.timings, IsEmpty());
}

TEST(NoAutotune, PassesOverWhatIsRejected) {
  TuningBench bench;
  bench.milliseconds = {{"bad", {1.0}}, {"good", {2.0}}};
  bench.cache.put("key", {"bad", {}});
  bench.cache.reject("key", "bad", "it did not come back");
  const WithoutAutotune without;
  EXPECT_EQ(bench.tuned_from({"bad", "good"}), "good");
  EXPECT_EQ(bench.built["bad"], 0);
  EXPECT_EQ(bench.tuned_from({"absent", "bad"}), "bad") << "where nothing else can be used";
}

TEST(NoAutotune, RejectsWhatADeviceFaultIsOf) {
  TuningBench bench;
  bench.milliseconds = {{"faulty", {1.0}}, {"good", {2.0}}};
  const WithoutAutotune without;
  EXPECT_THROW(bench.tuned_from({"faulty", "good"}), DeviceFault);
  EXPECT_EQ(bench.cache.rejection_reason("key", "faulty"), "illegal address");
}

TEST(NoAutotune, FailsWhereThereIsNoPlan) {
  TuningBench bench;
  const WithoutAutotune without;
  EXPECT_THROW(bench.tuned_from({"absent", "missing"}), Error);
}

TEST(PlanTable, TimesOnceWhenThatIsAllowed) {
  TuningBench bench;
  bench.milliseconds = {{"first", {3.0}}, {"fast", {1.0}}};
  PlanTable<std::string, int> table;
  int chosen = 0;
  Stream& stream = current_stream({Device::Type::cuda, 0});
  const auto run = [&] {
    table.run("key", 0, stream, [&] {
      ++chosen;
      return autotune<int>("key", bench.candidates({"first", "fast"}), 0, stream, bench.cache, bench.clock());
    });
    return bench.last;
  };
  {
    const WithoutAutotune without;
    for (int step = 0; step < 3; ++step) {
      EXPECT_EQ(run(), "first");
    }
    EXPECT_EQ(chosen, 1) << "it is not built at every step";
    EXPECT_THAT(bench.timings, IsEmpty());
  }
  EXPECT_EQ(run(), "fast");
  EXPECT_EQ(run(), "fast");
  EXPECT_EQ(chosen, 2);
  const WithoutAutotune without;
  EXPECT_EQ(run(), "fast") << "what was timed stays";
  EXPECT_EQ(chosen, 2);
}

}  // namespace
}  // namespace residua::test
