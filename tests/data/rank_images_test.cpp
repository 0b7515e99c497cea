#include "core/data/rank_images.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "tests/support/no_calls.h"
#include "tests/support/thread_ranks.h"

namespace residua::test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

void add(DataErrors& errors, const std::string& name) { errors.add(name, name + ": is bad"); }

TEST(MergeErrors, NamesEachImageOnceWhicheverRanksFoundIt) {
  run_ranks(3, [](Communicator& ranks) {
    DataErrors errors(100, 1.0, 100);
    const auto merge = [&] { return merge_errors(ranks, errors); };
    EXPECT_THAT(merge(), IsEmpty());
    constexpr std::array<const char*, 3> kFirst = {"b", "a", "b"};
    add(errors, kFirst[static_cast<size_t>(ranks.rank())]);
    EXPECT_THAT(merge(), ElementsAre("b: is bad", "a: is bad"));
    EXPECT_EQ(errors.count(), 2);
    // In the next epoch, each image falls to another rank.
    constexpr std::array<const char*, 3> kSecond = {"a", "b", "c"};
    add(errors, kSecond[static_cast<size_t>(ranks.rank())]);
    EXPECT_EQ(errors.has_new(), ranks.rank() == 2);
    EXPECT_THAT(merge(), ElementsAre("c: is bad"));
    EXPECT_THAT(merge(), IsEmpty());
    EXPECT_EQ(errors.count(), 3);
    EXPECT_EQ(errors.summary(), "  a: is bad\n  b: is bad\n  c: is bad\n");
  });
}

TEST(MergeErrors, TheLimitIsOnAllRanksTogether) {
  run_ranks(2, [](Communicator& ranks) {
    DataErrors errors(2, 1.0, 10);
    add(errors, ranks.leads() ? "a" : "b");
    EXPECT_EQ(merge_errors(ranks, errors).size(), 2U);
    add(errors, "b");
    EXPECT_THAT(merge_errors(ranks, errors), IsEmpty()) << "known on both";
    std::string told;
    try {
      if (!ranks.leads()) {
        EXPECT_THROW(add(errors, "c"), Error) << "a rank that has too many by itself does not wait for the others";
      }
      merge_errors(ranks, errors);
    } catch (const TooManyBadImages& error) {
      told = error.what();
    }
    EXPECT_EQ(told,
              "3 of 10 images cannot be read; wanted at most 2 (max-bad-images is 2, max-bad-share is 1):\n"
              "  a: is bad\n  b: is bad\n  c: is bad\n");
  });
}

// Names are bytes: these two are not UTF-8, and differ.
TEST(MergeErrors, KeepsNamesThatAreNoText) {
  run_ranks(2, [](Communicator& ranks) {
    DataErrors errors(100, 1.0, 100);
    const std::string own = ranks.leads() ? "caf\xe9" : "caf\xe8";
    add(errors, own);
    EXPECT_THAT(merge_errors(ranks, errors), ElementsAre("caf\xe9: is bad", "caf\xe8: is bad"));
    add(errors, own);
    EXPECT_FALSE(errors.has_new());
    EXPECT_EQ(errors.count(), 2);
  });
}

TEST(MergeErrors, OneRankAsksNoOther) {
  NoCalls alone(0, 1);
  DataErrors errors(1, 1.0, 10);
  EXPECT_THAT(merge_errors(alone, errors), IsEmpty());
  add(errors, "a");
  EXPECT_THAT(merge_errors(alone, errors), ElementsAre("a: is bad"));
  EXPECT_THAT(merge_errors(alone, errors), IsEmpty());
  EXPECT_THROW(add(errors, "b"), Error) << "at once";
}

}  // namespace
}  // namespace residua::test
