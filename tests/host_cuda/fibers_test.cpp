// The shim finds what it is there to find: each kernel here has a fault, or is the right twin of one.
#include "cuda/host/fibers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "cuda/device/block.cuh"
#include "cuda/device/vec.cuh"

namespace residua::test {
namespace {

using namespace host_cuda;

using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::IsNan;

constexpr Order kOrders[] = {Order::forward, Order::reverse, Order::random, Order::run_ahead, Order::run_ahead_reverse};
constexpr int kThreads = 128;

/// Runs a kernel on one block, or on `blocks`, in an order.
template <class... Parameters>
void run_kernel(Order order, int64_t blocks, void (*kernel)(Parameters...), std::type_identity_t<Parameters>... args) {
  schedule() = {.order = order, .seed = 7};
  run_grid({.blocks = blocks, .threads = kThreads, .shared_bytes = 64}, [=] { kernel(args...); });
  schedule() = {};
}

/// The message of the fault that a kernel has in an order; "" where it has none.
template <class... Args>
std::string fault(Order order, Args... args) {
  try {
    run_kernel(order, 1, args...);
  } catch (const KernelFault& found) {
    schedule() = {};
    return found.what();
  }
  return "";
}

/// Whether the results of a kernel that writes kThreads floats differ from `wanted` in at least one order.
bool caught_by_an_order(void (*kernel)(float*), const std::vector<float>& wanted) {
  bool caught = false;
  for (const Order order : kOrders) {
    std::vector<float> out(kThreads, -1.0f);
    run_kernel(order, 1, kernel, out.data());
    caught |= out != wanted;
  }
  return caught;
}

std::vector<float> numbers(int count, float first, float step) {
  std::vector<float> values;
  for (int i = 0; i < count; ++i) {
    values.push_back(first + static_cast<float>(i) * step);
  }
  return values;
}

// Each thread hands its number to its mirror image through shared memory, twice through the same memory.

template <bool BarrierBeforeRead, bool BarrierBeforeReuse>
void mirror_kernel(float* out) {
  RESIDUA_SHARED(float, buffer, kThreads);
  float value = static_cast<float>(threadIdx.x);
  for (int turn = 0; turn < 3; ++turn) {
    buffer[threadIdx.x] = value;
    if (BarrierBeforeRead) {
      cuda::block_barrier();
    }
    value = buffer[kThreads - 1 - threadIdx.x] + 1.0f;
    if (BarrierBeforeReuse) {
      cuda::block_barrier();
    }
  }
  out[threadIdx.x] = value;
}

TEST(Fibers, BarriersHoldInEveryOrder) {
  const std::vector<float> wanted = numbers(kThreads, kThreads - 1 + 3, -1.0f);
  EXPECT_FALSE(caught_by_an_order(mirror_kernel<true, true>, wanted));
}

TEST(Fibers, AMissingBarrierBeforeAReadIsFound) {
  EXPECT_TRUE(caught_by_an_order(mirror_kernel<false, true>, numbers(kThreads, kThreads - 1 + 3, -1.0f)));
}

TEST(Fibers, AMissingBarrierBeforeReuseIsFound) {
  EXPECT_TRUE(caught_by_an_order(mirror_kernel<true, false>, numbers(kThreads, kThreads - 1 + 3, -1.0f)));
}

/// Two sums of the block through the same memory, without the barrier that keeps them apart: only a warp that runs ahead
/// shows it.
void sums_without_reuse_barrier_kernel(float* out) {
  RESIDUA_SHARED(float, partial, 32);
  float total = 0.0f;
  for (int turn = 1; turn <= 2; ++turn) {
    const float sum = cuda::warp_sum(static_cast<float>(turn));
    if (cuda::lane() == 0) {
      partial[cuda::warp()] = sum;
    }
    cuda::block_barrier();
    total = total * 1000.0f + cuda::warp_sum(cuda::lane() < cuda::warps() ? partial[cuda::lane()] : 0.0f);
  }
  out[threadIdx.x] = total;
}

void two_block_sums_kernel(float* out) {
  const float first = cuda::block_sum(1.0f);
  out[threadIdx.x] = first * 1000.0f + cuda::block_sum(2.0f);
}

TEST(Fibers, ABarrierMissingBetweenTwoReductionsIsFoundByRunningAhead) {
  const std::vector<float> wanted(kThreads, 128.0f * 1000.0f + 256.0f);
  EXPECT_FALSE(caught_by_an_order(two_block_sums_kernel, wanted));
  EXPECT_TRUE(caught_by_an_order(sums_without_reuse_barrier_kernel, wanted));
}

void early_return_kernel(float* out, int count) {
  if (static_cast<int>(threadIdx.x) >= count) {
    return;
  }
  cuda::block_barrier();
  out[threadIdx.x] = 1.0f;
}

TEST(Fibers, AReturnBeforeABarrierIsFound) {
  for (const Order order : kOrders) {
    std::vector<float> out(kThreads);
    EXPECT_THAT(fault(order, early_return_kernel, out.data(), 100),
                HasSubstr("28 threads returned while 100 wait at a barrier"));
    EXPECT_EQ(fault(order, early_return_kernel, out.data(), kThreads), "");
  }
}

void return_before_shuffle_kernel(float* out) {
  if (cuda::lane() == 31) {
    return;
  }
  out[threadIdx.x] = cuda::warp_sum(1.0f);
}

TEST(Fibers, AReturnBeforeAWarpOperationIsFound) {
  for (const Order order : kOrders) {
    std::vector<float> out(kThreads);
    EXPECT_THAT(fault(order, return_before_shuffle_kernel, out.data()), HasSubstr("which has returned"));
  }
}

void diverged_kernel(float* out) {
  out[threadIdx.x] = cuda::lane() < 16 ? cuda::shuffle(1.0f, 0) : static_cast<float>(cuda::ballot(true));
}

void missing_lanes_kernel(float* out) {
  // The lanes that do not take part wait at a barrier that the others never reach.
  if (cuda::lane() < 16) {
    out[threadIdx.x] = cuda::shuffle(1.0f, 0);
  } else {
    cuda::block_barrier();
  }
}

void wrong_lane_kernel(float* out) { out[threadIdx.x] = cuda::shuffle(1.0f, cuda::lane() + 1); }

void wrong_mask_kernel(float* out) { out[threadIdx.x] = cuda::lane() < 16 ? __shfl_sync(0xffu, 1.0f, 0) : 0.0f; }

void wrong_distance_kernel(float* out) {
  float sum = static_cast<float>(cuda::lane());
  for (const int bits : {16, 8, 4, 2, 2}) {  // the last should be 1
    sum += cuda::shuffle_xor(sum, bits);
  }
  out[threadIdx.x] = sum;
}

void warp_sum_kernel(float* out) { out[threadIdx.x] = cuda::warp_sum(static_cast<float>(cuda::lane())); }

TEST(Fibers, WrongShufflesAreFound) {
  for (const Order order : kOrders) {
    std::vector<float> out(kThreads);
    EXPECT_THAT(fault(order, diverged_kernel, out.data()), HasSubstr("different warp operations"));
    EXPECT_THAT(fault(order, missing_lanes_kernel, out.data()), HasSubstr("no thread can continue"));
    EXPECT_THAT(fault(order, wrong_lane_kernel, out.data()), HasSubstr("shuffles from lane 32"));
    EXPECT_THAT(fault(order, wrong_mask_kernel, out.data()), HasSubstr("not in the mask"));
  }
  const std::vector<float> wanted(kThreads, 496.0f);
  EXPECT_FALSE(caught_by_an_order(warp_sum_kernel, wanted));
  EXPECT_TRUE(caught_by_an_order(wrong_distance_kernel, wanted));
}

void ballot_kernel(float* out) {
  const unsigned votes = cuda::ballot(cuda::lane() % 3 == 0);
  out[threadIdx.x] = (votes >> cuda::lane() & 1u) != 0 ? 1.0f : 0.0f;
}

TEST(Fibers, ABallotHasEachLanesVote) {
  std::vector<float> wanted;
  for (int t = 0; t < kThreads; ++t) {
    wanted.push_back(t % 32 % 3 == 0 ? 1.0f : 0.0f);
  }
  EXPECT_FALSE(caught_by_an_order(ballot_kernel, wanted));
}

void read_uninitialized_kernel(float* out) {
  RESIDUA_SHARED(float, buffer, kThreads);
  out[threadIdx.x] = buffer[threadIdx.x];
  buffer[threadIdx.x] = 1.0f;
}

void read_dynamic_kernel(float* out) {
  out[threadIdx.x] = cuda::dynamic_shared<float>()[threadIdx.x % 16];
  cuda::block_barrier();
  cuda::dynamic_shared<float>()[threadIdx.x % 16] = 1.0f;
}

TEST(Fibers, SharedMemoryIsNanAtTheStartOfEachBlock) {
  for (auto* kernel : {read_uninitialized_kernel, read_dynamic_kernel}) {
    std::vector<float> out(kThreads);
    run_kernel(Order::forward, 3, kernel, out.data());
    EXPECT_THAT(out, Each(IsNan()));
  }
}

void too_much_shared_memory_kernel() {
  RESIDUA_SHARED(float, first, 8 << 10);
  RESIDUA_SHARED(float, second, 8 << 10);
  first[0] = second[0] = 0.0f;
}

TEST(Fibers, MoreSharedMemoryThanThereIsIsFound) {
  EXPECT_THAT(fault(Order::forward, too_much_shared_memory_kernel), HasSubstr("65536 bytes of static shared memory"));
}

void block_number_kernel(float* out) { *out = *out * 10.0f + static_cast<float>(blockIdx.x); }

TEST(Fibers, BlocksRunInMoreThanOneOrder) {
  float forward = 0.0f;
  float reverse = 0.0f;
  schedule() = {};
  run_grid({.blocks = 3, .threads = 32, .shared_bytes = 0}, [&] {
    if (threadIdx.x == 0) {
      block_number_kernel(&forward);
    }
  });
  schedule() = {.order = Order::reverse};
  run_grid({.blocks = 3, .threads = 32, .shared_bytes = 0}, [&] {
    if (threadIdx.x == 0) {
      block_number_kernel(&reverse);
    }
  });
  schedule() = {};
  EXPECT_EQ(forward, 12.0f);
  EXPECT_EQ(reverse, 210.0f);
}

TEST(Fibers, AFaultLeavesTheShimUsable) {
  std::vector<float> out(kThreads);
  EXPECT_NE(fault(Order::random, early_return_kernel, out.data(), 1), "");
  EXPECT_EQ(fault(Order::random, early_return_kernel, out.data(), kThreads), "");
  EXPECT_THAT(out, Each(1.0f));
}

// What the sanitizers find ends the process.

#ifdef __SANITIZE_ADDRESS__
void write_past_the_end_kernel(float* out) { out[threadIdx.x + (threadIdx.x == kThreads - 1 ? 1 : 0)] = 1.0f; }

void write_past_shared_memory_kernel(float* out) {
  RESIDUA_SHARED(float, buffer, kThreads - 1);
  buffer[threadIdx.x] = 1.0f;
  out[threadIdx.x] = 0.0f;
}

void misaligned_load_kernel(float* out) {
  float values[4];
  cuda::load(out + threadIdx.x % 4, values);
  out[threadIdx.x] = values[0];
}

TEST(FibersDeathTest, OutOfBoundsWritesAreFound) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const std::unique_ptr<float[]> out(new float[kThreads]);
  EXPECT_DEATH(run_kernel(Order::forward, 1, write_past_the_end_kernel, out.get()), "heap-buffer-overflow");
  EXPECT_DEATH(run_kernel(Order::forward, 1, write_past_shared_memory_kernel, out.get()), "heap-buffer-overflow");
}

TEST(FibersDeathTest, MisalignedLoadsAreFound) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const std::unique_ptr<float[]> out(new float[kThreads]());
  EXPECT_DEATH(run_kernel(Order::forward, 1, misaligned_load_kernel, out.get()), "misaligned address");
}
#endif

}  // namespace
}  // namespace residua::test
