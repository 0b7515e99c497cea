// Ranks with a GPU each: threads of this process, with a host CUDA device each, a stand-in for NCCL, and TCP on this machine.
#include "core/distributed/device_communicator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "core/device/device_api.h"
#include "core/distributed/connect.h"
#include "core/distributed/socket.h"
#include "core/distributed/tcp_communicator.h"
#include "cuda/host/collectives.h"
#include "cuda/host/queue.h"
#include "tests/distributed/communicator_contract.h"
#include "tests/support/warning_log.h"

namespace residua::test {
namespace {

using host_cuda::Laziness;
using testing::AllOf;
using testing::Each;
using testing::HasSubstr;
using testing::StartsWith;

constexpr double kLimit = 60, kShortLimit = 0.5;

/// What rank `rank` does.
using Work = std::function<void(const Launch& launch, Device device)>;

/// Runs `work` on a thread for each rank. Returns what each has thrown; empty if it has not.
std::vector<std::string> run_ranks(int64_t world, const Work& work) {
  host_cuda::set_device_count(static_cast<int>(world));
  const int64_t port = Socket::listen("127.0.0.1", 0).port();
  std::vector<std::string> errors(static_cast<size_t>(world));
  std::vector<std::thread> threads;
  for (int64_t rank = 0; rank < world; ++rank) {
    threads.emplace_back([&, rank] {
      Launch launch;
      launch.rank = launch.local_rank = rank;
      launch.world = world;
      launch.launcher = "torchrun";
      launch.address = "127.0.0.1";
      launch.port = port - 1;
      try {
        work(launch, {Device::Type::cuda, static_cast<int>(rank)});
      } catch (const std::exception& error) {
        errors[static_cast<size_t>(rank)] = error.what();
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  host_cuda::set_device_count(1);
  EXPECT_EQ(host_cuda::connections(), 0);
  return errors;
}

std::unique_ptr<Communicator> communicator_of(const Launch& launch, Device device, double limit = kLimit) {
  return device_communicator(device, tcp_communicator(launch, kLimit), limit);
}

class DeviceCommunicatorTest : public testing::TestWithParam<Laziness> {
 protected:
  void SetUp() override { host_cuda::set_laziness(GetParam()); }
  void TearDown() override {
    host_cuda::set_collective_faults({});
    host_cuda::set_laziness(Laziness::eager);
  }
};
INSTANTIATE_TEST_SUITE_P(Queues, DeviceCommunicatorTest, testing::Values(Laziness::eager, Laziness::lazy),
                         [](const auto& tested) { return tested.param == Laziness::lazy ? "lazy" : "eager"; });

Tensor floats(const std::vector<float>& values, Device device) {
  return tensor_of({reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)},
                   {static_cast<int64_t>(values.size())}, DType::f32, device);
}

TEST_P(DeviceCommunicatorTest, HoldsTheContract) {
  for (const int64_t world : {2, 3}) {
    EXPECT_THAT(run_ranks(world,
                          [](const Launch& launch, Device device) {
                            const auto communicator = communicator_of(launch, device);
                            check_host_contract(*communicator);
                            check_tensor_contract(*communicator, device);
                          }),
                Each(""));
  }
}

TEST_P(DeviceCommunicatorTest, IsWhatConnectGivesForGpus) {
  EXPECT_THAT(run_ranks(2,
                        [](const Launch& launch, Device device) {
                          const auto communicator = connect(launch, device_of_rank("auto", launch), kLimit);
                          const Tensor x = floats({1, 2}, device);
                          communicator->sum(x);
                          communicator->finish();
                          EXPECT_THAT(x.to_vector(), testing::ElementsAre(2, 4));
                        }),
              Each(""));
}

TEST_P(DeviceCommunicatorTest, ACapturedSumIsReplayedWithNewData) {
  EXPECT_THAT(run_ranks(3,
                        [](const Launch& launch, Device device) {
                          const auto communicator = communicator_of(launch, device);
                          const Tensor in = floats({0, 0}, device), a = floats({0, 0}, device), out = floats({0, 0}, device);
                          const device_api::Graph step(device, [&] {
                            a.copy_from(in);
                            communicator->sum(a);
                            communicator->finish();
                            communicator->sum(a);  // sums of sums: both orders count
                            communicator->finish();
                            out.copy_from(a);
                          });
                          EXPECT_THAT(out.to_vector(), Each(0)) << "nothing runs during the capture";
                          for (int i = 1; i < 4; ++i) {
                            in.copy_from(floats({static_cast<float>(i), static_cast<float>(launch.rank)}, device));
                            step.launch();
                            communicator->launched();
                            EXPECT_THAT(out.to_vector(), testing::ElementsAre(9 * i, 9));
                            communicator->sum(in);  // work besides the graph
                            communicator->finish();
                            EXPECT_THAT(in.to_vector(), testing::ElementsAre(3 * i, 3));
                          }
                        }),
              Each(""));
}

TEST_P(DeviceCommunicatorTest, ACaptureThatDoesNotFinishIsAnError) {
  EXPECT_THAT(run_ranks(2,
                        [](const Launch& launch, Device device) {
                          const auto communicator = communicator_of(launch, device);
                          const Tensor x = floats({1}, device);
                          EXPECT_THROW(device_api::Graph(device, [&] { communicator->sum(x); }), Error);
                          EXPECT_FALSE(device_api::capturing());
                          // Everything works afterwards.
                          communicator->sum(x);
                          communicator->finish();
                          EXPECT_THAT(x.to_vector(), Each(2));
                        }),
              Each(""));
}

TEST_P(DeviceCommunicatorTest, ARankThatNeverConnectsIsAnError) {
  const std::vector<std::string> errors = run_ranks(2, [](const Launch& launch, Device device) {
    if (launch.rank == 0) {
      communicator_of(launch, device, kShortLimit);
    } else {
      const auto host = tcp_communicator(launch, kLimit);
      of_rank_0(*host, "");  // the error of rank 0, and its id
      of_rank_0(*host, "");
      while (host->gather("").size() == 2) {
      }
    }
  });
  EXPECT_THAT(errors[0], AllOf(StartsWith("rank 0 of 2 on "), HasSubstr("ncclCommInitRankConfig has taken longer than 0.5 s")));
  EXPECT_THAT(errors[1], AllOf(HasSubstr("rank 0 of 2 on "), HasSubstr("has ended")));
}

TEST_P(DeviceCommunicatorTest, ARankThatDoesNotComeIsNamed) {
  std::atomic<bool> failed = false;
  const std::vector<std::string> errors = run_ranks(2, [&](const Launch& launch, Device device) {
    const auto communicator = communicator_of(launch, device, kShortLimit);
    const Tensor x = floats({1}, device);
    communicator->sum(x);
    communicator->finish();
    EXPECT_THAT(x.to_vector(), Each(2));
    while (launch.rank == 1 && !failed) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    if (launch.rank == 0) {
      try {
        communicator->sum(x);
        communicator->finish();
        x.to_vector();
        communicator->check();
      } catch (const RankFailure&) {
        failed = true;
        throw;
      }
      failed = true;
    }
  });
  EXPECT_THAT(errors[0],
              AllOf(HasSubstr("has taken longer than 0.5 s: rank 1 of 2 on "), HasSubstr("answers, but has not come so far")));
  EXPECT_EQ(errors[1], "");
}

TEST_P(DeviceCommunicatorTest, AReplayThatGetsStuckIsNoticed) {
  std::atomic<bool> failed = false;
  const std::vector<std::string> errors = run_ranks(2, [&](const Launch& launch, Device device) {
    const auto communicator = communicator_of(launch, device, kShortLimit);
    const Tensor x = floats({1}, device);
    const device_api::Graph step(device, [&] {
      communicator->sum(x);
      communicator->finish();
    });
    step.launch();
    communicator->launched();
    EXPECT_THAT(x.to_vector(), Each(2));
    while (launch.rank == 1 && !failed) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    // Eager queues would block in launch(), which a GPU does not.
    if (launch.rank == 0 && GetParam() == Laziness::lazy) {
      step.launch();
      communicator->launched();
      x.to_vector();
      failed = true;
      communicator->check();
    }
    failed = true;
  });
  if (GetParam() == Laziness::lazy) {
    EXPECT_THAT(errors[0], AllOf(HasSubstr("rank 1 of 2 on "), HasSubstr("answers, but has not come so far")));
  }
}

// NCCL's abort waits for the end of graphs, and their owner must not wait for the abort.
TEST_P(DeviceCommunicatorTest, TheOwnerOfAGraphDoesNotWaitForAnAbort) {
  const WarningLog warnings;
  const std::vector<std::string> errors = run_ranks(2, [](const Launch& launch, Device device) {
    const auto host = tcp_communicator(launch, kLimit);
    const std::string id = of_rank_0(*host, launch.rank == 0 ? device_api::collectives_id(device) : "");
    device_api::Collectives collectives(device, id, launch.rank, 2, kLimit);
    host->gather("");
    if (launch.rank == 1) {
      return;
    }
    const Tensor x = floats({1}, device);
    const auto sum = [&] { collectives.sum(x.data(), x.dtype(), 1); };
    std::future<void> aborted;
    device_api::Event begun(device), ended(device);
    const device_api::Graph step(device, [&] {
      begun.record(device_api::StreamKind::compute);
      begun.stream_wait(device_api::StreamKind::communication);
      sum();
      ended.record(device_api::StreamKind::communication);
      ended.stream_wait(device_api::StreamKind::compute);
    });
    aborted = std::async(std::launch::async, [&] { collectives.abort(); });
    step.launch();
    x.to_vector();  // the sum ends when the abort has begun
    EXPECT_EQ(collectives.failure(), "the connection has been ended");
    sum();
  });
  EXPECT_THAT(errors, testing::ElementsAre("ncclAllReduce: the connection has been ended", ""));
  EXPECT_EQ(warnings.text(), "") << "the abort has not ended";
}

TEST_P(DeviceCommunicatorTest, AnAsynchronousErrorEndsAllRanks) {
  const std::vector<std::string> errors = run_ranks(2, [](const Launch& launch, Device device) {
    const auto communicator = communicator_of(launch, device, kShortLimit);
    communicator->gather("");
    host_cuda::set_collective_faults({.failing_rank = 1});
    const Tensor x = floats({1}, device);
    communicator->sum(x);
    communicator->finish();
    x.to_vector();  // returns, with a wrong result
    communicator->check();
    communicator->gather("");
  });
  EXPECT_THAT(errors[1], HasSubstr("remote process exited or there was a network error (the host stand-in for NCCL)"));
  EXPECT_THAT(errors[0], testing::AnyOf(HasSubstr("has taken longer than 0.5 s"), HasSubstr("rank 1 of 2 on ")));
}

TEST_P(DeviceCommunicatorTest, RanksThatSumDifferentSizesFail) {
  const std::vector<std::string> errors = run_ranks(2, [](const Launch& launch, Device device) {
    const auto communicator = communicator_of(launch, device, kShortLimit);
    const Tensor x = floats(std::vector<float>(launch.rank == 0 ? 2 : 3), device);
    communicator->sum(x);
    communicator->finish();
    x.to_vector();
    communicator->check();
  });
  EXPECT_THAT(errors, Each(HasSubstr("invalid usage")));
}

TEST(DeviceCommunicatorOrder, AMissingWaitGivesAWrongSum) {
  host_cuda::set_laziness(Laziness::lazy);
  EXPECT_THAT(run_ranks(2,
                        [](const Launch& launch, Device device) {
                          const auto host = tcp_communicator(launch, kLimit);
                          const std::string id = of_rank_0(*host, launch.rank == 0 ? device_api::collectives_id(device) : "");
                          device_api::Collectives collectives(device, id, launch.rank, 2, kLimit);
                          const Tensor x = floats({0}, device);
                          device_api::synchronize(device);
                          device_api::Event ended(device);
                          x.copy_from(floats({1}, device));
                          collectives.sum(x.data(), x.dtype(), 1);  // does not wait for the copy
                          EXPECT_THAT(x.to_vector(), Each(1)) << "the compute stream does not wait for the sum";
                          x.copy_from(floats({1}, device));
                          collectives.sum(x.data(), x.dtype(), 1);
                          ended.record(device_api::StreamKind::communication);
                          ended.wait();
                          EXPECT_THAT(x.to_vector(), Each(1)) << "the sum does not wait for the copy";
                        }),
              Each(""));
  host_cuda::set_laziness(Laziness::eager);
}

TEST(DeviceCommunicatorOrder, TheCpuDeviceHasNoCollectives) {
  EXPECT_THROW(device_api::collectives_id(Device{}), Error);
  EXPECT_THROW(device_api::Collectives(Device{}, "", 0, 1, 1), Error);
  EXPECT_NE(device_api::why_no_collectives(Device{}), "");
  EXPECT_EQ(device_api::why_no_collectives({Device::Type::cuda, 0}), "");
}

TEST(DeviceOfRank, IsAGpuOfItsOwn) {
  host_cuda::set_device_count(2);
  const auto launch = [](int64_t local_rank) {
    Launch started;
    started.world = 8;
    started.rank = 4 + local_rank;
    started.local_rank = local_rank;
    return started;
  };
  EXPECT_EQ(device_of_rank("auto", launch(1)), (Device{Device::Type::cuda, 1}));
  EXPECT_EQ(device_of_rank("cuda", launch(0)), (Device{Device::Type::cuda, 0}));
  EXPECT_EQ(device_of_rank("cuda:1", launch(0)), (Device{Device::Type::cuda, 1}));
  EXPECT_EQ(device_of_rank("cpu", launch(1)), Device{});
  EXPECT_EQ(device_of_rank("cuda", {}), (Device{Device::Type::cuda, 0}));
  try {
    device_of_rank("auto", launch(2));
    ADD_FAILURE();
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("rank 6 is number 2 on its machine, which has 2 CUDA devices"));
  }
  host_cuda::set_device_count(1);
  EXPECT_THROW(device_of_rank("auto", launch(1)), UsageError) << "one GPU for all";
  Launch sees_its_own = launch(1);
  sees_its_own.chooses_gpus = true;
  EXPECT_EQ(device_of_rank("auto", sees_its_own), (Device{Device::Type::cuda, 0}));
  EXPECT_EQ(device_of_rank("cuda", sees_its_own), (Device{Device::Type::cuda, 0}));
}

}  // namespace
}  // namespace residua::test
