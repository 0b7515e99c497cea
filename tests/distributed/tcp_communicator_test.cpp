// Ranks that TCP connects, as threads of this process: who is behind is known as soon as the others have answered.
#include "core/distributed/tcp_communicator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <latch>
#include <memory>
#include <thread>
#include <vector>

#include "core/distributed/socket.h"

namespace residua::test {
namespace {

using ::testing::MatchesRegex;
using Clock = std::chrono::steady_clock;

/// The ports of a launch that this process can use: rank 0 listens at the one behind.
int64_t free_port() { return Socket::listen("127.0.0.1", 0).port() - 1; }

/// Runs f as each of three ranks.
void run_tcp(const std::function<void(HostCommunicator& ranks)>& f) {
  const int64_t port = free_port();
  std::vector<std::thread> threads;
  for (int64_t rank = 0; rank < 3; ++rank) {
    threads.emplace_back([&, rank] {
      const auto ranks = tcp_communicator(
          {.rank = rank, .world = 3, .local_rank = rank, .launcher = "torchrun", .address = "127.0.0.1", .port = port}, 100);
      f(*ranks);
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
}

TEST(TcpCommunicator, SaysWhoIsBehindAsSoonAsTheOthersHaveAnswered) {
  std::vector<std::string> told(3);
  std::vector<double> seconds(3);
  run_tcp([&](HostCommunicator& ranks) {
    ranks.set_progress(ranks.rank() == 1 ? 6 : 7);
    ranks.gather("");  // all have set it
    const Clock::time_point begin = Clock::now();
    told[static_cast<size_t>(ranks.rank())] = ranks.who_is_behind();
    seconds[static_cast<size_t>(ranks.rank())] = std::chrono::duration<double>(Clock::now() - begin).count();
    ranks.gather("");
  });
  for (const size_t rank : {0, 2}) {
    EXPECT_THAT(told[rank], MatchesRegex("rank 1 of 3 on .*, process [0-9]+, answers, but has not come so far")) << rank;
  }
  EXPECT_EQ(told[1], "") << "the others have come further";
  EXPECT_LT(std::ranges::min(seconds), 1) << "it waits for answers, not for a time";
}

TEST(TcpCommunicator, SaysWhoHasEnded) {
  std::latch asked(2);
  std::vector<std::string> told(3);
  run_tcp([&](HostCommunicator& ranks) {
    ranks.gather("");
    if (ranks.rank() == 2) {
      return;
    }
    std::string& who = told[static_cast<size_t>(ranks.rank())];
    while (who.empty()) {
      who = ranks.who_is_behind();
    }
    asked.arrive_and_wait();
  });
  for (const size_t rank : {0, 1}) {
    EXPECT_THAT(told[rank], MatchesRegex("rank 2 of 3 on .*, process [0-9]+, has ended")) << rank;
  }
}

}  // namespace
}  // namespace residua::test
