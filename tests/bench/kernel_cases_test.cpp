// The benchmark's cases give their kernels the memory that these need.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "bench/kernels/kernel_case.h"
#include "bench/kernels/measure.h"
#include "core/device/device_api.h"
#include "core/kernels/fill.h"
#include "tests/support/op_case.h"
#include "tests/support/poisoned_memory.h"

namespace residua::test {
namespace {

using namespace bench;

constexpr double kMostBytes = 8e6;  // more takes the host CUDA device seconds

TEST(KernelCases, StayWithinTheirMemory) {
  for (const Device device : test_devices()) {
    const PoisonedMemory poisoned(device);
    const int64_t overruns = device_api::memory_use(device).overruns;  // so that the case is named
    int ran = 0;
    for (const KernelCase& c : kernel_cases(1)) {
      SCOPED_TRACE(c.name() + " on " + device.string());
      for (const Maker& make : {c.own, c.unfused}) {
        Operands operands(device, c.dtypes.back());
        const Work work = make ? make(operands) : Work();
        if (work && operands.bytes() < kMostBytes) {
          work();
          device_api::synchronize(device);
          ++ran;
        }
      }
      EXPECT_EQ(device_api::memory_use(device).overruns, overruns);
    }
    EXPECT_GT(ran, 60) << "nearly all are that small";
  }
}

TEST(KernelCases, CountTheSameBytesWithoutMemory) {
  for (const KernelCase& c : kernel_cases(1)) {
    SCOPED_TRACE(c.name());
    Operands real(Device{}, c.dtypes.back());
    Operands counted(Device{}, c.dtypes.back(), Allocation::none);
    c.own(real);
    c.own(counted);
    EXPECT_EQ(counted.bytes(), real.bytes());
    EXPECT_EQ(counted.written_bytes(), real.written_bytes());
    EXPECT_LE(counted.written_bytes(), counted.bytes());
  }
}

TEST(KernelCases, HaveNamesOfTheirOwn) {
  std::vector<std::string> names;
  for (const KernelCase& c : kernel_cases(256)) {
    names.push_back(c.name());
  }
  std::ranges::sort(names);
  EXPECT_EQ(std::ranges::adjacent_find(names), names.end());
}

TEST(KernelCases, FusionsAreBesideTheirParts) {
  const auto is_fusion = ::testing::ContainsRegex(
      "^BatchNorm.* relu|^BatchNormReluMaxPool|^batch_norm_.*relu|^Convolution.* (activation|statistics|sums)|^SgdUpdate|"
      "^ZeroPadShortcut.* average");
  for (const KernelCase& c : kernel_cases(1)) {
    EXPECT_EQ(static_cast<bool>(c.unfused), ::testing::Value(c.kernel, is_fusion)) << c.name();
  }
}

TEST(Stopwatch, MovesFourGigabytesInARoundOnAGpu) {
  constexpr double kBytes = 1e8;
  for (const Device device : test_devices()) {
    int made = 0;
    int runs = 0;
    const auto make = [&](Operands& o) -> Work {
      o.count(kBytes);
      ++made;
      return [&runs] { ++runs; };
    };
    const Stopwatch stopwatch(device, 1e-9, 64);
    stopwatch.time(make, DType::f32);
    const int cycles = device.type == Device::Type::cpu ? 1 : static_cast<int>(std::ceil(4e9 / (made * kBytes)));
    EXPECT_GT(runs, made * cycles);
    EXPECT_EQ((runs - made) % (made * cycles), 0) << "after one cycle that nobody times";
  }
}

TEST(Stopwatch, CountsTheLaunchesOfOneRun) {
  for (const Device device : test_devices()) {
    const auto fills = [](Operands& o) -> Work {
      const Fill fill{DType::f32, 16, 1, o.written<float>(16)};
      return sequence(o, fill, fill);
    };
    const auto timing = Stopwatch(device, 0, 64).time(fills, DType::f32);
    ASSERT_TRUE(timing.has_value());
    EXPECT_EQ(timing->launches, device.type == Device::Type::cpu ? 0 : 2);
  }
}

TEST(Stopwatch, TakesTurnsOnSetsOfOperandsThatNoCacheHolds) {
  for (const Device device : test_devices()) {
    int made = 0;
    int runs = 0;
    const auto make = [&](Operands& o) -> Work {
      o.read<float>(16, 0, 1);
      ++made;
      return [&runs] { ++runs; };
    };
    const auto timing = Stopwatch(device, 1e-6, 64).time(make, DType::f32);
    ASSERT_TRUE(timing.has_value());
    EXPECT_EQ(timing->bytes, 16 * sizeof(float));
    EXPECT_EQ(made, 64) << "the most there are";
    EXPECT_GT(runs, 64);
    EXPECT_EQ(runs % 64, 0);
    EXPECT_LE(timing->fastest_s, timing->median_s);
    EXPECT_LE(timing->median_s, timing->slowest_s);
    made = 0;
    Stopwatch(device, 0, 64).time(make, DType::f32);
    EXPECT_EQ(made, 1);
    EXPECT_FALSE(Stopwatch(device, 0, 64).time({}, DType::f32).has_value());
  }
}

}  // namespace
}  // namespace residua::test
