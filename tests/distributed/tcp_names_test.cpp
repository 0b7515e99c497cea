// Ranks on threads of this process, connected by TCP.
#include "core/distributed/tcp_communicator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <future>
#include <latch>
#include <memory>
#include <string>
#include <thread>

#include "core/distributed/socket.h"

namespace residua::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

/// Stops this process, as a machine does that is paused.
void pause_process(std::chrono::milliseconds time) {
  const pid_t parent = ::getpid(), child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    ::kill(parent, SIGSTOP);
    ::usleep(static_cast<useconds_t>(std::chrono::microseconds(time).count()));
    ::kill(parent, SIGCONT);
    ::_exit(0);
  }
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
}

/// The other ranks wait no longer than their limit for rank 2, which lives but does not come, and blame no other.
void expect_only_the_late_rank(std::chrono::milliseconds pause) {
  constexpr int64_t kWorld = 3, kLate = 2;
  constexpr double kLimit = 2;
  const int64_t port = Socket::listen("127.0.0.1", 0).port();
  std::promise<void> failed;
  std::future<void> rank_0_has_failed = failed.get_future();
  std::latch others_wait(kWorld - 1);
  std::array<std::string, kWorld> errors;
  std::array<std::thread, kWorld> threads;
  for (int64_t rank = 0; rank < kWorld; ++rank) {
    threads[static_cast<size_t>(rank)] = std::thread([&, rank] {
      Launch launch;
      launch.rank = launch.local_rank = rank;
      launch.world = kWorld;
      launch.launcher = "torchrun";
      launch.address = "127.0.0.1";
      launch.port = port - 1;  // rank 0 listens at the next one
      bool waits = false;
      const auto wait = [&] {
        if (rank != kLate && !waits) {
          waits = true;
          others_wait.count_down();
        }
      };
      try {
        const std::unique_ptr<HostCommunicator> ranks = tcp_communicator(launch, kLimit);
        ranks->gather("");
        if (rank == kLate) {
          rank_0_has_failed.wait_for(std::chrono::seconds(20));  // if it does not notice, the test ends too
        } else {
          wait();
          ranks->gather("");
        }
      } catch (const std::exception& error) {
        errors[static_cast<size_t>(rank)] = error.what();
      }
      wait();  // if it has failed before
      if (rank == 0) {
        failed.set_value();
      }
    });
  }
  if (pause.count() != 0) {
    others_wait.wait();
    pause_process(pause);
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  const auto names_the_late_one =
      AllOf(HasSubstr("an exchange of values has taken longer than 2 s: rank 2 of 3 on "),
            HasSubstr("answers, but has not come so far"), Not(HasSubstr("rank 0 of 3")), Not(HasSubstr("rank 1 of 3")));
  EXPECT_THAT(errors[0], names_the_late_one);
  EXPECT_THAT(errors[1], names_the_late_one);
  EXPECT_EQ(errors[kLate], "");
}

TEST(TcpCommunicator, NamesOnlyTheRankThatDoesNotCome) { expect_only_the_late_rank(std::chrono::milliseconds(0)); }

// When the pause ends, every limit has passed and no rank has heard from another.
TEST(TcpCommunicator, BlamesNobodyForAPauseOfTheMachine) { expect_only_the_late_rank(std::chrono::milliseconds(2500)); }

}  // namespace
}  // namespace residua::test
