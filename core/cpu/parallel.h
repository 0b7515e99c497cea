#pragma once

#include <omp.h>

#include <cstdint>

namespace residua::cpu {

/// Number of threads that a parallel region will have.
inline int thread_count() { return omp_get_max_threads(); }

/// Calls body(thread, begin, end) for contiguous, near-equal parts of [0, count), each part a multiple of `grain` (but the
/// last), and returns how many parts there were: thread numbers run from 0 to that. Part 0 is called even where count is 0. The
/// parts depend on count, grain and the number of threads alone, so results repeat from run to run. The body must not throw.
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
    // A team may come out smaller than asked for; its members then take several parts each.
    for (int64_t part = omp_get_thread_num(); part < threads; part += omp_get_num_threads()) {
      const int64_t begin = units * part / threads * grain;
      const int64_t end = units * (part + 1) / threads * grain;
      body(static_cast<int>(part), begin, end < count ? end : count);
    }
  }
  return threads;
}

}  // namespace residua::cpu
