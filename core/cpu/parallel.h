#pragma once

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <vector>

namespace residua::cpu {

/// Number of threads in a parallel region.
inline int thread_count() { return omp_get_max_threads(); }

/// Cuts [0, count) into at most `most` contiguous pieces of nearly equal size and calls body(thread, piece, begin, end) for
/// each. A thread first takes the pieces of its own share, the same in every call, which its caches may hold; then those that
/// others have left. So a thread on a slow or busy processor gets fewer. Every piece but the last is a multiple of `grain`.
/// Returns the number of pieces. Piece 0 is called even if count is 0. One thread alone gets one piece. The body must not
/// throw.
template <class Body>
int hand_out(int64_t count, int64_t grain, int64_t most, const Body& body) {
  const int64_t units = (count + grain - 1) / grain;
  const int64_t pieces = units < most ? units : most;
  const int available = thread_count();
  const int threads = pieces < available ? static_cast<int>(pieces) : available;
  if (threads <= 1) {
    body(0, 0, int64_t{0}, count);
    return 1;
  }
  struct alignas(64) Next {
    std::atomic<int64_t> piece;
  };
  std::vector<Next> next(static_cast<size_t>(threads));
  for (int share = 0; share < threads; ++share) {
    next[static_cast<size_t>(share)].piece = pieces * share / threads;
  }
#pragma omp parallel num_threads(threads)
  {
    const int thread = omp_get_thread_num();
    for (int i = 0; i < threads; ++i) {
      const int share = (thread + i) % threads;
      std::atomic<int64_t>& left = next[static_cast<size_t>(share)].piece;
      for (int64_t piece; (piece = left.fetch_add(1, std::memory_order_relaxed)) < pieces * (share + 1) / threads;) {
        const int64_t begin = units * piece / pieces * grain;
        const int64_t end = units * (piece + 1) / pieces * grain;
        body(thread, static_cast<int>(piece), begin, end < count ? end : count);
      }
    }
  }
  return static_cast<int>(pieces);
}

inline constexpr int64_t kPiecesPerThread = 8;

/// Calls body(thread, begin, end) for pieces of [0, count). `thread` is for scratch memory. Which thread takes which piece
/// changes from run to run, so the result must not depend on it.
template <class Body>
void parallel_ranges(int64_t count, int64_t grain, const Body& body) {
  hand_out(count, grain, kPiecesPerThread * thread_count(),
           [&body](int thread, int, int64_t begin, int64_t end) { body(thread, begin, end); });
}

/// The same for a body that works in blocks of `block` and reads the weights again for each block. Makes fewer pieces, so that
/// each has at least eight blocks where possible.
template <class Body>
void parallel_blocks(int64_t count, int64_t grain, int64_t block, const Body& body) {
  const int64_t pieces = std::clamp<int64_t>(count / (thread_count() * 8 * block), 1, kPiecesPerThread);
  hand_out(count, grain, pieces * thread_count(),
           [&body](int thread, int, int64_t begin, int64_t end) { body(thread, begin, end); });
}

/// The number of parts for parallel_sums() if each part has `floats` sums: several for each thread, if it costs little to add
/// them up.
inline int64_t parts_of_sums(int64_t floats) {
  constexpr int64_t kMostFloats = int64_t{1} << 18;
  return thread_count() * (floats * thread_count() <= kMostFloats ? 4 : 1);
}

/// Calls body(thread, part, begin, end) for parts_of_sums(floats) parts of [0, count) or fewer, and returns their number. The
/// parts depend only on the arguments and the number of threads. So sums over each part, added up in order, repeat from run to
/// run.
template <class Body>
int parallel_sums(int64_t count, int64_t grain, int64_t floats, const Body& body) {
  return hand_out(count, grain, parts_of_sums(floats), body);
}

}  // namespace residua::cpu
