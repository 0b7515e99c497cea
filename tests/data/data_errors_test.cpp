#include "core/data/data_errors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"

namespace residua::test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::string failure_of(DataErrors& errors, const std::string& name) {
  try {
    errors.add(name, name + ": is bad");
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(DataErrors, CountEachImageOnce) {
  DataErrors errors(2, 1.0, 10);
  EXPECT_EQ(errors.summary(), "");
  EXPECT_EQ(failure_of(errors, "b"), "");
  EXPECT_EQ(failure_of(errors, "a"), "");
  EXPECT_EQ(failure_of(errors, "b"), "");
  EXPECT_EQ(errors.count(), 2);
  EXPECT_EQ(errors.summary(), "  a: is bad\n  b: is bad\n");
}

TEST(DataErrors, TellWhatIsNewOnce) {
  DataErrors errors(9, 1.0, 10);
  EXPECT_FALSE(errors.has_new());
  EXPECT_THAT(errors.take_new(), IsEmpty());
  failure_of(errors, "b");
  failure_of(errors, "a");
  EXPECT_TRUE(errors.has_new());
  EXPECT_THAT(errors.take_new(), ElementsAre(BadImage{"b", "b: is bad"}, BadImage{"a", "a: is bad"}));
  EXPECT_FALSE(errors.has_new());
  failure_of(errors, "b");
  EXPECT_THAT(errors.take_new(), IsEmpty());
  EXPECT_EQ(errors.count(), 2);
}

TEST(DataErrors, FailAlikeForEveryoneOnceThereAreTooMany) {
  DataErrors errors(1, 1.0, 10);
  EXPECT_EQ(failure_of(errors, "a"), "");
  const std::string first = failure_of(errors, "b");
  EXPECT_EQ(
      first,
      "2 of 10 images cannot be read; wanted at most 1 (max-bad-images is 1, max-bad-share is 1):\n  a: is bad\n  b: is bad\n");
  EXPECT_EQ(failure_of(errors, "c"), first) << "as from another worker, before it hears that the epoch has failed";
  EXPECT_EQ(failure_of(errors, "a"), first);
  EXPECT_EQ(errors.count(), 2);
}

TEST(DataErrors, OfSeveralProcessesAreMergedByName) {
  DataErrors errors(3, 1.0, 10);
  failure_of(errors, "b");
  EXPECT_THAT(errors.merge({{"a", "a: is bad"}, {"b", "b: is bad"}, {"a", "a: is worse"}}),
              ElementsAre("a: is bad", "b: is bad"));
  EXPECT_THAT(errors.merge({{"b", "b: is bad"}, {"a", "a: is worse"}}), IsEmpty());
  failure_of(errors, "a");
  EXPECT_EQ(errors.count(), 2);
  EXPECT_EQ(errors.summary(), "  a: is bad\n  b: is bad\n");
}

// All have merged the same list, and each has found something since: whether they fail depends on the list alone.
TEST(DataErrors, MergedAboveTheLimitFailAlikeInEachProcess) {
  std::vector<std::string> told;
  for (const char* since : {"d", "e"}) {
    DataErrors errors(2, 1.0, 10);
    errors.merge({{"a", "a: is bad"}});
    EXPECT_EQ(failure_of(errors, since), "");
    EXPECT_THAT(errors.merge({{"b", "b: is bad"}}), ElementsAre("b: is bad")) << "the third one is not known to all";
    try {
      errors.merge({{"c", "c: is bad"}});
    } catch (const TooManyBadImages& error) {
      told.emplace_back(error.what());
    }
  }
  const std::string want =
      "3 of 10 images cannot be read; wanted at most 2 (max-bad-images is 2, max-bad-share is 1):\n  a: is bad\n  b: is bad\n"
      "  c: is bad\n";
  EXPECT_THAT(told, ElementsAre(want, want));
}

TEST(DataErrors, AnImageBeyondThoseMergedFailsAtOnce) {
  DataErrors errors(1, 1.0, 10);
  errors.merge({{"a", "a: is bad"}});
  EXPECT_THAT(failure_of(errors, "b"), testing::HasSubstr("2 of 10 images cannot be read; wanted at most 1"));
}

TEST(DataErrors, NoneMayBeAllowed) {
  DataErrors errors(0, 1.0, 10);
  EXPECT_NE(failure_of(errors, "a"), "");
}

TEST(DataErrors, AreLimitedToAShareOfTheImagesToo) {
  DataErrors errors(100, 0.25, 11);
  EXPECT_EQ(failure_of(errors, "a"), "");
  EXPECT_EQ(failure_of(errors, "b"), "");
  EXPECT_NE(failure_of(errors, "c").find("3 of 11 images cannot be read; wanted at most 2"), std::string::npos);
}

}  // namespace
}  // namespace residua::test
