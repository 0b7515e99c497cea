#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "core/device/device_api.h"
#include "tests/support/op_case.h"
#ifdef RESIDUA_HOST_CUDA
#include "cuda/host/queue.h"
#endif

namespace residua::test {
namespace {

TEST(Timestamp, CountsSecondsBetweenReadings) {
  for (const Device device : test_devices()) {
    device_api::Timestamp start(device);
    device_api::Timestamp end(device);
    const auto before = std::chrono::steady_clock::now();
    start.record();
    device_api::synchronize(device);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    end.record();
    const double seconds = end.seconds_since(start);
    const double most = std::chrono::duration<double>(std::chrono::steady_clock::now() - before).count();
    EXPECT_GE(seconds, 0.0199) << device.string();
    EXPECT_LE(seconds, most) << device.string();
  }
}

#ifdef RESIDUA_HOST_CUDA
/// Readings are part of the queue's work: they are of when the device gets there, not of when they were asked for.
TEST(Timestamp, IsReadWhenTheWorkBeforeItHasEnded) {
  const Device device{Device::Type::cuda, 0};
  host_cuda::set_laziness(host_cuda::Laziness::lazy);
  device_api::Timestamp start(device);
  device_api::Timestamp end(device);
  start.record();
  host_cuda::queue(cuda::current_stream(device)).enqueue([] { std::this_thread::sleep_for(std::chrono::milliseconds(20)); });
  end.record();
  EXPECT_GE(end.seconds_since(start), 0.0199);
  host_cuda::set_laziness(host_cuda::Laziness::eager);
}
#endif

}  // namespace
}  // namespace residua::test
