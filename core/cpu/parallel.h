#pragma once

#include <omp.h>

#include <cstdint>

namespace residua::cpu {

/// Number of threads in a parallel region.
inline int thread_count() { return omp_get_max_threads(); }

/// Splits [0, count) into contiguous parts of nearly equal size and calls body(part, begin, end) for each in parallel. Every
/// part but the last is a multiple of `grain`. Returns the number of parts. Part 0 is called even if count is 0. The parts
/// depend only on count, grain and the number of threads, so results repeat from run to run. The body must not throw.
template <class Body>
int parallel_ranges(int64_t count, int64_t grain, const Body& body) {
  const int64_t units = (count + grain - 1) / grain;
  const int64_t available = thread_count();
  const int threads = static_cast<int>(units < available ? units : available);
  if (threads <= 1) {
    body(0, int64_t{0}, count);
    return 1;
  }
#pragma omp parallel num_threads(threads)
  {
    // The team may be smaller than requested; then its members take several parts each.
    for (int64_t part = omp_get_thread_num(); part < threads; part += omp_get_num_threads()) {
      const int64_t begin = units * part / threads * grain;
      const int64_t end = units * (part + 1) / threads * grain;
      body(static_cast<int>(part), begin, end < count ? end : count);
    }
  }
  return threads;
}

}  // namespace residua::cpu
