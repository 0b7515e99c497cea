// The choice among ways to run one thing, with a clock that the test winds.
#include "cuda/libraries/choose.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "core/device/device_api.h"

namespace residua::test {
namespace {

using namespace cuda;

using ::testing::ElementsAre;
using ::testing::Pair;

/// Candidates that note what happens to them; the clock shows what was set for the one that ran last.
class Bench {
 public:
  std::vector<Candidate<int>> candidates(const std::vector<std::string>& names) {
    std::vector<Candidate<int>> all;
    for (const std::string& name : names) {
      all.push_back({name, [this, name]() -> Way<int> {
                       ++built[name];
                       if (milliseconds[name].empty()) {
                         throw Error(name + " is not supported");
                       }
                       return [this, name](const int&, Stream&) {
                         ++runs[name];
                         last = name;
                         if (fails_at_run.contains(name) && runs[name] == fails_at_run[name]) {
                           throw Error("it runs no more");
                         }
                         if (name == "broken") {
                           throw Error("it does not run");
                         }
                         if (name == "worse") {
                           throw Error("it does not run either");
                         }
                         if (name == "faulty") {
                           throw DeviceFault("illegal address");
                         }
                       };
                     }});
    }
    return all;
  }

  std::string choose_from(const std::vector<std::string>& names) {
    const Way<int> way =
        choose<int>("key", candidates(names), 0, current_stream({Device::Type::cuda, 0}), cache, clock(), choice);
    way(0, current_stream({Device::Type::cuda, 0}));
    return last;
  }

  Clock clock() {
    return [this](const std::function<void()>& work) {
      work();
      const std::vector<double>& shown = milliseconds[last];
      return shown[static_cast<size_t>(timings[last]++) % shown.size()];
    };
  }

  std::map<std::string, std::vector<double>> milliseconds;  // of successive runs, the first to load; none: cannot be built
  std::map<std::string, int> built, runs, timings;
  std::map<std::string, int> fails_at_run;
  std::string last;
  PlanCache cache{"", "device"};
  Choice choice;
};

TEST(Choose, TakesTheFastestByItsMedian) {
  Bench bench;
  bench.milliseconds = {{"a", {2.0}}, {"b", {50.0, 1.4, 9.0, 1.0, 1.0, 0.01, 1.0, 9.0}}, {"c", {1.2}}};
  EXPECT_EQ(bench.choose_from({"a", "b", "c"}), "b");
  EXPECT_EQ(bench.choice.name, "b");
  EXPECT_THAT(bench.choice.milliseconds, ElementsAre(Pair("a", 2.0), Pair("b", 1.0), Pair("c", 1.2)));
}

TEST(Choose, TakesTheFirstOfEquals) {
  Bench bench;
  bench.milliseconds = {{"a", {1.0}}, {"b", {1.0}}};
  EXPECT_EQ(bench.choose_from({"a", "b"}), "a");
}

TEST(Choose, DoesNotTimeWhatTheCacheKnows) {
  Bench bench;
  bench.milliseconds = {{"a", {2.0}}, {"b", {1.0}}};
  bench.choose_from({"a", "b"});
  bench.built.clear();
  bench.timings.clear();
  EXPECT_EQ(bench.choose_from({"a", "b"}), "b");
  EXPECT_THAT(bench.timings, ::testing::IsEmpty());
  EXPECT_THAT(bench.built, ElementsAre(Pair("b", 1))) << "only the chosen way is built";
  EXPECT_EQ(bench.choice.milliseconds.size(), 2) << "the times are still there to be explained";
}

TEST(Choose, TimesAnewWhatCanNoLongerBeBuilt) {
  Bench bench;
  bench.milliseconds = {{"a", {2.0}}, {"b", {1.0}}};
  bench.choose_from({"a", "b"});
  EXPECT_EQ(bench.choose_from({"a"}), "a") << "b is not among the candidates";
  bench.cache.put("key", {"b", {}});
  bench.milliseconds["b"] = {};
  EXPECT_EQ(bench.choose_from({"a", "b"}), "a") << "b cannot be built";
  EXPECT_EQ(bench.cache.find("key")->name, "a");
}

TEST(Choose, PassesOverWhatCannotBeBuiltOrRun) {
  Bench bench;
  bench.milliseconds = {{"absent", {}}, {"broken", {0.1}}, {"slow", {3.0}}};
  EXPECT_EQ(bench.choose_from({"absent", "broken", "slow"}), "slow");
  EXPECT_THAT(bench.choice.milliseconds, ElementsAre(Pair("slow", 3.0)));
  EXPECT_EQ(bench.choice.refusal, "broken: it does not run");
  Bench another;
  another.milliseconds = {{"slow", {3.0}}};
  EXPECT_EQ(another.choose_from({"absent", "slow"}), "slow");
  EXPECT_EQ(another.choice.refusal, "absent: absent is not supported");
}

TEST(Choose, TimesAHopelessCandidateOnlyTwice) {
  Bench bench;
  bench.milliseconds = {{"good", {1.0}}, {"hopeless", {1.6}}, {"close", {1.4}}};
  bench.choose_from({"good", "hopeless", "close"});
  EXPECT_EQ(bench.runs["hopeless"], 3) << "one to load, two by the clock";
  EXPECT_GT(bench.runs["close"], 4);
}

TEST(Choose, DoesNotGiveUpAfterOneBadTiming) {
  Bench bench;
  bench.milliseconds = {{"slower", {1.2}}, {"best", {1.0, 9.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0}}};
  EXPECT_EQ(bench.choose_from({"slower", "best"}), "best");
}

TEST(Choose, IsNotFooledByADeviceThatIsSlowAtFirst) {
  Bench bench;
  bench.milliseconds = {{"good", std::vector<double>(200, 1.0)}, {"worse", {1.2}}};
  std::fill_n(bench.milliseconds["good"].begin(), 5, 3.0);
  EXPECT_EQ(bench.choose_from({"good", "worse"}), "good");
}

TEST(Choose, TimesInTurns) {
  Bench bench;
  bench.milliseconds = {{"a", {1.0}}, {"b", {1.1}}};
  std::string order;
  const Clock clock = [&, inner = bench.clock()](const std::function<void()>& work) {
    const double shown = inner(work);
    order += bench.last;
    return shown;
  };
  choose<int>("key", bench.candidates({"a", "b"}), 0, current_stream({Device::Type::cuda, 0}), bench.cache, clock,
              bench.choice);
  EXPECT_THAT(order, ::testing::EndsWith("ababababababab"));
}

TEST(Choose, FailsWhereThereIsNoWay) {
  Bench bench;
  bench.milliseconds = {{"broken", {1.0}}, {"worse", {1.0}}};
  try {
    bench.choose_from({"absent", "broken", "worse"});
    FAIL() << "something was chosen";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "there is no way to run key: of 3 candidates the first that failed was broken: it does not run");
  }
}

TEST(Choose, SaysWhyNothingCouldBeBuilt) {
  Bench bench;
  try {
    bench.choose_from({"absent", "missing"});
    FAIL() << "something was chosen";
  } catch (const Error& error) {
    EXPECT_STREQ(
        error.what(),
        "there is no way to run key: of 2 candidates none could be built; the last was missing: missing is not supported");
  }
}

TEST(Choose, PassesOverWhatFailsWhileItIsTimed) {
  Bench bench;
  bench.milliseconds = {{"fragile", {0.1}}, {"slow", {3.0}}};
  bench.fails_at_run = {{"fragile", 3}};
  EXPECT_EQ(bench.choose_from({"fragile", "slow"}), "slow");
  EXPECT_THAT(bench.choice.milliseconds, ElementsAre(Pair("slow", 3.0)));
  EXPECT_EQ(bench.choice.refusal, "fragile: it runs no more");
  Bench alone;
  alone.milliseconds = {{"fragile", {0.1}}};
  alone.fails_at_run = {{"fragile", 3}};
  EXPECT_THROW(alone.choose_from({"fragile"}), Error);
}

TEST(Choose, DoesNotTryWhatIsRejected) {
  Bench bench;
  bench.milliseconds = {{"bad", {1.0}}, {"good", {2.0}}};
  bench.cache.reject("key", "bad", "it did not come back");
  bench.cache.reject("another key", "good", "it did not come back");
  EXPECT_EQ(bench.choose_from({"bad", "good"}), "good");
  EXPECT_EQ(bench.built["bad"] + bench.runs["bad"], 0);
  EXPECT_EQ(bench.choice.refusal, "bad: it did not come back");
}

TEST(Choose, DoesNotTakeARejectedPlanFromTheCache) {
  Bench bench;
  bench.milliseconds = {{"bad", {1.0}}, {"good", {2.0}}};
  bench.cache.put("key", {"bad", {}});
  bench.cache.reject("key", "bad", "it did not come back");
  EXPECT_EQ(bench.choose_from({"bad", "good"}), "good");
  EXPECT_EQ(bench.built["bad"], 0);
  EXPECT_EQ(bench.cache.find("key")->name, "good");
}

TEST(Choose, TriesWhatIsRejectedWhereNothingElseCanBeUsed) {
  Bench bench;
  bench.milliseconds = {{"absent", {}}, {"bad", {1.0}}};
  bench.cache.reject("key", "bad", "it did not come back");
  EXPECT_EQ(bench.choose_from({"absent", "bad"}), "bad");
}

TEST(Choose, RejectsWhatADeviceFaultIsOf) {
  Bench bench;
  bench.milliseconds = {{"faulty", {1.0}}, {"good", {2.0}}};
  EXPECT_THROW(bench.choose_from({"faulty", "good"}), DeviceFault);
  EXPECT_EQ(bench.cache.rejection_reason("key", "faulty"), "illegal address");
  EXPECT_EQ(bench.cache.rejection_reason("key", "good"), "");
  EXPECT_EQ(bench.choose_from({"faulty", "good"}), "good") << "the next process";
}

TEST(Choose, RejectsThePlanThatAFaultyWayIsComposedOf) {
  Bench inner;
  inner.milliseconds = {{"faulty", {1.0}}};
  Choice choice;
  const std::vector<Candidate<int>> outer = {
      {"composed", [&]() -> Way<int> { return [&](const int&, Stream&) { inner.choose_from({"faulty"}); }; }}};
  try {
    choose<int>("outer", outer, 0, current_stream({Device::Type::cuda, 0}), inner.cache, inner.clock(), choice);
    FAIL() << "something was chosen";
  } catch (const DeviceFault& fault) {
    EXPECT_STREQ(fault.what(), "outer by composed: key by faulty: illegal address");
  }
  EXPECT_EQ(inner.cache.rejection_reason("key", "faulty"), "illegal address");
  EXPECT_EQ(inner.cache.rejection_reason("outer", "composed"), "");
}

TEST(Choose, LeavesThingsAsTheyAreWhereNothingCanBeTuned) {
  EXPECT_TRUE(autotuned_or(false, "x", [] { return true; }));
  EXPECT_FALSE(autotuned_or(false, "x", []() -> bool { throw OutOfMemory("out of memory"); }));
  EXPECT_TRUE(autotuned_or(true, "x", []() -> bool { throw Error("there is no way"); }));
  EXPECT_THROW(autotuned_or(true, "x", []() -> bool { throw DeviceFault("illegal address"); }), DeviceFault);
}

TEST(Choose, EndsAtAFaultAndNamesItsCandidate) {
  Bench bench;
  bench.milliseconds = {{"good", {1.0}}, {"faulty", {1.0}}, {"next", {1.0}}};
  try {
    bench.choose_from({"good", "faulty", "next"});
    FAIL() << "something was chosen";
  } catch (const DeviceFault& fault) {
    EXPECT_STREQ(fault.what(), "key by faulty: illegal address");
  }
  EXPECT_EQ(bench.runs["next"], 0) << "on a device that is lost";
}

}  // namespace
}  // namespace residua::test
