#include "core/cpu/parallel.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <numeric>
#include <vector>

#include "core/cpu/scratch.h"
#include "tests/cpu/levels.h"
#include "tests/cpu/threads.h"
#include "tests/support/random.h"

namespace residua::test {
namespace {

TEST(Parallel, CoversEachIndexOnceInPartsOfTheGrain) {
  for (const int threads : {1, 2, 3, 7}) {
    const Threads scope(threads);
    for (const int64_t count : {0, 1, 5, 16, 17, 100, 1000}) {
      for (const int64_t grain : {1, 4, 16, 33, 2000}) {
        std::vector<int> visits(static_cast<size_t>(count), 0);
        std::vector<int64_t> calls(8, 0);
        const int parts = cpu::parallel_ranges(count, grain, [&](int part, int64_t begin, int64_t end) {
          ++calls[static_cast<size_t>(part)];
          EXPECT_EQ(begin % grain, 0);
          EXPECT_TRUE(end % grain == 0 || end == count);
          for (int64_t i = begin; i < end; ++i) {
            ++visits[static_cast<size_t>(i)];
          }
        });
        EXPECT_EQ(visits, std::vector<int>(visits.size(), 1)) << threads << " " << count << " " << grain;
        EXPECT_GE(parts, 1);
        EXPECT_LE(parts, threads);
        for (size_t part = 0; part < calls.size(); ++part) {
          EXPECT_EQ(calls[part], static_cast<int>(part) < parts ? 1 : 0);
        }
      }
    }
  }
}

TEST(Parallel, WorksInsideOfAParallelRegion) {
  std::vector<int> visits(1000, 0);
#pragma omp parallel num_threads(2)
  {
#pragma omp single
    cpu::parallel_ranges(1000, 1, [&](int, int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        ++visits[static_cast<size_t>(i)];
      }
    });
  }
  EXPECT_EQ(visits, std::vector<int>(visits.size(), 1));
}

TEST(Scratch, IsAlignedAndGrows) {
  for (const int64_t bytes : {1, 100, 4096, 1000000}) {
    auto* memory = static_cast<std::byte*>(cpu::scratch(bytes));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(memory) % 64, 0u);
    memory[0] = memory[bytes - 1] = std::byte{1};
  }
  EXPECT_EQ(cpu::scratch(10), cpu::scratch(1000)) << "what is large enough is kept";
}

/// Mean, variance and rstd, one after the other.
std::vector<float> statistics(Isa level, const std::vector<float>& x, int64_t channels) {
  std::vector<float> result(static_cast<size_t>(3 * channels));
  run_at(level, BatchNormStatistics{.dtype = DType::f32,
                                    .rows = static_cast<int64_t>(x.size()) / channels,
                                    .group_rows = static_cast<int64_t>(x.size()) / channels,
                                    .channels = channels,
                                    .x = x.data(),
                                    .epsilon = 1e-5f,
                                    .mean = result.data(),
                                    .variance = result.data() + channels,
                                    .rstd = result.data() + 2 * channels});
  return result;
}

TEST(Parallel, SumsRepeatForANumberOfThreadsAndAgreeBetweenNumbers) {
  Random random("sums");
  for (const int64_t channels : {3, 16, 64, 130}) {
    std::vector<float> x(static_cast<size_t>(channels * 4001));
    for (float& v : x) {
      v = static_cast<float>(random.uniform(-1.0, 3.0));
    }
    for (const Isa level : levels()) {
      std::vector<float> first;
      for (const int threads : {1, 2, 3, 5}) {
        const Threads scope(threads);
        const std::vector<float> got = statistics(level, x, channels);
        EXPECT_EQ(got, statistics(level, x, channels));
        first = first.empty() ? got : first;
        for (size_t i = 0; i < got.size(); ++i) {
          ASSERT_NEAR(got[i], first[i], 2e-6)
              << level_name(level) << ", " << threads << " threads, " << channels << " channels";
        }
      }
    }
  }
}

}  // namespace
}  // namespace residua::test
