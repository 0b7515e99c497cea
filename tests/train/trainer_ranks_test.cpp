// Runs of several ranks, on threads of this process.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include "core/run/checkpoint.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/thread_ranks.h"
#include "tests/train/small_run.h"

namespace residua::test {
namespace {

constexpr int64_t kRanks = 2;

/// Six steps that are reported together, at their end.
void settle_one_report(SmallRun& run) { run.set("log-every", {"100"}).set("evaluate-every", {"100"}).set("lr", {"0.001"}); }

/// A rank's run in a folder. `stop_at`: a signal comes while it reads that step; -1: none comes.
int train_rank(Communicator& ranks, const std::string& folder, const std::string& checkpoint, int64_t stop_at) {
  constexpr int64_t kPart = 16 / kRanks;
  SmallRun run(folder);
  run.ranks = &ranks;
  settle_one_report(run);
  run.resume(checkpoint).network();  // whose mean image reads all
  volatile std::sig_atomic_t stop = 0;
  run.training = std::make_shared<WatchedSource>(
      run.training, [&](int64_t reads, int64_t) { stop = stop_at >= 0 && reads >= stop_at * kPart ? SIGTERM : 0; });
  return run.train(stop);
}

// It reports the steps before and after the signal together, each once.
TEST(TrainerOfRanks, ASignalToAnyRankStopsAllAndTheRunGoesOn) {
  const TemporaryFolder folder;
  SmallRun one(folder / "one");
  settle_one_report(one);
  ASSERT_EQ(one.set("bn-group", {"8"}).train(), 0);
  for (int64_t stopped = 0; stopped < kRanks; ++stopped) {
    const std::string place = folder / fmt::format("stopped-{}", stopped);
    run_ranks(kRanks, [&](Communicator& ranks) {
      EXPECT_EQ(train_rank(ranks, place, "", ranks.rank() == stopped ? 3 : -1), SIGTERM) << ranks.rank() << " of " << stopped;
    });
    EXPECT_TRUE(log_of(place, "train").empty());
    const std::string checkpoint = newest_checkpoint(place);
    EXPECT_EQ(checkpoint, place + "/" + checkpoint_name(4));
    run_ranks(kRanks, [&](Communicator& ranks) { EXPECT_EQ(train_rank(ranks, place, checkpoint, -1), 0); });
    for (const char* number : {"iteration", "loss", "top1_error", "top5_error"}) {
      const std::vector<double> want = logged(folder / "one", "train", number);
      const std::vector<double> got = logged(place, "train", number);
      ASSERT_EQ(want.size(), 1u);
      ASSERT_EQ(got.size(), 1u);
      EXPECT_NEAR(got[0], want[0], 1e-4 * want[0]) << number;
    }
  }
}

/// Makes images of a run's sets unreadable, once its statistics are made. `met`: those that the run has come upon in training.
void spoil(SmallRun& run, std::set<int64_t> train, std::set<int64_t> validation, std::set<int64_t>& met) {
  run.network();  // whose mean image reads all
  const auto without = [](std::shared_ptr<const ImageSource> images, std::set<int64_t> bad, auto on_bad) {
    return std::make_shared<WatchedSource>(std::move(images), [bad = std::move(bad), on_bad](int64_t, int64_t image) {
      if (bad.contains(image)) {
        on_bad(image);
        fail("image {} is bad", image);
      }
    });
  };
  run.training = without(run.training, std::move(train), [&met](int64_t image) { met.insert(image); });
  run.validation = without(run.validation, std::move(validation), [](int64_t) {});
}

/// The messages of a run's log on images that could not be read, sorted.
std::vector<std::string> skipped(const std::string& folder) {
  std::vector<std::string> messages;
  for (const nlohmann::json& record : log_of(folder, "skipped_image")) {
    messages.push_back(record.at("message"));
  }
  std::ranges::sort(messages);
  return messages;
}

// In three epochs, images fall to one rank and then to the other. The run validates twice.
TEST(TrainerOfRanks, CountEachBadImageOnce) {
  const std::set<int64_t> train = {3, 17, 18, 40, 55, 63};
  const std::set<int64_t> validation = {1, 31, 50};
  const TemporaryFolder folder;
  const auto train_in = [&](const std::string& place, Communicator* ranks, std::set<int64_t>& met) {
    SmallRun run(place);
    run.ranks = ranks;
    run.set("iterations", {"12"}).set("evaluate-every", {"1.5"}).set("lr", {"0.001"});
    spoil(run, train, validation, met);
    EXPECT_EQ(run.train(), 0);
    if (ranks == nullptr || ranks->leads()) {
      EXPECT_THAT(run.observer.notes, testing::Contains(testing::StartsWith("6 training images could not be read and were "
                                                                            "replaced by others:\n")));
    }
  };
  std::set<int64_t> alone;
  train_in(folder / "one", nullptr, alone);
  EXPECT_EQ(alone, train);
  std::array<std::set<int64_t>, kRanks> met;
  run_ranks(kRanks, [&](Communicator& ranks) { train_in(folder / "two", &ranks, met[static_cast<size_t>(ranks.rank())]); });
  std::vector<int64_t> both;
  std::ranges::set_intersection(met[0], met[1], std::back_inserter(both));
  EXPECT_FALSE(both.empty()) << "images that both ranks would count";
  EXPECT_EQ(skipped(folder / "two").size(), train.size() + validation.size());
  EXPECT_EQ(skipped(folder / "two"), skipped(folder / "one"));
}

// Each finds one in the first batch, which is within the limit. They exchange them after that step, before the first report.
TEST(TrainerOfRanks, EndTogetherIfTheyHaveTooManyBadImages) {
  const TemporaryFolder folder;
  std::vector<std::string> told;
  run_ranks(kRanks, [&](Communicator& ranks) {
    SmallRun run(folder.path());
    run.ranks = &ranks;
    run.set("max-bad-images", {"1"});
    run.network();
    run.training = std::make_shared<WatchedSource>(run.training, [&](int64_t read, int64_t image) {
      if (read == 2) {
        fail("image {} of rank {} is bad", image, ranks.rank());
      }
    });
    try {
      run.train();
    } catch (const TooManyBadImages& error) {
      told.emplace_back(error.what());
    }
  });
  ASSERT_EQ(std::ssize(told), kRanks);
  EXPECT_EQ(told[0], told[1]);
  EXPECT_THAT(told[0], testing::AllOf(testing::HasSubstr("2 of 64 images cannot be read; wanted at most 1"),
                                      testing::HasSubstr("of rank 0 is bad"), testing::HasSubstr("of rank 1 is bad")));
  EXPECT_TRUE(log_of(folder.path(), "train").empty());
}

}  // namespace
}  // namespace residua::test
