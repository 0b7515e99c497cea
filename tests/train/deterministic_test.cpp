// Runs with --deterministic: the same bits each time, and what they depend on.
#include <gtest/gtest.h>
#include <omp.h>

#include <set>
#include <string>

#include "tests/support/compare.h"
#include "tests/support/temporary_folder.h"
#include "tests/train/small_run.h"

namespace residua::test {
namespace {

TEST(Deterministic, ThreeRunsGiveTheSameBitsWithAnyNumberOfWorkers) {
  for (const char* precision : {"fp32", "bf16", "fp16"}) {
    const TemporaryFolder folder;
    std::set<std::string> checkpoints;
    for (const char* workers : {"0", "1", "4"}) {
      SmallRun run(folder / workers);
      ASSERT_EQ(run.set("deterministic", {"true"}).set("workers", {workers}).set("precision", {precision}).train(), 0);
      checkpoints.insert(read_bytes(newest_checkpoint(folder / workers)));
    }
    EXPECT_EQ(checkpoints.size(), 1U) << precision;
  }
}

TEST(Deterministic, AResumedRunNeedsAsManyThreads) {
  const TemporaryFolder folder;
  const int threads = omp_get_max_threads();
  ASSERT_EQ(SmallRun(folder.path()).set("deterministic", {"true"}).set("iterations", {"1"}).train(), 0);
  EXPECT_EQ(run_state(load_checkpoint(newest_checkpoint(folder.path()))).fixed_threads, threads);
  const auto resume = [&](const std::string& deterministic) {
    SmallRun(folder.path()).set("deterministic", {deterministic}).resume(newest_checkpoint(folder.path())).trainer();
  };
  EXPECT_NO_THROW(resume("true"));
  omp_set_num_threads(threads + 1);
  EXPECT_TRUE(fails_with([&] { resume("true"); }, {"threads", std::to_string(threads + 1), "a deterministic run depends"}));
  EXPECT_NO_THROW(resume("false"));
  omp_set_num_threads(threads);
}

TEST(Deterministic, AResumedRunSavesWhatItsOwnResultsDependOn) {
  const TemporaryFolder folder;
  const auto train = [&](const char* deterministic, const char* iterations) {
    SmallRun run(folder.path());
    run.set("deterministic", {deterministic}).set("iterations", {iterations});
    if (newest_checkpoint(folder.path()) != "") {
      run.resume(newest_checkpoint(folder.path()));
    }
    EXPECT_EQ(run.train(), 0);
    return run_state(load_checkpoint(newest_checkpoint(folder.path()))).fixed_threads;
  };
  EXPECT_EQ(train("false", "1"), 0);
  EXPECT_EQ(train("true", "2"), omp_get_max_threads());
  EXPECT_EQ(train("false", "3"), 0);
}

TEST(Deterministic, ExcludesPlansThatAreNot) {
  for (const char* other : {"allow-nondeterministic", "allow-runtime-compilation"}) {
    const TemporaryFolder folder;
    SmallRun run(folder.path());
    run.set("deterministic", {"true"}).set(other, {"true"});
    EXPECT_TRUE(fails_with([&] { run.network(); }, {"deterministic", other}));
  }
}

TEST(Deterministic, PlansAreThenChosenByRule) {
  SmallRun run("no folder");
  EXPECT_FALSE(run.config.training.plan_options().by_rule);
  run.set("deterministic", {"true"}).set("allow-runtime-compilation", {"true"});
  EXPECT_TRUE(run.config.training.plan_options().by_rule);
  EXPECT_TRUE(run.config.training.plan_options().runtime_compilation);
}

}  // namespace
}  // namespace residua::test
