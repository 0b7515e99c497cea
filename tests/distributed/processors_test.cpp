#include "core/distributed/processors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <numeric>
#include <string>
#include <vector>

namespace residua::test {
namespace {

using testing::AllOf;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;

/// A rank that may use `count` processors from `first` on, of the 16 that its launcher may.
Affinity bound(int first, int count, const std::string& host = "node1") {
  std::vector<int> processors(static_cast<size_t>(count));
  std::iota(processors.begin(), processors.end(), first);
  return {.host = host, .processors = processors, .of_launcher = 16};
}

TEST(DivideProcessors, RanksBoundToTheirOwnUseThem) {
  EXPECT_THAT(divide_processors({bound(0, 1), bound(1, 1)}), ElementsAre(1, 1));
  EXPECT_THAT(divide_processors({bound(0, 6), bound(6, 2)}), ElementsAre(6, 2));
}

TEST(DivideProcessors, TwoRanksOfASocketDivideIt) {
  EXPECT_THAT(divide_processors({bound(0, 8), bound(8, 8), bound(0, 8), bound(8, 8)}), ElementsAre(4, 4, 4, 4));
  EXPECT_THAT(divide_processors({bound(0, 8), bound(0, 8), bound(8, 8)}), ElementsAre(4, 4, 8));
}

TEST(DivideProcessors, RanksOfAContainerDivideItsProcessors) {
  EXPECT_THAT(divide_processors({bound(2, 4), bound(2, 4)}), ElementsAre(2, 2));
  EXPECT_THAT(divide_processors({bound(2, 4), bound(2, 4), bound(2, 4)}), Each(1));
  EXPECT_THAT(divide_processors(std::vector<Affinity>(6, bound(0, 4))), Each(1)) << "more ranks than processors";
}

TEST(DivideProcessors, UnboundRanksDivideTheMachine) {
  EXPECT_THAT(divide_processors({bound(0, 16), bound(0, 16)}), ElementsAre(8, 8));
  EXPECT_THAT(divide_processors(std::vector<Affinity>(3, bound(0, 6))), Each(2)) << "six thirds";
  EXPECT_THAT(divide_processors({bound(0, 16)}), ElementsAre(16));
}

TEST(DivideProcessors, EachMachineIsDividedAmongItsOwnRanks) {
  EXPECT_THAT(divide_processors({bound(0, 8, "a"), bound(0, 8, "b"), bound(0, 8, "a")}), ElementsAre(4, 8, 4));
}

TEST(DivideProcessors, RanksThatOverlapDivideWhatBothMayUse) {
  EXPECT_THAT(divide_processors({bound(0, 8), bound(4, 8)}), ElementsAre(6, 6));
}

TEST(DivideProcessors, ARankOfUnknownProcessorsHasOne) { EXPECT_THAT(divide_processors({Affinity{}}), ElementsAre(1)); }

TEST(NoteOnBinding, NamesARankThatIsBoundToLessThanItsPart) {
  const std::string note = note_on_binding({bound(0, 1), bound(1, 1)});
  EXPECT_THAT(note, AllOf(HasSubstr("rank 0 of 2 is bound to 1 of the 16 processors of node1, which has 8 for each"),
                          HasSubstr("--bind-to none")));
  EXPECT_THAT(note_on_binding({bound(0, 8), bound(8, 2)}), HasSubstr("rank 1 of 2 is bound to 2"));
  EXPECT_THAT(note_on_binding({bound(0, 2)}), HasSubstr("rank 0 of 1")) << "a core with two threads";
}

TEST(NoteOnBinding, IsEmptyIfTheRanksUseTheirMachine) {
  EXPECT_EQ(note_on_binding({bound(0, 8), bound(0, 8), bound(8, 8), bound(8, 8)}), "");
  EXPECT_EQ(note_on_binding({bound(0, 16), bound(0, 16)}), "");
  EXPECT_EQ(note_on_binding({bound(0, 6), bound(6, 6)}), "") << "more than half of the part";
  EXPECT_EQ(note_on_binding(std::vector<Affinity>(16, bound(0, 16))), "");
  EXPECT_EQ(note_on_binding({Affinity{.host = "a", .processors = {0}, .of_launcher = 0}}), "") << "unknown";
}

TEST(ProcessorsOfRank, OneProcessUsesAllThatItMay) {
  OneProcess alone;
  const int64_t count = processors_of_rank(alone).count;
  EXPECT_GE(count, 1);
  EXPECT_LE(count, ::sysconf(_SC_NPROCESSORS_ONLN));
}

}  // namespace
}  // namespace residua::test
