// The choice among plans, with a clock that the test winds.
#include "cuda/libraries/autotune.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/host_cuda/tuning_bench.h"

namespace residua::test {
namespace {

using namespace cuda;

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

TEST(Autotune, TakesTheFastestByItsMedian) {
  TuningBench bench;
  bench.milliseconds = {{"a", {2.0}}, {"b", {50.0, 1.4, 9.0, 1.0, 1.0, 0.01, 1.0, 9.0}}, {"c", {1.2}}};
  EXPECT_EQ(bench.tuned_from({"a", "b", "c"}), "b");
  EXPECT_EQ(bench.choice.name, "b");
  EXPECT_THAT(bench.choice.milliseconds, ElementsAre(Pair("a", 2.0), Pair("b", 1.0), Pair("c", 1.2)));
}

TEST(Autotune, TakesTheFirstOfEquals) {
  TuningBench bench;
  bench.milliseconds = {{"a", {1.0}}, {"b", {1.0}}};
  EXPECT_EQ(bench.tuned_from({"a", "b"}), "a");
}

TEST(Autotune, DoesNotTimeWhatTheCacheKnows) {
  TuningBench bench;
  bench.milliseconds = {{"a", {2.0}}, {"b", {1.0}}};
  bench.tuned_from({"a", "b"});
  bench.built.clear();
  bench.timings.clear();
  EXPECT_EQ(bench.tuned_from({"a", "b"}), "b");
  EXPECT_THAT(bench.timings, IsEmpty());
  EXPECT_THAT(bench.built, ElementsAre(Pair("b", 1))) << "only the chosen plan is built";
  EXPECT_EQ(bench.choice.milliseconds.size(), 2) << "the times are still there to be explained";
}

TEST(Autotune, TimesAnewWhatCanNoLongerBeBuilt) {
  TuningBench bench;
  bench.milliseconds = {{"a", {2.0}}, {"b", {1.0}}};
  bench.tuned_from({"a", "b"});
  EXPECT_EQ(bench.tuned_from({"a"}), "a") << "b is not among the candidates";
  bench.cache.put("key", {"b", {}});
  bench.milliseconds["b"] = {};
  EXPECT_EQ(bench.tuned_from({"a", "b"}), "a") << "b cannot be built";
  EXPECT_EQ(bench.cache.find("key")->name, "a");
}

TEST(Autotune, PassesOverWhatCannotBeBuiltOrRun) {
  TuningBench bench;
  bench.milliseconds = {{"absent", {}}, {"broken", {0.1}}, {"slow", {3.0}}};
  EXPECT_EQ(bench.tuned_from({"absent", "broken", "slow"}), "slow");
  EXPECT_THAT(bench.choice.milliseconds, ElementsAre(Pair("slow", 3.0)));
  EXPECT_EQ(bench.choice.rejection_reason, "broken: it does not run");
  TuningBench another;
  another.milliseconds = {{"slow", {3.0}}};
  EXPECT_EQ(another.tuned_from({"absent", "slow"}), "slow");
  EXPECT_EQ(another.choice.rejection_reason, "absent: absent is not supported");
}

TEST(Autotune, TimesAHopelessCandidateOnlyTwice) {
  TuningBench bench;
  bench.milliseconds = {{"good", {1.0}}, {"hopeless", {1.6}}, {"close", {1.4}}};
  bench.tuned_from({"good", "hopeless", "close"});
  EXPECT_EQ(bench.runs["hopeless"], 3) << "one to load, two by the clock";
  EXPECT_GT(bench.runs["close"], 4);
}

TEST(Autotune, DoesNotGiveUpAfterOneBadTiming) {
  TuningBench bench;
  bench.milliseconds = {{"slower", {1.2}}, {"best", {1.0, 9.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0}}};
  EXPECT_EQ(bench.tuned_from({"slower", "best"}), "best");
}

TEST(Autotune, IsNotFooledByADeviceThatIsSlowAtFirst) {
  TuningBench bench;
  bench.milliseconds = {{"good", std::vector<double>(200, 1.0)}, {"worse", {1.2}}};
  std::fill_n(bench.milliseconds["good"].begin(), 5, 3.0);
  EXPECT_EQ(bench.tuned_from({"good", "worse"}), "good");
}

TEST(Autotune, TimesInTurns) {
  TuningBench bench;
  bench.milliseconds = {{"a", {1.0}}, {"b", {1.1}}};
  std::string order;
  const Clock clock = [&, inner = bench.clock()](const std::function<void()>& work) {
    const double shown = inner(work);
    order += bench.last;
    return shown;
  };
  autotune<int>("key", bench.candidates({"a", "b"}), 0, current_stream({Device::Type::cuda, 0}), bench.cache, clock);
  EXPECT_THAT(order, ::testing::EndsWith("ababababababab"));
}

TEST(Autotune, ByRuleTakesTheFirstUsableWhateverClockAndCacheSay) {
  TuningBench bench;
  bench.milliseconds = {{"broken", {1.0}}, {"slow", {9.0}}, {"fast", {1.0}}};
  EXPECT_EQ(bench.tuned_from({"slow", "fast"}), "fast");
  bench.timings.clear();
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(bench.taken_by_rule_from({"absent", "broken", "slow", "fast"}), "slow");
    EXPECT_TRUE(bench.tuned) << "or the table would choose again";
  }
  EXPECT_THAT(bench.timings, IsEmpty());
  EXPECT_THAT(bench.choice.milliseconds, IsEmpty());
  EXPECT_EQ(bench.cache.find("key")->name, "fast") << "runs that may time keep their choice";
}

TEST(Autotune, ByRuleLackOfMemoryChangesNoChoice) {
  TuningBench bench;
  bench.milliseconds = {{"large", {1.0}}, {"small", {2.0}}};
  EXPECT_EQ(bench.tuned_from({"large", "small"}), "small");
  try {
    bench.taken_by_rule_from({"large", "small"});
    FAIL() << "something was chosen";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "key by large, the plan that a deterministic run needs: too large");
  }
}

TEST(Autotune, FailsWhereThereIsNoPlan) {
  TuningBench bench;
  bench.milliseconds = {{"broken", {1.0}}, {"worse", {1.0}}};
  try {
    bench.tuned_from({"absent", "broken", "worse"});
    FAIL() << "something was chosen";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "no usable plan for key among 3 candidates: the first that failed was broken: it does not run");
  }
}

TEST(Autotune, SaysWhyNothingCouldBeBuilt) {
  TuningBench bench;
  try {
    bench.tuned_from({"absent", "missing"});
    FAIL() << "something was chosen";
  } catch (const Error& error) {
    EXPECT_STREQ(
        error.what(),
        "no usable plan for key among 2 candidates: none could be built; the last was missing: missing is not supported");
  }
}

TEST(Autotune, PassesOverWhatFailsWhileItIsTimed) {
  TuningBench bench;
  bench.milliseconds = {{"fragile", {0.1}}, {"slow", {3.0}}};
  bench.fails_at_run = {{"fragile", 3}};
  EXPECT_EQ(bench.tuned_from({"fragile", "slow"}), "slow");
  EXPECT_THAT(bench.choice.milliseconds, ElementsAre(Pair("slow", 3.0)));
  EXPECT_EQ(bench.choice.rejection_reason, "fragile: it runs no more");
  TuningBench alone;
  alone.milliseconds = {{"fragile", {0.1}}};
  alone.fails_at_run = {{"fragile", 3}};
  EXPECT_THROW(alone.tuned_from({"fragile"}), Error);
}

TEST(Autotune, DoesNotTryWhatIsRejected) {
  TuningBench bench;
  bench.milliseconds = {{"bad", {1.0}}, {"good", {2.0}}};
  bench.cache.reject("key", "bad", "it did not come back");
  bench.cache.reject("another key", "good", "it did not come back");
  EXPECT_EQ(bench.tuned_from({"bad", "good"}), "good");
  EXPECT_EQ(bench.built["bad"] + bench.runs["bad"], 0);
  EXPECT_EQ(bench.choice.rejection_reason, "bad: it did not come back");
}

TEST(Autotune, DoesNotTakeARejectedPlanFromTheCache) {
  TuningBench bench;
  bench.milliseconds = {{"bad", {1.0}}, {"good", {2.0}}};
  bench.cache.put("key", {"bad", {}});
  bench.cache.reject("key", "bad", "it did not come back");
  EXPECT_EQ(bench.tuned_from({"bad", "good"}), "good");
  EXPECT_EQ(bench.built["bad"], 0);
  EXPECT_EQ(bench.cache.find("key")->name, "good");
}

TEST(Autotune, TriesWhatIsRejectedWhereNothingElseCanBeUsed) {
  TuningBench bench;
  bench.milliseconds = {{"absent", {}}, {"bad", {1.0}}};
  bench.cache.reject("key", "bad", "it did not come back");
  EXPECT_EQ(bench.tuned_from({"absent", "bad"}), "bad");
}

TEST(Autotune, RejectsWhatADeviceFaultIsOf) {
  TuningBench bench;
  bench.milliseconds = {{"faulty", {1.0}}, {"good", {2.0}}};
  EXPECT_THROW(bench.tuned_from({"faulty", "good"}), DeviceFault);
  EXPECT_EQ(bench.cache.rejection_reason("key", "faulty"), "illegal address");
  EXPECT_EQ(bench.cache.rejection_reason("key", "good"), "");
  EXPECT_EQ(bench.tuned_from({"faulty", "good"}), "good") << "the next process";
}

TEST(Autotune, RejectsThePlanThatAFaultyOneIsComposedOf) {
  TuningBench inner;
  inner.milliseconds = {{"faulty", {1.0}}};
  const std::vector<Candidate<int>> outer = {
      {"composed", [&]() -> Plan<int> { return [&](const int&, Stream&) { inner.tuned_from({"faulty"}); }; }}};
  try {
    autotune<int>("outer", outer, 0, current_stream({Device::Type::cuda, 0}), inner.cache, inner.clock());
    FAIL() << "something was chosen";
  } catch (const DeviceFault& fault) {
    EXPECT_STREQ(fault.what(), "outer by composed: key by faulty: illegal address");
  }
  EXPECT_EQ(inner.cache.rejection_reason("key", "faulty"), "illegal address");
  EXPECT_EQ(inner.cache.rejection_reason("outer", "composed"), "");
}

TEST(Autotune, LeavesThingsAsTheyAreWhereNothingCanBeTuned) {
  EXPECT_TRUE(autotuned_or(false, "x", [] { return true; }));
  EXPECT_FALSE(autotuned_or(false, "x", []() -> bool { throw OutOfMemory("out of memory"); }));
  EXPECT_TRUE(autotuned_or(true, "x", []() -> bool { throw Error("no usable plan"); }));
  EXPECT_THROW(autotuned_or(true, "x", []() -> bool { throw DeviceFault("illegal address"); }), DeviceFault);
}

TEST(Autotune, EndsAtAFaultAndNamesItsCandidate) {
  TuningBench bench;
  bench.milliseconds = {{"good", {1.0}}, {"faulty", {1.0}}, {"next", {1.0}}};
  try {
    bench.tuned_from({"good", "faulty", "next"});
    FAIL() << "something was chosen";
  } catch (const DeviceFault& fault) {
    EXPECT_STREQ(fault.what(), "key by faulty: illegal address");
  }
  EXPECT_EQ(bench.runs["next"], 0) << "on a device that is lost";
}

}  // namespace
}  // namespace residua::test
