#include "cuda/libraries/timer_memory.h"

#include <gtest/gtest.h>

#include <vector>

#include "cuda/host/memory.h"

namespace residua::test {
namespace {

using namespace cuda;

constexpr Device kDevice{Device::Type::cuda, 0};

int64_t live_bytes() { return device_api::memory_use(kDevice).live_bytes; }

TEST(TimerMemory, IsThereForEachTimingAndNotBetween) {
  TimerMemory memory(kDevice, 1 << 20);
  const int64_t before = live_bytes();
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(memory.time([&](void* data) {
      EXPECT_NE(data, nullptr);
      EXPECT_GE(live_bytes(), before + (1 << 20));
      return 2.5;
    }),
              2.5);
    EXPECT_EQ(live_bytes(), before);
  }
}

TEST(TimerMemory, IsSharedByTimingsInsideATiming) {
  TimerMemory memory(kDevice, 1 << 20);
  memory.time([&](void* outer) {
    const int64_t before = live_bytes();
    return memory.time([&](void* inner) {
      EXPECT_EQ(inner, outer);
      EXPECT_EQ(live_bytes(), before);
      return 1.0;
    });
  });
}

TEST(TimerMemory, IsGivenUpWhereTheDeviceHasTooLittle) {
  TimerMemory memory(kDevice, 100 << 20);
  host_cuda::set_free_bytes(64 << 20);
  EXPECT_EQ(memory.time([](void* data) {
    EXPECT_EQ(data, nullptr);
    return 2.5;
  }),
            2.5);
  host_cuda::set_free_bytes(INT64_MAX);
  memory.time([](void* data) {
    EXPECT_EQ(data, nullptr) << "for good: times with and without cannot be compared";
    return 1.0;
  });
}

TEST(TimerMemory, IsGivenUpForWhatIsTimed) {
  TimerMemory memory(kDevice, 1 << 20);
  const int64_t before = live_bytes();
  std::vector<bool> had_memory;
  const auto needs_all = [&](void* data) {
    had_memory.push_back(data != nullptr);
    if (live_bytes() > before) {
      throw OutOfMemory("out of memory");
    }
    return 2.5;
  };
  EXPECT_EQ(memory.time([&](void*) { return memory.time(needs_all); }), 2.5) << "also by a timing inside a timing";
  EXPECT_EQ(had_memory, (std::vector{true, false}));
}

TEST(TimerMemory, DoesNotHideThatWhatIsTimedHasTooLittleWithoutItToo) {
  TimerMemory memory(kDevice, 1 << 20);
  int calls = 0;
  for (int i = 0; i < 2; ++i) {
    EXPECT_THROW(memory.time([&](void*) -> double {
      ++calls;
      throw OutOfMemory("out of memory");
    }),
                 OutOfMemory);
  }
  EXPECT_EQ(calls, 3);
  EXPECT_THROW(memory.time([](void*) -> double { throw Error("it is not supported"); }), Error);
}

}  // namespace
}  // namespace residua::test
