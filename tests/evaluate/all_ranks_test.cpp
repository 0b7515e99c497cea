#include "core/evaluate/all_ranks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <vector>

#include "core/data/rank_images.h"
#include "tests/data/fake_source.h"
#include "tests/support/thread_ranks.h"

namespace residua::test {
namespace {

constexpr int64_t kRanks = 3;

TEST(AllRanks, TotalsAreTheSumsOfTheRanks) {
  run_ranks(kRanks, [](Communicator& ranks) {
    constexpr std::array<MetricsTotals, kRanks> kOwn = {{{.loss = 1.5, .images = 5, .top1_errors = 4, .top5_errors = 2},
                                                         {.loss = 0.25, .images = 6, .top1_errors = 3, .top5_errors = 1},
                                                         {.loss = 2, .images = 4, .top1_errors = 1, .top5_errors = 0}}};
    const MetricsTotals all = totals_of_all(ranks, kOwn[static_cast<size_t>(ranks.rank())]);
    EXPECT_EQ(all.loss, 3.75);
    EXPECT_EQ(all.images, 15);
    EXPECT_EQ(all.top1_errors, 8);
    EXPECT_EQ(all.top5_errors, 3);
  });
}

/// An answer for an image of a source whose image i has the label i.
ImageResult answer_for(int64_t index, int32_t label) {
  const double number = label;
  return {.index = index,
          .label = label,
          .loss = number + 0.5,
          .probability = 1 / (number + 1),
          .rank = label + 7,
          .best = {{.class_index = label + 1, .probability = 0.75}, {.class_index = label + 2, .probability = 0.125}}};
}

// The shares are of different size, and of one image nobody has an answer.
TEST(AllRanks, EachAnswerHasThePlaceOfItsImageInTheSet) {
  constexpr int32_t kUnreadable = 3;
  for (const int64_t images : {1, 2, 5, 7, 10}) {
    run_ranks(kRanks, [&](Communicator& ranks) {
      SCOPED_TRACE(fmt::format("{} images, rank {}", images, ranks.rank()));
      const auto part = images_of_rank(std::make_shared<const FakeSource>(FakeSource::Options{.images = images}), ranks);
      std::vector<ImageResult> own;
      for (int64_t i = 0; part != nullptr && i < part->size(); ++i) {
        if (part->label(i) != kUnreadable) {
          own.push_back(answer_for(i, part->label(i)));
        }
      }
      const std::vector<ImageResult> all = results_of_all(ranks, images, own);
      ASSERT_EQ(std::ssize(all), images > kUnreadable ? images - 1 : images);
      for (int32_t place = 0; place < std::ssize(all); ++place) {
        const ImageResult& got = all[static_cast<size_t>(place)];
        const int32_t image = place < kUnreadable ? place : place + 1;
        const ImageResult want = answer_for(image, image);
        EXPECT_EQ(got.index, image);
        EXPECT_EQ(got.label, image);
        EXPECT_EQ(got.loss, want.loss);
        EXPECT_EQ(got.probability, want.probability);
        EXPECT_EQ(got.rank, want.rank);
        ASSERT_EQ(got.best.size(), want.best.size());
        for (size_t i = 0; i < want.best.size(); ++i) {
          EXPECT_EQ(got.best[i].class_index, want.best[i].class_index);
          EXPECT_EQ(got.best[i].probability, want.best[i].probability);
        }
      }
    });
  }
}

TEST(AllRanks, UnreadableImagesAreCountedOnAll) {
  run_ranks(kRanks, [](Communicator& ranks) {
    DataErrors own(100, 1.0, 100);
    for (const char* name : ranks.leads() ? std::vector{"a", "b"} : std::vector{"c"}) {
      own.add(name, fmt::format("{} is bad", name));
    }
    const Unreadable all = unreadable_of_all(ranks, ranks.rank() == 1 ? nullptr : &own);  // rank 1 has read nothing
    EXPECT_EQ(all.count, 3);
    EXPECT_THAT(all.summary, testing::ContainsRegex("a is bad\n.*b is bad\n+.*c is bad\n"));
  });
}

}  // namespace
}  // namespace residua::test
