// Ranks on threads of this process, connected by TCP.
#include "core/distributed/tcp_communicator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <future>
#include <memory>
#include <string>
#include <thread>

#include "core/distributed/socket.h"

namespace residua::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// Rank 0 waits no longer than its limit for a rank that lives but does not come, and blames no other.
TEST(TcpCommunicator, NamesOnlyTheRankThatDoesNotCome) {
  constexpr int64_t kWorld = 3, kLate = 2;
  constexpr double kLimit = 1;
  const int64_t port = Socket::listen("127.0.0.1", 0).port();
  std::promise<void> failed;
  std::future<void> rank_0_has_failed = failed.get_future();
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
      try {
        const std::unique_ptr<HostCommunicator> ranks = tcp_communicator(launch, kLimit);
        ranks->gather("");
        if (rank == kLate) {
          rank_0_has_failed.wait_for(std::chrono::seconds(20));  // if it does not notice, the test ends too
        } else {
          ranks->gather("");
        }
      } catch (const std::exception& error) {
        errors[static_cast<size_t>(rank)] = error.what();
      }
      if (rank == 0) {
        failed.set_value();
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  const auto names_the_late_one =
      AllOf(HasSubstr("an exchange of values has taken longer than 1 s: rank 2 of 3 on "),
            HasSubstr("answers, but has not come so far"), Not(HasSubstr("rank 0 of 3")), Not(HasSubstr("rank 1 of 3")));
  EXPECT_THAT(errors[0], names_the_late_one);
  EXPECT_THAT(errors[1], names_the_late_one);
  EXPECT_EQ(errors[kLate], "");
}

}  // namespace
}  // namespace residua::test
