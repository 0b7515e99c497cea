// The benchmark's cases give their kernels the memory that these need.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "bench/kernels/kernel_case.h"
#include "bench/kernels/measure.h"
#include "core/tensor/device_api.h"
#include "tests/support/op_case.h"

namespace residua::bench {
namespace {

constexpr double kMostBytes = 8e6;  // more takes the host CUDA device seconds

TEST(KernelCases, StayWithinTheirMemory) {
  for (const Device device : test::test_devices()) {
    const int64_t overruns = device_api::memory_use(device).overruns;
    device_api::set_fresh_memory(device, device_api::FreshMemory::poisoned);
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
    device_api::set_fresh_memory(device, device_api::FreshMemory::as_found);
    EXPECT_GT(ran, 60) << "nearly all are that small";
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

/// What a stopwatch does with work whose operands are `bytes` beside 16 floats.
struct Timed {
  int made = 0;
  int runs = 0;
  std::optional<Timing> timing;

  Timed(const Stopwatch& stopwatch, double bytes) {
    const auto make = [&](Operands& o) -> Work {
      o.read<float>(16, 0, 1);
      o.count(bytes);
      ++made;
      return [this] { ++runs; };
    };
    timing = stopwatch.time(make, DType::f32);
  }
};

TEST(Stopwatch, TakesTurnsOnSetsOfOperandsThatNoCacheHolds) {
  for (const Device device : test::test_devices()) {
    const Stopwatch stopwatch(device, 1e-6);
    const Timed small(stopwatch, 0);
    ASSERT_TRUE(small.timing.has_value());
    EXPECT_EQ(small.timing->bytes, 16 * sizeof(float));
    EXPECT_EQ(small.made, 64) << "the most there are";
    EXPECT_GT(small.runs, 64);
    EXPECT_EQ(small.runs % 64, 0);
    EXPECT_LE(small.timing->fastest_s, small.timing->median_s);
    EXPECT_LE(small.timing->median_s, small.timing->slowest_s);

    constexpr double kBytes = 1e8;
    const Timed large(stopwatch, kBytes);
    const int cycles = device.type == Device::Type::cpu ? 1 : static_cast<int>(std::ceil(4e9 / (large.made * kBytes)));
    EXPECT_GT(large.runs, large.made * cycles);
    EXPECT_EQ((large.runs - large.made) % (large.made * cycles), 0) << "a round moves 4 GB; one cycle before is not timed";

    const Stopwatch quick(device, 0);
    EXPECT_EQ(Timed(quick, 0).made, 1);
    EXPECT_FALSE(quick.time({}, DType::f32).has_value());
  }
}

}  // namespace
}  // namespace residua::bench
