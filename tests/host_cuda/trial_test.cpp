// A process that does not come back from a plan: real ones, which die while they try one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <filesystem>

#include "core/device/device_api.h"
#include "cuda/libraries/autotune.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test_file_system.h"
#include "tests/support/warning_log.h"

namespace residua::test {
namespace {

using namespace cuda;

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

constexpr const char* kDevice = "GPU 1";

/// A plan that does `on_build` when it is built, and `on_run` at each run.
Candidate<int> plan(const std::string& name, std::function<void()> on_build, std::function<void()> on_run) {
  return {name, [=]() -> Plan<int> {
            on_build();
            return [=](const int&, Stream&) { on_run(); };
          }};
}

void nothing() {}

Candidate<int> good() { return plan("good", nothing, nothing); }

std::string autotuned(PlanCache& cache, const std::vector<Candidate<int>>& candidates, const std::string& key = "key") {
  const Clock clock = [](const std::function<void()>& work) {
    work();
    return 1.0;
  };
  return autotune<int>(key, candidates, 0, current_stream({Device::Type::cuda, 0}), cache, clock).choice.name;
}

/// Runs `work` in a process of its own; its status as waitpid gives it.
int status_of_process(const std::function<void()>& work) {
  const pid_t child = ::fork();
  if (child == 0) {
    work();
    ::_exit(0);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return status;
}

std::vector<std::string> files_of_trials(const TemporaryFolder& folder) {
  std::vector<std::string> found;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    if (entry.path().filename().string().find(".trying-") != std::string::npos) {
      found.push_back(entry.path().string());
    }
  }
  return found;
}

[[noreturn]] void die() { ::_exit(17); }

struct Death {
  const char* name;
  Candidate<int> (*candidate)();
};
// NOLINTNEXTLINE(readability-identifier-naming): GoogleTest's name
void PrintTo(const Death& death, std::ostream* out) { *out << death.name; }

class TrialThatKills : public ::testing::TestWithParam<Death> {};

TEST_P(TrialThatKills, IsRejectedByTheNextProcess) {
  const TemporaryFolder folder;
  const std::string path = folder / "cache/plans.json";
  const int status = status_of_process([&] {
    PlanCache cache(path, kDevice);
    autotuned(cache, {good(), GetParam().candidate()});
  });
  ASSERT_FALSE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "the candidate was to kill it";

  std::string said;
  {
    const WarningLog log;
    PlanCache cache(path, kDevice);
    said = log.text();
    ASSERT_NE(cache.rejection_reason("key", "bad"), "") << "or it would kill this process too";
    EXPECT_EQ(autotuned(cache, {GetParam().candidate(), good()}), "good") << "this process lives";
    cache.save();
  }
  EXPECT_THAT(said, AllOf(HasSubstr("key: plan bad is not tried again"), HasSubstr(path)));

  const WarningLog log;
  PlanCache third(path, kDevice);
  EXPECT_EQ(log.text(), "") << "it is said once";
  EXPECT_THAT(third.rejection_reason("key", "bad"), HasSubstr("died while it tried this plan"));
  EXPECT_EQ(third.rejection_reason("key", "good"), "");
  EXPECT_EQ(third.find("key")->name, "good");
  EXPECT_EQ(PlanCache(path, "GPU 2").rejection_reason("key", "bad"), "") << "of another device";
}

int runs = 0;

INSTANTIATE_TEST_SUITE_P(All, TrialThatKills,
                         ::testing::Values(Death{"WhenItIsBuilt", [] { return plan("bad", die, nothing); }},
                                           Death{"WhenItIsRun", [] { return plan("bad", nothing, die); }},
                                           Death{"BySignal", [] { return plan("bad", nothing, [] { ::raise(SIGKILL); }); }},
                                           Death{"WhenItIsTimed",
                                                 [] { return plan("bad", nothing, [] { ++runs == 3 ? die() : nothing(); }); }}),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(Trial, IsOnDiskBeforeThePlanIsBuilt) {
  const TemporaryFolder folder;
  std::string during;
  PlanCache cache(folder / "plans.json", kDevice);
  autotuned(cache, {plan(
                       "a plan", [&] { during = read_bytes(files_of_trials(folder).at(0)); }, nothing)});
  EXPECT_THAT(during, AllOf(HasSubstr("a plan"), HasSubstr("key"), HasSubstr(kDevice)));
  cache.save();
  EXPECT_THAT(files_of_trials(folder), IsEmpty()) << "the pass has ended";
}

TEST(Trial, IsDurableBeforeThePlanIsBuilt) {
  const TemporaryFolder folder;
  TestFileSystem files;
  const ScopedFileSystem in_force(files);
  PlanCache cache(folder / "plans.json", kDevice);
  std::vector<std::string> before;
  autotuned(cache, {plan(
                       "a plan", [&] { before = files.operations(); }, nothing)});
  ASSERT_GE(before.size(), 6U);
  before.erase(before.begin(), before.end() - 6);
  EXPECT_THAT(before, ElementsAre("open " + std::filesystem::path(folder.path()).filename().string(), "sync", "close", "close",
                                  StartsWith("write "), "sync"))
      << "the file's name, then its line";
}

TEST(Trial, WhoseFileFailsAnywhereCostsTheRecordOnly) {
  int64_t operations = 0;
  for (int64_t at = -1; at < operations; ++at) {
    SCOPED_TRACE(at);
    const TemporaryFolder folder;
    TestFileSystem files(at < 0 ? TestFileSystem::Fault::none : TestFileSystem::Fault::fail, at, ENOSPC);
    const ScopedFileSystem in_force(files);
    const WarningLog log;
    PlanCache cache(folder / "plans.json", kDevice);
    EXPECT_EQ(autotuned(cache, {good()}), "good");
    if (at < 0) {
      operations = static_cast<int64_t>(files.operations().size());
      EXPECT_GE(operations, 15) << "or little is tried here";
      EXPECT_EQ(log.text(), "");
    } else if (!log.text().empty()) {
      EXPECT_THAT(log.text(), AllOf(HasSubstr("plans are not saved to disk"), HasSubstr("No space left")))
          << files.operations().at(static_cast<size_t>(at));
    } else {
      EXPECT_EQ(files.operations().at(static_cast<size_t>(at)), "close") << "which loses nothing";
    }
    EXPECT_EQ(cache.find("key")->name, "good");
  }
}

TEST(Trial, IsOfTheInnermostPlan) {
  const TemporaryFolder folder;
  const std::string path = folder / "plans.json";
  for (const bool dies_inside : {true, false}) {
    status_of_process([&] {
      PlanCache cache(path, kDevice);
      autotuned(cache,
                {plan("composed", nothing,
                      [&] {
                        autotuned(cache, {plan("part", nothing, [&] { dies_inside ? die() : nothing(); })}, "inner");
                        die();
                      })},
                "outer");
    });
    PlanCache cache(path, kDevice);
    EXPECT_EQ(cache.rejection_reason("inner", "part").empty(), !dies_inside);
    EXPECT_EQ(cache.rejection_reason("outer", "composed").empty(), dies_inside);
    std::filesystem::remove(path);
  }
}

TEST(Trial, OfAProcessThatLivesIsNotTakenForADeath) {
  const TemporaryFolder folder;
  const std::string path = folder / "plans.json";
  int begun[2], end[2];
  ASSERT_EQ(::pipe(begun), 0);
  ASSERT_EQ(::pipe(end), 0);
  const pid_t other = ::fork();
  if (other == 0) {
    PlanCache cache(path, kDevice);
    autotuned(cache, {plan("slow", nothing, [&] {
                char byte = 0;
                static_cast<void>(::write(begun[1], &byte, 1));
                static_cast<void>(::read(end[0], &byte, 1));
              })});
    ::_exit(0);
  }
  char byte = 0;
  ASSERT_EQ(::read(begun[0], &byte, 1), 1);
  {
    PlanCache cache(path, kDevice);
    EXPECT_EQ(cache.rejection_reason("key", "slow"), "");
    EXPECT_EQ(autotuned(cache, {good()}), "good") << "two may try at a time";
    EXPECT_EQ(files_of_trials(folder).size(), 2);
    cache.save();
    EXPECT_EQ(files_of_trials(folder).size(), 1) << "each has its own file";
  }
  ::kill(other, SIGKILL);
  ASSERT_EQ(::waitpid(other, nullptr, 0), other);
  EXPECT_NE(PlanCache(path, kDevice).rejection_reason("key", "slow"), "") << "now it is dead";
  EXPECT_THAT(files_of_trials(folder), IsEmpty());
  for (const int descriptor : {begun[0], begun[1], end[0], end[1]}) {
    ::close(descriptor);
  }
}

TEST(Trial, ThatFailsIsNotRejected) {
  const TemporaryFolder folder;
  const std::string path = folder / "plans.json";
  const auto fails = [] { throw Error("it is not supported"); };
  status_of_process([&] {
    PlanCache cache(path, kDevice);
    autotuned(cache, {plan("unbuilt", fails, nothing), plan("broken", nothing, fails), good()});
    die();  // between trials
  });
  const WarningLog log;
  PlanCache cache(path, kDevice);
  EXPECT_EQ(log.text(), "");
  EXPECT_EQ(cache.rejection_reason("key", "unbuilt") + cache.rejection_reason("key", "broken"), "");
  EXPECT_THAT(files_of_trials(folder), IsEmpty());
}

TEST(Trial, ThatCannotBeReadIsNoTrial) {
  for (const char* content : {"", "\n", "{", "17\n", "{}\n", "{\"plan\": 3}\n", "\xff\xfe\n"}) {
    const TemporaryFolder folder;
    write_bytes(folder / "plans.json.trying-abcdef", content);
    PlanCache cache(folder / "plans.json", kDevice);
    EXPECT_EQ(autotuned(cache, {good()}), "good") << content;
    cache.save();
    EXPECT_THAT(files_of_trials(folder), IsEmpty());
  }
}

}  // namespace
}  // namespace residua::test
