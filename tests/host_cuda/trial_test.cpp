// A process that does not come back from a plan: real ones, which die while they try one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <memory>
#include <sstream>

#include "core/device/device_api.h"
#include "cuda/libraries/choose.h"
#include "tests/support/temporary_folder.h"

namespace residua::test {
namespace {

using namespace cuda;

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* kDevice = "GPU 1";

/// What is logged while it lives.
class Log {
 public:
  Log() : before_(spdlog::default_logger()) {
    spdlog::set_default_logger(
        std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::ostream_sink_mt>(text_)));
  }
  ~Log() { spdlog::set_default_logger(before_); }
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;
  std::string text() const { return text_.str(); }

 private:
  std::shared_ptr<spdlog::logger> before_;
  std::ostringstream text_;
};

/// A plan that does `on_build` when it is built, and `on_run` at each run.
Candidate<int> plan(const std::string& name, std::function<void()> on_build, std::function<void()> on_run) {
  return {name, [=]() -> Way<int> {
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
  Choice choice;
  choose<int>(key, candidates, 0, current_stream({Device::Type::cuda, 0}), cache, clock, choice);
  return choice.name;
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
    const Log log;
    PlanCache cache(path, kDevice);
    said = log.text();
    ASSERT_NE(cache.rejection_reason("key", "bad"), "") << "or it would kill this process too";
    EXPECT_EQ(autotuned(cache, {GetParam().candidate(), good()}), "good") << "this process lives";
    cache.save();
  }
  EXPECT_THAT(said, AllOf(HasSubstr("key: plan bad did not come back"), HasSubstr(path)));

  const Log log;
  PlanCache third(path, kDevice);
  EXPECT_EQ(log.text(), "") << "it is said once";
  EXPECT_THAT(third.rejection_reason("key", "bad"), HasSubstr("ended while it tried this plan"));
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
  const Log log;
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
