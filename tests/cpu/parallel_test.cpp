#include "core/cpu/parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>
#include <utility>
#include <vector>

#include "core/cpu/scratch.h"
#include "tests/cpu/levels.h"
#include "tests/cpu/threads.h"
#include "tests/support/random.h"

namespace residua::test {
namespace {

TEST(Parallel, CoversEachIndexOnceInPiecesOfTheGrain) {
  for (const int threads : {1, 2, 3, 7}) {
    const Threads scope(threads);
    for (const int64_t count : {0, 1, 5, 16, 17, 100, 1000}) {
      for (const int64_t grain : {1, 4, 16, 33, 2000}) {
        for (const int64_t most : {1, 5, 8, 40}) {
          std::vector<int> visits(static_cast<size_t>(count), 0);
          std::vector<int64_t> calls(41, 0), sizes(41, 0);
          const int pieces = cpu::hand_out(count, grain, most, [&](int thread, int piece, int64_t begin, int64_t end) {
            ++calls[static_cast<size_t>(piece)];
            sizes[static_cast<size_t>(piece)] = end - begin;
            EXPECT_GE(thread, 0);
            EXPECT_LT(thread, threads);
            EXPECT_EQ(begin % grain, 0);
            EXPECT_TRUE(end % grain == 0 || end == count);
            for (int64_t i = begin; i < end; ++i) {
              ++visits[static_cast<size_t>(i)];
            }
          });
          EXPECT_EQ(visits, std::vector<int>(visits.size(), 1)) << threads << " " << count << " " << grain << " " << most;
          EXPECT_GE(pieces, 1);
          EXPECT_LE(pieces, most);
          for (size_t piece = 0; piece < calls.size(); ++piece) {
            EXPECT_EQ(calls[piece], static_cast<int>(piece) < pieces ? 1 : 0);
            EXPECT_LE(sizes[piece], (count / grain / pieces + 1) * grain + grain - 1) << "nearly equal sizes";
          }
        }
      }
    }
  }
}

// The thread that takes piece 0 is held up until all others are done. Seven of the other 15 pieces are of its own share, so
// the other thread must take them.
TEST(Parallel, OthersTakeThePiecesOfAThreadThatIsHeldUp) {
  constexpr int kPieces = 16;
  const Threads scope(2);
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  std::atomic<int> done = 0;
  bool held_up_to_the_end = false;
  const int pieces = cpu::hand_out(kPieces, 1, kPieces, [&](int, int piece, int64_t, int64_t) {
    if (piece == 0) {
      while (done < kPieces - 1 && std::chrono::steady_clock::now() < limit) {
        std::this_thread::yield();
      }
      held_up_to_the_end = done == kPieces - 1;
    }
    ++done;
  });
  EXPECT_EQ(pieces, kPieces);
  EXPECT_TRUE(held_up_to_the_end);
}

TEST(Parallel, PiecesHaveEightBlocksOrMoreUnlessThreadsWouldHaveNone) {
  const Threads scope(2);
  const auto smallest_piece = [](int64_t count, int64_t block) {
    std::atomic<int64_t> smallest = count, covered = 0;
    cpu::parallel_blocks(count, 1, block, [&](int, int64_t begin, int64_t end) {
      covered += end - begin;
      for (int64_t seen = smallest; end - begin < seen && !smallest.compare_exchange_weak(seen, end - begin);) {
      }
    });
    EXPECT_EQ(covered, count);
    return smallest.load();
  };
  EXPECT_EQ(smallest_piece(1600, 1), 100);
  EXPECT_EQ(smallest_piece(1600, 50), 400);
  EXPECT_EQ(smallest_piece(1600, 60), 800);
  EXPECT_EQ(smallest_piece(1600, 1000), 800);
}

TEST(Parallel, PartsOfSumsAreTheSameInEachCall) {
  for (const int threads : {1, 2, 5}) {
    const Threads scope(threads);
    for (const int64_t floats : {16, 1 << 22}) {
      const auto parts = [&] {
        std::vector<std::pair<int64_t, int64_t>> ranges(static_cast<size_t>(cpu::parts_of_sums(floats)));
        const int used = cpu::parallel_sums(1000, 3, floats, [&](int, int part, int64_t begin, int64_t end) {
          ranges.at(static_cast<size_t>(part)) = {begin, end};
        });
        EXPECT_EQ(used, threads == 1 ? 1 : static_cast<int>(ranges.size()));
        return ranges;
      };
      const auto first = parts();
      EXPECT_EQ(first.size(), static_cast<size_t>(threads * (floats == 16 ? 4 : 1)));
      for (int i = 0; i < 10; ++i) {
        EXPECT_EQ(parts(), first);
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
