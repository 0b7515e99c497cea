#include "tools/cli/run_program.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <utility>

#include "tests/support/warning_log.h"
#include "tools/cli/run_app.h"

namespace residua::test {
namespace {

/// The exit code of a program and what it prints to stderr.
std::pair<int, std::string> outcome(const std::function<int()>& program) {
  const WarningLog warnings;  // restores where warnings go
  testing::internal::CaptureStderr();
  const int code = program();
  return {code, testing::internal::GetCapturedStderr()};
}

using Outcome = std::pair<int, std::string>;

TEST(RunProgram, AnErrorIsALineAndAnExitCode) {
  const auto run = [](const std::function<int()>& action) {
    return outcome(
        [&] { return run_program("program", action, [](const UsageError& error) { return "worded " + error.setting(); }); });
  };
  EXPECT_EQ(run([] { return 7; }), Outcome(7, ""));
  EXPECT_EQ(run([]() -> int { fail_setting("depth", "x", "a number"); }), Outcome(2, "worded depth\n"));
  EXPECT_EQ(run([]() -> int { fail("no disk"); }), Outcome(1, "program: no disk\n"));
  EXPECT_EQ(run([]() -> int { throw std::runtime_error("no luck"); }), Outcome(1, "program: no luck\n"));
}

TEST(RunApp, AWrongFlagIsAWrongCall) {
  const auto run = [](std::vector<const char*> words, const std::function<int()>& action) {
    return outcome([&] {
      CLI::App app("An app.", "app");
      words.insert(words.begin(), "app");
      return run_app(app, static_cast<int>(words.size()), words.data(), action);
    });
  };
  EXPECT_EQ(run({}, [] { return 0; }), Outcome(0, ""));
  EXPECT_EQ(run({"--no-such-flag"}, [] { return 0; }),
            Outcome(2, "app: The following argument was not expected: --no-such-flag; see app --help\n"));
  EXPECT_EQ(run({}, []() -> int { fail_setting("depth", "x", "a number"); }),
            Outcome(2, "app: --depth: got 'x', wanted a number\n"));
  EXPECT_EQ(run({}, []() -> int { fail_usage("nothing to do"); }), Outcome(2, "app: nothing to do\n"));
  EXPECT_EQ(run({}, []() -> int { fail("no disk"); }), Outcome(1, "app: no disk\n"));
}

}  // namespace
}  // namespace residua::test
