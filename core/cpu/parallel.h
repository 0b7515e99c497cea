#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>

namespace residua::cpu {

/// Number of threads that a parallel region will have.
inline int thread_count() { return omp_get_max_threads(); }

/// Calls body(thread, begin, end) for contiguous, near-equal parts of [0, count), each part a multiple of `grain` (but the
/// last). The parts depend on count, grain and the number of threads alone, so results repeat from run to run. The body must
/// not throw.
template <class Body>
void parallel_ranges(int64_t count, int64_t grain, const Body& body) {
  const int64_t units = (count + grain - 1) / grain;
  const int threads = static_cast<int>(std::clamp<int64_t>(units, 1, thread_count()));
  if (threads == 1) {
    body(0, int64_t{0}, count);
    return;
  }
#pragma omp parallel num_threads(threads)
  {
    const int64_t t = omp_get_thread_num();
    const int64_t n = omp_get_num_threads();
    const int64_t begin = std::min(units * t / n * grain, count);
    const int64_t end = std::min(units * (t + 1) / n * grain, count);
    if (begin < end) {
      body(static_cast<int>(t), begin, end);
    }
  }
}

}  // namespace residua::cpu
