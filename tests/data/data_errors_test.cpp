#include "core/data/data_errors.h"

#include <gtest/gtest.h>

#include "core/base/error.h"

namespace residua::test {
namespace {

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
  EXPECT_TRUE(errors.take_new().empty());
  failure_of(errors, "b");
  failure_of(errors, "a");
  EXPECT_EQ(errors.take_new(), (std::vector<std::string>{"b: is bad", "a: is bad"}));
  failure_of(errors, "b");
  EXPECT_TRUE(errors.take_new().empty());
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
