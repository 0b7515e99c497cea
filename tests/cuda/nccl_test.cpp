// NCCL itself, on the GPUs of this machine: with one rank, and with two where there are two GPUs. Ranks are threads.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <thread>
#include <vector>

#include "core/device/device_api.h"
#include "core/distributed/device_communicator.h"
#include "core/distributed/socket.h"
#include "core/distributed/tcp_communicator.h"
#include "tests/distributed/communicator_contract.h"

namespace residua::test {
namespace {

constexpr double kLimit = 60;

void check_rank(const Launch& launch) {
  const Device device{Device::Type::cuda, static_cast<int>(launch.rank)};
  const auto communicator = device_communicator(device, tcp_communicator(launch, kLimit), kLimit);
  check_host_contract(*communicator);
  check_tensor_contract(*communicator, device);
  const Tensor in = full({3}, 0, DType::f32, device);
  const Tensor x = full({3}, 0, DType::f32, device);
  const device_api::Graph step(device, [&] {
    x.copy_from(in);
    communicator->sum(x);
    communicator->finish();
  });
  for (int i = 1; i < 4; ++i) {
    in.copy_from(full({3}, static_cast<float>(i), DType::f32, device));
    step.launch();
    communicator->launched();
    EXPECT_THAT(x.to_vector(), testing::Each(static_cast<float>(i * launch.world)));
    communicator->check();
  }
}

void check_ranks(int64_t world) {
  const int64_t port = Socket::listen("127.0.0.1", 0).port();
  std::vector<std::string> errors(static_cast<size_t>(world));
  std::vector<std::thread> threads;
  for (int64_t rank = 0; rank < world; ++rank) {
    threads.emplace_back([&, rank] {
      Launch launch;
      launch.rank = launch.local_rank = rank;
      launch.world = world;
      launch.address = "127.0.0.1";
      launch.port = port - 1;
      try {
        check_rank(launch);
      } catch (const std::exception& error) {
        errors[static_cast<size_t>(rank)] = error.what();
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_THAT(errors, testing::Each(""));
}

TEST(Nccl, HoldsTheContract) {
  if (device_api::cuda_device_count() == 0) {
    GTEST_SKIP() << "no GPU";
  }
  if (const std::string why = device_api::why_no_collectives({Device::Type::cuda, 0}); !why.empty()) {
    GTEST_SKIP() << why;
  }
  for (int64_t world = 1; world <= std::min(2, device_api::cuda_device_count()); ++world) {
    check_ranks(world);
  }
}

}  // namespace
}  // namespace residua::test
