// --threads auto of a run.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <omp.h>

#include <vector>

#include "core/config/auto_or_number.h"
#include "core/train/training_checks.h"
#include "tests/support/temporary_folder.h"
#include "tests/train/small_run.h"

namespace residua::test {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;

/// Two compute threads, whatever the machine.
class TrainerThreads : public testing::Test {
 protected:
  TrainerThreads() { omp_set_num_threads(2); }
  ~TrainerThreads() override { omp_set_num_threads(before_); }

  /// The threads of the next step, after each of twelve.
  static std::vector<int> threads(const std::string& setting) {
    const TemporaryFolder folder;
    SmallRun run(folder.path());
    run.set("threads", {setting}).set("log-every", {"1"}).set("iterations", {"12"});
    run.validates = false;
    std::vector<int> found;
    run.observer.on_trained = [&](const TrainRecord&) { found.push_back(omp_get_max_threads()); };
    EXPECT_EQ(run.train(), 0);
    return found;
  }

 private:
  const int before_ = omp_get_max_threads();
};

TEST_F(TrainerThreads, AutoTriesOneFewerAfterTheFirstWindow) {
  const std::vector<int> found = threads("auto");
  ASSERT_EQ(found.size(), 12);
  EXPECT_THAT(std::vector(found.begin(), found.begin() + 6), Each(2)) << "one step makes plans, and six are a window";
  EXPECT_EQ(found[6], 1);
}

TEST_F(TrainerThreads, OtherwiseStay) { EXPECT_THAT(threads("0"), Each(2)); }

std::string refusal(const TrainingOptions& options) {
  RunConfig config;
  config.training = options;
  try {
    check_training(config, 1000);
    return "";
  } catch (const UsageError& error) {
    return error.what();
  }
}

TEST_F(TrainerThreads, AutoIsForOneProcessWhoseBitsMayDiffer) {
  EXPECT_EQ(refusal({.threads = kAuto}), "");
  EXPECT_THAT(refusal({.deterministic = true, .threads = kAuto}), HasSubstr("exclude each other"));
  EXPECT_EQ(refusal({.deterministic = true, .threads = 2}), "");
  EXPECT_THAT(refusal({.ranks = 2, .threads = kAuto}), HasSubstr("several ranks"));
  EXPECT_EQ(refusal({.ranks = 2, .threads = 2}), "");
}

}  // namespace
}  // namespace residua::test
